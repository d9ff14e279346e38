/* SPDX-License-Identifier: BSD-3-Clause */
#include "packet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fds.h"

int
packet_receive(int fd, struct packet *p, struct vuc_closer *closer)
{
	struct iovec part = {.iov_base = p->bytes, .iov_len = sizeof(p->bytes)};
	int nr_fds;
	ssize_t n = vuc_fds_receive(
		fd, &part, 1, p->fds, VUC_SHM_MAX_FDS, &nr_fds, MSG_DONTWAIT, closer);

	p->len = n > 0 ? (size_t)n : 0;
	p->nr_fds = nr_fds > 0 ? (unsigned int)nr_fds : 0;
	if (n < 0)
		return (int)n;
	if (nr_fds < 0)
		return nr_fds;
	/* A packet without a byte looks the same, and is none. */
	return n == 0 ? -ECONNRESET : 0;
}

bool
packet_is_eventfd(int fd, bool unknown)
{
	static const char name[] = "anon_inode:[eventfd]";
	char path[64], target[sizeof(name)];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	if (n < 0)
		return unknown;
	return n == (ssize_t)sizeof(name) - 1 && memcmp(target, name, sizeof(name) - 1) == 0;
}

int
packet_send(int fd, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	ssize_t n = vuc_fds_send(fd, bytes, len, fds, nr_fds, MSG_DONTWAIT);

	return n < 0 ? (int)n : 0;
}
