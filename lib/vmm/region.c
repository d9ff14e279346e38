/* SPDX-License-Identifier: BSD-3-Clause */

/* What the daemon says of regions: their size, what can be mapped, what has a descriptor. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vuc/export.h>

#include "error.h"
#include "operation.h"

int
vmm_regions_alloc(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	uint32_t nr = dev->info.num_regions;

	if (nr == 0)
		return 0;
	dev->regions = calloc(nr, sizeof(struct vmm_region *));
	return dev->regions != NULL
		? 0
		: vuc_error_set(err, -ENOMEM, "no memory for %" PRIu32 " regions", nr);
}

void
vmm_region_free(struct vmm_region *r)
{
	if (r == NULL)
		return;
	vmm_fds_close(&r->fds);
	free(r);
}

void
vmm_regions_free(struct vuc_vmm_device *dev)
{
	for (uint32_t i = 0; dev->regions != NULL && i < dev->info.num_regions; i++)
		vmm_region_free(dev->regions[i]);
	free(dev->regions);
	dev->regions = NULL;
	while (dev->old_regions != NULL) {
		struct vmm_region *old = dev->old_regions;

		dev->old_regions = old->next;
		vmm_region_free(old);
	}
}

void
vmm_regions_renew(struct vuc_vmm_device *dev, struct vmm_region **fresh)
{
	for (uint32_t i = 0; i < dev->info.num_regions; i++) {
		struct vmm_region *old = dev->regions[i];

		if (old != NULL) {
			old->next = dev->old_regions;
			dev->old_regions = old;
		}
		dev->regions[i] = fresh != NULL ? fresh[i] : NULL;
		if (fresh != NULL)
			fresh[i] = NULL;
	}
	dev->region_epoch++;
}

void
vmm_regions_tell(struct vuc_vmm_device *dev)
{
	struct vmm_region **at = &dev->old_regions, *old;

	while ((old = *at) != NULL) {
		if (old->told) {
			*at = old->next;
			vmm_region_free(old);
		} else {
			old->told = true;
			at = &old->next;
		}
	}
}

/* Whether an area lies in its file, which the device's server may cut later all the same. */
static bool
is_in_file(const struct vuc_shm_area *a, int fd)
{
	struct stat st;
	uint64_t end;

	if (__builtin_add_overflow(a->file_offset, a->size, &end) || fstat(fd, &st) != 0)
		return false;
	return st.st_size >= 0 && end <= (uint64_t)st.st_size;
}

/* Check area i of a reply, which begins at `end` or later. */
static int
check_area(struct vuc_vmm_device *dev, const union vmm_packet *packet, uint32_t i, uint64_t end,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_region_reply *r = &packet->region_reply;
	const struct vuc_shm_area *a = &r->areas[i];
	uint64_t page_mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;

	if (a->reserved != 0)
		return vmm_reply_wrong(dev, packet, err, "reserved of an area", a->reserved);
	if (a->fd_index >= fds->nr)
		return vmm_reply_wrong(dev, packet, err, "fd_index of an area", a->fd_index);
	if (a->offset < end || (a->offset & page_mask) != 0)
		return vmm_reply_wrong(dev, packet, err, "offset of an area", a->offset);
	if (a->size == 0 || (a->size & page_mask) != 0 || a->offset > r->size ||
		a->size > r->size - a->offset)
		return vmm_reply_wrong(dev, packet, err, "size of an area", a->size);
	if ((a->file_offset & page_mask) != 0 || !is_in_file(a, fds->fd[a->fd_index]))
		return vmm_reply_wrong(dev, packet, err, "file_offset of an area", a->file_offset);
	return 0;
}

static int
region_reply_check(struct vuc_vmm_device *dev, uint32_t index, const union vmm_packet *packet,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_region_reply *r = &packet->region_reply;
	uint64_t end = 0;

	if (r->index != index)
		return vmm_reply_wrong(dev, packet, err, "index", r->index);
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		int rc = check_area(dev, packet, i, end, fds, err);

		if (rc != 0)
			return rc;
		end = r->areas[i].offset + r->areas[i].size;
	}
	return 0;
}

