/* SPDX-License-Identifier: BSD-3-Clause */
#include "region.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vuc/export.h>

#include "error.h"
#include "message.h"

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

static void
free_region(struct vmm_region *r)
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
		free_region(dev->regions[i]);
	free(dev->regions);
	dev->regions = NULL;
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
check_shape(struct vuc_vmm_device *dev, const union vmm_packet *packet, struct vmm_fds *fds,
	struct vuc_error *err)
{
	const struct vuc_shm_region_reply *r = &packet->region_reply;

	if (r->nr_areas > VUC_SHM_MAX_AREAS)
		return vmm_reply_wrong(dev, packet, err, "nr_areas", r->nr_areas);
	return vmm_reply_is(
		dev, packet, sizeof(*r) + r->nr_areas * sizeof(r->areas[0]), fds, r->nr_fds, err);
}

static int
region_reply_keep(struct vuc_vmm_device *dev, const struct vuc_shm_region_reply *r,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	struct vmm_region *kept =
		calloc(1, sizeof(*kept) + r->nr_areas * sizeof(struct vuc_vmm_area));

	if (kept == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for region %" PRIu32, r->index);
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
	kept->region = (struct vuc_vmm_region){
		.size = r->size,
		.index = r->index,
		.flags = r->flags,
		.type = r->type,
		.subtype = r->subtype,
		.nr_areas = r->nr_areas,
		.areas = kept->areas,
	};
	dev->regions[r->index] = kept;
	return 0;
}

static int
ask_for(struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err)
{
	union vmm_packet packet = {.index = {.index = index}};
	struct vmm_fds fds = {.nr = 0};
	int rc = vmm_ask_with(dev, VUC_SHM_REGION_INFO, &packet, sizeof(packet.index), &fds, err);

	if (rc == 0)
		rc = check_shape(dev, &packet, &fds, err);
	if (rc == 0)
		rc = region_reply_check(dev, index, &packet, &fds, err);
	if (rc == 0)
		rc = region_reply_keep(dev, &packet.region_reply, &fds, err);
	if (rc != 0)
		vmm_fds_close(&fds);
	return rc;
}

VUC_EXPORT int
vuc_vmm_region(struct vuc_vmm_device *dev, uint32_t index, const struct vuc_vmm_region **region,
	struct vuc_error *err)
{
	int rc = 0;

	*region = NULL;
	if (index >= dev->info.num_regions)
		return vuc_error_set(err, -EINVAL,
			"there is no region %" PRIu32 ", the device has %" PRIu32, index,
			dev->info.num_regions);
	pthread_mutex_lock(&dev->lock);
	if (dev->regions[index] == NULL)
		rc = ask_for(dev, index, err);
	if (rc == 0)
		*region = &dev->regions[index]->region;
	pthread_mutex_unlock(&dev->lock);
	return rc;
}
