/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * DMA_MAP, DMA_UNMAP, and the client's memory through the descriptors that came with its mappings.
 * A client may truncate a file at any time, so nothing here touches mapped memory itself: the
 * kernel copies it to and from the file behind a buffer, and says EFAULT where a load would raise
 * SIGBUS.
 */

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "fds.h"
#include "memfd.h"

#define ACCESS_FLAGS (VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE)
#define FD_FLAGS     (VFIO_USER_F_DMA_REGION_MMAP | VFIO_USER_F_DMA_REGION_FILE_IO)

void
refdev_dma_release(struct refdev *dev)
{
	struct refdev_dma *dma = &dev->dma;

	for (size_t i = 0; i < dma->nr_maps; i++)
		vuc_fds_close(&dma->maps[i].fd, 1);
	dma->nr_maps = 0;
}

static size_t
maps_find(const struct refdev_dma *dma, uint64_t addr)
{
	return refdev_list_find(dma->maps, dma->nr_maps, sizeof(dma->maps[0]), addr);
}

static int
map_insert(struct refdev *dev, const struct refdev_dma_map *map)
{
	struct refdev_dma *dma = &dev->dma;
	size_t at = maps_find(dma, map->at.first);
	void *maps;

	if (at < dma->nr_maps && dma->maps[at].at.first <= map->at.last)
		return -EEXIST;
	if (dma->nr_maps >= dev->config.max_dma_maps)
		return -ENOSPC;
	maps = refdev_list_grow(dma->maps, dma->nr_maps, &dma->capacity, sizeof(*map));
	if (maps == NULL)
		return -ENOMEM;
	dma->maps = maps;
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
	rc = map_insert(dev,
		&(struct refdev_dma_map){
			.at = {wire.addr, wire.addr + (wire.size - 1)},
			.offset = wire.offset,
			.flags = wire.flags,
			.fd = fd != NULL ? *fd : -1,
		});
	if (rc == 0 && fd != NULL)
		*fd = -1;
	return rc;
}

/* The map that an address lies in, or NULL; valid until the table changes. */
static const struct refdev_dma_map *
map_find(const struct refdev *dev, uint64_t addr)
{
	size_t at = maps_find(&dev->dma, addr);

	return at < dev->dma.nr_maps && dev->dma.maps[at].at.first <= addr ? &dev->dma.maps[at]
									   : NULL;
}

static void
map_remove(struct refdev *dev, const struct refdev_dma_map *map)
{
	struct refdev_dma *dma = &dev->dma;
	size_t at = (size_t)(map - dma->maps);

	vuc_fds_close(&map->fd, 1);
	dma->nr_maps--;
	memmove(&dma->maps[at], &dma->maps[at + 1], (dma->nr_maps - at) * sizeof(*dma->maps));
}

#define GET_DIRTY ((uint32_t)VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
#define ALL       ((uint32_t)VFIO_DMA_UNMAP_FLAG_ALL)

/* The bitmap that is asked for follows what the answer repeats. */
static int
append_bitmap(struct refdev *dev, const struct vfio_user_dma_unmap *unmap,
	struct refdev_interval pages, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_bitmap bitmap;
	size_t head = sizeof(*unmap) + sizeof(bitmap);

	if (in->len < head)
		return -EINVAL;
	memcpy(&bitmap, in->bytes + sizeof(*unmap), sizeof(bitmap));
	if (bitmap.size < refdev_dirty_bitmap_size(unmap->size, bitmap.pgsize))
		return -EINVAL;
	bitmap.size = refdev_dirty_bitmap_size(unmap->size, bitmap.pgsize);
	if (bitmap.size == 0 || unmap->argsz < head || unmap->argsz - head < bitmap.size)
		return -EINVAL;
	if (out->size < head + bitmap.size)
		return -EMSGSIZE;
	refdev_body_append(out, &bitmap, sizeof(bitmap));
	out->len += bitmap.size;
	return refdev_dirty_take(dev, pages, bitmap.pgsize, out->bytes + head);
}

static int
unmap_one(struct refdev *dev, const struct vfio_user_dma_unmap *unmap, const struct refdev_body *in,
	struct refdev_body *out)
{
	const struct refdev_dma_map *map = map_find(dev, unmap->addr);
	int rc = 0;

	if (map == NULL || map->at.first != unmap->addr ||
		map->at.last != unmap->addr + (unmap->size - 1))
		return -ENOENT;
	if (unmap->flags & GET_DIRTY)
		rc = append_bitmap(dev, unmap, map->at, in, out);
	if (rc == 0)
		map_remove(dev, map);
	return rc;
}

static int
unmap_all(struct refdev *dev, const struct vfio_user_dma_unmap *unmap)
{
	if (unmap->addr != 0 || unmap->size != 0)
		return -EINVAL;
	if (!dev->config.pretend_unmap_all)
		refdev_dma_release(dev);
	return 0;
}

/* Transfers by message may be under way in what is unmapped: the client refuses the rest. */
int
refdev_dma_unmap_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_dma_unmap unmap;
	int rc;

	memcpy(&unmap, in->bytes, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap) || (unmap.flags != ALL && (unmap.flags & ~GET_DIRTY) != 0))
		return -EINVAL;
	rc = refdev_body_append(out, &unmap, sizeof(unmap));
	if (rc != 0)
		return rc;
	rc = unmap.flags == ALL ? unmap_all(dev, &unmap) : unmap_one(dev, &unmap, in, out);
	unmap.argsz = (uint32_t)out->len;
	memcpy(out->bytes, &unmap, sizeof(unmap));
	return rc;
}

