/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_QUEUE_FUTEX_H
#define VUC_QUEUE_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Sleep while the word has a value, for at most timeout_ms (negative: for ever). The word may lie
 * in memory that is shared between processes, and be mapped read-only here. Returns 0 when it was
 * woken or the value has changed or a signal came; -ETIMEDOUT; what else futex(2) says, without
 * sleeping.
 */
int queue_futex_wait(const _Atomic uint32_t *word, uint32_t value, int timeout_ms);

/* Wake whoever sleeps on the word. */
void queue_futex_wake(_Atomic uint32_t *word);

#endif /* VUC_QUEUE_FUTEX_H */
