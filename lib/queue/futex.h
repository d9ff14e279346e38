/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_FUTEX_H
#define VUC_QUEUE_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

#endif /* VUC_QUEUE_FUTEX_H */
