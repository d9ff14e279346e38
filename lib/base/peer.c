/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A kernel that does not tell them leaves the primary group. */
static void
peer_ask_groups(int fd, struct vuc_peer *peer)
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
	peer->groups = groups;
	peer->nr_groups = len / sizeof(*groups);
}

int
vuc_peer_of(int fd, struct vuc_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return -errno;
	*peer = (struct vuc_peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	peer_ask_groups(fd, peer);
	return 0;
}

void
vuc_peer_fini(struct vuc_peer *peer)
{
	free(peer->groups);
	peer->groups = NULL;
	peer->nr_groups = 0;
}

bool
vuc_peer_is_member(const struct vuc_peer *peer, gid_t group)
{
	if (peer->gid == group)
		return true;
	for (size_t i = 0; i < peer->nr_groups; i++) {
		if (peer->groups[i] == group)
			return true;
	}
	return false;
}
