/* SPDX-License-Identifier: BSD-3-Clause */
#include "pages.h"

#include <sys/mman.h>
#include <time.h>

#include "descriptor.h"

/*
 * A daemon writes the page in less than a look, unless it loses its CPU meanwhile: then it gets
 * time. One that died while it wrote never ends.
 */
#define STATE_SPINS 1000u
#define STATE_LOOKS 2000u
#define STATE_PAUSE 100000 /* ns */

int
vmm_pages_map(struct vmm_pages *pages, const int fds[VUC_SHM_ATTACH_FDS], struct vuc_error *err)
{
	void *memory;
	int rc;

	rc = vmm_memory_map(&memory, fds[VUC_SHM_FD_STATE], sizeof(*pages->state), PROT_READ,
		"page of the state", err);
	if (rc != 0)
		return rc;
	pages->state = memory;
	rc = vmm_memory_map(&memory, fds[VUC_SHM_FD_BELL], sizeof(*pages->bell),
		PROT_READ | PROT_WRITE, "page of the bell", err);
	if (rc != 0)
		return rc;
	pages->bell = memory;
	rc = vmm_memory_map(&memory, fds[VUC_SHM_FD_POLLER], sizeof(*pages->poller), PROT_READ,
		"page of the poller", err);
	if (rc == 0)
		pages->poller = memory;
	return rc;
}

void
vmm_pages_unmap(struct vmm_pages *pages)
{
	if (pages->state != NULL)
		munmap((void *)(uintptr_t)pages->state, sizeof(*pages->state));
	if (pages->bell != NULL)
		munmap(pages->bell, sizeof(*pages->bell));
	if (pages->poller != NULL)
		munmap((void *)(uintptr_t)pages->poller, sizeof(*pages->poller));
	*pages = (struct vmm_pages){0};
}

/*
 * Each load has acquire order and so none comes before those above it: the second look at the
 * sequence is the last one. If a field is of a later state, the odd number that the daemon has
 * stored before it, or a later one, is seen there.
 */
static void
page_copy(const struct vuc_shm_state *from, struct vuc_shm_state *to)
{
	to->state = __atomic_load_n(&from->state, __ATOMIC_ACQUIRE);
	to->generation = __atomic_load_n(&from->generation, __ATOMIC_ACQUIRE);
	to->reads = __atomic_load_n(&from->reads, __ATOMIC_ACQUIRE);
	to->writes = __atomic_load_n(&from->writes, __ATOMIC_ACQUIRE);
	to->posted = __atomic_load_n(&from->posted, __ATOMIC_ACQUIRE);
	to->errors = __atomic_load_n(&from->errors, __ATOMIC_ACQUIRE);
	to->resets = __atomic_load_n(&from->resets, __ATOMIC_ACQUIRE);
}

void
vmm_state_read(const struct vmm_pages *pages, struct vuc_shm_state *state)
{
	const struct vuc_shm_state *page = pages->state;

	const struct timespec pause = {.tv_nsec = STATE_PAUSE};

	/* When it never holds still: each field is one that the daemon has stored. */
	for (unsigned int i = 0; i < STATE_LOOKS; i++) {
		if (i >= STATE_SPINS)
			nanosleep(&pause, NULL);
		state->sequence = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
		page_copy(page, state);
		if (state->sequence % 2 == 0 &&
			__atomic_load_n(&page->sequence, __ATOMIC_RELAXED) == state->sequence)
			return;
	}
}

uint32_t
vmm_state_now(const struct vmm_pages *pages)
{
	return __atomic_load_n(&pages->state->state, __ATOMIC_ACQUIRE);
}
