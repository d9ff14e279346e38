/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_CLOCK_H
#define VUCCTL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of a clock that nobody sets. */
static inline uint64_t
vucctl_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif /* VUCCTL_CLOCK_H */
