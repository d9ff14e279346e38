/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DRIVERS_SOCKET_H
#define VUC_DRIVERS_SOCKET_H

/* One send or receive by a system call that never waits. */

#include <errno.h>
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
 * Returns how many bytes came, 0 when the peer has closed, or a negative errno.
 */
ssize_t vuc_socket_receive_fds(int fd, void *buf, size_t size, int *fds, unsigned int *nr_fds);

/* The same, with descriptors dropped by the kernel, which is faster. */
static inline ssize_t
vuc_socket_receive(int fd, void *buf, size_t size)
{
	ssize_t n = recv(fd, buf, size, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

#endif /* VUC_DRIVERS_SOCKET_H */
