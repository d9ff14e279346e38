/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_PERMISSION_H
#define VUC_LIB_CONTROL_PERMISSION_H

/* Who may have a device. */

#include <stdbool.h>
#include <sys/types.h>

#include <vuc/control.h>

#include "peer.h"

struct control_permission {
	uid_t *users;
	unsigned int nr_users;
	gid_t *groups;
	unsigned int nr_groups;
};

/* Copy what the options say: 0 or -ENOMEM. */
int control_permission_init(
	struct control_permission *p, const struct vuc_control_device_opts *opts);
void control_permission_fini(struct control_permission *p);

bool control_may(const struct control_permission *p, const struct vuc_peer *peer);

#endif /* VUC_LIB_CONTROL_PERMISSION_H */
