/* SPDX-License-Identifier: BSD-3-Clause */
#include "state_page.h"

#include <stdbool.h>
#include <stddef.h>

#define SAME(field)                                                                            \
	_Static_assert(                                                                        \
		offsetof(struct state_page, field) == offsetof(struct vuc_shm_state, field) && \
			sizeof(((struct state_page *)NULL)->field) ==                          \
				sizeof(((struct vuc_shm_state *)NULL)->field),                 \
		#field)

SAME(sequence);
SAME(state);
SAME(generation);
SAME(reads);
SAME(writes);
SAME(posted);
SAME(errors);
SAME(resets);
SAME(remaps);
SAME(releases);
_Static_assert(sizeof(struct state_page) == sizeof(struct vuc_shm_state), "");

/*
 * A reader that sees one of the values has to see that the sequence is odd, too. So each of them is
 * stored with release order behind it, which pairs with the reader's fence; a fence here would do,
 * but ThreadSanitizer does not know it.
 */
static void
state_page_begin(struct state_page *page)
{
	uint32_t n = atomic_load_explicit(&page->sequence, memory_order_relaxed);

	atomic_store_explicit(&page->sequence, n + 1, memory_order_relaxed);
}

/* Pairs with the reader's first look at the sequence. */
static void
state_page_end(struct state_page *page)
{
	uint32_t n = atomic_load_explicit(&page->sequence, memory_order_relaxed);

	atomic_store_explicit(&page->sequence, n + 1, memory_order_release);
}

void
state_page_set(struct state_page *page, enum vuc_shm_device_state state, uint64_t generation)
{
	uint64_t resets = atomic_load_explicit(&page->resets, memory_order_relaxed);

	/* A device whose server was away is as new, and its driver does not know that. */
	if (state == VUC_SHM_STALE || state == VUC_SHM_BACK)
		resets++;
	state_page_begin(page);
	atomic_store_explicit(&page->state, (uint32_t)state, memory_order_release);
	atomic_store_explicit(&page->generation, generation, memory_order_release);
	atomic_store_explicit(&page->resets, resets, memory_order_release);
	state_page_end(page);
}

void
state_page_add(struct state_page *page, _Atomic uint64_t *counter)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);

	state_page_begin(page);
	atomic_store_explicit(counter, n + 1, memory_order_release);
	state_page_end(page);
}

static bool
counters_differ(const _Atomic uint64_t *value, uint64_t n)
{
	return atomic_load_explicit(value, memory_order_relaxed) != n;
}

void
state_page_count(struct state_page *page, const struct vuc_access_stats *c)
{
	if (!counters_differ(&page->reads, c->reads) &&
		!counters_differ(&page->writes, c->writes) &&
		!counters_differ(&page->posted, c->posted) &&
		!counters_differ(&page->errors, c->errors))
		return;
	state_page_begin(page);
	atomic_store_explicit(&page->reads, c->reads, memory_order_release);
	atomic_store_explicit(&page->writes, c->writes, memory_order_release);
	atomic_store_explicit(&page->posted, c->posted, memory_order_release);
	atomic_store_explicit(&page->errors, c->errors, memory_order_release);
	state_page_end(page);
}