/* Size and descriptors, before anything else is looked at. */
static int
region_reply_is(struct vuc_vmm_device *dev, const union vmm_packet *packet,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_region_reply *r = &packet->region_reply;

	if (r->nr_areas > VUC_SHM_MAX_AREAS)
		return vmm_reply_wrong(dev, packet, err, "nr_areas", r->nr_areas);
	return vmm_reply_is(
		dev, packet, sizeof(*r) + r->nr_areas * sizeof(r->areas[0]), fds, r->nr_fds, err);
}

/* The descriptor and base offset that all areas have in common. */
static void
region_find_base(struct vuc_vmm_region *r)
{
	const struct vuc_vmm_area *a = r->areas;

	r->fd = -1;
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		if (a[i].fd != a[0].fd || a[i].file_offset < a[i].offset ||
			a[i].file_offset - a[i].offset != a[0].file_offset - a[0].offset)
			return;
	}
	if (r->nr_areas == 0)
		return;
	r->fd = a[0].fd;
	r->fd_offset = a[0].file_offset - a[0].offset;
}

/* Returns NULL when there is no memory. */
static struct vmm_region *
region_reply_keep(const struct vuc_shm_region_reply *r, struct vmm_fds *fds, struct vuc_error *err)
{
	struct vmm_region *kept =
		calloc(1, sizeof(*kept) + r->nr_areas * sizeof(struct vuc_vmm_area));

	if (kept == NULL) {
		vuc_error_set(err, -ENOMEM, "no memory for region %" PRIu32, r->index);
		return NULL;
	}
	for (uint32_t i = 0; i < r->nr_areas; i++) {
		const struct vuc_shm_area *a = &r->areas[i];

		kept->areas[i] = (struct vuc_vmm_area){
			.offset = a->offset,
			.size = a->size,
			.file_offset = a->file_offset,
			.fd = fds->fd[a->fd_index],
		};
	}
	kept->fds = *fds;
	fds->nr = 0;
	kept->region = (struct vuc_vmm_region){
		.argsz = sizeof(kept->region),
		.size = r->size,
		.index = r->index,
		.flags = r->flags,
		.type = r->type,
		.subtype = r->subtype,
		.nr_areas = r->nr_areas,
		.areas = kept->areas,
	};
	region_find_base(&kept->region);
	return kept;
}

void
vmm_region_ask(uint32_t index, union vmm_packet *request)
{
	vmm_request_set(request, VUC_SHM_REGION_INFO, sizeof(request->index));
	request->index.index = index;
}

int
vmm_region_take(struct vuc_vmm_device *dev, uint32_t index, const union vmm_packet *reply,
	struct vmm_fds *fds, struct vmm_region **region, struct vuc_error *err)
{
	int rc = region_reply_is(dev, reply, fds, err);

	if (rc == 0)
		rc = region_reply_check(dev, index, reply, fds, err);
	if (rc != 0)
		return rc;
	*region = region_reply_keep(&reply->region_reply, fds, err);
	return *region != NULL ? 0 : -ENOMEM;
}

static int
region_check(struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err)
{
	int rc = vmm_attached_check(dev, err);

	if (rc != 0 || index < dev->info.num_regions)
		return rc;
	return vuc_error_set(err, -EINVAL,
		"there is no region %" PRIu32 ", the device has %" PRIu32, index,
		dev->info.num_regions);
}

struct region_operation {
	struct vmm_operation op;
	uint32_t index;
	uint64_t epoch;
	const struct vuc_vmm_region **to;
};

static bool
region_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct region_operation *r = (struct region_operation *)op;
	const struct vmm_region *kept = op->dev->regions[r->index];

	(void)fds;
	if (kept != NULL) {
		*r->to = &kept->region;
		return false;
	}
	r->epoch = op->dev->region_epoch;
	vmm_region_ask(r->index, request);
	return true;
}

