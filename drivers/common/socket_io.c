/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdint.h>

#include "socket_io.h"

ssize_t
vuc_socket_send(int fd, const struct vuc_segment *s)
{
	ssize_t n;

	if (s->nr_fds > 0)
		return vuc_fds_send(fd, s->bytes, s->len, s->fds, s->nr_fds, MSG_DONTWAIT);
	n = send(fd, s->bytes, s->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

ssize_t
vuc_socket_send_parts(int fd, const struct iovec *parts, unsigned int nr_parts)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)parts,
		.msg_iovlen = nr_parts,
	};
	ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

/* Without fds they are dropped by the kernel. */
static ssize_t
receive_message(int fd, struct iovec *parts, unsigned int nr_parts, int *fds, unsigned int *nr_fds,
	struct vuc_closer *closer)
{
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = nr_parts};
	ssize_t n;
	int nr;

	if (fds == NULL) {
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
		return n < 0 ? -errno : n;
	}
	n = vuc_fds_receive(fd, parts, nr_parts, fds, VUC_FDS_MAX, &nr, MSG_DONTWAIT, closer);
	if (n <= 0)
		return n;
	if (nr < 0)
		return nr;
	*nr_fds = (unsigned int)nr;
	return n;
}

/* What came first, and what goes beyond it. Descriptors belong to the last message of all. */
static void
tell_received(struct vuc_conn *conn, const struct iovec *parts, size_t len, const int *fds,
	unsigned int nr_fds)
{
	size_t first = parts[0].iov_len < len ? parts[0].iov_len : len;

	if (first == len) {
		conn->events->received(conn, parts[0].iov_base, len, fds, nr_fds);
		return;
	}
	conn->events->received(conn, parts[0].iov_base, first, NULL, 0);
	conn->events->received(conn, parts[1].iov_base, len - first, fds, nr_fds);
}

ssize_t
vuc_socket_receive_parts(struct vuc_conn *conn, int fd, uint8_t *buf, size_t size)
{
	bool watched = vuc_view_watches_fds(conn->view);
	struct iovec parts[2] = {{.iov_base = buf, .iov_len = size}};
	unsigned int nr_parts = 1;
	unsigned int nr_fds = 0;
	int fds[VUC_FDS_MAX];
	size_t into_len;
	uint8_t *into = vuc_view_receive_into(conn->view, &into_len);
	ssize_t n;

	if (into != NULL) {
		parts[1] = parts[0];
		parts[0] = (struct iovec){.iov_base = into, .iov_len = into_len};
		nr_parts = 2;
	}
	n = receive_message(fd, parts, nr_parts, watched ? fds : NULL, &nr_fds, conn->closer);
	if (n > 0)
		tell_received(conn, parts, (size_t)n, fds, nr_fds);
	return n;
}
