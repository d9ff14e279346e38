/* SPDX-License-Identifier: BSD-3-Clause */
#include "packet.h"

#include <errno.h>

#include "fds.h"

int
packet_receive(int fd, struct packet *p)
{
	struct iovec part = {.iov_base = p->bytes, .iov_len = sizeof(p->bytes)};
	int nr_fds;
	ssize_t n = vuc_fds_receive(fd, &part, 1, p->fds, VUC_SHM_MAX_FDS, &nr_fds, MSG_DONTWAIT);

	p->len = n > 0 ? (size_t)n : 0;
	p->nr_fds = nr_fds > 0 ? (unsigned int)nr_fds : 0;
	if (n < 0)
		return (int)n;
	if (nr_fds < 0)
		return nr_fds;
	/* A packet without a byte looks the same, and is none. */
	return n == 0 ? -ECONNRESET : 0;
}

void
packet_close(struct packet *p)
{
	vuc_fds_close(p->fds, p->nr_fds);
	p->nr_fds = 0;
}

int
packet_send(int fd, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	ssize_t n = vuc_fds_send(fd, bytes, len, fds, nr_fds, MSG_DONTWAIT);

	return n < 0 ? (int)n : 0;
}
