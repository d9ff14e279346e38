/* SPDX-License-Identifier: BSD-3-Clause */
#include "feature.h"
#include "wire_body.h"

#define GET   0x10000u
#define SET   0x20000u
#define PROBE 0x40000u

/* The longest reply of these tests: a report of 65 pages. */
struct reply {
	uint32_t argsz;
	uint32_t flags;
	union {
		struct vfio_user_device_feature_migration migration;
		struct vfio_user_device_feature_mig_state state;
		struct {
			uint64_t iova;
			uint64_t length;
			uint64_t page_size;
		} report;
		struct {
			uint64_t page_size;
			uint32_t num_ranges;
			uint32_t reserved;
		} control;
		uint8_t bytes[48];
	} data;
} __attribute__((packed));

static const struct vuc_wire_dma_range range = {.addr = 0x40000000, .size = 65 * 4096};

static struct reply
reply(uint32_t flags, uint32_t data_len)
{
	return (struct reply){.argsz = 8 + data_len, .flags = flags};
}

static void
check_request(const void *buf, uint32_t argsz, uint32_t flags)
{
	struct vfio_user_device_feature got;

	memcpy(&got, buf, sizeof(got));
	CU_ASSERT_EQUAL(got.argsz, argsz);
	CU_ASSERT_EQUAL(got.flags, flags);
}

static int
decode_probe(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	(void)arg;
	return vuc_wire_feature_probe_decode(body, len, 6, VFIO_DEVICE_FEATURE_SET, err);
}

static void
test_probe(void)
{
	uint8_t buf[9] = {0};

	CU_ASSERT_EQUAL(vuc_wire_feature_probe_encode(buf, 6, VFIO_DEVICE_FEATURE_SET), 8);
	check_request(buf, 8, PROBE | SET | 6);
	CU_ASSERT(taken(decode_probe, NULL, buf, 8));
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_probe, NULL, buf, 8), 8);
	CU_ASSERT(refused(decode_probe, NULL, buf, 9,
		"VFIO_USER_DEVICE_FEATURE reply: body of 9 bytes, expected 8"));
	buf[0] = 9;
	CU_ASSERT(refused(
		decode_probe, NULL, buf, 9, "VFIO_USER_DEVICE_FEATURE reply: argsz 9, expected 8"));
	buf[0] = 7;
	CU_ASSERT(refused(
		decode_probe, NULL, buf, 8, "VFIO_USER_DEVICE_FEATURE reply: argsz 7, expected 8"));
	vuc_wire_feature_probe_encode(buf, 7, VFIO_DEVICE_FEATURE_SET);
	CU_ASSERT(refused(decode_probe, NULL, buf, 8,
		"VFIO_USER_DEVICE_FEATURE reply: flags 0x60007, expected 0x60006"));
}

static int
decode_migration(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	return vuc_wire_migration_decode(body, len, arg, err);
}

static void
test_migration(void)
{
	struct reply r = reply(GET | 1, 8);
	uint64_t flags = 0;
	uint8_t buf[8];

	CU_ASSERT_EQUAL(vuc_wire_migration_encode(buf), 8);
	check_request(buf, 16, GET | 1);
	r.data.migration.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY;
	CU_ASSERT(taken(decode_migration, &flags, &r, 16));
	CU_ASSERT_EQUAL(flags, 5);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_migration, &flags, &r, 16), 16);
	CU_ASSERT(refused(decode_migration, &flags, &r, 17,
		"VFIO_USER_DEVICE_FEATURE reply: body of 17 bytes, expected 16"));
	r.data.migration.flags = VFIO_MIGRATION_P2P;
	CU_ASSERT(refused(decode_migration, &flags, &r, 16,
		"VFIO_USER_DEVICE_FEATURE reply: migration flags 0x2, expected "
		"VFIO_MIGRATION_STOP_COPY among them"));
	r.flags = SET | 1;
	CU_ASSERT(refused(decode_migration, &flags, &r, 16,
		"VFIO_USER_DEVICE_FEATURE reply: flags 0x20001, expected 0x10001"));
}

static int
decode_state(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	return vuc_wire_mig_state_get_decode(body, len, arg, err);
}

