/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_BAR0_H
#define VUC_LIB_CONTROL_BAR0_H

/* keep_bar0: a link named bar0 beside the server's socket; see bar0.c. On the control thread,
 * unless noted otherwise. Without the option they do nothing. */

#include <stdbool.h>
#include <sys/types.h>

#include <vuc/control.h>
#include <vuc/error.h>

struct control_device;

struct control_bar0 {
	bool on;
	const char *folder;                                  /* of the server's socket */
	char name[sizeof(".bar0-") + VUC_CONTROL_NAME_SIZE]; /* of the file in it, which stays */
	dev_t dev;                                           /* of the file, as it was seen last */
	ino_t ino;                                           /* likewise; 0: none */
	int watch;  /* of inotify, of the file, unless it has fired; 0: none */
	int status; /* 0, or why there is no link, with err */
	struct vuc_error err;
};

/* Any thread: for a device that has its name and path. Returns 0 or -EINVAL. */
int control_bar0_init(struct control_device *d, struct vuc_error *err);

/* Any thread: whether both would place a link in one folder. */
bool control_bar0_collides(const struct control_device *d, const struct control_device *other);

/* Place the link, unless it is there; status says whether that was possible. */
void control_bar0_place(struct control_device *d);

/* The files have changed: links are placed again soon. */
void control_bar0_hurry(struct vuc_control *c);

/* Any thread, while no VMM can attach: clear what the last one has left in the file. */
void control_bar0_clear(struct control_device *d);

/* Remove what was placed. */
void control_bar0_remove(struct control_device *d);

#endif /* VUC_LIB_CONTROL_BAR0_H */
