/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "access.h"
#include "check.h"

size_t
vuc_wire_region_access_encode(void *buf, const struct vuc_wire_access *access)
{
	const struct vfio_user_region_access fixed = {
		.offset = access->offset,
		.region = access->region,
		.count = access->count,
	};

	memcpy(buf, &fixed, sizeof(fixed));
	return sizeof(fixed);
}

/* The part that read and write have in common; data_len is what must follow it. */
static int
check_access(uint16_t cmd, const void *body, size_t len, const struct vuc_wire_access *asked,
	uint32_t data_len, struct vuc_error *err)
{
	struct vfio_user_region_access got;
	int rc = vuc_wire_check_min(cmd, len, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, body, sizeof(got));
	rc = vuc_wire_check_number(cmd, "region", got.region, asked->region, err);
	if (rc == 0)
		rc = vuc_wire_check_hex(cmd, "offset", got.offset, asked->offset, err);
	if (rc == 0)
		rc = vuc_wire_check_number(cmd, "count", got.count, asked->count, err);
	if (rc == 0)
		rc = vuc_wire_check_size(cmd, len, (uint64_t)sizeof(got) + data_len, err);
	return rc;
}

int
vuc_wire_region_read_decode(const void *body, size_t len, const struct vuc_wire_access *asked,
	const uint8_t **data, struct vuc_error *err)
{
	int rc = check_access(VFIO_USER_REGION_READ, body, len, asked, asked->count, err);

	if (rc == 0)
		*data = (const uint8_t *)body + sizeof(struct vfio_user_region_access);
	return rc;
}

int
vuc_wire_region_write_decode(
	const void *body, size_t len, const struct vuc_wire_access *asked, struct vuc_error *err)
{
	return check_access(VFIO_USER_REGION_WRITE, body, len, asked, 0, err);
}

static int
write_multi_size(size_t size, uint32_t n)
{
	size_t need;

	if (__builtin_mul_overflow(n, sizeof(struct vfio_user_write_multi_entry), &need) ||
		__builtin_add_overflow(need, sizeof(struct vfio_user_write_multi), &need) ||
		need > size || need > INT_MAX)
		return -ENOSPC;
	return (int)need;
}

int
vuc_wire_write_multi_encode(
	void *buf, size_t size, const struct vfio_user_write_multi_entry *writes, uint32_t n)
{
	const struct vfio_user_write_multi fixed = {.wr_cnt = n};
	uint8_t *at = buf;
	int need = write_multi_size(size, n);

	if (n == 0)
		return -EINVAL;
	if (need < 0)
		return need;
	for (uint32_t i = 0; i < n; i++) {
		if (writes[i].count == 0 || writes[i].count > VUC_WIRE_MULTI_DATA_MAX)
			return -EINVAL;
	}
	memcpy(at, &fixed, sizeof(fixed));
	at += sizeof(fixed);
	for (uint32_t i = 0; i < n; i++) {
		struct vfio_user_write_multi_entry entry = {
			.offset = writes[i].offset,
			.region = writes[i].region,
			.count = writes[i].count,
		};

		memcpy(entry.data, writes[i].data, entry.count);
		memcpy(at, &entry, sizeof(entry));
		at += sizeof(entry);
	}
	return need;
}

int
vuc_wire_write_multi_decode(
	const void *body, size_t len, uint32_t n, uint32_t *done, struct vuc_error *err)
{
	struct vfio_user_write_multi got;
	int rc = vuc_wire_check_size(VFIO_USER_REGION_WRITE_MULTI, len, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, body, sizeof(got));
	rc = vuc_wire_check_most(VFIO_USER_REGION_WRITE_MULTI, "wr_cnt", got.wr_cnt, n, err);
	if (rc == 0)
		*done = (uint32_t)got.wr_cnt;
	return rc;
}
