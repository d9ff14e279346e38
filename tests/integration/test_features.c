/* SPDX-License-Identifier: BSD-3-Clause */

/* Features, migration states and the log of dirty pages: what is asked for, how reports are put
 * together, and what of a server is believed. */

#include <vuc/dirty.h>
#include <vuc/feature.h>
#include <vuc/migration.h>

#include "mig_server.h"
#include "outcome.h"
#include "vfio_user.h"

#define NR_STATES 8
#define PAGE      4096u
#define PAGES     " (pages of 0x1000 bytes)"

#define GET_MIGRATION (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION)
#define GET_STATE     (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
#define SET_STATE     (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
#define SET_START     (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
#define SET_STOP      (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP)
#define GET_REPORT    (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)

static struct mig_server f;
static struct vuc_device *dev;

static void
set_up(void)
{
	mig_server_init(&f);
	dev = mig_server_open(&f);
}

static void
tear_down(void)
{
	vuc_device_close(dev);
}

static void
test_probe(void)
{
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIGRATION, VUC_FEATURE_GET), 0);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
				VUC_FEATURE_GET | VUC_FEATURE_SET),
		0);
	CU_ASSERT_EQUAL(vuc_feature_probe(dev, VFIO_DEVICE_FEATURE_MIGRATION, 0), 0);
	CU_ASSERT(is_refused(dev, vuc_feature_probe(dev, 0xffff, 0), -ENOTTY,
		"the server answered VFIO_USER_DEVICE_FEATURE with error 25 (Inappropriate ioctl "
		"for device)"));
	CU_ASSERT(is_refused(dev, vuc_feature_probe(dev, 1, 1u << 18), -EINVAL,
		"feature 1: unknown methods 0x40000, only get and set are allowed"));
}

static void
test_get_and_set_data(void)
{
	struct vfio_user_device_feature_mig_state state = {0};
	uint8_t big[64];
	size_t len = 0;

	CU_ASSERT_EQUAL(
		vuc_feature_get(dev, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, big, sizeof(big), &len),
		0);
	CU_ASSERT_EQUAL_FATAL(len, sizeof(state));
	memcpy(&state, big, len);
	CU_ASSERT_EQUAL(state.device_state, VUC_MIGRATION_RUNNING);
	state.device_state = VUC_MIGRATION_STOP;
	CU_ASSERT_EQUAL(
		vuc_feature_set(dev, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state, sizeof(state)),
		0);
	CU_ASSERT_EQUAL(f.state, VUC_MIGRATION_STOP);
	CU_ASSERT_EQUAL(vuc_feature_set(dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0), 0);
	CU_ASSERT_STRING_EQUAL(f.server.log, "STOP stop ");
	CU_ASSERT_EQUAL(vuc_feature_get(dev, 1, big, VUC_FEATURE_MAX_DATA + 1, &len), -EMSGSIZE);
	CU_ASSERT(is_refused(dev, vuc_feature_set(dev, 1, big, VUC_FEATURE_MAX_DATA + 1), -EMSGSIZE,
		"feature 1: 32769 bytes of data are over the limit of 32768"));
}

static void
test_supported(void)
{
	uint64_t flags = 0;

	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), 0);
	CU_ASSERT_EQUAL(flags, VUC_MIGRATION_CAN_STOP_COPY | VUC_MIGRATION_CAN_PRE_COPY);
	f.migration_flags = 0;
	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), 0);
	CU_ASSERT_EQUAL(flags, 0);
	f.migration_flags = VUC_MIGRATION_CAN_PRE_COPY;
	CU_ASSERT_EQUAL(vuc_migration_supported(dev, &flags), -EPROTO);
}

/* As the specification's text has it: every state leads to every other, but for these. */
static bool
expect_legal(unsigned int from, unsigned int to)
{
	const unsigned int unused = 1u << VUC_MIGRATION_ERROR | 1u << VUC_MIGRATION_RUNNING_P2P |
		1u << VUC_MIGRATION_PRE_COPY_P2P;

	if ((unused >> from & 1) != 0 || (unused >> to & 1) != 0)
		return false;
	return !(from == VUC_MIGRATION_STOP_COPY && to == VUC_MIGRATION_PRE_COPY);
}

