/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_LINES_H
#define VUC_QUEUE_LINES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Processors fetch cache lines in pairs. */
#define QUEUE_LINES 128u

/*
 * Zeroed memory with cache lines of its own, so that nothing which another thread writes lies on
 * one of them. To be freed by free(). Returns NULL when there is none.
 */
static inline void *
queue_alloc_lines(size_t size)
{
	void *lines = NULL;

	if (size > SIZE_MAX - QUEUE_LINES)
		return NULL;
	size = (size + QUEUE_LINES - 1) & ~(size_t)(QUEUE_LINES - 1);
	if (posix_memalign(&lines, QUEUE_LINES, size) != 0)
		return NULL;
	return memset(lines, 0, size);
}

#endif /* VUC_QUEUE_LINES_H */
