/* SPDX-License-Identifier: BSD-3-Clause */
#include "permission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *
permission_copy_list(const void *list, size_t bytes)
{
	void *copy = malloc(bytes > 0 ? bytes : 1);

	if (copy != NULL && bytes > 0)
		memcpy(copy, list, bytes);
	return copy;
}

int
control_permission_init(struct control_permission *p, const struct vuc_control_device_opts *opts)
{
	*p = (struct control_permission){
		.users = permission_copy_list(opts->users, opts->nr_users * sizeof(*opts->users)),
		.nr_users = opts->nr_users,
		.groups =
			permission_copy_list(opts->groups, opts->nr_groups * sizeof(*opts->groups)),
		.nr_groups = opts->nr_groups,
	};
	if (p->users != NULL && p->groups != NULL)
		return 0;
	control_permission_fini(p);
	return -ENOMEM;
}

void
control_permission_fini(struct control_permission *p)
{
	free(p->users);
	free(p->groups);
	*p = (struct control_permission){0};
}

bool
control_may(const struct control_permission *p, const struct vuc_peer *peer)
{
	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	for (unsigned int i = 0; i < p->nr_users; i++) {
		if (p->users[i] == peer->uid)
			return true;
	}
	for (unsigned int i = 0; i < p->nr_groups; i++) {
		if (vuc_peer_is_member(peer, p->groups[i]))
			return true;
	}
	return false;
}
