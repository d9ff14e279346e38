/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <vuc/export.h>

#include "error.h"
#include "message.h"

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
io_reply_check(struct vuc_vmm_device *dev, const union vmm_packet *packet, struct vmm_fds *fds,
	struct vuc_error *err)
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
io_reply_keep(struct vuc_vmm_io_fds **to, const struct vuc_shm_io_reply *r,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	struct io_fds *kept = calloc(1, sizeof(*kept) + r->nr * sizeof(kept->io[0]));

	if (kept == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %" PRIu32 " sub-regions", r->nr);
	for (uint32_t i = 0; i < r->nr; i++)
		sub_region_convert(&kept->io[i], &r->sub_regions[i], fds);
	kept->fds = *fds;
	kept->public = (struct vuc_vmm_io_fds){.nr = r->nr, .io = kept->io};
	*to = &kept->public;
	return 0;
}

static int
ask_for(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **to,
	struct vuc_error *err)
{
	union vmm_packet packet = {.index = {.index = region}};
	struct vmm_fds fds = {.nr = 0};
	int rc = vmm_ask_with(dev, VUC_SHM_IO_FDS, &packet, sizeof(packet.index), &fds, err);

	if (rc == 0)
		rc = io_reply_check(dev, &packet, &fds, err);
	if (rc == 0)
		rc = io_reply_keep(to, &packet.io_reply, &fds, err);
	if (rc != 0)
		vmm_fds_close(&fds);
	return rc;
}

VUC_EXPORT int
vuc_vmm_io_fds(struct vuc_vmm_device *dev, uint32_t region, struct vuc_vmm_io_fds **fds,
	struct vuc_error *err)
{
	int rc;

	*fds = NULL;
	if (region >= dev->info.num_regions)
		return vuc_error_set(err, -EINVAL,
			"there is no region %" PRIu32 ", the device has %" PRIu32, region,
			dev->info.num_regions);
	pthread_mutex_lock(&dev->lock);
	rc = ask_for(dev, region, fds, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
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
