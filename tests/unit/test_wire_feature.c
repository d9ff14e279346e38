/* SPDX-License-Identifier: BSD-3-Clause */
#include "feature.h"
#include "wire_body.h"

#define GET   0x10000u
#define SET   0x20000u
#define PROBE 0x40000u

#define NAME "VFIO_USER_DEVICE_FEATURE reply"

/* The longest reply of these tests: a report of 65 pages. */
struct reply {
	uint32_t argsz;
	uint32_t flags;
	union {
		uint64_t migration;
		uint32_t state[2];
		struct {
			uint64_t iova;
			uint64_t length;
			uint64_t page_size;
		} report;
		struct {
			uint64_t page_size;
			uint32_t num_ranges;
			uint32_t reserved;
			uint64_t ranges[4];
		} control;
	};
} __attribute__((packed));

#define ARGSZ         FIELD(struct reply, argsz)
#define FLAGS         FIELD(struct reply, flags)
#define REPLY(member) FIELD(struct reply, member)

static const struct vuc_wire_dma_range range = {.addr = 0x40000000, .size = 65 * 4096};
static const struct vuc_wire_dma_range ranges[2] = {{0x1000, 0x2000}, {0x80000000, 0x40000000}};

/* Whether a request begins with these, and has this behind it. */
static bool
is_request(const void *buf, uint32_t argsz, uint32_t flags, const void *rest, size_t len)
{
	const struct vfio_user_device_feature expected = {argsz, flags};

	return memcmp(buf, &expected, 8) == 0 && memcmp((const uint8_t *)buf + 8, rest, len) == 0;
}

static void
test_requests(void)
{
	const uint64_t report[] = {range.addr, range.size, 4096};
	const uint64_t start[] = {4096, 2, 0x1000, 0x2000, 0x80000000, 0x40000000};
	struct reply r;

	CU_ASSERT_EQUAL(vuc_wire_feature_probe_encode(&r, 6, VFIO_DEVICE_FEATURE_SET), 8);
	CU_ASSERT(is_request(&r, 8, PROBE | SET | 6, "", 0));
	CU_ASSERT_EQUAL(vuc_wire_migration_encode(&r), 8);
	CU_ASSERT(is_request(&r, 16, GET | 1, "", 0));
	CU_ASSERT_EQUAL(vuc_wire_mig_state_get_encode(&r), 8);
	CU_ASSERT(is_request(&r, 16, GET | 2, "", 0));
	CU_ASSERT_EQUAL(vuc_wire_mig_state_set_encode(&r, VFIO_USER_DEVICE_STATE_STOP_COPY), 16);
	CU_ASSERT(is_request(&r, 16, SET | 2, "\3\0\0\0\0\0\0", 8));
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 56, 4096, ranges, 2), 56);
	CU_ASSERT(is_request(&r, 56, SET | 6, start, sizeof(start)));
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, 24, 4096, NULL, 0), 24);
	CU_ASSERT(is_request(&r, 24, SET | 6, "", 0));
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_stop_encode(&r), 8);
	CU_ASSERT(is_request(&r, 8, SET | 7, "", 0));
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &range, 4096), 32);
	CU_ASSERT(is_request(&r, 32 + 16, GET | 8, report, sizeof(report)));
}

static void
test_start_bounds(void)
{
	static const struct vuc_wire_dma_range empty = {0x1000, 0}, wraps = {UINT64_MAX, 1};
	static const struct {
		size_t size;
		uint64_t page_size;
		const struct vuc_wire_dma_range *ranges;
		uint32_t n;
		int rc;
	} cases[] = {
		{55, 4096, ranges, 2, -ENOSPC},
		{SIZE_MAX, 4096, ranges, UINT32_MAX, -ENOSPC},
		/* 16 + 16 * n is 2^31, more than what can be returned. */
		{SIZE_MAX, 4096, ranges, 0x7ffffff, -ENOSPC},
		{56, 0, ranges, 2, -EINVAL},
		{56, 4095, ranges, 2, -EINVAL},
		{56, 4096, &empty, 1, -EINVAL},
		{56, 4096, &wraps, 1, -EINVAL},
	};
	struct reply r;

	for (size_t i = 0; i < NR(cases); i++)
		CU_ASSERT_EQUAL(vuc_wire_dma_logging_start_encode(&r, cases[i].size,
					cases[i].page_size, cases[i].ranges, cases[i].n),
			cases[i].rc);
}

static int
decode_probe(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	(void)arg;
	return vuc_wire_feature_probe_decode(body, len, 6, VFIO_DEVICE_FEATURE_SET, err);
}

static const struct reply probe_good = {8, PROBE | SET | 6, {0}};
static const struct body_row probe_rows[] = {
	{"body of 9 bytes, expected 8", .len = 9},
	{"argsz 9, expected 8", {{ARGSZ, 9}}, .len = 9},
	{"argsz 7, expected 8", {{ARGSZ, 7}}},
	{"flags 0x60007, expected 0x60006", {{FLAGS, PROBE | SET | 7}}},
};

static int
decode_migration(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	uint64_t flags;
	int rc = vuc_wire_migration_decode(body, len, &flags, err);

	(void)arg;
	CU_ASSERT(rc != 0 || memcmp((const uint8_t *)body + 8, &flags, 8) == 0);
	return rc;
}

static const struct reply migration_good = {
	16, GET | 1, {.migration = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY}};
static const struct body_row migration_rows[] = {
	{"body of 17 bytes, expected 16", .len = 17},
	{"migration flags 0x2, expected VFIO_MIGRATION_STOP_COPY among them",
		{{REPLY(migration), VFIO_MIGRATION_P2P}}},
	{"flags 0x20001, expected 0x10001", {{FLAGS, SET | 1}}},
};

