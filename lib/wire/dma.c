/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <vuc/export.h>

#include "check.h"
#include "dma.h"

#define UNMAP         VFIO_USER_DMA_UNMAP
#define BITS_PER_WORD 64u

/* Room in an argsz for what stands before a bitmap, in any message that has one. */
#define MAX_BEFORE_BITMAP 64u

VUC_PRIVATE int
vuc_wire_bitmap_size(uint64_t length, uint64_t pgsize, uint32_t *size)
{
	uint64_t pages, bytes;

	if (length == 0 || pgsize == 0 || (pgsize & (pgsize - 1)) != 0)
		return -EINVAL;
	pages = length / pgsize + (length % pgsize != 0);
	bytes = (pages / BITS_PER_WORD + (pages % BITS_PER_WORD != 0)) * sizeof(uint64_t);
	if (bytes > UINT32_MAX - MAX_BEFORE_BITMAP)
		return -EOVERFLOW;
	*size = (uint32_t)bytes;
	return 0;
}

size_t
vuc_wire_dma_map_encode(
	void *buf, const struct vuc_wire_dma_range *range, uint32_t flags, uint64_t offset)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.offset = offset,
		.addr = range->addr,
		.size = range->size,
	};

	memcpy(buf, &map, sizeof(map));
	return sizeof(map);
}

size_t
vuc_wire_dma_unmap_encode(void *buf, const struct vuc_wire_dma_range *range)
{
	const struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.addr = range->addr,
		.size = range->size,
	};

	memcpy(buf, &unmap, sizeof(unmap));
	return sizeof(unmap);
}

size_t
vuc_wire_dma_unmap_all_encode(void *buf)
{
	const struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};

	memcpy(buf, &unmap, sizeof(unmap));
	return sizeof(unmap);
}

int
vuc_wire_dma_unmap_dirty_encode(void *buf, const struct vuc_wire_dma_range *range, uint64_t pgsize)
{
	struct vfio_user_dma_unmap unmap = {
		.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		.addr = range->addr,
		.size = range->size,
	};
	struct vfio_user_bitmap bitmap = {.pgsize = pgsize};
	uint32_t size;
	int rc = vuc_wire_bitmap_size(range->size, pgsize, &size);

	if (rc != 0)
		return rc;
	bitmap.size = size;
	unmap.argsz = (uint32_t)(sizeof(unmap) + sizeof(bitmap)) + size;
	memcpy(buf, &unmap, sizeof(unmap));
	memcpy((uint8_t *)buf + sizeof(unmap), &bitmap, sizeof(bitmap));
	return (int)(sizeof(unmap) + sizeof(bitmap));
}

/* The reply begins with what was sent; its argsz is that of the request in some servers and that
 * of the reply in others, so only what no server can mean is refused. */
static int
check_unmap(const void *body, size_t len, const struct vuc_wire_dma_range *range, uint32_t flags,
	struct vuc_error *err)
{
	struct vfio_user_dma_unmap got;
	int rc = vuc_wire_check_min(UNMAP, len, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, body, sizeof(got));
	rc = vuc_wire_check_least(UNMAP, "argsz", got.argsz, sizeof(got), err);
	if (rc == 0)
		rc = vuc_wire_check_hex(UNMAP, "flags", got.flags, flags, err);
	if (rc == 0)
		rc = vuc_wire_check_hex(UNMAP, "address", got.addr, range->addr, err);
	if (rc == 0)
		rc = vuc_wire_check_hex(UNMAP, "size", got.size, range->size, err);
	return rc;
}

int
vuc_wire_dma_unmap_decode(
	const void *body, size_t len, const struct vuc_wire_dma_range *range, struct vuc_error *err)
{
	static const struct vuc_wire_dma_range all = {0, 0};
	int rc;

	if (len == 0)
		return 0;
	if (range == NULL)
		rc = check_unmap(body, len, &all, VFIO_DMA_UNMAP_FLAG_ALL, err);
	else
		rc = check_unmap(body, len, range, 0, err);
	if (rc == 0)
		rc = vuc_wire_check_size(UNMAP, len, sizeof(struct vfio_user_dma_unmap), err);
	return rc;
}

int
vuc_wire_dma_unmap_dirty_decode(const void *body, size_t len,
	const struct vuc_wire_dma_range *range, uint64_t pgsize, const uint8_t **bitmap,
	struct vuc_error *err)
{
	const size_t before = sizeof(struct vfio_user_dma_unmap) + sizeof(struct vfio_user_bitmap);
	struct vfio_user_bitmap got;
	uint32_t size;
	int rc = vuc_wire_bitmap_size(range->size, pgsize, &size);

	if (rc == 0)
		rc = vuc_wire_check_min(UNMAP, len, before, err);
	if (rc == 0)
		rc = check_unmap(body, len, range, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, err);
	if (rc != 0)
		return rc;
	memcpy(&got, (const uint8_t *)body + sizeof(struct vfio_user_dma_unmap), sizeof(got));
	rc = vuc_wire_check_hex(UNMAP, "bitmap page size", got.pgsize, pgsize, err);
	if (rc == 0)
		rc = vuc_wire_check_number(UNMAP, "bitmap size", got.size, size, err);
	if (rc == 0)
		rc = vuc_wire_check_size(UNMAP, len, (uint64_t)before + size, err);
	if (rc == 0)
		*bitmap = (const uint8_t *)body + before;
	return rc;
}

static int
decode_access(uint16_t cmd, const void *body, size_t len, uint32_t max_data,
	struct vuc_wire_dma_access *access, struct vuc_error *err)
{
	struct vfio_user_dma_region_access got;
	uint64_t end;
	int rc = vuc_wire_check_min(cmd, len, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, body, sizeof(got));
	if (got.count == 0 || got.count > max_data)
		return vuc_wire_refuse(
			err, cmd, "count %" PRIu64 ", expected 1 to %" PRIu32, got.count, max_data);
	if (__builtin_add_overflow(got.addr, got.count, &end))
		return vuc_wire_refuse(err, cmd,
			"address 0x%" PRIx64 " and count %" PRIu64 " overflow", got.addr,
			got.count);
	access->addr = got.addr;
	access->count = (uint32_t)got.count;
	access->data = NULL;
	return 0;
}

int
vuc_wire_dma_read_decode(const void *body, size_t len, uint32_t max_data,
	struct vuc_wire_dma_access *access, struct vuc_error *err)
{
	int rc = decode_access(VFIO_USER_DMA_READ, body, len, max_data, access, err);

	if (rc != 0)
		return rc;
	return vuc_wire_check_size(
		VFIO_USER_DMA_READ, len, sizeof(struct vfio_user_dma_region_access), err);
}

int
vuc_wire_dma_write_decode(const void *body, size_t len, uint32_t max_data,
	struct vuc_wire_dma_access *access, struct vuc_error *err)
{
	const size_t fixed = sizeof(struct vfio_user_dma_region_access);
	int rc = decode_access(VFIO_USER_DMA_WRITE, body, len, max_data, access, err);

	if (rc == 0)
		rc = vuc_wire_check_size(
			VFIO_USER_DMA_WRITE, len, (uint64_t)fixed + access->count, err);
	if (rc == 0)
		access->data = (const uint8_t *)body + fixed;
	return rc;
}

size_t
vuc_wire_dma_reply_encode(void *buf, const struct vuc_wire_dma_access *access)
{
	const struct vfio_user_dma_region_access fixed = {
		.addr = access->addr,
		.count = access->count,
	};

	memcpy(buf, &fixed, sizeof(fixed));
	return sizeof(fixed);
}
