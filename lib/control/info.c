/* SPDX-License-Identifier: BSD-3-Clause */

/* REGION_INFO, IRQ_INFO and IO_FDS: what the device has; and RESET. */

#include <errno.h>
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

struct descriptors {
	int fds[VUC_SHM_MAX_FDS];
	uint32_t nr;
};

static uint32_t
info_index_of(struct descriptors *d, int fd)
{
	uint32_t i = 0;

	while (i < d->nr && d->fds[i] != fd)
		i++;
	if (i == d->nr)
		d->fds[d->nr++] = fd;
	return i;
}

struct finding {
	uint32_t region;
	struct device_areas found;
};

/* A control_start_fn. */
static int
info_find_areas(struct vuc_device *dev, void *arg, vuc_done_fn done, void *done_arg)
{
	struct finding *f = arg;
	int rc = vuc_device_region_areas_start(dev, f->region, &f->found, done, done_arg);

	return rc == REGION_AREAS_FOUND ? OPERATION_DONE : rc;
}

/* What the server offers wrongly is not offered: the region can still be accessed by the queue. */
static int
info_areas_of(struct control_vmm *v, struct finding *f, struct vuc_error *err)
{
	int rc = vmm_operate(v, info_find_areas, f, err);

	if (rc == -EPROTO)
		vmm_log(v, VUC_LOG_WARNING, "%s", err->text);
	if (rc == -EOPNOTSUPP || rc == -EPROTO)
		return 0;
	if (f->found.nr > VUC_SHM_MAX_AREAS)
		f->found.nr = VUC_SHM_MAX_AREAS;
	return rc;
}

static void
info_fill_areas(
	struct vuc_shm_region_reply *reply, const struct device_areas *found, struct descriptors *d)
{
	for (uint32_t i = 0; i < found->nr; i++)
		reply->areas[i] = (struct vuc_shm_area){
			.offset = found->areas[i].offset,
			.size = found->areas[i].size,
			.file_offset = found->areas[i].file_offset,
			.fd_index = info_index_of(d, found->areas[i].fd),
		};
	reply->nr_areas = found->nr;
	reply->nr_fds = d->nr;
}

static int
info_reply_region(struct control_vmm *v, const struct vuc_region *r)
{
	struct finding f = {.region = r->index};
	struct descriptors d = {.nr = 0};
	struct vuc_error err = {0};
	union reply reply = {.bytes = {0}};
	bool direct = v->device->map == VUC_CONTROL_MAP_DIRECT;
	int rc = 0;

	if (r->size > 0 && direct) {
		/* Before: a restore that ends meanwhile has to see it. */
		if (r->index < 64)
			atomic_fetch_or_explicit(
				&v->mapped, UINT64_C(1) << r->index, memory_order_relaxed);
		rc = info_areas_of(v, &f, &err);
	}
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	reply.region.index = r->index;
	reply.region.size = r->size;
	reply.region.flags = direct ? r->flags : r->flags & ~(uint32_t)VFIO_REGION_INFO_FLAG_MMAP;
	reply.region.type = r->type;
	reply.region.subtype = r->subtype;
	info_fill_areas(&reply.region, &f.found, &d);
	free(f.found.areas);
	return vmm_reply(v, &reply.header,
		sizeof(reply.region) + f.found.nr * sizeof(reply.region.areas[0]), d.fds, d.nr);
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
vmm_reset(struct control_vmm *v)
{
	struct vuc_shm_plain reply = {0};
	struct vuc_error err = {0};
	int rc;

	if (v->device->reset == VUC_CONTROL_RESET_NEVER)
		return vmm_refuse(v, -EOPNOTSUPP, "the device cannot be reset");
	rc = vmm_operate(v, reset_start, NULL, &err);
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}