static void
check_change(unsigned int from, unsigned int to)
{
	char expected[64];
	int rc;

	f.state = from;
	f.server.log[0] = '\0';
	rc = vuc_migration_set_state(dev, (enum vuc_migration_state)to);
	if (!expect_legal(from, to)) {
		snprintf(expected, sizeof(expected), "migration state cannot change from %s to %s*",
			vuc_migration_state_name((enum vuc_migration_state)from),
			vuc_migration_state_name((enum vuc_migration_state)to));
		CU_ASSERT(is_refused(dev, rc, -EINVAL, expected));
		CU_ASSERT_EQUAL(f.state, from);
		CU_ASSERT_STRING_EQUAL(f.server.log, "");
		return;
	}
	CU_ASSERT_EQUAL(rc, 0);
	CU_ASSERT_EQUAL(f.state, to);
	CU_ASSERT_EQUAL(f.server.log[0] == '\0', from == to);
}

static void
test_all_changes(void)
{
	for (unsigned int from = 0; from < NR_STATES; from++) {
		for (unsigned int to = 0; to < NR_STATES; to++)
			check_change(from, to);
	}
	check_change(VUC_MIGRATION_RUNNING, VUC_MIGRATION_STOP);
	CU_ASSERT(is_refused(dev, vuc_migration_set_state(dev, (enum vuc_migration_state)NR_STATES),
		-EINVAL, "migration state cannot change from STOP to (unknown)"));
}

static void
test_pre_copy_not_supported(void)
{
	f.migration_flags = VUC_MIGRATION_CAN_STOP_COPY;
	CU_ASSERT(is_refused(dev, vuc_migration_set_state(dev, VUC_MIGRATION_PRE_COPY), -EOPNOTSUPP,
		"the device does not support PRE_COPY"));
	CU_ASSERT_STRING_EQUAL(f.server.log, "");
}

static void
test_unknown_state(void)
{
	enum vuc_migration_state state = VUC_MIGRATION_PRE_COPY;

	f.state = NR_STATES;
	CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state), -EPROTO);
	CU_ASSERT_EQUAL(state, VUC_MIGRATION_PRE_COPY);
	CU_ASSERT_EQUAL(vuc_migration_set_state(dev, VUC_MIGRATION_STOP), -EPROTO);
}

static int
get_migration(void)
{
	uint8_t data[8];
	size_t len;

	return vuc_feature_get(dev, VFIO_DEVICE_FEATURE_MIGRATION, data, sizeof(data), &len);
}

static int
set_stop(void)
{
	return vuc_migration_set_state(dev, VUC_MIGRATION_STOP);
}

static int
set_pre_copy(void)
{
	return vuc_migration_set_state(dev, VUC_MIGRATION_PRE_COPY);
}

#define REPLY  "VFIO_USER_DEVICE_FEATURE reply: "
#define CHANGE "from migration state RUNNING to STOP: "
#define BUSY                                                          \
	"the server answered VFIO_USER_DEVICE_FEATURE with error 16 " \
	"(Device or resource busy)"
/* The long timeout: a change has it for all of its messages. */
#define LATE "no answer to VFIO_USER_DEVICE_FEATURE within 31 ms"