static int
region_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct region_operation *r = (struct region_operation *)op;
	struct vmm_region *region;
	int rc = vmm_region_take(op->dev, r->index, reply, fds, &region, err);

	if (rc != 0)
		return rc;
	/* It is of before a change, or may be. */
	if (r->epoch != op->dev->region_epoch) {
		vmm_region_free(region);
		return VMM_MORE;
	}
	op->dev->regions[r->index] = region;
	*r->to = &region->region;
	return 0;
}

static const struct vmm_operation_ops region_ops = {.ask = region_ask, .take = region_take};

static int
region_begin(struct vuc_vmm_device *dev, uint32_t index, const struct vuc_vmm_region **region,
	const struct vmm_completion *completion, struct vuc_error *err)
{
	struct region_operation *r;
	int rc;

	if (region == NULL)
		return vuc_error_set(err, -EINVAL, "region is NULL");
	*region = NULL;
	rc = region_check(dev, index, err);
	if (rc != 0)
		return rc;
	r = vmm_operation_create(dev, &region_ops, sizeof(*r), err);
	if (r == NULL)
		return -ENOMEM;
	r->index = index;
	r->to = region;
	return vmm_operation_begin(&r->op, completion, err);
}

VUC_EXPORT int
vuc_vmm_region(struct vuc_vmm_device *dev, uint32_t index, const struct vuc_vmm_region **region,
	struct vuc_error *err)
{
	const struct vmm_region *kept = NULL;

	if (region == NULL)
		return region_begin(dev, index, region, NULL, err);
	/* One that is known is not waited for, be the daemon dead or the caller a callback. */
	pthread_mutex_lock(&dev->lock);
	if (index < dev->info.num_regions)
		kept = dev->regions[index];
	pthread_mutex_unlock(&dev->lock);
	if (kept == NULL)
		return region_begin(dev, index, region, NULL, err);
	*region = &kept->region;
	return 0;
}

VUC_EXPORT int
vuc_vmm_region_start(struct vuc_vmm_device *dev, uint32_t index,
	const struct vuc_vmm_region **region, vuc_vmm_done_fn done, void *arg,
	struct vuc_error *err)
{
	return region_begin(dev, index, region, &(const struct vmm_completion){done, arg}, err);
}

_Static_assert(
	VUC_VMM_IO_EVENTFD == 0 && VUC_VMM_IO_REGIONFD == 1 && VUC_VMM_IO_EVENTFD_SHADOW == 2,
	"as in struct vuc_shm_io_sub_region");

/* What a caller gets, with what belongs to it. */
struct io_fds {
	struct vuc_vmm_io_fds public;
	struct vmm_fds fds;
	struct vuc_vmm_io io[];
};

static bool
is_index(int32_t index, const struct vmm_fds *fds)
{
	return index >= -1 && (index < 0 || (unsigned int)index < fds->nr);
}

static int
check_sub_region(struct vuc_vmm_device *dev, const union vmm_packet *packet, uint32_t i,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_io_sub_region *s = &packet->io_reply.sub_regions[i];

	if (s->type > VUC_VMM_IO_EVENTFD_SHADOW)
		return vmm_reply_wrong(dev, packet, err, "type of a sub-region", s->type);
	if (s->offset > UINT64_MAX - s->size)
		return vmm_reply_wrong(dev, packet, err, "size of a sub-region", s->size);
	if (!is_index(s->fd_index, fds))
		return vmm_reply_wrong(
			dev, packet, err, "fd_index of a sub-region", (uint32_t)s->fd_index);
	if (!is_index(s->shadow_fd_index, fds))
		return vmm_reply_wrong(dev, packet, err, "shadow_fd_index of a sub-region",
			(uint32_t)s->shadow_fd_index);
	return 0;
}

