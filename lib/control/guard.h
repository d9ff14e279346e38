/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_GUARD_H
#define VUC_LIB_CONTROL_GUARD_H

/*
 * Memory of VMMs that is mapped here may lose its pages at any time: whoever has the file can
 * truncate it. An access then raises SIGBUS; with a guard it finds zeros instead, and the VMM to
 * which the memory belongs is marked, so that its connection can be ended.
 */

#include <stdbool.h>
#include <stddef.h>

/* The mapped memory of one VMM. */
struct guard;

/* The signal's handler, once in the life of the process; other faults go to whoever handled them
 * before. Returns 0 or a negative errno. */
int guard_install(void);

/* Room for max ranges. When one of them is broken, wake_fd, an eventfd of the daemon's own, is
 * written. NULL with an errno. */
struct guard *guard_create(size_t max, int wake_fd);

/* All ranges have been removed by now. NULL does nothing. */
void guard_destroy(struct guard *g);

/* Add and remove ranges, one thread at a time: added before it is accessed, removed before it is
 * unmapped. -ENOSPC when there are as many as there can be. */
int guard_add(struct guard *g, void *start, size_t size);
void guard_remove(struct guard *g, void *start);

/* Whether one of them has lost pages; never becomes false again. */
bool guard_is_broken(const struct guard *g);

#endif /* VUC_LIB_CONTROL_GUARD_H */
