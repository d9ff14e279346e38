/* SPDX-License-Identifier: BSD-3-Clause */
#include "futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int
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

void
queue_futex_wake(_Atomic uint32_t *word)
{
	/* A queue has one thread that waits. */
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
