/* SPDX-License-Identifier: BSD-3-Clause */

/* Logging of dirty pages: what is asked for, how reports are put together, what is believed. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/dirty.h>
#include <vuc/feature.h>

#include "mig_server.h"
#include "tap.h"
#include "vfio_user.h"

#define PAGE 4096u

#define SET_START  (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
#define SET_STOP   (VUC_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP)
#define GET_REPORT (VUC_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)

static void
test_supported(void)
{
	struct mig_server f;
	struct vuc_device *dev;
	bool supported = false;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), 0);
	CU_ASSERT_TRUE(supported);
	f.has_dirty = false;
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), 0);
	CU_ASSERT_FALSE(supported);
	f.has_dirty = true;
	f.server.fault = (struct fake_fault){
		.nth = 3, .cmd = VFIO_USER_DEVICE_FEATURE, .wrong = FAKE_ERROR, .value = EINVAL};
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), 0);
	CU_ASSERT_FALSE(supported);
	f.server.fault.value = EPERM;
	f.server.matched = 0;
	CU_ASSERT_EQUAL(vuc_dirty_supported(dev, &supported), -EPERM);
	vuc_device_close(dev);
}

static void
test_start_and_stop(void)
{
	const struct vuc_dirty_range ranges[] = {{0, PAGE}, {0x100000, 16 * PAGE}};
	uint64_t page_size = PAGE;
	struct mig_server f;
	struct vuc_device *dev;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, 2), 0);
	CU_ASSERT_EQUAL(page_size, PAGE);
	CU_ASSERT_EQUAL(vuc_dirty_disable(dev), 0);
	f.log_page_size = UINT64_C(1) << 21;
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, NULL, 0), 0);
	CU_ASSERT_EQUAL(page_size, UINT64_C(1) << 21);
	CU_ASSERT_STRING_EQUAL(f.trace, "start1000,2 stop start1000,0 ");
	vuc_device_close(dev);
}

static void
test_bad_ranges(void)
{
	const struct {
		struct vuc_dirty_range range;
		const char *reason;
	} bad[] = {
		{{0, 0}, "range 0x0 of 0x0 bytes is empty (pages of 0x1000 bytes)"},
		{{PAGE, 0}, "range 0x1000 of 0x0 bytes is empty (pages of 0x1000 bytes)"},
		{{1, PAGE},
			"range 0x1 of 0x1000 bytes is not a multiple of the page size (pages of "
			"0x1000 bytes)"},
		{{PAGE, 1},
			"range 0x1000 of 0x1 bytes is not a multiple of the page size (pages of "
			"0x1000 bytes)"},
		{{UINT64_MAX - PAGE + 1, PAGE},
			"range 0xfffffffffffff000 of 0x1000 bytes overflows (pages of 0x1000 "
			"bytes)"},
	};
	struct mig_server f;
	struct vuc_device *dev;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct vuc_dirty_range ranges[] = {{0, PAGE}, bad[i].range};
		uint64_t page_size = PAGE, bitmap = 0;

		CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, 2), -EINVAL);
		CU_ASSERT(mig_reason_is(dev, bad[i].reason));
		CU_ASSERT_EQUAL(vuc_dirty_report(dev, &ranges[1], PAGE, &bitmap, 1), -EINVAL);
		CU_ASSERT(mig_reason_is(dev, bad[i].reason));
	}
	CU_ASSERT_STRING_EQUAL(f.trace, "");
	vuc_device_close(dev);
}

static void
test_bad_page_sizes(void)
{
	const struct vuc_dirty_range range = {0, 6 * PAGE};
	const uint64_t sizes[] = {0, 3, 6 * PAGE, UINT64_MAX};
	struct mig_server f;
	struct vuc_device *dev;
	uint64_t bitmap = 0;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t page_size = sizes[i];

		CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, NULL, 0), -EINVAL);
		CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, sizes[i], &bitmap, 1), -EINVAL);
	}
	CU_ASSERT(mig_reason_is(dev, "a page size of 0xffffffffffffffff is not a power of two"));
	CU_ASSERT_STRING_EQUAL(f.trace, "");
	vuc_device_close(dev);
}

static void
test_many_ranges(void)
{
	static struct vuc_dirty_range ranges[VUC_DIRTY_MAX_RANGES + 1];
	uint64_t page_size = PAGE;
	struct mig_server f;
	struct vuc_device *dev;

	for (unsigned int i = 0; i <= VUC_DIRTY_MAX_RANGES; i++)
		ranges[i] = (struct vuc_dirty_range){UINT64_C(2) * PAGE * i, PAGE};
	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, VUC_DIRTY_MAX_RANGES), 0);
	CU_ASSERT_STRING_EQUAL(f.trace, "start1000,2048 ");
	CU_ASSERT_EQUAL(
		vuc_dirty_enable(dev, &page_size, ranges, VUC_DIRTY_MAX_RANGES + 1), -E2BIG);
	CU_ASSERT(mig_reason_is(dev, "2049 ranges to log are over the limit of 2048"));
	vuc_device_close(dev);

	f.server.max_data = 50;
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, 2), 0);
	CU_ASSERT_EQUAL(vuc_dirty_enable(dev, &page_size, ranges, 3), -E2BIG);
	vuc_device_close(dev);
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

static void
check_report(struct mig_server *f, uint64_t first_page, uint64_t pages, const char *trace)
{
	const struct vuc_dirty_range range = {first_page * PAGE, pages * PAGE};
	const uint64_t before = 0x8000000000000002;
	uint64_t bitmap[8], words = (pages + 63) / 64;
	struct vuc_device *dev = mig_server_open(f);

	for (unsigned int i = 0; i < 8; i++)
		bitmap[i] = before;
	f->trace[0] = '\0';
	CU_ASSERT_FATAL(words < 8);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, bitmap, words), 0);
	CU_ASSERT(is_merged(bitmap, first_page, pages, words, before));
	CU_ASSERT_EQUAL(bitmap[words], before);
	CU_ASSERT_STRING_EQUAL(f->trace, trace);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, bitmap, words - 1), -EINVAL);
	vuc_device_close(dev);
}

static void
test_report(void)
{
	struct mig_server f;

	mig_server_init(&f);
	check_report(&f, 0, 1, "report0,1 ");
	check_report(&f, 1, 64, "report1000,64 ");
	check_report(&f, 2, 65, "report2000,65 ");
	check_report(&f, 0x100, 448, "report100000,448 ");
}

static void
test_split_report(void)
{
	struct mig_server f;

	mig_server_init(&f);
	f.server.max_data = 24 + 8;
	check_report(&f, 1, 130, "report1000,64 report41000,64 report81000,2 ");
	f.server.max_data = 24 + 16 + 7;
	check_report(&f, 1, 128, "report1000,128 ");
	check_report(&f, 1, 300, "report1000,128 report81000,128 report101000,44 ");
}

static void
test_no_room_for_report(void)
{
	const struct vuc_dirty_range range = {0, PAGE};
	struct mig_server f;
	struct vuc_device *dev;
	uint64_t bitmap = 0;

	mig_server_init(&f);
	f.server.max_data = 31;
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, &bitmap, 1), -EMSGSIZE);
	CU_ASSERT(mig_reason_is(dev, "max_data_xfer_size 31 leaves no room for a bitmap"));
	vuc_device_close(dev);
}

/* As large as addresses allow, and with the largest page. */
static void
test_extreme_ranges(void)
{
	const uint64_t half = UINT64_C(1) << 63;
	const struct vuc_dirty_range lower = {0, half};
	const struct vuc_dirty_range high = {half, half - PAGE};
	struct mig_server f;
	struct vuc_device *dev;
	uint64_t bitmap = 0;

	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &lower, half, &bitmap, 1), 0);
	CU_ASSERT_EQUAL(bitmap, 1);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &high, PAGE, &bitmap, 1), -EINVAL);
	CU_ASSERT(
		mig_reason_is(dev, "a bitmap of 1 words is too small for 2251799813685247 pages"));
	vuc_device_close(dev);
}

