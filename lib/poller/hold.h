/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_HOLD_H
#define VUC_POLLER_HOLD_H

/*
 * What becomes of accesses through queues during an outage: from the loss of a device's connection
 * until vuc_device_restore_start() has made it whole again. Reads, in flight and new ones, are kept
 * and sent again after the return, before anything newer. Writes are dropped, counted and answered
 * as done: repeated on a fresh device, a doorbell or an enable bit would do harm.
 */

#include <stdint.h>

#include <vuc/poller.h>

/* What reads get once an outage has lasted too long. */
enum poller_after {
	POLLER_AFTER_HOLD,  /* nothing: they are kept until the return */
	POLLER_AFTER_LAST,  /* what was read there last, as config space or as the same register;
			     * -ENOTCONN where nothing is known */
	POLLER_AFTER_ONES,  /* all bits set */
	POLLER_AFTER_ERROR, /* -ENOTCONN, and writes likewise */
};

struct poller_hold_opts {
	uint32_t hold_ms;               /* from the loss on, for all reads of an outage together */
	enum poller_after after_config; /* of config space */
	enum poller_after after_rest;   /* of all other regions */
};

/*
 * On the poller's thread: keep the accesses of a device, which is connected or away, in outages
 * from now on. NULL: no more, and what is kept ends with -ENOTCONN. It ends with -ECANCELED when
 * its queue is closed. Returns 0; -EINVAL for a device of others; -ENOMEM.
 */
int vuc_poller_set_hold(
	struct vuc_poller *p, struct vuc_device *dev, const struct poller_hold_opts *opts);

#endif /* VUC_POLLER_HOLD_H */