static void
test_state_get(void)
{
	enum vfio_user_device_mig_state state;
	struct reply r = reply(GET | 2, 8);
	uint8_t buf[8];

	CU_ASSERT_EQUAL(vuc_wire_mig_state_get_encode(buf), 8);
	check_request(buf, 16, GET | 2);
	for (uint32_t i = 0; i <= VFIO_USER_DEVICE_STATE_PRE_COPY_P2P; i++) {
		r.data.state.device_state = i;
		CU_ASSERT(taken(decode_state, &state, &r, 16));
		CU_ASSERT_EQUAL((uint32_t)state, i);
	}
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_state, &state, &r, 16), 16);
	r.data.state.device_state = 8;
	CU_ASSERT(refused(decode_state, &state, &r, 16,
		"VFIO_USER_DEVICE_FEATURE reply: device_state 8, expected at most 7"));
	r.data.state.device_state = UINT32_MAX;
	CU_ASSERT(refused(decode_state, &state, &r, 16,
		"VFIO_USER_DEVICE_FEATURE reply: device_state 4294967295, expected at most 7"));
}

static int
decode_state_set(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	(void)arg;
	return vuc_wire_mig_state_set_decode(body, len, VFIO_USER_DEVICE_STATE_STOP_COPY, err);
}

static void
test_state_set(void)
{
	struct reply r;

	CU_ASSERT_EQUAL(vuc_wire_mig_state_set_encode(&r, VFIO_USER_DEVICE_STATE_STOP_COPY), 16);
	check_request(&r, 16, SET | 2);
	CU_ASSERT_EQUAL(r.data.state.device_state, 3);
	CU_ASSERT_EQUAL(r.data.state.data_fd, 0);
	CU_ASSERT(taken(decode_state_set, NULL, &r, 16));
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_state_set, NULL, &r, 16), 16);
	r.data.state.device_state = 0;
	CU_ASSERT(refused(decode_state_set, NULL, &r, 16,
		"VFIO_USER_DEVICE_FEATURE reply: device_state 0, expected 3"));
}

static const struct vuc_wire_dma_range ranges[2] = {{0x1000, 0x2000}, {0x80000000, 0x40000000}};

static void
test_start_encode(void)
{
	struct reply r;
	uint64_t words[4];

	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 56, 4096, ranges, 2), 56);
	check_request(&r, 56, SET | 6);
	CU_ASSERT_EQUAL(r.data.control.page_size, 4096);
	CU_ASSERT_EQUAL(r.data.control.num_ranges, 2);
	CU_ASSERT_EQUAL(r.data.control.reserved, 0);
	memcpy(words, r.data.bytes + 16, sizeof(words));
	CU_ASSERT_EQUAL(words[0], 0x1000);
	CU_ASSERT_EQUAL(words[1], 0x2000);
	CU_ASSERT_EQUAL(words[2], 0x80000000);
	CU_ASSERT_EQUAL(words[3], 0x40000000);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 24, 4096, NULL, 0), 24);
	check_request(&r, 24, SET | 6);
}

static void
test_start_encode_bounds(void)
{
	const struct vuc_wire_dma_range empty = {0x1000, 0}, wraps = {UINT64_MAX, 1};
	struct reply r;

	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 55, 4096, ranges, 2), -ENOSPC);
	CU_ASSERT_EQUAL(
		vuc_wire_dma_logging_start_encode(&r, SIZE_MAX, 4096, ranges, UINT32_MAX), -ENOSPC);
	/* 16 + 16 * n is 2^31, more than what can be returned. */
	CU_ASSERT_EQUAL(
		vuc_wire_dma_logging_start_encode(&r, SIZE_MAX, 4096, ranges, 0x7ffffff), -ENOSPC);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 56, 0, ranges, 2), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 56, 4095, ranges, 2), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 56, 4096, &empty, 1), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 56, 4096, &wraps, 1), -EINVAL);
}

/* arg is how many ranges were sent. */
static int
decode_start(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	uint64_t page_size;

	return vuc_wire_dma_logging_start_decode(body, len, *(uint32_t *)arg, &page_size, err);
}

static void
test_start_decode(void)
{
	uint64_t page_size = 0;
	struct vuc_error err;
	struct reply r;
	uint32_t n = 2;

	vuc_wire_dma_logging_start_encode(&r, sizeof(r), 4096, ranges, 2);
	r.data.control.page_size = 8192;
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_decode(&r, 56, 2, &page_size, &err), 0);
	CU_ASSERT_EQUAL(page_size, 8192);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_start, &n, &r, 56), 56);
	r.data.control.page_size = 0;
	CU_ASSERT(refused(decode_start, &n, &r, 56,
		"VFIO_USER_DEVICE_FEATURE reply: page_size 0x0, expected a power of two"));
	r.data.control.page_size = 12288;
	CU_ASSERT(refused(decode_start, &n, &r, 56,
		"VFIO_USER_DEVICE_FEATURE reply: page_size 0x3000, expected a power of two"));
	r.data.control.num_ranges = 1;
	CU_ASSERT(refused(decode_start, &n, &r, 56,
		"VFIO_USER_DEVICE_FEATURE reply: num_ranges 1, expected 2"));
	n = UINT32_MAX;
	CU_ASSERT(refused(decode_start, &n, &r, 56,
		"VFIO_USER_DEVICE_FEATURE reply: argsz 56, expected 68719476744"));
}

