/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_PAGES_H
#define VUC_VMM_PAGES_H

/* The memory that every attached VMM shares with the daemon. */

#include <vuc/error.h>
#include <vuc/shm.h>

struct vmm_pages {
	const struct vuc_shm_state *state;
	struct vuc_shm_bell *bell;
	const struct vuc_shm_poller *poller;
};

/* Map what came with the reply to ATTACH. After a failure some of it may be mapped. */
int vmm_pages_map(
	struct vmm_pages *pages, const int fds[VUC_SHM_ATTACH_FDS], struct vuc_error *err);
void vmm_pages_unmap(struct vmm_pages *pages);

/* The state as a whole. Any thread. */
void vmm_state_read(const struct vmm_pages *pages, struct vuc_shm_state *state);

/* Only enum vuc_shm_device_state. Any thread. */
uint32_t vmm_state_now(const struct vmm_pages *pages);

#endif /* VUC_VMM_PAGES_H */
