/* SPDX-License-Identifier: BSD-3-Clause */
#include "fds.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Of Linux 6.16, where the options are numbered as on most architectures. */
#if !defined(SO_PASSRIGHTS) && SO_ZEROCOPY == 60
#define SO_PASSRIGHTS 83
#endif

int
vuc_fds_accept(int sock, bool accept)
{
#ifdef SO_PASSRIGHTS
	const int on = accept;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (setsockopt(sock, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on)) != 0)
		return -errno;
	/* getpeername() takes the lock that a sender holds while it checks the option and queues
	 * its message: afterwards no sender still sees the old value. */
	if (!accept)
		getpeername(sock, (struct sockaddr *)&peer, &len);
	return 0;
#else
	(void)sock;
	(void)accept;
	return -ENOPROTOOPT;
#endif
}

void
vuc_fds_close(const int *fds, unsigned int nr_fds)
{
	vuc_closer_close(NULL, fds, nr_fds);
}

static void
fds_put(struct msghdr *msg, struct vuc_fds_control *control, const int *fds, unsigned int nr_fds)
{
	size_t size = nr_fds * sizeof(int);
	struct cmsghdr *cmsg;

	if (nr_fds == 0)
		return;
	memset(control->space, 0, CMSG_SPACE(size));
	msg->msg_control = control->space;
	msg->msg_controllen = CMSG_SPACE(size);
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(cmsg), fds, size);
}

ssize_t
vuc_fds_send(
	int sock, const void *bytes, size_t len, const int *fds, unsigned int nr_fds, int flags)
{
	struct vuc_fds_control control;
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	fds_put(&msg, &control, fds, nr_fds);
	do
		n = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int
vuc_fds_take(struct msghdr *msg, int *fds, unsigned int max, struct vuc_closer *closer)
{
	unsigned int nr = 0;
	bool lost = (msg->msg_flags & MSG_CTRUNC) != 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			if (nr < max)
				fds[nr] = fd;
			else
				vuc_closer_close(closer, &fd, 1);
			nr++;
		}
	}
	if (nr <= max && !lost)
		return (int)nr;
	vuc_closer_close(closer, fds, nr < max ? nr : max);
	return nr > max ? -E2BIG : -EMFILE;
}

ssize_t
vuc_fds_receive(int sock, const struct iovec *parts, unsigned int nr_parts, int *fds,
	unsigned int max, int *nr_fds, int flags, struct vuc_closer *closer)
{
	struct vuc_fds_control control;
	struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts,
		.msg_iovlen = nr_parts,
		.msg_control = control.space};
	ssize_t n;

	*nr_fds = 0;
	do {
		msg.msg_controllen = sizeof(control.space);
		n = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*nr_fds = vuc_fds_take(&msg, fds, max, closer);
	if ((msg.msg_flags & MSG_TRUNC) == 0)
		return n;
	if (*nr_fds > 0)
		vuc_closer_close(closer, fds, (unsigned int)*nr_fds);
	*nr_fds = 0;
	return -EMSGSIZE;
}
