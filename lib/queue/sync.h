/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_SYNC_H
#define VUC_QUEUE_SYNC_H

/* Memory that two threads or processes share: cache lines, fences, and sleeping on a word of it. */

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

/* A look at memory that another core may change: give the sibling thread a turn. */
static inline void
queue_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Between a store and a load of another place that must not come before it: the two sleeping
 * protocols. GCC warns that ThreadSanitizer does not know fences. Here it need not: no data is
 * handed over by a fence, only tags and counts do that, with release and acquire order; and at run
 * time the fence is one under it, too.
 */
static inline void
queue_fence(void)
{
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
	atomic_thread_fence(memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
}

/*
 * After a copy out of memory that the other end may change at any time. From here on the compiler
 * uses the copy: without this it may as well read the memory again, after the checks.
 */
static inline void
queue_copied(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/*
 * Sleep while the word has a value, for at most timeout_ms (negative: for ever). The word may lie
 * in memory that is shared between processes, and be mapped read-only here. Returns 0 when it was
 * woken or the value has changed or a signal came; -ETIMEDOUT; what else futex(2) says, without
 * sleeping.
 */
static inline int
queue_futex_wait(const _Atomic uint32_t *word, uint32_t value, int timeout_ms)
{
	const struct timespec timeout = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = (long)(timeout_ms % 1000) * 1000000,
	};
	long rc = syscall(
		SYS_futex, word, FUTEX_WAIT, value, timeout_ms < 0 ? NULL : &timeout, NULL, 0);

	return rc == 0 || errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Wake whoever sleeps on the word: a queue has one thread that waits. */
static inline void
queue_futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

#endif /* VUC_QUEUE_SYNC_H */
