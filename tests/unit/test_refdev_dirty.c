/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "refdev_peer.h"
#include "tap.h"

#define PAGE  4096u
#define FLAGS (VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE)

#define GET   ((uint32_t)VFIO_DEVICE_FEATURE_GET)
#define SET   ((uint32_t)VFIO_DEVICE_FEATURE_SET)
#define PROBE ((uint32_t)VFIO_DEVICE_FEATURE_PROBE)

/* struct vfio_user_device_feature_dma_logging_control with room for ranges. */
struct start {
	struct {
		uint64_t page_size;
		uint32_t num_ranges;
		uint32_t reserved;
	} control;
	struct vfio_user_device_feature_dma_logging_range ranges[2];
};

/* A device with so many pages of memory in a file. */
static void
open_with_memory(struct refdev_peer *p, uint32_t pages)
{
	refdev_peer_open(p);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_map(p, 0, (uint64_t)pages * PAGE, FLAGS,
				      refdev_peer_file((size_t)pages * PAGE)),
		0);
}

static int
start_logging(struct refdev_peer *p, const struct start *start, uint32_t nr_ranges)
{
	size_t len = sizeof(start->control) + nr_ranges * sizeof(start->ranges[0]);

	return refdev_peer_feature(p, SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, start, len, len);
}

static void
start_all(struct refdev_peer *p)
{
	const struct start all = {.control = {.page_size = PAGE}};

	CU_ASSERT_EQUAL_FATAL(start_logging(p, &all, 0), 0);
}

static int
stop_logging(struct refdev_peer *p)
{
	return refdev_peer_feature(p, SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0, 0);
}

static int
ask_report(struct refdev_peer *p, uint64_t iova, uint64_t length, uint64_t page_size, size_t bytes)
{
	const struct vfio_user_device_feature_dma_logging_report ask = {
		.iova = iova, .length = length, .page_size = page_size};

	return refdev_peer_feature(p, GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &ask,
		sizeof(ask), sizeof(ask) + bytes);
}

/* A report of up to 64 pages. */
static uint64_t
report(struct refdev_peer *p, uint64_t iova, uint64_t length, uint64_t page_size)
{
	uint64_t got[4]; /* iova, length, page size, bitmap */

	CU_ASSERT_EQUAL_FATAL(ask_report(p, iova, length, page_size, 8), 0);
	refdev_peer_feature_data(p, got, sizeof(got));
	CU_ASSERT_EQUAL(got[0], iova);
	CU_ASSERT_EQUAL(got[1], length);
	CU_ASSERT_EQUAL(got[2], page_size);
	return got[3];
}

/* Let the device write. */
static void
dirty(struct refdev_peer *p, uint64_t addr, uint32_t len, uint32_t how)
{
	refdev_peer_set_reg(p, REFDEV_REG_DMA_MODE, how | REFDEV_DMA_FILL);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_DST, addr);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_LEN, len);
	refdev_peer_set_reg(p, REFDEV_REG_DMA_START, 1);
	CU_ASSERT_EQUAL(refdev_peer_reg(p, REFDEV_REG_DMA_STATUS), REFDEV_DMA_STATUS_DONE);
}

static void
test_report(void)
{
	struct refdev_peer p;

	open_with_memory(&p, 64);
	dirty(&p, 0, 1, REFDEV_DMA_BY_FILE);
	start_all(&p);
	CU_ASSERT_EQUAL(report(&p, 0, 64 * PAGE, PAGE), 0);
	dirty(&p, 3 * PAGE - 1, 2, REFDEV_DMA_BY_FILE);
	dirty(&p, 63 * PAGE, PAGE, REFDEV_DMA_BY_MMAP);
	CU_ASSERT_EQUAL(report(&p, 0, 8 * PAGE, PAGE), 3u << 2);
	CU_ASSERT_EQUAL(report(&p, 0, 64 * PAGE, PAGE), 1ull << 63);
	CU_ASSERT_EQUAL(report(&p, 0, 64 * PAGE, PAGE), 0);
	CU_ASSERT_EQUAL(stop_logging(&p), 0);
	refdev_peer_close(&p);
}

/* What the device reads is not dirty, and neither is what it failed to write. */
static void
test_not_written(void)
{
	struct refdev_peer p;

	open_with_memory(&p, 8);
	start_all(&p);
	refdev_peer_set_reg(&p, REFDEV_REG_DMA_MODE, REFDEV_DMA_BY_FILE | REFDEV_DMA_DST_BAR2);
	refdev_peer_set_reg(&p, REFDEV_REG_DMA_LEN, PAGE);
	refdev_peer_set_reg(&p, REFDEV_REG_DMA_START, 1);
	refdev_peer_set_reg(&p, REFDEV_REG_DMA_MODE, REFDEV_DMA_BY_FILE | REFDEV_DMA_FILL);
	refdev_peer_set_reg(&p, REFDEV_REG_DMA_DST, 8 * PAGE - 1);
	refdev_peer_set_reg(&p, REFDEV_REG_DMA_START, 1);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DMA_ERRNO), EFAULT);
	CU_ASSERT_EQUAL(report(&p, 0, 8 * PAGE, PAGE), 0);
	refdev_peer_close(&p);
}