/* A large report in one message, over what a socket takes at once. */
static void
test_large_report(void)
{
	const uint64_t pages = 4000000;
	const struct vuc_dirty_range range = {0, pages * PAGE};
	uint64_t words = (pages + 63) / 64;
	uint64_t *bitmap = calloc(words, sizeof(*bitmap));
	struct mig_server f;
	struct vuc_device *dev;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bitmap);
	mig_server_init(&f);
	dev = mig_server_open(&f);
	CU_ASSERT_EQUAL(vuc_dirty_report(dev, &range, PAGE, bitmap, words), 0);
	CU_ASSERT(is_merged(bitmap, 0, pages, words, 0));
	CU_ASSERT_STRING_EQUAL(f.trace, "report0,4000000 ");
	vuc_device_close(dev);
	free(bitmap);
}

/* What breaks the protocol, or is refused, leaves the bitmap as it was. */
static void
check_fault(uint32_t flags, enum fake_wrong wrong, uint32_t at, uint32_t value, int expected)
{
	const struct vuc_dirty_range range = {0, PAGE};
	uint64_t page_size = PAGE, bitmap = 0x10;
	struct mig_server f;
	struct vuc_device *dev;
	int rc;

	mig_server_init(&f);
	f.server.fault = (struct fake_fault){.nth = 1,
		.cmd = VFIO_USER_DEVICE_FEATURE,
		.flags = flags,
		.wrong = wrong,
		.at = at,
		.value = value};
	dev = mig_server_open(&f);
	if (flags == SET_START)
		rc = vuc_dirty_enable(dev, &page_size, &range, 1);
	else if (flags == SET_STOP)
		rc = vuc_dirty_disable(dev);
	else
		rc = vuc_dirty_report(dev, &range, PAGE, &bitmap, 1);
	CU_ASSERT_EQUAL(rc, expected);
	CU_ASSERT_STRING_NOT_EQUAL(vuc_device_reason(dev), "");
	CU_ASSERT_EQUAL(page_size, PAGE);
	CU_ASSERT_EQUAL(bitmap, 0x10);
	vuc_device_close(dev);
}

