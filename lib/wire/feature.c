/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "feature.h"

#define FEATURE   VFIO_USER_DEVICE_FEATURE
#define FIXED_LEN sizeof(struct vfio_user_device_feature)

#define GET_MIGRATION ((uint32_t)(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION))
#define GET_STATE     ((uint32_t)(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE))
#define SET_STATE     ((uint32_t)(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE))
#define SET_START     ((uint32_t)(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START))
#define SET_STOP      ((uint32_t)(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP))
#define GET_REPORT    ((uint32_t)(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT))

/* reply_data_len is what the reply has behind the fixed part. */
static size_t
encode_fixed(void *buf, uint32_t flags, uint32_t reply_data_len)
{
	const struct vfio_user_device_feature fixed = {
		.argsz = (uint32_t)FIXED_LEN + reply_data_len,
		.flags = flags,
	};

	memcpy(buf, &fixed, FIXED_LEN);
	return FIXED_LEN;
}

/* The reply's fixed part, with exactly data_len bytes behind it. */
static int
check_fixed(const void *body, size_t len, uint32_t flags, uint64_t data_len, struct vuc_error *err)
{
	struct vfio_user_device_feature got;
	int rc = vuc_wire_check_min(FEATURE, len, FIXED_LEN, err);

	if (rc != 0)
		return rc;
	memcpy(&got, body, FIXED_LEN);
	rc = vuc_wire_check_hex(FEATURE, "flags", got.flags, flags, err);
	if (rc == 0)
		rc = vuc_wire_check_number(FEATURE, "argsz", got.argsz, FIXED_LEN + data_len, err);
	if (rc == 0)
		rc = vuc_wire_check_size(FEATURE, len, FIXED_LEN + data_len, err);
	return rc;
}

static const uint8_t *
data_of(const void *body)
{
	return (const uint8_t *)body + FIXED_LEN;
}

static bool
is_power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static bool
range_is_valid(const struct vuc_wire_dma_range *range)
{
	uint64_t end;

	return range->size != 0 && !__builtin_add_overflow(range->addr, range->size, &end);
}

size_t
vuc_wire_feature_probe_encode(void *buf, uint16_t feature, uint32_t methods)
{
	return encode_fixed(buf, VFIO_DEVICE_FEATURE_PROBE | methods | feature, 0);
}

int
vuc_wire_feature_probe_decode(
	const void *body, size_t len, uint16_t feature, uint32_t methods, struct vuc_error *err)
{
	return check_fixed(body, len, VFIO_DEVICE_FEATURE_PROBE | methods | feature, 0, err);
}

size_t
vuc_wire_migration_encode(void *buf)
{
	return encode_fixed(buf, GET_MIGRATION, sizeof(struct vfio_user_device_feature_migration));
}

int
vuc_wire_migration_decode(const void *body, size_t len, uint64_t *flags, struct vuc_error *err)
{
	struct vfio_user_device_feature_migration got;
	int rc = check_fixed(body, len, GET_MIGRATION, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, data_of(body), sizeof(got));
	if ((got.flags & VFIO_MIGRATION_STOP_COPY) == 0)
		return vuc_wire_refuse(err, FEATURE,
			"migration flags 0x%" PRIx64
			", expected VFIO_MIGRATION_STOP_COPY among them",
			got.flags);
	*flags = got.flags;
	return 0;
}

size_t
vuc_wire_mig_state_get_encode(void *buf)
{
	return encode_fixed(buf, GET_STATE, sizeof(struct vfio_user_device_feature_mig_state));
}

int
vuc_wire_mig_state_get_decode(
	const void *body, size_t len, enum vfio_user_device_mig_state *state, struct vuc_error *err)
{
	struct vfio_user_device_feature_mig_state got;
	int rc = check_fixed(body, len, GET_STATE, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, data_of(body), sizeof(got));
	rc = vuc_wire_check_most(FEATURE, "device_state", got.device_state,
		VFIO_USER_DEVICE_STATE_PRE_COPY_P2P, err);
	if (rc != 0)
		return rc;
	*state = (enum vfio_user_device_mig_state)got.device_state;
	return 0;
}

size_t
vuc_wire_mig_state_set_encode(void *buf, enum vfio_user_device_mig_state state)
{
	const struct vfio_user_device_feature_mig_state set = {.device_state = (uint32_t)state};
	size_t at = encode_fixed(buf, SET_STATE, sizeof(set));

	memcpy((uint8_t *)buf + at, &set, sizeof(set));
	return at + sizeof(set);
}

int
vuc_wire_mig_state_set_decode(
	const void *body, size_t len, enum vfio_user_device_mig_state state, struct vuc_error *err)
{
	struct vfio_user_device_feature_mig_state got;
	int rc = check_fixed(body, len, SET_STATE, sizeof(got), err);

	if (rc != 0)
		return rc;
	memcpy(&got, data_of(body), sizeof(got));
	return vuc_wire_check_number(
		FEATURE, "device_state", got.device_state, (uint64_t)state, err);
}