/* Any power of two can be asked for, whatever the log has. */
static void
test_page_sizes(void)
{
	struct start hint = {.control = {.page_size = 1}};
	struct refdev_peer p;

	open_with_memory(&p, 64);
	CU_ASSERT_EQUAL(start_logging(&p, &hint, 0), 0);
	refdev_peer_feature_data(&p, &hint, sizeof(hint.control));
	CU_ASSERT_EQUAL(hint.control.page_size, PAGE);
	dirty(&p, 5 * PAGE, 1, REFDEV_DMA_BY_FILE);
	CU_ASSERT_EQUAL(report(&p, 0, 64 * PAGE, 4 * PAGE), 1u << 1);
	dirty(&p, 5 * PAGE, 1, REFDEV_DMA_BY_FILE);
	CU_ASSERT_EQUAL(report(&p, 5 * PAGE, PAGE, 1024), 15);
	CU_ASSERT_EQUAL(stop_logging(&p), 0);
	hint.control.page_size = 3 * PAGE;
	CU_ASSERT_EQUAL(start_logging(&p, &hint, 0), 0);
	refdev_peer_feature_data(&p, &hint, sizeof(hint.control));
	CU_ASSERT_EQUAL(hint.control.page_size, 2 * PAGE);
	dirty(&p, 5 * PAGE, 1, REFDEV_DMA_BY_FILE);
	CU_ASSERT_EQUAL(report(&p, 0, 64 * PAGE, PAGE), 3u << 4);
	refdev_peer_close(&p);
}

static void
test_ranges(void)
{
	const struct start start = {
		.control = {.page_size = PAGE, .num_ranges = 2},
		.ranges = {{.iova = 8 * PAGE, .length = 8 * PAGE}, {.iova = 0, .length = 2 * PAGE}},
	};
	struct refdev_peer p;

	open_with_memory(&p, 64);
	CU_ASSERT_EQUAL(start_logging(&p, &start, 2), 0);
	dirty(&p, 0, 32 * PAGE, REFDEV_DMA_BY_FILE);
	CU_ASSERT_EQUAL(report(&p, 0, 2 * PAGE, PAGE), 3);
	CU_ASSERT_EQUAL(report(&p, 9 * PAGE, 2 * PAGE, PAGE), 3);
	CU_ASSERT_EQUAL(report(&p, 8 * PAGE, 8 * PAGE, PAGE), 0xf9);
	CU_ASSERT_EQUAL(ask_report(&p, 0, 3 * PAGE, PAGE, 8), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, 20 * PAGE, PAGE, PAGE, 8), -EINVAL);
	refdev_peer_close(&p);
}

static void
test_refused(void)
{
	static const struct start wrong[] = {
		{.control = {.page_size = PAGE, .num_ranges = 1}},
		{.control = {.page_size = PAGE, .num_ranges = 2},
			.ranges = {{PAGE, 2 * PAGE}, {2 * PAGE, PAGE}}},
		{.control = {.page_size = PAGE, .num_ranges = 2},
			.ranges = {{PAGE, PAGE}, {UINT64_MAX, 2}}},
		{.control = {.page_size = PAGE, .num_ranges = UINT32_MAX}},
		{.control = {.page_size = PAGE, .num_ranges = 2, .reserved = 1},
			.ranges = {{PAGE, PAGE}, {0, PAGE}}},
	};
	struct refdev_peer p;

	open_with_memory(&p, 8);
	CU_ASSERT_EQUAL(ask_report(&p, 0, PAGE, PAGE, 8), -EINVAL);
	CU_ASSERT_EQUAL(stop_logging(&p), -EINVAL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(start_logging(&p, &wrong[i], 2), -EINVAL);
	start_all(&p);
	CU_ASSERT_EQUAL(
		start_logging(&p, &(struct start){.control = {.page_size = PAGE}}, 0), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, 0, PAGE, 3000, 8), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, 0, PAGE, 0, 8), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, 0, 0, PAGE, 8), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, 0, PAGE, PAGE, 7), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, UINT64_MAX, 2, PAGE, 8), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, 0, UINT64_MAX, 1, 1u << 30), -EINVAL);
	CU_ASSERT_EQUAL(ask_report(&p, 0, 1ull << 40, PAGE, 1u << 30), -EMSGSIZE);
	refdev_peer_close(&p);
}

