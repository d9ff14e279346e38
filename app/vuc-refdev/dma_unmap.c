/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "device.h"

#define GET_DIRTY ((uint32_t)VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
#define ALL       ((uint32_t)VFIO_DMA_UNMAP_FLAG_ALL)

/* The bitmap that is asked for goes behind what the answer repeats. */
static int
put_bitmap(struct refdev *dev, const struct vfio_user_dma_unmap *unmap,
	const struct refdev_body *in, struct refdev_body *out)
{
	const struct refdev_interval pages = {unmap->addr, unmap->addr + (unmap->size - 1)};
	struct vfio_user_bitmap bitmap;
	size_t head = sizeof(*unmap) + sizeof(bitmap);
	uint64_t bytes;

	if (in->len < head)
		return -EINVAL;
	memcpy(&bitmap, in->bytes + sizeof(*unmap), sizeof(bitmap));
	bytes = refdev_dirty_bitmap_size(unmap->size, bitmap.pgsize);
	if (bytes == 0 || bitmap.size < bytes || unmap->argsz < head || unmap->argsz - head < bytes)
		return -EINVAL;
	if (out->size < head + bytes)
		return -EMSGSIZE;
	bitmap.size = bytes;
	memcpy(out->bytes + sizeof(*unmap), &bitmap, sizeof(bitmap));
	out->len = head + bytes;
	return refdev_dirty_take(dev, pages, bitmap.pgsize, out->bytes + head);
}

static int
unmap_one(struct refdev *dev, const struct vfio_user_dma_unmap *unmap, const struct refdev_body *in,
	struct refdev_body *out)
{
	const struct refdev_dma_map *map = refdev_dma_find(dev, unmap->addr);
	int rc = 0;

	if (map == NULL || map->addr != unmap->addr || map->size != unmap->size)
		return -ENOENT;
	if (unmap->flags & GET_DIRTY)
		rc = put_bitmap(dev, unmap, in, out);
	else
		out->len = sizeof(*unmap);
	if (rc == 0)
		refdev_dma_remove(dev, map);
	return rc;
}

static int
unmap_all(struct refdev *dev, const struct vfio_user_dma_unmap *unmap, struct refdev_body *out)
{
	if (unmap->addr != 0 || unmap->size != 0)
		return -EINVAL;
	if (!dev->config.pretend_unmap_all)
		refdev_dma_release(dev);
	out->len = sizeof(*unmap);
	return 0;
}

/* Transfers by message may be under way in what is unmapped: the client refuses the rest. */
int
refdev_dma_unmap_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_dma_unmap unmap;
	int rc;

	memcpy(&unmap, in->bytes, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap))
		return -EINVAL;
	if (out->size < sizeof(unmap))
		return -EMSGSIZE;
	if (unmap.flags == ALL)
		rc = unmap_all(dev, &unmap, out);
	else if ((unmap.flags & ~GET_DIRTY) == 0)
		rc = unmap_one(dev, &unmap, in, out);
	else
		rc = -EINVAL;
	if (rc != 0)
		return rc;
	unmap.argsz = (uint32_t)out->len;
	memcpy(out->bytes, &unmap, sizeof(unmap));
	return 0;
}
