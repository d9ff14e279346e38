/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/mman.h>

#include "capture_ring.h"
#include "tap.h"

#define SIZE   4096u
#define RECORD 32u
#define MAX    1000u

/* Positions, as they are shared. */
#define HEAD 0u
#define TAIL 64u

static struct vuc_capture_ring *producer, *consumer;
static uint8_t *shared;

static void
ring_open(void)
{
	int fd;

	CU_ASSERT_EQUAL_FATAL(vuc_capture_ring_create(SIZE, &producer), 0);
	fd = fcntl(vuc_capture_ring_fd(producer), F_DUPFD_CLOEXEC, 0);
	shared = mmap(NULL, 4096 + SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CU_ASSERT_TRUE_FATAL(shared != MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(vuc_capture_ring_open(fd, &consumer), 0);
}

static void
ring_close(void)
{
	munmap(shared, 4096 + SIZE);
	vuc_capture_ring_free(producer);
	vuc_capture_ring_free(consumer);
}

static void
ring_reopen(void)
{
	ring_close();
	ring_open();
}

static void
put(uint32_t len, uint8_t fill)
{
	struct vuc_capture_record record = {.len = len, .captured = len};
	uint8_t bytes[MAX];

	memset(bytes, fill, sizeof(bytes));
	vuc_capture_ring_put(producer, &record, bytes);
}

/* Whether a message is the next one, behind so many that were dropped. */
static bool
next_is(uint32_t len, uint8_t fill, uint32_t dropped)
{
	struct vuc_capture_record record;
	uint8_t bytes[MAX];

	if (vuc_capture_ring_take(consumer, &record, bytes, MAX) != 1 || record.captured != len ||
		record.dropped != dropped)
		return false;
	for (uint32_t i = 0; i < len; i++) {
		if (bytes[i] != fill)
			return false;
	}
	return true;
}

static int
take(void)
{
	struct vuc_capture_record record;
	uint8_t bytes[MAX];

	return vuc_capture_ring_take(consumer, &record, bytes, MAX);
}

static void
test_wraps(void)
{
	uint32_t len = 0;

	CU_ASSERT_EQUAL(take(), 0);
	for (uint32_t i = 0; i < 10000; i++) {
		put(len, (uint8_t)i);
		put(MAX - len, (uint8_t)(i + 1));
		CU_ASSERT_TRUE_FATAL(next_is(len, (uint8_t)i, 0));
		CU_ASSERT_TRUE_FATAL(next_is(MAX - len, (uint8_t)(i + 1), 0));
		len = (len + 7) % MAX;
	}
	CU_ASSERT_EQUAL(take(), 0);
	CU_ASSERT_EQUAL(vuc_capture_ring_dropped(consumer), 0);
}

static void
test_full(void)
{
	for (unsigned int i = 0; i < SIZE / (RECORD + 96) + 5; i++)
		put(90, 1);
	CU_ASSERT_EQUAL(vuc_capture_ring_dropped(consumer), 5);
	for (unsigned int i = 0; i < SIZE / (RECORD + 96); i++)
		CU_ASSERT_TRUE(next_is(90, 1, 0));
	CU_ASSERT_EQUAL(take(), 0);
	put(1, 2);
	put(2, 3);
	CU_ASSERT_TRUE(next_is(1, 2, 5));
	CU_ASSERT_TRUE(next_is(2, 3, 0));
}

/* Behind its last position, or before the producer's: anything else ends it. */
static void
test_hostile_consumer(void)
{
	static const uint64_t tails[] = {
		SIZE + 8, 1, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63};

	for (size_t i = 0; i < NR(tails); i++) {
		bool plausible = tails[i] < SIZE;

		ring_reopen();
		memcpy(shared + TAIL, &tails[i], sizeof(tails[i]));
		for (unsigned int n = 0; n < 2 * SIZE / RECORD; n++)
			put(0, 0);
		CU_ASSERT_EQUAL(vuc_capture_ring_state(consumer),
			plausible ? VUC_CAPTURE_RUNS : VUC_CAPTURE_BROKEN);
	}
}

static void
test_bad_records(void)
{
	static const struct {
		uint64_t head;
		uint32_t len, captured;
	} rows[] = {
		{SIZE + 8, 0, 0},
		{8, 0, 0},
		{SIZE, MAX + 1, MAX + 1},
		{SIZE, UINT32_MAX, UINT32_MAX},
		{SIZE, 3, 4},
		{RECORD + 8, 9, 9},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		struct vuc_capture_record record = {
			.len = rows[i].len, .captured = rows[i].captured};

		vuc_tap_row("row %zu", i);
		ring_reopen();
		memcpy(shared + HEAD, &rows[i].head, sizeof(rows[i].head));
		memcpy(shared + 4096, &record, sizeof(record));
		CU_ASSERT_EQUAL(take(), -EPROTO);
	}
}

static void
test_no_ring(void)
{
	static const struct {
		off_t size;
		int seals;
	} rows[] = {
		{0, F_SEAL_SHRINK},
		{4096, F_SEAL_SHRINK},
		{4097 + 4096, F_SEAL_SHRINK},
		{(off_t)1 << 40, F_SEAL_SHRINK},
		{4096 + SIZE, F_SEAL_GROW},
	};
	struct vuc_capture_ring *ring;

	for (size_t i = 0; i < NR(rows); i++) {
		int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		vuc_tap_row("row %zu", i);
		CU_ASSERT_EQUAL_FATAL(ftruncate(fd, rows[i].size), 0);
		CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_ADD_SEALS, rows[i].seals), 0);
		CU_ASSERT_EQUAL(vuc_capture_ring_open(fd, &ring), -EPROTO);
		close(fd);
	}
}

const struct tap_suite tap_suite = {"capture_ring", ring_open, ring_close,
	{
		{"messages of any size, around the end", test_wraps},
		{"what there is no room for is counted", test_full},
		{"a consumer that is anywhere", test_hostile_consumer},
		{"records that cannot be", test_bad_records},
		{"memory that is no ring", test_no_ring},
	}};
