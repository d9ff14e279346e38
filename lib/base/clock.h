/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_CLOCK_H
#define VUC_BASE_CLOCK_H

/* CLOCK_MONOTONIC, which nobody sets. Any thread. */

#include <stdint.h>
#include <time.h>

static inline uint64_t
vuc_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t
vuc_clock_ms(void)
{
	return vuc_clock_ns() / 1000000;
}

/* The same time at the kernel's last tick, some milliseconds ago: cheaper, for the hot path. */
static inline uint64_t
vuc_clock_coarse_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Between looks at something that nobody tells of: at most this long, less when a signal comes. */
static inline void
vuc_clock_sleep_ms(unsigned int ms)
{
	const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

#endif /* VUC_BASE_CLOCK_H */
