/* SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"
#include "tap.h"

/* Each between two looks at the system's own. */
static void
test_monotonic(void)
{
	struct timespec before, after;
	uint64_t ns, ms;

	clock_gettime(CLOCK_MONOTONIC, &before);
	ns = vuc_clock_ns();
	ms = vuc_clock_ms();
	clock_gettime(CLOCK_MONOTONIC, &after);
	CU_ASSERT(ns >= (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec);
	CU_ASSERT(ms >= ns / 1000000);
	CU_ASSERT(ms <= (uint64_t)after.tv_sec * 1000 + (uint64_t)after.tv_nsec / 1000000);
}

static void
test_coarse(void)
{
	uint64_t before = vuc_clock_coarse_ms(), now = vuc_clock_ms(), later;

	CU_ASSERT(before <= now);
	do
		later = vuc_clock_coarse_ms();
	while (later <= now);
	CU_ASSERT(later <= vuc_clock_ms());
}

const struct tap_suite tap_suite = {"clock", NULL, NULL,
	{
		{"nanoseconds and milliseconds are the monotonic clock's", test_monotonic},
		{"the coarse clock follows and is never ahead", test_coarse},
	}};
