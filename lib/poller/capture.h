/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_CAPTURE_H
#define VUC_POLLER_CAPTURE_H

/*
 * A capture: the messages of a device over all its connections go into a ring. The poller's thread
 * puts them there, and never waits for whoever reads them.
 */

#include "capture_ring.h"
#include "watch.h"

struct poller_capture {
	struct vuc_capture_ring *ring;
	uint32_t snaplen;
	struct vuc_poller *poller;
	struct poller_account *account; /* guarded by the registry's lock; NULL: it is closed */
};

/* Take a ring for an account, which is sure to be there during the call. Any thread. Returns 0;
 * -EBUSY: it has one. Nothing is captured yet. */
int vuc_poller_capture_begin(struct poller_capture *c, struct vuc_poller *p,
	struct poller_account *account, struct vuc_capture_ring *ring, uint32_t snaplen);

/* Begin to capture, if the account is still there. Waits for the poller's thread. */
void vuc_poller_capture_apply(const struct poller_capture *c);

/* Stop. Nobody uses the ring any more. Waits likewise. */
void vuc_poller_capture_end(struct poller_capture *c);

#endif /* VUC_POLLER_CAPTURE_H */
