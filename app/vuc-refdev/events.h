/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_EVENTS_H
#define REFDEV_EVENTS_H

/* What reaches the device by descriptors of its own: ioeventfds and the timer. */

#include <stdint.h>

#include "memory.h"
#include "refdev.h"

struct refdev_body;

enum refdev_event {
	REFDEV_EVENT_DOORBELL,  /* ioeventfd of DOORBELL */
	REFDEV_EVENT_DOORBELL2, /* shadow ioeventfd of DOORBELL2 */
	REFDEV_EVENT_TIMER,
};

_Static_assert(REFDEV_EVENT_TIMER + 1 == REFDEV_MAX_EVENT_FDS, "one descriptor an event");

struct refdev_events {
	int fds[REFDEV_MAX_EVENT_FDS]; /* -1: not in use */
	unsigned int nr;               /* in use */
	int ioregion[2];               /* a socket pair; -1 before a client asks */
	struct refdev_memory shadow;   /* of DOORBELL2; fd -1 before a client asks */
};

void refdev_events_init(struct refdev *dev);
/* The client has gone, and what it was given means nothing any more. */
void refdev_events_release(struct refdev *dev);

/* timer.c: TIMER was written. Returns 0 or a negative errno. */
int refdev_timer_set(struct refdev *dev, uint32_t ms);

#endif /* REFDEV_EVENTS_H */
