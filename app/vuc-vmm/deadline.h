/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_DEADLINE_H
#define VMM_DEADLINE_H

/*
 * The end of a guest's time. A guest that hangs, or sleeps for an interrupt that never comes, does
 * not leave KVM by itself: a signal makes it, or keeps it from going back.
 */

#include <stdbool.h>
#include <stdint.h>

/* When the time is over, *stop becomes 1, which is a kvm_run's immediate_exit. Returns 0, or a
 * negative errno, having said why. One at a time. */
int deadline_set(uint32_t seconds, volatile uint8_t *stop);
void deadline_clear(void);

bool deadline_passed(void);

#endif /* VMM_DEADLINE_H */
