/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_STATE_H
#define VUC_VMM_STATE_H

/* What becomes of the device, and where the VMM's main loop hears of it. */

#include "device.h"

/* Map what came with the reply to ATTACH. After a failure some of it may be mapped. */
int vmm_pages_map(
	struct vmm_pages *pages, const int fds[VUC_SHM_ATTACH_FDS], struct vuc_error *err);
void vmm_pages_unmap(struct vmm_pages *pages);

/* Put others in their place, at the same addresses. Returns 0 or a negative errno: some may be the
 * old ones then. */
int vmm_pages_replace(struct vmm_pages *pages, struct vmm_pages *others, struct vuc_error *err);

/* Returns 0 or a negative errno, with err. */
int vmm_watch_open(struct vmm_watch *w, struct vuc_error *err);
void vmm_watch_close(struct vmm_watch *w);

/* Listen to the daemon's eventfd, once the device is attached, from what the reply has said. */
int vmm_watch_state(struct vuc_vmm_device *dev, struct vuc_error *err);

/* Listen to the socket, for EPOLLIN and EPOLLOUT of these and its end. Only after it was connected.
 */
void vmm_watch_link(struct vmm_watch *w, int fd, uint32_t mask);

/* Have the descriptor readable at this time, or earlier. */
#define VMM_WATCH_NOW 1u
void vmm_watch_timer(struct vmm_watch *w, uint64_t when_ms);

/* The socket is going to be another one, at the same number; likewise the daemon's eventfd. */
void vmm_watch_forget_link(struct vmm_watch *w, int fd);
int vmm_watch_renew_event(struct vmm_watch *w, int event_fd, struct vuc_error *err);

/* There is nothing any more to be done at once. */
void vmm_watch_calm(struct vmm_watch *w);

/* The descriptor cannot be read any more when this is done, except for the socket. Returns whether
 * the daemon has gone; that is said once. */
bool vmm_watch_drain(struct vuc_vmm_device *dev);

/* What of the device's state has changed: VUC_VMM_EVENT_*. Without the lock: it may take a while.
 */
uint32_t vmm_state_events(struct vuc_vmm_device *dev, bool gone);

/* Another daemon has the device: what it is now is not compared with what it was. On the thread
 * that takes events. */
void vmm_state_begin(struct vuc_vmm_device *dev, uint64_t generation);

#endif /* VUC_VMM_STATE_H */
