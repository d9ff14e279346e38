/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_ARRIVAL_H
#define VUC_LIB_CONTROL_ARRIVAL_H

/*
 * The arrival of a server: while a device waits for its server, the folder of the socket is
 * watched, and a connection is attempted as soon as the socket's name appears in it. A thread looks
 * the folder up, since the control thread waits for no file system. The timed retries continue in
 * any case, for folders that cannot be watched. All functions are called on the control thread,
 * unless noted otherwise.
 */

#include <stdbool.h>
#include <stdint.h>

struct control_device;
struct control_folders; /* that are looked up */
struct vuc_control;

struct control_arrival {
	char folder[108];     /* of the socket; "": it has no path */
	const char *name;     /* of the socket in it */
	int watch;            /* of inotify, of the folder; -1: none */
	bool looking;         /* the folder is being looked up, */
	uint64_t held_ms;     /* and a timed attempt is not made before then */
	uint64_t due_ms;      /* when to connect because of an event; 0: never */
	unsigned int hurried; /* such attempts since the last timed one */
};

/* Any thread. The device has its path already. */
void control_arrival_init(struct control_device *d);

/* Any thread: open inotify_fd of a control plane, where that is possible, and prepare to look up
 * folders. Returns 0 or -ENOMEM. */
int control_folders_create(struct vuc_control *c);

/* Behind the control thread's end. Waits a little for look-ups that are under way, and leaves those
 * that block to their threads. NULL does nothing. */
void control_folders_destroy(struct control_folders *f);

/* A device begins to wait, or waits again: its folder may have been replaced. */
void control_arrival_watch(struct control_device *d);

/* Take the watches of folders that were looked up. */
void control_arrival_take_watches(struct vuc_control *c);

/* It no longer waits. */
void control_arrival_forget(struct control_device *d);

/* Handle the events of inotify_fd. */
void control_arrival_take_events(struct vuc_control *c);

/* When the next attempt to connect is to begin: the folder is watched by then, if possible, so that
 * no server comes unnoticed behind it. */
uint64_t control_arrival_next(const struct control_device *d);

/* An attempt to connect begins; hurried: because of an event, before the timed one. */
void control_arrival_begin(struct control_device *d, bool hurried);

/* The attempt has failed with rc. Returns whether it was hurried and nobody listened yet: this is
 * not the server's failure, and if its socket exists, another attempt follows soon. */
bool control_arrival_was_early(struct control_device *d, int rc);

#endif /* VUC_LIB_CONTROL_ARRIVAL_H */
