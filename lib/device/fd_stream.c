/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#include "fd_stream.h"

/* What to do about a call that has failed. Returns 0 when it can be tried again. */
static int
fd_get_over(int fd, short events, int error)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	if (error == EINTR)
		return 0;
	if (error != EAGAIN)
		return -error;
	if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

int
fd_read_full(int fd, void *data, size_t size, size_t *got)
{
	*got = 0;
	while (*got < size) {
		ssize_t n = read(fd, (uint8_t *)data + *got, size - *got);
		int rc;

		if (n == 0)
			return 0;
		if (n > 0) {
			*got += (size_t)n;
			continue;
		}
		rc = fd_get_over(fd, POLLIN, errno);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int
fd_write_full(int fd, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	while (size > 0) {
		ssize_t n = write(fd, bytes, size);
		int rc;

		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
			continue;
		}
		rc = fd_get_over(fd, POLLOUT, n == 0 ? EIO : errno);
		if (rc != 0)
			return rc;
	}
	return 0;
}
