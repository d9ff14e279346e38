/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"

#define ACCESS_FLAGS (VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE)
#define FD_FLAGS     (VFIO_USER_F_DMA_REGION_MMAP | VFIO_USER_F_DMA_REGION_FILE_IO)

void
refdev_dma_release(struct refdev *dev)
{
	struct refdev_dma *dma = &dev->dma;

	for (size_t i = 0; i < dma->nr_maps; i++)
		if (dma->maps[i].fd >= 0)
			close(dma->maps[i].fd);
	dma->nr_maps = 0;
}

/* The first map that ends above addr; nr_maps when none does. */
static size_t
find_map(const struct refdev_dma *dma, uint64_t addr)
{
	size_t low = 0;
	size_t high = dma->nr_maps;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (dma->maps[mid].addr + (dma->maps[mid].size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int
make_room(struct refdev_dma *dma)
{
	size_t capacity = dma->capacity > 0 ? 2 * dma->capacity : 64;
	struct refdev_dma_map *maps;

	if (dma->nr_maps < dma->capacity)
		return 0;
	maps = realloc(dma->maps, capacity * sizeof(*maps));
	if (maps == NULL)
		return -ENOMEM;
	dma->maps = maps;
	dma->capacity = capacity;
	return 0;
}

static int
insert_map(struct refdev *dev, const struct refdev_dma_map *map)
{
	struct refdev_dma *dma = &dev->dma;
	size_t at = find_map(dma, map->addr);
	int rc;

	if (at < dma->nr_maps && dma->maps[at].addr <= map->addr + (map->size - 1))
		return -EEXIST;
	if (dma->nr_maps >= dev->config.max_dma_maps)
		return -ENOSPC;
	rc = make_room(dma);
	if (rc != 0)
		return rc;
	memmove(&dma->maps[at + 1], &dma->maps[at], (dma->nr_maps - at) * sizeof(*map));
	dma->maps[at] = *map;
	dma->nr_maps++;
	return 0;
}

/* All of the range must lie in a file; what is no file is mapped at its sender's risk. */
static bool
is_backed(int fd, uint64_t offset, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode))
		return true;
	return size <= (uint64_t)st.st_size && offset <= (uint64_t)st.st_size - size;
}

static int
check_map(const struct refdev *dev, const struct vfio_user_dma_map *map, const int *fd)
{
	uint64_t page = dev->config.pgsizes & (~dev->config.pgsizes + 1);
	uint64_t end;

	if (map->argsz != sizeof(*map) || (map->flags & ~(ACCESS_FLAGS | FD_FLAGS)) != 0 ||
		(map->flags & ACCESS_FLAGS) == 0)
		return -EINVAL;
	if (map->size == 0 || ((map->addr | map->size | map->offset) & (page - 1)) != 0)
		return -EINVAL;
	if (__builtin_add_overflow(map->addr, map->size - 1, &end))
		return -EINVAL;
	if (fd == NULL)
		return map->offset == 0 && (map->flags & FD_FLAGS) == 0 ? 0 : -EINVAL;
	return is_backed(*fd, map->offset, map->size) ? 0 : -EINVAL;
}

int
refdev_dma_map_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	int *fd = in->nr_fds > 0 ? &in->fds[0] : NULL;
	struct vfio_user_dma_map wire;
	int rc;

	(void)out;
	memcpy(&wire, in->bytes, sizeof(wire));
	if (in->nr_fds > 1)
		return -EINVAL;
	rc = check_map(dev, &wire, fd);
	if (rc != 0)
		return rc;
	rc = insert_map(dev,
		&(struct refdev_dma_map){
			.addr = wire.addr,
			.size = wire.size,
			.offset = wire.offset,
			.flags = wire.flags,
			.fd = fd != NULL ? *fd : -1,
		});
	if (rc == 0 && fd != NULL)
		*fd = -1;
	return rc;
}

const struct refdev_dma_map *
refdev_dma_find(const struct refdev *dev, uint64_t addr)
{
	size_t at = find_map(&dev->dma, addr);

	return at < dev->dma.nr_maps && dev->dma.maps[at].addr <= addr ? &dev->dma.maps[at] : NULL;
}

void
refdev_dma_remove(struct refdev *dev, const struct refdev_dma_map *map)
{
	struct refdev_dma *dma = &dev->dma;
	size_t at = (size_t)(map - dma->maps);

	if (map->fd >= 0)
		close(map->fd);
	dma->nr_maps--;
	memmove(&dma->maps[at], &dma->maps[at + 1], (dma->nr_maps - at) * sizeof(*dma->maps));
}