static int
decode_state(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	enum vfio_user_device_mig_state state;
	int rc = vuc_wire_mig_state_get_decode(body, len, &state, err);

	(void)arg;
	CU_ASSERT(rc != 0 || ((const uint8_t *)body)[8] == state);
	return rc;
}

static int
decode_state_set(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	(void)arg;
	return vuc_wire_mig_state_set_decode(body, len, VFIO_USER_DEVICE_STATE_STOP_COPY, err);
}

static const struct reply state_good = {16, GET | 2, {.state = {0}}};
static const struct body_row state_rows[] = {
	{NULL, {{REPLY(state[0]), 1}}},
	{NULL, {{REPLY(state[0]), 2}}},
	{NULL, {{REPLY(state[0]), 3}}},
	{NULL, {{REPLY(state[0]), 4}}},
	{NULL, {{REPLY(state[0]), 5}}},
	{NULL, {{REPLY(state[0]), 6}}},
	{NULL, {{REPLY(state[0]), VFIO_USER_DEVICE_STATE_PRE_COPY_P2P}}},
	{"device_state 8, expected at most 7", {{REPLY(state[0]), 8}}},
	{"device_state 4294967295, expected at most 7", {{REPLY(state[0]), UINT32_MAX}}},
};

static const struct reply state_set_good = {16, SET | 2, {.state = {3}}};
static const struct body_row state_set_rows[] = {
	{"device_state 0, expected 3", {{REPLY(state[0]), 0}}},
};

/* arg is how many ranges were sent. */
static int
decode_start(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	uint64_t page_size;
	int rc = vuc_wire_dma_logging_start_decode(body, len, *(uint32_t *)arg, &page_size, err);

	CU_ASSERT(rc != 0 || memcmp((const uint8_t *)body + 8, &page_size, 8) == 0);
	return rc;
}

static uint32_t two = 2, most = UINT32_MAX;
static const struct reply start_good = {
	56, SET | 6, {.control = {4096, 2, 0, {0x1000, 0x2000, 0x80000000, 0x40000000}}}};
static const struct body_row start_rows[] = {
	{NULL, {{REPLY(control.page_size), 8192}}},
	{"page_size 0x0, expected a power of two", {{REPLY(control.page_size), 0}}},
	{"page_size 0x3000, expected a power of two", {{REPLY(control.page_size), 12288}}},
	{"num_ranges 1, expected 2", {{REPLY(control.num_ranges), 1}}},
	{"argsz 56, expected 68719476744", .arg = &most},
};

static int
decode_stop(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	(void)arg;
	return vuc_wire_dma_logging_stop_decode(body, len, err);
}

static const struct reply stop_good = {8, SET | 7, {0}};
static const struct body_row stop_rows[] = {
	{"flags 0x20006, expected 0x20007", {{FLAGS, SET | 6}}},
};

static int
decode_report(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *bitmap;
	int rc = vuc_wire_dma_logging_report_decode(body, len, &range, 4096, &bitmap, err);

	(void)arg;
	CU_ASSERT(rc != 0 || bitmap == (const uint8_t *)body + 32);
	return rc;
}

static const struct reply report_good = {48, GET | 8, {.report = {0x40000000, 65 * 4096, 4096}}};
static const struct body_row report_rows[] = {
	{"body of 49 bytes, expected 48", .len = 49},
	{"argsz 4294967295, expected 48", {{ARGSZ, UINT32_MAX}}},
	{"iova 0x0, expected 0x40000000", {{REPLY(report.iova), 0}}},
	{"length 0x41001, expected 0x41000", {{REPLY(report.length), 0x41001}}},
	{"page_size 0x1, expected 0x1000", {{REPLY(report.page_size), 1}}},
};

static void
test_report_bounds(void)
{
	const struct vuc_wire_dma_range empty = {0, 0}, wraps = {UINT64_MAX, 2},
					huge = {0, UINT64_MAX};
	const uint8_t *bitmap;
	struct vuc_error err;
	struct reply r;

	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &range, 4097), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &empty, 4096), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &wraps, 4096), -EINVAL);
	CU_ASSERT_EQUAL(vuc_wire_dma_logging_report_encode(&r, &huge, 4096), -EOVERFLOW);
	CU_ASSERT_EQUAL(
		vuc_wire_dma_logging_report_decode(&report_good, 48, &range, 0, &bitmap, &err),
		-EINVAL);
}

static const struct decoder decoders[] = {
	{"device state", decode_state, NULL, NAME, &state_good, 16, ROWS(state_rows)},
	{"device state set", decode_state_set, NULL, NAME, &state_set_good, 16,
		ROWS(state_set_rows)},
	{"DMA logging started", decode_start, &two, NAME, &start_good, 56, ROWS(start_rows)},
	{"report", decode_report, NULL, NAME, &report_good, 48, ROWS(report_rows)},
	{"probe", decode_probe, NULL, NAME, &probe_good, 8, ROWS(probe_rows)},
	{"migration", decode_migration, NULL, NAME, &migration_good, 16, ROWS(migration_rows)},
	{"DMA logging stopped", decode_stop, NULL, NAME, &stop_good, 8, ROWS(stop_rows)},
};

const struct tap_suite tap_suite = {"feature", NULL, NULL,
	{
		{"requests", test_requests},
		{"bounds of starting DMA logging", test_start_bounds},
		{"bounds of a report", test_report_bounds},
	},
	TAP_ROWS(decoders, decoder_test)};
