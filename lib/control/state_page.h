/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_STATE_PAGE_H
#define VUC_LIB_CONTROL_STATE_PAGE_H

/* struct vuc_shm_state as the daemon writes it. One thread at a time writes. */

#include <stdatomic.h>
#include <stdint.h>

#include <vuc/shm.h>
#include <vuc/stats.h>

struct state_page {
	_Atomic uint32_t sequence;
	_Atomic uint32_t state;
	_Atomic uint64_t generation;
	_Atomic uint64_t reads;
	_Atomic uint64_t writes;
	_Atomic uint64_t posted;
	_Atomic uint64_t errors;
	_Atomic uint64_t resets;
	_Atomic uint64_t remaps;
	_Atomic uint64_t releases;
};

void state_page_set(struct state_page *page, enum vuc_shm_device_state state, uint64_t generation);

/* Increase one of the counters of events: resets, remaps, releases. */
void state_page_add(struct state_page *page, _Atomic uint64_t *counter);

/* Does not write when nothing has changed. */
void state_page_count(struct state_page *page, const struct vuc_access_stats *counters);

#endif /* VUC_LIB_CONTROL_STATE_PAGE_H */