/* One reply is bad or missing; and what the same call returns next, with the state of then. */
static void
test_bad_replies(void)
{
	static const struct {
		int (*call)(void);
		uint32_t flags;
		enum fake_wrong wrong;
		uint32_t at, value;
		int rc;
		const char *reason;
		int next;
		enum vuc_migration_state state;
	} rows[] = {
		{get_migration, 0, FAKE_FIELD, 0, 15, -EPROTO, REPLY "argsz 15, expected 16", 0,
			VUC_MIGRATION_RUNNING},
		{get_migration, 0, FAKE_FIELD, 0, UINT32_MAX, -EPROTO,
			REPLY "argsz 4294967295, expected 16", 0, VUC_MIGRATION_RUNNING},
		{get_migration, 0, FAKE_FIELD, 4, 0x10002, -EPROTO,
			REPLY "flags 0x10002, expected 0x10001", 0, VUC_MIGRATION_RUNNING},
		{set_stop, SET_STATE, FAKE_ERROR, 0, EBUSY, -EBUSY, CHANGE BUSY, 0,
			VUC_MIGRATION_STOP},
		{set_stop, SET_STATE, FAKE_ERROR_STATE, 0, EBUSY, -EBUSY,
			"the device is in ERROR now: " CHANGE BUSY, -EINVAL, VUC_MIGRATION_ERROR},
		{set_stop, SET_STATE, FAKE_FIELD, 8, VUC_MIGRATION_STOP_COPY, -EPROTO,
			CHANGE REPLY "device_state 3, expected 1", 0, VUC_MIGRATION_STOP},
		{set_stop, GET_STATE, FAKE_SILENT, 0, 0, -ETIMEDOUT, LATE, 0, VUC_MIGRATION_STOP},
		{set_stop, SET_STATE, FAKE_SILENT, 0, 0, -ETIMEDOUT, CHANGE LATE, 0,
			VUC_MIGRATION_STOP},
		{set_pre_copy, GET_MIGRATION, FAKE_CLOSE, 0, 0, -ECONNRESET, "*", -ECONNRESET,
			VUC_MIGRATION_RUNNING},
	};
	enum vuc_migration_state state;

	for (size_t i = 0; i < NR(rows); i++) {
		tear_down();
		mig_server_init(&f);
		f.server.fault = (struct fake_fault){1, VFIO_USER_DEVICE_FEATURE, rows[i].flags,
			rows[i].wrong, rows[i].at, rows[i].value};
		dev = mig_server_open(&f);
		CU_ASSERT(is_refused(dev, rows[i].call(), rows[i].rc, rows[i].reason));
		CU_ASSERT_EQUAL(vuc_device_connected(dev), rows[i].rc != -ECONNRESET);
		CU_ASSERT_EQUAL(rows[i].call(), rows[i].next);
		CU_ASSERT_EQUAL(f.state, rows[i].state);
		CU_ASSERT_EQUAL(vuc_migration_get_state(dev, &state),
			rows[i].rc == -ECONNRESET ? -ECONNRESET : 0);
		if (rows[i].next == -EINVAL)
			CU_ASSERT_STRING_EQUAL(vuc_device_reason(dev),
				"migration state cannot change from ERROR to STOP: reset the "
				"device");
	}
}

/* A connection that ends with a request on it that has timed out. */
static void
test_close_after_silence(void)
{
	tear_down();
	mig_server_init(&f);
	f.server.fault =
		(struct fake_fault){1, VFIO_USER_DEVICE_FEATURE, SET_STATE, FAKE_SILENT, 0, 0};
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(set_stop(), -ETIMEDOUT);
	f.server.fault.flags = GET_MIGRATION;
	f.server.fault.wrong = FAKE_CLOSE;
	f.server.matched = 0;
	CU_ASSERT_EQUAL(set_pre_copy(), -ECONNRESET);
}

/* Open it again with another max_data_xfer_size. */
static void
reopen(uint32_t max_data)
{
	vuc_device_close(dev);
	f.server.max_data = max_data;
	f.server.log[0] = '\0';
	dev = mig_server_open(&f);
}

static void
test_log_supported(void)
{
	bool supported = false;

	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), 0);
	CU_ASSERT_TRUE(supported);
	f.has_dirty = false;
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), 0);
	CU_ASSERT_FALSE(supported);
	f.has_dirty = true;
	f.server.fault = (struct fake_fault){3, VFIO_USER_DEVICE_FEATURE, 0, FAKE_ERROR, 0, EINVAL};
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), 0);
	CU_ASSERT_FALSE(supported);
	f.server.fault.value = EPERM;
	f.server.matched = 0;
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), -EPERM);
}

static void
test_log_start_and_stop(void)
{
	const struct vuc_dirty_range ranges[] = {{0, PAGE}, {0x100000, 16 * PAGE}};
	uint64_t page_size = PAGE;

	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, 2), 0);
	CU_ASSERT_EQUAL(page_size, PAGE);
	CU_ASSERT_EQUAL(vuc_dirty_disable(dev), 0);
	f.log_page_size = UINT64_C(1) << 21;
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, NULL, 0), 0);
	CU_ASSERT_EQUAL(page_size, UINT64_C(1) << 21);
	CU_ASSERT_STRING_EQUAL(f.server.log, "start1000,2 stop start1000,0 ");
}

