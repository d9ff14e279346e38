/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The client's memory through the descriptors that came with its mappings. A client may truncate a
 * file at any time, so nothing here touches mapped memory itself: the kernel copies it to and from
 * the file behind the engine's buffer, and says EFAULT where a load would raise SIGBUS.
 */

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"

/* A part of a transfer that lies in one mapping. */
struct piece {
	const struct refdev_dma_map *map;
	uint64_t offset; /* in the mapping */
	uint32_t len;
	uint32_t at; /* in the buffer */
	bool write;
};

int
refdev_dma_check(const struct refdev *dev, uint64_t addr, uint64_t len, bool write)
{
	uint32_t flag = write ? VFIO_USER_F_DMA_REGION_WRITE : VFIO_USER_F_DMA_REGION_READ;
	uint64_t last;

	if (len == 0)
		return 0;
	if (__builtin_add_overflow(addr, len - 1, &last))
		return -EFAULT;
	for (;;) {
		const struct refdev_dma_map *map = refdev_dma_find(dev, addr);

		if (map == NULL)
			return -EFAULT;
		if ((map->flags & flag) == 0)
			return -EACCES;
		if (last - map->addr < map->size)
			return 0;
		addr = map->addr + map->size;
	}
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

/* Move bytes between memory and a file; returns how many, or a negative errno. */
static ssize_t
bytes_move(int fd, uint8_t *bytes, uint32_t len, uint64_t offset, bool to_file)
{
	ssize_t n = to_file ? pwrite(fd, bytes, len, (off_t)offset)
			    : pread(fd, bytes, len, (off_t)offset);

	if (n < 0)
		return -errno;
	return n > 0 ? n : -EFAULT;
}

static int
move_all(int fd, uint8_t *bytes, uint32_t len, uint64_t offset, bool to_file)
{
	for (uint32_t done = 0; done < len;) {
		ssize_t n = bytes_move(fd, bytes + done, len - done, offset + done, to_file);

		if (n < 0 && n != -EINTR)
			return (int)n;
		if (n > 0)
			done += (uint32_t)n;
	}
	return 0;
}

static int
copy_by_file(struct refdev *dev, const struct piece *piece)
{
	return move_all(piece->map->fd, dev->engine.buffer.bytes + piece->at, piece->len,
		piece->map->offset + piece->offset, piece->write);
}

/* The whole mapping, whatever the piece: its bounds suit the page size of the file. */
static int
copy_by_mmap(struct refdev *dev, const struct piece *piece)
{
	const struct refdev_dma_map *map = piece->map;
	int prot = piece->write ? PROT_READ | PROT_WRITE : PROT_READ;
	uint8_t *bytes;
	int rc;

	bytes = mmap(NULL, map->size, prot, MAP_SHARED, map->fd, (off_t)map->offset);
	if (bytes == MAP_FAILED)
		return -errno;
	rc = move_all(
		dev->engine.buffer.fd, bytes + piece->offset, piece->len, piece->at, !piece->write);
	munmap(bytes, map->size);
	return rc;
}

/* Mappings that say neither may be accessed both ways. */
static bool
map_allows(const struct refdev_dma_map *map, uint32_t how)
{
	uint32_t both = VFIO_USER_F_DMA_REGION_MMAP | VFIO_USER_F_DMA_REGION_FILE_IO;
	uint32_t flag = how == REFDEV_DMA_BY_MMAP ? VFIO_USER_F_DMA_REGION_MMAP
						  : VFIO_USER_F_DMA_REGION_FILE_IO;

	return (map->flags & both) == 0 || (map->flags & flag) != 0;
}

static int
copy_piece(struct refdev *dev, const struct piece *piece, uint32_t how)
{
	int rc = check_file(piece);

	if (rc != 0)
		return rc;
	if (!map_allows(piece->map, how))
		return -EACCES;
	rc = how == REFDEV_DMA_BY_MMAP ? copy_by_mmap(dev, piece) : copy_by_file(dev, piece);
	if (piece->write)
		refdev_dirty_mark(dev, piece->map->addr + piece->offset, piece->len);
	return rc;
}

int
refdev_dma_copy(
	struct refdev *dev, uint64_t addr, uint32_t len, bool write, uint32_t how, uint32_t *done)
{
	*done = 0;
	while (*done < len) {
		const struct refdev_dma_map *map = refdev_dma_find(dev, addr + *done);
		struct piece piece = {.map = map, .at = *done, .write = write};
		uint64_t left;
		int rc;

		if (map == NULL)
			return -EFAULT;
		piece.offset = addr + *done - map->addr;
		left = map->size - piece.offset;
		piece.len = left < len - *done ? (uint32_t)left : len - *done;
		rc = copy_piece(dev, &piece, how);
		if (rc != 0)
			return rc;
		*done += piece.len;
	}
	return 0;
}
