/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_ARRIVAL_H
#define VUC_LIB_CONTROL_ARRIVAL_H

/*
 * The arrival of a server: while a device waits for its server, the folder of the socket is
 * watched, and the device is connected to as soon as the name of the socket appears in it. Where
 * that cannot be watched, the timed retries go on all the same. On the control thread, unless noted
 * otherwise.
 */

#include <stdbool.h>
#include <stdint.h>

struct control_device;
struct vuc_control;

struct control_arrival {
	char folder[108];     /* of the socket; "": it has no path */
	const char *name;     /* of the socket in it */
	int watch;            /* of inotify, of the folder; -1: none */
	uint64_t due_ms;      /* when it is connected to for what was seen; 0: not */
	unsigned int hurried; /* attempts for that since the last one that was due by its time */
};

/* Any thread: for a device that has its path. */
void control_arrival_init(struct control_device *d);

/* A device begins to wait, or waits again: its folder may be another one by now. */
void control_arrival_watch(struct control_device *d);

/* It does not wait any more. */
void control_arrival_forget(struct control_device *d);

/* Something has happened on inotify_fd. */
void control_arrival_take_events(struct vuc_control *c);

/* An attempt to connect begins; hurried: before its time. */
void control_arrival_begin(struct control_device *d, bool hurried);

/* It has failed with rc. Returns whether it was hurried, and found nobody who listens: that says
 * nothing of the server, and where its socket was there, it is tried again soon. */
bool control_arrival_was_early(struct control_device *d, int rc);

#endif /* VUC_LIB_CONTROL_ARRIVAL_H */