static void
test_log_bad_ranges(void)
{
	static const struct {
		struct vuc_dirty_range range;
		uint64_t page_size;
		const char *reason;
	} rows[] = {
		{{0, 0}, PAGE, "range 0x0 of 0x0 bytes is empty" PAGES},
		{{PAGE, 0}, PAGE, "range 0x1000 of 0x0 bytes is empty" PAGES},
		{{1, PAGE}, PAGE,
			"range 0x1 of 0x1000 bytes is not a multiple of the page size" PAGES},
		{{PAGE, 1}, PAGE,
			"range 0x1000 of 0x1 bytes is not a multiple of the page size" PAGES},
		{{UINT64_MAX - PAGE + 1, PAGE}, PAGE,
			"range 0xfffffffffffff000 of 0x1000 bytes overflows" PAGES},
		{{0, 6 * PAGE}, 0, "a page size of 0x0 is not a power of two"},
		{{0, 6 * PAGE}, 3, "a page size of 0x3 is not a power of two"},
		{{0, 6 * PAGE}, 6 * PAGE, "a page size of 0x6000 is not a power of two"},
		{{0, 6 * PAGE}, UINT64_MAX,
			"a page size of 0xffffffffffffffff is not a power of two"},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		const struct vuc_dirty_range ranges[] = {{0, PAGE}, rows[i].range};
		uint64_t page_size = rows[i].page_size, bitmap = 0;

		CU_ASSERT(is_refused(dev, vuc_dirty_enable(dev, &page_size, ranges, 2), -EINVAL,
			rows[i].reason));
		CU_ASSERT(is_refused(dev, vuc_dirty_report(dev, &ranges[1], page_size, &bitmap, 1),
			-EINVAL, rows[i].reason));
	}
	CU_ASSERT_STRING_EQUAL(f.server.log, "");
}

static void
test_log_many_ranges(void)
{
	static struct vuc_dirty_range ranges[VUC_DIRTY_MAX_RANGES + 1];
	uint64_t page_size = PAGE;

	for (unsigned int i = 0; i <= VUC_DIRTY_MAX_RANGES; i++)
		ranges[i] = (struct vuc_dirty_range){UINT64_C(2) * PAGE * i, PAGE};
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, VUC_DIRTY_MAX_RANGES), 0);
	CU_ASSERT_STRING_EQUAL(f.server.log, "start1000,2048 ");
	CU_ASSERT(
		is_refused(dev, vuc_dirty_enable(dev, &page_size, ranges, VUC_DIRTY_MAX_RANGES + 1),
			-E2BIG, "2049 ranges to log are over the limit of 2048"));
	reopen(50);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, 2), 0);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, 3), -E2BIG);
}

/* Whether bitmap has the dirty pages of a range, and of before what it had. */
static bool
is_merged(const uint64_t *bitmap, uint64_t first_page, uint64_t pages, uint64_t words,
	uint64_t before)
{
	for (uint64_t i = 0; i < words * 64; i++) {
		bool dirty = i < pages && mig_page_is_dirty(first_page + i);
		bool had = before >> (i % 64) & 1;

		if ((bitmap[i / 64] >> (i % 64) & 1) != (dirty || had))
			return false;
	}
	return true;
}

/* Whole, and in as many parts as max_data_xfer_size makes of it; the last one is more than a
 * socket takes at once. */
static void
test_log_report(void)
{
	static const struct {
		uint32_t max_data;
		uint64_t first_page, pages;
		const char *trace;
	} rows[] = {
		{1048576, 0, 1, "report0,1 "},
		{1048576, 1, 64, "report1000,64 "},
		{1048576, 2, 65, "report2000,65 "},
		{1048576, 0x100, 448, "report100000,448 "},
		{24 + 8, 1, 130, "report1000,64 report41000,64 report81000,2 "},
		{24 + 16 + 7, 1, 128, "report1000,128 "},
		{24 + 16 + 7, 1, 300, "report1000,128 report81000,128 report101000,44 "},
		{1048576, 0, 4000000, "report0,4000000 "},
	};
	static uint64_t bitmap[4000000 / 64 + 1];
	const uint64_t before = 0x8000000000000002;

	for (size_t i = 0; i < NR(rows); i++) {
		uint64_t first = rows[i].first_page, pages = rows[i].pages;
		const struct vuc_dirty_range range = {first * PAGE, pages * PAGE};
		uint64_t words = (pages + 63) / 64;

		for (uint64_t w = 0; w <= words; w++)
			bitmap[w] = before;
		reopen(rows[i].max_data);
		CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, bitmap, words), 0);
		CU_ASSERT(is_merged(bitmap, first, pages, words, before));
		CU_ASSERT_EQUAL(bitmap[words], before);
		CU_ASSERT_STRING_EQUAL(f.server.log, rows[i].trace);
		CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, bitmap, words - 1), -EINVAL);
	}
}

