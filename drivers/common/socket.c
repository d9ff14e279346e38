/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdint.h>

#include "socket.h"

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
receive_parts(int fd, struct iovec *parts, unsigned int nr_parts, int *fds, unsigned int *nr_fds)
{
	struct msghdr msg = {.msg_iov = parts, .msg_iovlen = nr_parts};
	ssize_t n;
	int nr;

	if (fds == NULL) {
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
		return n < 0 ? -errno : n;
	}
	n = vuc_fds_receive(fd, parts, nr_parts, fds, VUC_FDS_MAX, &nr, MSG_DONTWAIT);
	if (n <= 0)
		return n;
	if (nr < 0)
		return nr;
	*nr_fds = (unsigned int)nr;
	return n;
}

ssize_t
vuc_socket_receive_fds(int fd, void *buf, size_t size, int *fds, unsigned int *nr_fds)
{
	struct iovec part = {.iov_base = buf, .iov_len = size};

	return receive_parts(fd, &part, 1, fds, nr_fds);
}

ssize_t
vuc_socket_receive_into(
	const struct vuc_conn *conn, int fd, void *buf, size_t size, int *fds, unsigned int *nr_fds)
{
	struct iovec parts[2] = {{.iov_base = conn->into, .iov_len = conn->into_len},
		{.iov_base = buf, .iov_len = size}};

	return receive_parts(fd, parts, 2, fds, nr_fds);
}
