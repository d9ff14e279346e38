/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "fds.h"
#include "socket.h"

/* A socket's backlog may be full: connect(2) then waits as long as sending may. */
static int
connect_within(int fd, const struct sockaddr_un *addr, uint64_t deadline_ms)
{
	for (;;) {
		int64_t left = (int64_t)(deadline_ms - vuc_clock_ms());
		const struct timeval timeout = {
			.tv_sec = left / 1000,
			.tv_usec = left % 1000 * 1000,
		};

		if (left <= 0)
			return -ETIMEDOUT;
		if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0)
			return -errno;
		if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
			return 0;
		if (errno != EINTR)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
}

int
vmm_link_open(struct vmm_link *link, const char *path, uint32_t timeout_ms, struct vuc_error *err)
{
	struct sockaddr_un addr;
	int rc = vuc_socket_address(path, &addr, err);

	*link = (struct vmm_link){.fd = -1, .timeout_ms = timeout_ms};
	if (rc != 0)
		return rc;
	link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (link->fd < 0)
		return vuc_error_set(err, -errno, "no socket: %s", strerror(errno));
	rc = connect_within(link->fd, &addr, vuc_clock_ms() + timeout_ms);
	if (rc != 0)
		vuc_error_set(
			err, rc, "cannot connect to the daemon at %s: %s", path, strerror(-rc));
	return rc;
}

void
vmm_link_close(struct vmm_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

int
vmm_link_end(struct vmm_link *link, struct vuc_error *err, int rc, const char *fmt, ...)
{
	char text[VUC_ERROR_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	link->ended = true;
	vuc_error_set(&link->reason, rc, "%s", text);
	shutdown(link->fd, SHUT_RDWR);
	return vuc_error_set(err, rc, "%s", text);
}

bool
vmm_link_is_gone(const struct vmm_link *link)
{
	struct pollfd poller = {.fd = link->fd, .events = POLLRDHUP};

	return poll(&poller, 1, 0) == 1;
}

/* Returns 0 when the socket may be ready, -ETIMEDOUT. */
static int
wait_for(const struct vmm_link *link, short events, uint64_t deadline_ms)
{
	struct pollfd poller = {.fd = link->fd, .events = events};
	int64_t left = (int64_t)(deadline_ms - vuc_clock_ms());

	if (left <= 0)
		return -ETIMEDOUT;
	poll(&poller, 1, left > INT_MAX ? INT_MAX : (int)left);
	return 0;
}

int
vmm_link_send(const struct vmm_link *link, const union vmm_packet *packet,
	const struct vmm_fds *fds, uint64_t deadline_ms)
{
	ssize_t n;
	int rc = 0;

	while (rc == 0) {
		n = vuc_fds_send(
			link->fd, packet, packet->header.size, fds->fd, fds->nr, MSG_DONTWAIT);
		if (n >= 0)
			return 0;
		if (n == -EAGAIN)
			rc = wait_for(link, POLLOUT, deadline_ms);
		else
			rc = n == -ECONNRESET ? -EPIPE : (int)n;
	}
	return rc;
}

void
vmm_fds_close(struct vmm_fds *fds)
{
	vuc_fds_close(fds->fd, fds->nr);
	fds->nr = 0;
}

/* Returns what is left of a receive that has brought n bytes. */
static int
accept_packet(struct vmm_fds *fds, ssize_t n, int nr_fds)
{
	fds->nr = nr_fds > 0 ? (unsigned int)nr_fds : 0;
	fds->lost = nr_fds == -EMFILE;
	if (n > 0 && nr_fds != -E2BIG)
		return (int)n;
	vmm_fds_close(fds);
	return n == 0 ? -EPIPE : -EMSGSIZE;
}

int
vmm_link_receive(const struct vmm_link *link, union vmm_packet *packet, struct vmm_fds *fds,
	uint64_t deadline_ms)
{
	struct iovec part = {.iov_base = packet, .iov_len = sizeof(*packet)};
	ssize_t n;
	int nr_fds, rc = 0;

	/* Fields of a packet that is too short for them are 0. */
	memset(packet, 0, sizeof(*packet));
	*fds = (struct vmm_fds){.nr = 0};
	while (rc == 0) {
		n = vuc_fds_receive(
			link->fd, &part, 1, fds->fd, VUC_SHM_MAX_FDS, &nr_fds, MSG_DONTWAIT);
		if (n >= 0)
			return accept_packet(fds, n, nr_fds);
		if (n == -EAGAIN)
			rc = wait_for(link, POLLIN, deadline_ms);
		else
			rc = n == -ECONNRESET ? -EPIPE : (int)n;
	}
	return rc;
}