/* As large as addresses allow, with the largest page, and with the smallest message. */
static void
test_log_extremes(void)
{
	const uint64_t half = UINT64_C(1) << 63;
	const struct vuc_dirty_range lower = {0, half};
	const struct vuc_dirty_range high = {half, half - PAGE};
	uint64_t bitmap = 0;

	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &lower, half, &bitmap, 1), 0);
	CU_ASSERT_EQUAL(bitmap, 1);
	CU_ASSERT(is_refused(dev, vuc_dirty_report(dev, &high, PAGE, &bitmap, 1), -EINVAL,
		"a bitmap of 1 words is too small for 2251799813685247 pages"));
	reopen(31);
	CU_ASSERT(is_refused(dev, vuc_dirty_report(dev, &lower, half, &bitmap, 1), -EMSGSIZE,
		"max_data_xfer_size 31 leaves no room for a bitmap"));
}

/* What breaks the protocol, or is refused, leaves the bitmap as it was. */
static void
test_log_bad_replies(void)
{
	static const struct {
		uint32_t flags;
		enum fake_wrong wrong;
		uint32_t at, value;
		int rc;
	} rows[] = {
		{SET_START, FAKE_ERROR, 0, EBUSY, -EBUSY},
		{SET_START, FAKE_CUT, 0, 8, -EPROTO},
		{SET_START, FAKE_LONGER, 0, 16, -EPROTO},
		{SET_START, FAKE_FIELD, 8, 0x1800, -EPROTO},
		{SET_START, FAKE_FIELD, 16, 2, -EPROTO},
		{SET_STOP, FAKE_ERROR, 0, EINVAL, -EINVAL},
		{SET_STOP, FAKE_FIELD, 0, 16, -EPROTO},
		{SET_STOP, FAKE_LONGER, 0, 8, -EPROTO},
		{GET_REPORT, FAKE_ERROR, 0, ENOENT, -ENOENT},
		{GET_REPORT, FAKE_CUT, 0, 8, -EPROTO},
		{GET_REPORT, FAKE_CUT, 0, 1, -EPROTO},
		{GET_REPORT, FAKE_LONGER, 0, 8, -EPROTO},
		{GET_REPORT, FAKE_FIELD, 8, PAGE, -EPROTO},
		{GET_REPORT, FAKE_FIELD, 16, 2 * PAGE, -EPROTO},
		{GET_REPORT, FAKE_FIELD, 24, 2 * PAGE, -EPROTO},
		{GET_REPORT, FAKE_CLOSE, 0, 0, -ECONNRESET},
	};
	const struct vuc_dirty_range range = {0, PAGE};

	for (size_t i = 0; i < NR(rows); i++) {
		uint64_t page_size = PAGE, bitmap = 0x10;
		int rc;

		tear_down();
		set_up();
		f.server.fault = (struct fake_fault){1, VFIO_USER_DEVICE_FEATURE, rows[i].flags,
			rows[i].wrong, rows[i].at, rows[i].value};
		if (rows[i].flags == SET_START)
			rc = vuc_dirty_enable(dev, &page_size, &range, 1);
		else if (rows[i].flags == SET_STOP)
			rc = vuc_dirty_disable(dev);
		else
			rc = vuc_dirty_report(dev, &range, PAGE, &bitmap, 1);
		CU_ASSERT(is_refused(dev, rc, rows[i].rc, "?*"));
		CU_ASSERT_EQUAL(page_size, PAGE);
		CU_ASSERT_EQUAL(bitmap, 0x10);
	}
}

const struct tap_suite tap_suite = {"features", set_up, tear_down,
	{
		{"probe", test_probe},
		{"data of features", test_get_and_set_data},
		{"migration supported", test_supported},
		{"all changes of state", test_all_changes},
		{"no pre-copy", test_pre_copy_not_supported},
		{"unknown state", test_unknown_state},
		{"bad replies", test_bad_replies},
		{"close after silence", test_close_after_silence},
		{"log supported", test_log_supported},
		{"log, start and stop", test_log_start_and_stop},
		{"log, bad ranges and page sizes", test_log_bad_ranges},
		{"log, many ranges", test_log_many_ranges},
		{"log, report", test_log_report},
		{"log, extremes", test_log_extremes},
		{"log, bad replies", test_log_bad_replies},
	}};