/* Bytes that the feature's data takes with n ranges; false when they are not bytes of an argsz. */
static bool
logging_start_len(uint32_t n, uint32_t *len)
{
	const uint32_t fixed = sizeof(struct vfio_user_device_feature_dma_logging_control);
	const uint32_t each = sizeof(struct vfio_user_device_feature_dma_logging_range);

	return !__builtin_mul_overflow(n, each, len) && !__builtin_add_overflow(*len, fixed, len) &&
		*len <= INT_MAX - FIXED_LEN;
}

static void
encode_ranges(uint8_t *at, const struct vuc_wire_dma_range *ranges, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct vfio_user_device_feature_dma_logging_range range = {
			.iova = ranges[i].addr,
			.length = ranges[i].size,
		};

		memcpy(at, &range, sizeof(range));
		at += sizeof(range);
	}
}

int
vuc_wire_dma_logging_start_encode(void *buf, size_t size, uint64_t page_size,
	const struct vuc_wire_dma_range *ranges, uint32_t n)
{
	const struct vfio_user_device_feature_dma_logging_control control = {
		.page_size = page_size,
		.num_ranges = n,
	};
	uint8_t *at = buf;
	uint32_t len;

	if (!logging_start_len(n, &len) || FIXED_LEN + len > size)
		return -ENOSPC;
	if (!is_power_of_two(page_size))
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (!range_is_valid(&ranges[i]))
			return -EINVAL;
	}
	at += encode_fixed(at, SET_START, len);
	memcpy(at, &control, sizeof(control));
	encode_ranges(at + sizeof(control), ranges, n);
	return (int)(FIXED_LEN + len);
}

int
vuc_wire_dma_logging_start_decode(
	const void *body, size_t len, uint32_t n, uint64_t *page_size, struct vuc_error *err)
{
	struct vfio_user_device_feature_dma_logging_control got;
	const uint64_t each = sizeof(struct vfio_user_device_feature_dma_logging_range);
	int rc = check_fixed(body, len, SET_START, sizeof(got) + n * each, err);

	if (rc != 0)
		return rc;
	memcpy(&got, data_of(body), sizeof(got));
	rc = vuc_wire_check_number(FEATURE, "num_ranges", got.num_ranges, n, err);
	if (rc != 0)
		return rc;
	if (!is_power_of_two(got.page_size))
		return vuc_wire_refuse(err, FEATURE,
			"page_size 0x%" PRIx64 ", expected a power of two", got.page_size);
	*page_size = got.page_size;
	return 0;
}

size_t
vuc_wire_dma_logging_stop_encode(void *buf)
{
	return encode_fixed(buf, SET_STOP, 0);
}

int
vuc_wire_dma_logging_stop_decode(const void *body, size_t len, struct vuc_error *err)
{
	return check_fixed(body, len, SET_STOP, 0, err);
}

static int
report_size(const struct vuc_wire_dma_range *range, uint64_t page_size, uint32_t *bitmap_size)
{
	return range_is_valid(range) ? vuc_wire_bitmap_size(range->size, page_size, bitmap_size)
				     : -EINVAL;
}

int
vuc_wire_dma_logging_report_encode(
	void *buf, const struct vuc_wire_dma_range *range, uint64_t page_size)
{
	const struct vfio_user_device_feature_dma_logging_report report = {
		.iova = range->addr,
		.length = range->size,
		.page_size = page_size,
	};
	uint32_t bitmap_size;
	int rc = report_size(range, page_size, &bitmap_size);

	if (rc != 0)
		return rc;
	encode_fixed(buf, GET_REPORT, (uint32_t)sizeof(report) + bitmap_size);
	memcpy((uint8_t *)buf + FIXED_LEN, &report, sizeof(report));
	return (int)(FIXED_LEN + sizeof(report));
}

int
vuc_wire_dma_logging_report_decode(const void *body, size_t len,
	const struct vuc_wire_dma_range *range, uint64_t page_size, const uint8_t **bitmap,
	struct vuc_error *err)
{
	struct vfio_user_device_feature_dma_logging_report got;
	uint32_t bitmap_size;
	int rc = report_size(range, page_size, &bitmap_size);

	if (rc == 0)
		rc = check_fixed(body, len, GET_REPORT, sizeof(got) + (uint64_t)bitmap_size, err);
	if (rc != 0)
		return rc;
	memcpy(&got, data_of(body), sizeof(got));
	rc = vuc_wire_check_hex(FEATURE, "iova", got.iova, range->addr, err);
	if (rc == 0)
		rc = vuc_wire_check_hex(FEATURE, "length", got.length, range->size, err);
	if (rc == 0)
		rc = vuc_wire_check_hex(FEATURE, "page_size", got.page_size, page_size, err);
	if (rc == 0)
		*bitmap = data_of(body) + sizeof(got);
	return rc;
}