static void
test_probe(void)
{
	static const struct {
		uint32_t flags;
		int rc;
	} cases[] = {
		{PROBE | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, 0},
		{PROBE | SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, 0},
		{PROBE | GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, -EINVAL},
		{PROBE | GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, 0},
		{PROBE | GET | SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, -EINVAL},
		{PROBE | GET | SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 0},
		{PROBE | GET | VFIO_DEVICE_FEATURE_MIGRATION, 0},
		{PROBE | 3, -ENOTTY},
		{PROBE | 0xffff, -ENOTTY},
		{GET | SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, -EINVAL},
		{VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, -EINVAL},
		{1u << 19 | PROBE | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, -EINVAL},
	};
	struct refdev_config config;
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CU_ASSERT_EQUAL(refdev_peer_feature(&p, cases[i].flags, NULL, 0, 0), cases[i].rc);
	refdev_peer_close(&p);
	refdev_config_init(&config);
	config.dirty_log = false;
	refdev_peer_negotiate(&p, &config, "{}");
	CU_ASSERT_EQUAL(
		refdev_peer_feature(&p, PROBE | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0, 0),
		-ENOTTY);
	CU_ASSERT_EQUAL(
		refdev_peer_feature(&p, PROBE | VFIO_DEVICE_FEATURE_MIGRATION, NULL, 0, 0), 0);
	refdev_peer_close(&p);
}

struct unmap {
	struct vfio_user_dma_unmap unmap;
	struct {
		uint64_t pgsize;
		uint64_t size;
	} bitmap;
	uint64_t bits;
};

static int
unmap_dirty(struct refdev_peer *p, struct unmap *u, uint64_t size, uint64_t pgsize, uint32_t argsz)
{
	*u = (struct unmap){
		.unmap =
			{
				.argsz = argsz,
				.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
				.size = size,
			},
		.bitmap = {.pgsize = pgsize, .size = 8},
	};
	return refdev_peer_ask(p, VFIO_USER_DMA_UNMAP, u, offsetof(struct unmap, bits));
}

static void
test_unmap(void)
{
	const struct vfio_user_dma_unmap all = {
		.argsz = sizeof(all), .flags = VFIO_DMA_UNMAP_FLAG_ALL};
	const struct vfio_user_dma_unmap not_all = {
		.argsz = sizeof(all), .flags = VFIO_DMA_UNMAP_FLAG_ALL, .size = PAGE};
	const uint32_t argsz = sizeof(struct unmap);
	struct refdev_peer p;
	struct unmap u;

	open_with_memory(&p, 8);
	CU_ASSERT_EQUAL(unmap_dirty(&p, &u, 8 * PAGE, PAGE, argsz), -EINVAL);
	start_all(&p);
	dirty(&p, 7 * PAGE, 1, REFDEV_DMA_BY_MMAP);
	CU_ASSERT_EQUAL(unmap_dirty(&p, &u, 8 * PAGE, PAGE, argsz - 1), -EINVAL);
	CU_ASSERT_EQUAL(unmap_dirty(&p, &u, 8 * PAGE, 1000, argsz), -EINVAL);
	CU_ASSERT_EQUAL(unmap_dirty(&p, &u, 7 * PAGE, PAGE, argsz), -ENOENT);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DMA_MAPS), 1);
	CU_ASSERT_EQUAL(unmap_dirty(&p, &u, 8 * PAGE, PAGE, argsz), 0);
	refdev_peer_body(&p, &u, sizeof(u));
	CU_ASSERT_EQUAL(u.unmap.argsz, argsz);
	CU_ASSERT_EQUAL(u.bitmap.size, 8);
	CU_ASSERT_EQUAL(u.bits, 1u << 7);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DMA_MAPS), 0);
	CU_ASSERT_EQUAL(refdev_peer_map(&p, 0, PAGE, FLAGS, refdev_peer_file(PAGE)), 0);
	CU_ASSERT_EQUAL(refdev_peer_map(&p, PAGE, PAGE, FLAGS, -1), 0);
	CU_ASSERT_EQUAL(
		refdev_peer_ask(&p, VFIO_USER_DMA_UNMAP, &not_all, sizeof(not_all)), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DMA_UNMAP, &all, sizeof(all)), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DMA_MAPS), 0);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"report", test_report},
		{"what is not written", test_not_written},
		{"page sizes", test_page_sizes},
		{"ranges", test_ranges},
		{"refused", test_refused},
		{"probe", test_probe},
		{"unmap", test_unmap},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev log of writes", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