static int
decode_stop(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	(void)arg;
	return vuc_wire_dma_logging_stop_decode(body, len, err);
}

static void
test_stop(void)
{
	struct reply r;

	CU_ASSERT_EQUAL(vuc_wire_dma_logging_stop_encode(&r), 8);
	check_request(&r, 8, SET | 7);
	CU_ASSERT(taken(decode_stop, NULL, &r, 8));
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_stop, NULL, &r, 8), 8);
	r.flags = SET | 6;
	CU_ASSERT(refused(decode_stop, NULL, &r, 8,
		"VFIO_USER_DEVICE_FEATURE reply: flags 0x20006, expected 0x20007"));
}

static int
decode_report(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *bitmap;

	(void)arg;
	return vuc_wire_dma_logging_report_decode(body, len, &range, 4096, &bitmap, err);
}

static void
test_report_encode(void)
{
	const struct vuc_wire_dma_range empty = {0, 0}, wraps = {UINT64_MAX, 2},
					huge = {0, UINT64_MAX};
	struct reply r;

	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &range, 4096), 32);
	check_request(&r, 32 + 16, GET | 8);
	CU_ASSERT_EQUAL(r.data.report.iova, range.addr);
	CU_ASSERT_EQUAL(r.data.report.length, range.size);
	CU_ASSERT_EQUAL(r.data.report.page_size, 4096);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &range, 4097), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &empty, 4096), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &wraps, 4096), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &huge, 4096), -EOVERFLOW);
}

static void
test_report(void)
{
	const uint8_t *bitmap = NULL;
	struct vuc_error err;
	struct reply r = {.data.bytes = {0}};

	vuc_wire_dma_logging_report_encode(&r, &range, 4096);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_decode(&r, 48, &range, 4096, &bitmap, &err), 0);
	CU_ASSERT_PTR_EQUAL(bitmap, r.data.bytes + 24);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_report, NULL, &r, 48), 48);
	CU_ASSERT(refused(decode_report, NULL, &r, 49,
		"VFIO_USER_DEVICE_FEATURE reply: body of 49 bytes, expected 48"));
	CU_ASSERT_EQUAL(
		vuc_wire_dma_logging_report_decode(&r, 48, &range, 0, &bitmap, &err), -EINVAL);
}

static void
test_report_mismatch(void)
{
	struct reply r = {.data.bytes = {0}};

	vuc_wire_dma_logging_report_encode(&r, &range, 4096);
	r.argsz = UINT32_MAX;
	CU_ASSERT(refused(decode_report, NULL, &r, 48,
		"VFIO_USER_DEVICE_FEATURE reply: argsz 4294967295, expected 48"));
	vuc_wire_dma_logging_report_encode(&r, &range, 4096);
	r.data.report.iova = 0;
	CU_ASSERT(refused(decode_report, NULL, &r, 48,
		"VFIO_USER_DEVICE_FEATURE reply: iova 0x0, expected 0x40000000"));
	vuc_wire_dma_logging_report_encode(&r, &range, 4096);
	r.data.report.length++;
	CU_ASSERT(refused(decode_report, NULL, &r, 48,
		"VFIO_USER_DEVICE_FEATURE reply: length 0x41001, expected 0x41000"));
	vuc_wire_dma_logging_report_encode(&r, &range, 4096);
	r.data.report.page_size = 1;
	CU_ASSERT(refused(decode_report, NULL, &r, 48,
		"VFIO_USER_DEVICE_FEATURE reply: page_size 0x1, expected 0x1000"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"probe", test_probe},
		{"migration", test_migration},
		{"device state, get", test_state_get},
		{"device state, set", test_state_set},
		{"request to start DMA logging", test_start_encode},
		{"request to start DMA logging out of bounds", test_start_encode_bounds},
		{"DMA logging started", test_start_decode},
		{"DMA logging stopped", test_stop},
		{"request of a report", test_report_encode},
		{"report", test_report},
		{"report of something else", test_report_mismatch},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("feature", NULL, NULL, tests);
}
