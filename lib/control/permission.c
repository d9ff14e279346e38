/* SPDX-License-Identifier: BSD-3-Clause */
#include "permission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A kernel that does not tell them leaves the primary group. */
static void
user_ask_groups(int fd, struct control_user *user)
{
	socklen_t len = 0;
	gid_t *groups;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
		len == 0)
		return;
	groups = malloc(len);
	if (groups == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0) {
		free(groups);
		return;
	}
	user->groups = groups;
	user->nr_groups = len / sizeof(*groups);
}

int
control_user_of(int fd, struct control_user *user)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return -errno;
	*user = (struct control_user){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	user_ask_groups(fd, user);
	return 0;
}

void
control_user_fini(struct control_user *user)
{
	free(user->groups);
	user->groups = NULL;
	user->nr_groups = 0;
}

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

static bool
user_is_member(const struct control_user *user, gid_t group)
{
	if (user->gid == group)
		return true;
	for (size_t i = 0; i < user->nr_groups; i++) {
		if (user->groups[i] == group)
			return true;
	}
	return false;
}

bool
control_may(const struct control_permission *p, const struct control_user *user)
{
	if (user->uid == 0 || user->uid == geteuid())
		return true;
	for (unsigned int i = 0; i < p->nr_users; i++) {
		if (p->users[i] == user->uid)
			return true;
	}
	for (unsigned int i = 0; i < p->nr_groups; i++) {
		if (user_is_member(user, p->groups[i]))
			return true;
	}
	return false;
}
