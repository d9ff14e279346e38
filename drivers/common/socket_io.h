/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DRIVERS_SOCKET_IO_H
#define VUC_DRIVERS_SOCKET_IO_H

/* One send or receive by a system call that never waits. */

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "fds.h"
#include "transport.h"

/* Returns how many bytes of the segment went out, its descriptors with them, or a negative errno.
 */
ssize_t vuc_socket_send(int fd, const struct vuc_segment *segment);

/* The same for bytes that lie in several places; memory that is not there is -EFAULT. */
ssize_t vuc_socket_send_parts(int fd, const struct iovec *parts, unsigned int nr_parts);

/* The same as vuc_socket_receive(), in any way. */
ssize_t vuc_socket_receive_parts(struct vuc_conn *conn, int fd, uint8_t *buf, size_t size);

/*
 * Receive what is there, as the owner of a connection wants it, and tell him. buf is for what he
 * has no place of his own for. Returns how many bytes came, 0 when the peer has closed, or a
 * negative errno; -EMFILE when descriptors that came with bytes found no room in this process.
 */
static inline ssize_t
vuc_socket_receive(struct vuc_conn *conn, int fd, uint8_t *buf, size_t size)
{
	ssize_t n;

	if (!vuc_view_receives_plainly(conn->view))
		return vuc_socket_receive_parts(conn, fd, buf, size);
	/* Descriptors are dropped by the kernel, which is faster. */
	n = recv(fd, buf, size, MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if (n > 0)
		conn->events->received(conn, buf, (size_t)n, NULL, 0);
	return n;
}

#endif /* VUC_DRIVERS_SOCKET_IO_H */