static void
test_bad_replies(void)
{
	check_fault(SET_START, FAKE_ERROR, 0, EBUSY, -EBUSY);
	check_fault(SET_START, FAKE_CUT, 0, 8, -EPROTO);
	check_fault(SET_START, FAKE_LONGER, 0, 16, -EPROTO);
	check_fault(SET_START, FAKE_FIELD, 8, 0x1800, -EPROTO);
	check_fault(SET_START, FAKE_FIELD, 16, 2, -EPROTO);
	check_fault(SET_STOP, FAKE_ERROR, 0, EINVAL, -EINVAL);
	check_fault(SET_STOP, FAKE_FIELD, 0, 16, -EPROTO);
	check_fault(SET_STOP, FAKE_LONGER, 0, 8, -EPROTO);
	check_fault(GET_REPORT, FAKE_ERROR, 0, ENOENT, -ENOENT);
	check_fault(GET_REPORT, FAKE_CUT, 0, 8, -EPROTO);
	check_fault(GET_REPORT, FAKE_CUT, 0, 1, -EPROTO);
	check_fault(GET_REPORT, FAKE_LONGER, 0, 8, -EPROTO);
	check_fault(GET_REPORT, FAKE_FIELD, 8, PAGE, -EPROTO);
	check_fault(GET_REPORT, FAKE_FIELD, 16, 2 * PAGE, -EPROTO);
	check_fault(GET_REPORT, FAKE_FIELD, 24, 2 * PAGE, -EPROTO);
	check_fault(GET_REPORT, FAKE_CLOSE, 0, 0, -ECONNRESET);
}

static CU_TestInfo tests[] = {
	{"supported", test_supported},
	{"start and stop", test_start_and_stop},
	{"bad ranges", test_bad_ranges},
	{"bad page sizes", test_bad_page_sizes},
	{"many ranges", test_many_ranges},
	{"report", test_report},
	{"report in parts", test_split_report},
	{"no room for a report", test_no_room_for_report},
	{"extreme ranges", test_extreme_ranges},
	{"large report", test_large_report},
	{"bad replies", test_bad_replies},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"dirty log", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
