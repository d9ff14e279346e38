/* SPDX-License-Identifier: BSD-3-Clause */

/* REGION_INFO, IRQ_INFO and IO_FDS: what the device has; and RESET. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include <vuc/io_fds.h>

#include "error.h"
#include "region_areas.h"
#include "source.h"
#include "vmm.h"

/* A reply as long as one can be. */
union reply {
	struct vuc_shm_header header;
	struct vuc_shm_region_reply region;
	struct vuc_shm_io_reply io;
	uint8_t bytes[VUC_SHM_MAX_PACKET];
};

_Static_assert(
	sizeof(struct vuc_shm_region_reply) + VUC_SHM_MAX_AREAS * sizeof(struct vuc_shm_area) <=
		VUC_SHM_MAX_PACKET,
	"areas");
_Static_assert(
	sizeof(struct vuc_shm_io_reply) + VUC_SHM_MAX_IO * sizeof(struct vuc_shm_io_sub_region) <=
		VUC_SHM_MAX_PACKET,
	"sub-regions");
_Static_assert(VUC_MAX_MSG_FDS <= VUC_SHM_MAX_FDS, "descriptors of a server fit");

struct finding {
	uint32_t region;
	struct vmm_areas *areas;
	vuc_done_fn done;
	void *done_arg;
};

/* Returns the index of the area's file, or -errno. */
static int
info_hold_file(struct vmm_areas *a, uint32_t area)
{
	for (uint32_t i = 0; i < area; i++) {
		if (a->found.areas[i].fd == a->found.areas[area].fd)
			return (int)a->indexes[i];
	}
	a->fds[a->nr_fds] = fcntl(a->found.areas[area].fd, F_DUPFD_CLOEXEC, 0);
	return a->fds[a->nr_fds] < 0 ? -errno : (int)a->nr_fds++;
}

/* On the poller's thread: a restore closes the device's own descriptors. */
static int
info_hold_files(struct vmm_areas *a)
{
	if (a->found.nr > VUC_SHM_MAX_AREAS)
		a->found.nr = VUC_SHM_MAX_AREAS;
	for (uint32_t i = 0; i < a->found.nr; i++) {
		int index = info_hold_file(a, i);

		if (index < 0)
			return index;
		a->indexes[i] = (uint32_t)index;
	}
	return 0;
}

/* A vuc_done_fn. */
static void
info_areas_found(void *arg, int status, const struct vuc_error *err)
{
	struct finding *f = arg;
	struct vuc_error why = *err;
	int rc = status == 0 ? info_hold_files(f->areas) : status;

	if (status == 0 && rc != 0)
		vuc_error_set(&why, rc, "files of region %u: %s", f->region, strerror(-rc));
	f->done(f->done_arg, rc, &why);
}

/* A control_start_fn. */
static int
info_find_areas(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct finding *f = arg;
	int rc;

	f->done = done;
	f->done_arg = done_arg;
	rc = vuc_device_region_areas_start(dev, f->region, &f->areas->found, info_areas_found, f);
	if (rc != REGION_AREAS_FOUND)
		return rc;
	info_areas_found(f, 0, &(struct vuc_error){0});
	return 0;
}

/* What the server offers wrongly is not offered: the region can still be accessed by the queue. */
int
vmm_find_areas(
	struct control_vmm *v, uint32_t region, struct vmm_areas *areas, struct vuc_error *err)
{
	struct finding f = {.region = region, .areas = areas};
	int rc;

	*areas = (struct vmm_areas){.nr_fds = 0};
	/* What cannot be mapped anew after a restore is not mapped at all. */
	if (v->device->map != VUC_CONTROL_MAP_DIRECT || region >= VMM_MAPPED_REGIONS ||
		vuc_device_region(v->link->dev, region)->size == 0)
		return 0;
	/* Set before the call, so that a restore that ends meanwhile sees it. */
	atomic_fetch_or_explicit(&v->mapped, UINT64_C(1) << region, memory_order_relaxed);
	rc = vmm_operate(v, info_find_areas, &f, err);
	if (rc == -EPROTO)
		vmm_log(v, VUC_LOG_WARNING, "%s", err->text);
	return rc == -EOPNOTSUPP || rc == -EPROTO ? 0 : rc;
}

void
vmm_drop_areas(struct control_vmm *v, struct vmm_areas *areas)
{
	vmm_close_fds(v, areas->fds, areas->nr_fds);
	free(areas->found.areas);
}

static void
info_fill_areas(struct vuc_shm_region_reply *reply, const struct vmm_areas *a)
{
	for (uint32_t i = 0; i < a->found.nr; i++)
		reply->areas[i] = (struct vuc_shm_area){
			.offset = a->found.areas[i].offset,
			.size = a->found.areas[i].size,
			.file_offset = a->found.areas[i].file_offset,
			.fd_index = a->indexes[i],
		};
	reply->nr_areas = a->found.nr;
	reply->nr_fds = a->nr_fds;
}

