/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_FDS_H
#define VUC_BASE_FDS_H

/* Descriptors that go with a message over a UNIX socket (SCM_RIGHTS). */

#include <stdbool.h>
#include <sys/socket.h>

#include "closers.h"

/* The kernel's own limit for one message (SCM_MAX_FD): with room for it, none is cut off. */
#define VUC_FDS_MAX 253

/* Room for the descriptors of one message. */
struct vuc_fds_control {
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(VUC_FDS_MAX * sizeof(int))];
};

/* Close them; those below 0 are none. */
void vuc_fds_close(const int *fds, unsigned int nr_fds);

/*
 * Whether others may send descriptors to a socket (SO_PASSRIGHTS, Linux 6.16): -EPERM is what they
 * get otherwise. What is sent behind this is refused, and what has been sent before is still there.
 * Returns 0 or a negative errno, -ENOPROTOOPT where the kernel does not have it.
 */
int vuc_fds_accept(int sock, bool accept);

/*
 * Send bytes and descriptors, at most VUC_FDS_MAX and maybe none, which stay the caller's. flags
 * are those of sendmsg(2); MSG_NOSIGNAL is added. Returns how many bytes went out, the descriptors
 * with the first of them, or a negative errno.
 */
ssize_t vuc_fds_send(
	int sock, const void *bytes, size_t len, const int *fds, unsigned int nr_fds, int flags);

/*
 * Receive bytes into parts and descriptors into fds, which has room for max. flags are those of
 * recvmsg(2); MSG_CMSG_CLOEXEC is added. Returns how many bytes came, 0 when the peer has closed;
 * -EMSGSIZE for a packet that the parts are too small for; another negative errno. nr_fds is set as
 * vuc_fds_take() says, and to 0 with an error. What is of no use is left to closer; NULL: it is
 * closed here.
 */
ssize_t vuc_fds_receive(int sock, const struct iovec *parts, unsigned int nr_parts, int *fds,
	unsigned int max, int *nr_fds, int flags, struct vuc_closer *closer);

/*
 * Take the descriptors out of a message that was received with a whole struct vuc_fds_control.
 * Returns how many they are: they are the caller's; or, and none is left then, -E2BIG when there
 * are more than max, and -EMFILE when this process had no room for all of them. Those are left to
 * closer; NULL: they are closed here.
 */
int vuc_fds_take(struct msghdr *msg, int *fds, unsigned int max, struct vuc_closer *closer);

#endif /* VUC_BASE_FDS_H */
