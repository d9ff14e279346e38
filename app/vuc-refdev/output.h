/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_OUTPUT_H
#define REFDEV_OUTPUT_H

/* A reply on its way to the client, as far as it did not leave at once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/loopback.h>

#include "fault.h"
#include "fds.h"

/* A reply that the next one is to overtake. */
struct refdev_held {
	struct vuc_loopback_msg msg; /* len 0: none; the bytes stay allocated for another one */
	struct refdev_plan plan;
	uint64_t not_after; /* in the time of vuc_clock_ns() */
};

struct refdev_output {
	const uint8_t *bytes; /* the caller's; unchanged while pending */
	size_t len;           /* to be sent; 0: nothing is pending */
	size_t sent;
	size_t chunk; /* most bytes of one send */
	unsigned int repeats;
	bool hang_up;        /* close when all is out */
	uint64_t not_before; /* in the time of vuc_clock_ns() */
	struct refdev_held held;
	unsigned int nr_fds; /* they ride on the first byte */
	int fds[VUC_FDS_MAX];
};

/*
 * Send a reply without waiting: all at once in a single send, or by the plan when there is one.
 * Takes the reply's descriptors. Returns 0 when it is out or held; -EAGAIN when the rest is
 * pending, for refdev_output_flush(); -ESHUTDOWN when the plan says to close now; or what ended the
 * connection.
 */
int refdev_output_send(struct refdev_output *out, int fd, struct vuc_loopback_msg *reply,
	const struct refdev_plan *plan);

/* Go on with what is pending, or with what is held and has waited for long enough; returns as
 * refdev_output_send(). */
int refdev_output_flush(struct refdev_output *out, int fd);

/* Nanoseconds until what is held goes out by itself; -1: nothing is. */
int64_t refdev_output_held_for(const struct refdev_output *out);

/* Forget what is pending or held. */
void refdev_output_drop(struct refdev_output *out);

static inline bool
refdev_output_pending(const struct refdev_output *out)
{
	return out->len > 0;
}

static inline bool
refdev_output_holds(const struct refdev_output *out)
{
	return out->held.msg.len > 0;
}

#endif /* REFDEV_OUTPUT_H */
