/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_PEER_H
#define VUC_BASE_PEER_H

/* Who is at the other end of a UNIX socket. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A process as it was when it connected. */
struct vuc_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary ones; freed by vuc_peer_fini() */
	size_t nr_groups;
};

/* Fill peer from a connected socket: 0 or a negative errno. vuc_peer_fini() is due after 0. */
int vuc_peer_of(int fd, struct vuc_peer *peer);
void vuc_peer_fini(struct vuc_peer *peer);

/* Whether the group is its primary group or one of the supplementary ones. */
bool vuc_peer_is_member(const struct vuc_peer *peer, gid_t group);

#endif /* VUC_BASE_PEER_H */