static int
io_reply_check(struct vuc_vmm_device *dev, const union vmm_packet *packet,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_io_reply *r = &packet->io_reply;
	int rc;

	if (r->nr > VUC_SHM_MAX_IO)
		return vmm_reply_wrong(dev, packet, err, "nr", r->nr);
	rc = vmm_reply_is(
		dev, packet, sizeof(*r) + r->nr * sizeof(r->sub_regions[0]), fds, r->nr_fds, err);
	for (uint32_t i = 0; rc == 0 && i < r->nr; i++)
		rc = check_sub_region(dev, packet, i, fds, err);
	return rc;
}

static int
fd_at(const struct vmm_fds *fds, int32_t index)
{
	return index >= 0 ? fds->fd[index] : -1;
}

static void
sub_region_convert(
	struct vuc_vmm_io *io, const struct vuc_shm_io_sub_region *s, const struct vmm_fds *fds)
{
	*io = (struct vuc_vmm_io){
		.type = (enum vuc_vmm_io_type)s->type,
		.flags = s->flags,
		.offset = s->offset,
		.size = s->size,
		.datamatch = s->datamatch,
		.user_data = s->user_data,
		.shadow_offset = s->shadow_offset,
		.fd = fd_at(fds, s->fd_index),
		.shadow_fd = fd_at(fds, s->shadow_fd_index),
	};
}

static int
io_reply_keep(struct vuc_vmm_io_fds **to, const struct vuc_shm_io_reply *r, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct io_fds *kept = calloc(1, sizeof(*kept) + r->nr * sizeof(kept->io[0]));

	if (kept == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %" PRIu32 " sub-regions", r->nr);
	for (uint32_t i = 0; i < r->nr; i++)
		sub_region_convert(&kept->io[i], &r->sub_regions[i], fds);
	kept->fds = *fds;
	fds->nr = 0;
	kept->public =
		(struct vuc_vmm_io_fds){.argsz = sizeof(kept->public), .nr = r->nr, .io = kept->io};
	*to = &kept->public;
	return 0;
}

struct io_operation {
	struct vmm_operation op;
	uint32_t region;
	struct vuc_vmm_io_fds **to;
};

static bool
io_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct io_operation *i = (struct io_operation *)op;

	(void)fds;
	vmm_request_set(request, VUC_SHM_IO_FDS, sizeof(request->index));
	request->index.index = i->region;
	return true;
}

static int
io_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct io_operation *i = (struct io_operation *)op;
	int rc = io_reply_check(op->dev, reply, fds, err);

	return rc == 0 ? io_reply_keep(i->to, &reply->io_reply, fds, err) : rc;
}

static const struct vmm_operation_ops io_ops = {.ask = io_ask, .take = io_take};

static int
io_begin(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	const struct vmm_completion *completion, struct vuc_error *err)
{
	struct io_operation *i;
	int rc;

	if (fds == NULL)
		return vuc_error_set(err, -EINVAL, "fds is NULL");
	*fds = NULL;
	rc = region_check(dev, region, err);
	if (rc != 0)
		return rc;
	i = vmm_operation_create(dev, &io_ops, sizeof(*i), err);
	if (i == NULL)
		return -ENOMEM;
	i->region = region;
	i->to = fds;
	return vmm_operation_begin(&i->op, completion, err);
}

VUC_EXPORT int
vuc_vmm_io_fds(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	struct vuc_error *err)
{
	return io_begin(dev, region, fds, NULL, err);
}

VUC_EXPORT int
vuc_vmm_io_fds_start(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return io_begin(dev, region, fds, &(const struct vmm_completion){done, arg}, err);
}

VUC_EXPORT void
vuc_vmm_io_fds_free(struct vuc_vmm_io_fds *fds)
{
	struct io_fds *kept = (struct io_fds *)fds;

	if (fds == NULL)
		return;
	vmm_fds_close(&kept->fds);
	free(kept);
}
