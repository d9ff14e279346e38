/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_GUARD_H
#define VUC_LIB_CONTROL_GUARD_H

/*
 * Memory of VMMs that is mapped here may lose its pages at any time: whoever has the file can
 * truncate it. An access then raises SIGBUS; with a guard it finds zeros instead, and the VMM to
 * which the memory belongs is marked, so that its connection can be ended.
 *
 * Where the file has a hole, an access makes a page, and this process pays for it. Ranges that are
 * watched raise SIGBUS there as well (userfaultfd(2)): each page is taken off a budget, and the VMM
 * is marked when that is used up.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The mapped memory of one VMM. */
struct guard;

/* The signal's handler, once in the life of the process; other faults go to whoever handled them
 * before. Returns 0 or a negative errno. */
int guard_install(void);

/* Room for max ranges, and bytes that may be taken. When one of the ranges is broken, wake_fd, an
 * eventfd of the daemon's own, is written. NULL with an errno. */
struct guard *guard_create(size_t max, uint64_t budget, int wake_fd);

/* All ranges have been removed by now. NULL does nothing. */
void guard_destroy(struct guard *g);

/* Add and remove ranges, one thread at a time: added before it is accessed, removed before it is
 * unmapped. -ENOSPC when there are as many as there can be. */
int guard_add(struct guard *g, void *start, size_t size);
void guard_remove(struct guard *g, void *start);

/* Watch a range that was added, until it is unmapped. Returns false where that cannot be done. */
bool guard_watch(const struct guard *g, void *start, size_t size);

/* Take bytes off the budget: false when there are not as many. Give them back. */
bool guard_take(struct guard *g, uint64_t bytes);
void guard_give(struct guard *g, uint64_t bytes);

/* Whether one of them has lost pages, or would have been given more pages than the budget allows;
 * neither becomes false again. */
bool guard_is_broken(const struct guard *g);
bool guard_is_spent(const struct guard *g);

/* What guard_is_broken() looks at; as long as the guard. */
const _Atomic bool *guard_broken(const struct guard *g);

#endif /* VUC_LIB_CONTROL_GUARD_H */