/* The part of a range that lies in one mapping. */
struct piece {
	const struct refdev_dma_map *map;
	uint64_t offset; /* in the mapping */
	uint32_t len;
	uint32_t at; /* in the buffer */
	bool write;
};

/* The piece after the first done bytes. Returns 0 or -EFAULT. */
static int
piece_find(const struct refdev *dev, const struct refdev_dma_range *range, uint32_t done,
	struct piece *piece)
{
	const struct refdev_dma_map *map = map_find(dev, range->addr + done);
	uint32_t len = range->len - done;

	if (map == NULL)
		return -EFAULT;
	*piece = (struct piece){
		.map = map,
		.offset = range->addr + done - map->at.first,
		.len = len,
		.at = range->at + done,
		.write = range->write,
	};
	if (map->at.last - (range->addr + done) < len)
		piece->len = (uint32_t)(map->at.last - (range->addr + done)) + 1;
	return 0;
}

int
refdev_dma_check(const struct refdev *dev, const struct refdev_dma_range *range)
{
	uint32_t flag = range->write ? VFIO_USER_F_DMA_REGION_WRITE : VFIO_USER_F_DMA_REGION_READ;
	struct piece piece;
	uint64_t last;

	if (range->len > 0 && __builtin_add_overflow(range->addr, range->len - 1, &last))
		return -EFAULT;
	for (uint32_t done = 0; done < range->len; done += piece.len) {
		if (piece_find(dev, range, done, &piece) != 0)
			return -EFAULT;
		if ((piece.map->flags & flag) == 0)
			return -EACCES;
	}
	return 0;
}

/* Only files: what else there is to read could block. */
static int
check_file(const struct piece *piece)
{
	uint64_t end = piece->map->offset + piece->offset + piece->len;
	struct stat st;

	if (piece->map->fd < 0)
		return -EOPNOTSUPP;
	if (fstat(piece->map->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EOPNOTSUPP;
	return end <= (uint64_t)st.st_size ? 0 : -EFAULT;
}

/* Move bytes between memory and a file. */
static int
move_all(int fd, uint8_t *bytes, uint32_t len, uint64_t offset, bool to_file)
{
	for (uint32_t done = 0; done < len;) {
		ssize_t n = to_file ? pwrite(fd, bytes + done, len - done, (off_t)(offset + done))
				    : pread(fd, bytes + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EFAULT; /* the file has become shorter */
		if (n > 0)
			done += (uint32_t)n;
	}
	return 0;
}

/* In whole pages of the file, which may be huge. */
static int
copy_by_mmap(const struct refdev_memory *buffer, const struct piece *piece)
{
	int prot = piece->write ? PROT_READ | PROT_WRITE : PROT_READ;
	uint64_t start = piece->map->offset + piece->offset;
	uint64_t last_of_page = vuc_memfd_page_size(piece->map->fd) - 1;
	uint64_t skip = start & last_of_page;
	uint64_t size = (skip + piece->len + last_of_page) & ~last_of_page;
	uint8_t *bytes = mmap(NULL, size, prot, MAP_SHARED, piece->map->fd, (off_t)(start - skip));
	int rc;

	if (bytes == MAP_FAILED)
		return -errno;
	rc = move_all(buffer->fd, bytes + skip, piece->len, piece->at, !piece->write);
	munmap(bytes, size);
	return rc;
}

/* Mappings that say neither may be accessed both ways. */
static bool
map_allows(const struct refdev_dma_map *map, bool by_mmap)
{
	uint32_t both = VFIO_USER_F_DMA_REGION_MMAP | VFIO_USER_F_DMA_REGION_FILE_IO;
	uint32_t flag = by_mmap ? VFIO_USER_F_DMA_REGION_MMAP : VFIO_USER_F_DMA_REGION_FILE_IO;

	return (map->flags & both) == 0 || (map->flags & flag) != 0;
}

static int
copy_piece(struct refdev *dev, const struct refdev_memory *buffer, const struct piece *piece,
	bool by_mmap)
{
	const struct refdev_dma_map *map = piece->map;
	int rc = check_file(piece);

	if (rc != 0)
		return rc;
	if (!map_allows(map, by_mmap))
		return -EACCES;
	if (by_mmap)
		rc = copy_by_mmap(buffer, piece);
	else
		rc = move_all(map->fd, buffer->bytes + piece->at, piece->len,
			map->offset + piece->offset, piece->write);
	if (piece->write)
		refdev_dirty_mark(dev, map->at.first + piece->offset, piece->len);
	return rc;
}

int
refdev_dma_copy(struct refdev *dev, const struct refdev_memory *buffer,
	const struct refdev_dma_range *range, bool by_mmap, uint32_t *done)
{
	struct piece piece;
	int rc = 0;

	for (*done = 0; *done < range->len && rc == 0; *done += rc == 0 ? piece.len : 0) {
		rc = piece_find(dev, range, *done, &piece);
		if (rc == 0)
			rc = copy_piece(dev, buffer, &piece, by_mmap);
	}
	return rc;
}
