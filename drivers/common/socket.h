/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DRIVERS_SOCKET_H
#define VUC_DRIVERS_SOCKET_H

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

/*
 * Receive into buf, and take the descriptors that come into fds, which has room for VUC_FDS_MAX.
 * Returns how many bytes came, 0 when the peer has closed, or a negative errno; -EMFILE when
 * descriptors that came with bytes found no room in this process.
 */
ssize_t vuc_socket_receive_fds(int fd, void *buf, size_t size, int *fds, unsigned int *nr_fds);

/* The same, with descriptors dropped by the kernel, which is faster. */
static inline ssize_t
vuc_socket_receive(int fd, void *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

/*
 * Receive to where the owner of a connection wants the next bytes, and what goes beyond that into
 * buf. Without fds, descriptors are dropped by the kernel.
 */
ssize_t vuc_socket_receive_into(const struct vuc_conn *conn, int fd, void *buf, size_t size,
	int *fds, unsigned int *nr_fds);

/* Tell the owner of n bytes that came so. Descriptors belong to the last message of all of them. */
static inline void
vuc_socket_received(
	struct vuc_conn *conn, const uint8_t *buf, size_t n, const int *fds, unsigned int nr_fds)
{
	if (conn->into != NULL) {
		bool beyond = n > conn->into_len;
		size_t len = beyond ? conn->into_len : n;

		n -= len;
		conn->events->received(
			conn, conn->into, len, beyond ? NULL : fds, beyond ? 0 : nr_fds);
	}
	if (n > 0)
		conn->events->received(conn, buf, n, fds, nr_fds);
}

#endif /* VUC_DRIVERS_SOCKET_H */
