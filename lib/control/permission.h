/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_PERMISSION_H
#define VUC_LIB_CONTROL_PERMISSION_H

/* Who connects, and who may have a device. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <vuc/control.h>

/* A process as it was when it connected. */
struct control_user {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones; freed by control_user_fini() */
	size_t nr_groups;
};

struct control_permission {
	uid_t *users;
	unsigned int nr_users;
	gid_t *groups;
	unsigned int nr_groups;
};

/* Who is at the other end of a socket: 0 or a negative errno. */
int control_user_of(int fd, struct control_user *user);
void control_user_fini(struct control_user *user);

/* Copy what the options say: 0 or -ENOMEM. */
int control_permission_init(
	struct control_permission *p, const struct vuc_control_device_opts *opts);
void control_permission_fini(struct control_permission *p);

bool control_may(const struct control_permission *p, const struct control_user *user);

#endif /* VUC_LIB_CONTROL_PERMISSION_H */