static int
info_reply_region(struct control_vmm *v, const struct vuc_region *r)
{
	struct vmm_areas areas;
	struct vuc_error err = {0};
	union reply reply = {.bytes = {0}};
	int rc = vmm_find_areas(v, r->index, &areas, &err);

	if (rc != 0) {
		rc = vmm_refuse(v, rc, "%s", err.text);
		vmm_drop_areas(v, &areas);
		return rc;
	}
	reply.region.index = r->index;
	reply.region.size = r->size;
	reply.region.flags = v->device->map == VUC_CONTROL_MAP_DIRECT
		? r->flags
		: r->flags & ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	reply.region.type = r->type;
	reply.region.subtype = r->subtype;
	info_fill_areas(&reply.region, &areas);
	rc = vmm_reply(v, &reply.header,
		sizeof(reply.region) + areas.found.nr * sizeof(reply.region.areas[0]), areas.fds,
		areas.nr_fds);
	vmm_drop_areas(v, &areas);
	return rc;
}

int
vmm_region_info(struct control_vmm *v)
{
	const struct vuc_shm_index *r = &v->packet.index;
	const struct vuc_region *region = vuc_device_region(v->link->dev, r->index);

	if (r->reserved != 0)
		return vmm_end(v, "reserved is 0x%x", r->reserved);
	if (region == NULL)
		return vmm_refuse(v, -EINVAL, "there is no region %u", r->index);
	return info_reply_region(v, region);
}

int
vmm_irq_info(struct control_vmm *v)
{
	const struct vuc_shm_index *r = &v->packet.index;
	const struct vuc_irq *irq = vuc_device_irq(v->link->dev, r->index);
	struct vuc_shm_irq_reply reply = {0};

	if (r->reserved != 0)
		return vmm_end(v, "reserved is 0x%x", r->reserved);
	if (irq == NULL)
		return vmm_refuse(v, -EINVAL, "there is no IRQ index %u", r->index);
	reply.index = irq->index;
	reply.flags = irq->flags;
	reply.count = irq->count;
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}

struct asking {
	uint32_t region;
	struct vuc_io_fds *io_fds;
};

/* A control_start_fn. */
static int
info_ask_io_fds(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct asking *a = arg;

	return vuc_io_fds_get_start(dev, a->region, &a->io_fds, done, done_arg);
}

static uint32_t
info_fill_io_fds(struct vuc_shm_io_reply *reply, const struct vuc_io_fds *io_fds)
{
	uint32_t n = io_fds->nr_sub_regions;

	/* The rest is accessed by the queue. */
	if (n > VUC_SHM_MAX_IO)
		n = VUC_SHM_MAX_IO;
	for (uint32_t i = 0; i < n; i++) {
		const struct vuc_io_sub_region *sub = &io_fds->sub_regions[i];

		reply->sub_regions[i] = (struct vuc_shm_io_sub_region){
			.type = (uint32_t)sub->type,
			.flags = sub->flags,
			.offset = sub->offset,
			.size = sub->size,
			.datamatch = sub->datamatch,
			.user_data = sub->user_data,
			.shadow_offset = sub->shadow_offset,
			.fd_index = sub->fd_index,
			.shadow_fd_index = sub->shadow_fd_index,
		};
	}
	reply->nr = n;
	reply->nr_fds = io_fds->nr_fds;
	return n;
}

int
vmm_io_fds(struct control_vmm *v)
{
	const struct vuc_shm_index *r = &v->packet.index;
	struct asking a = {.region = r->index};
	union reply reply = {.bytes = {0}};
	struct vuc_error err = {0};
	uint32_t n;
	int rc;

	if (r->reserved != 0)
		return vmm_end(v, "reserved is 0x%x", r->reserved);
	rc = vmm_operate(v, info_ask_io_fds, &a, &err);
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	n = info_fill_io_fds(&reply.io, a.io_fds);
	rc = vmm_reply(v, &reply.header, sizeof(reply.io) + n * sizeof(reply.io.sub_regions[0]),
		a.io_fds->fds, a.io_fds->nr_fds);
	vmm_close_fds(v, a.io_fds->fds, a.io_fds->nr_fds);
	a.io_fds->nr_fds = 0;
	vuc_io_fds_free(a.io_fds);
	return rc;
}

/* A control_start_fn. What the VMM has submitted before, posted writes above all, reaches the
 * device before the reset. */
static int
reset_start(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	(void)arg;
	return vuc_device_reset_start(dev, done, done_arg);
}

int
vmm_apply_reset(struct control_vmm *v, struct vuc_error *err)
{
	if (v->device->reset == VUC_CONTROL_RESET_NEVER)
		return vuc_error_set(err, -EOPNOTSUPP, "the device cannot be reset");
	return vmm_operate(v, reset_start, NULL, err);
}

int
vmm_reset(struct control_vmm *v)
{
	struct vuc_shm_plain reply = {0};
	struct vuc_error err = {0};
	int rc = vmm_apply_reset(v, &err);

	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}
