/* SPDX-License-Identifier: BSD-3-Clause */
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control_data {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(VUC_SHM_MAX_FDS * sizeof(int))];
};

/* There is room for no more than VUC_SHM_MAX_FDS, whatever the number of messages. */
static void
take_fds(struct msghdr *msg, struct packet *p)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n && p->nr_fds < VUC_SHM_MAX_FDS; i++)
			memcpy(&p->fds[p->nr_fds++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
}

int
packet_receive(int fd, struct packet *p)
{
	union control_data control;
	struct iovec iov = {.iov_base = p->bytes, .iov_len = sizeof(p->bytes)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	p->len = 0;
	p->nr_fds = 0;
	do {
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take_fds(&msg, p);
	p->len = (size_t)n;
	if ((msg.msg_flags & MSG_TRUNC) != 0)
		return -EMSGSIZE;
	if ((msg.msg_flags & MSG_CTRUNC) != 0)
		return p->nr_fds < VUC_SHM_MAX_FDS ? -EMFILE : -E2BIG;
	/* A packet without a byte looks the same, and is none. */
	return n == 0 ? -ECONNRESET : 0;
}

void
packet_close(struct packet *p)
{
	for (unsigned int i = 0; i < p->nr_fds; i++)
		close(p->fds[i]);
	p->nr_fds = 0;
}

int
packet_send(int fd, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	union control_data control = {.bytes = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nr_fds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
