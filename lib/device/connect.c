/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "internal.h"

static void
wait_a_little(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	nanosleep(&ms, NULL);
}

/*
 * A UNIX socket whose server does not accept right now gives -EAGAIN and no way to wait for it, so
 * this asks again and again.
 */
static int
connect_in_time(int fd, const struct sockaddr_un *addr, uint32_t timeout_ms, struct vuc_error *err)
{
	uint64_t deadline = vuc_clock_coarse_ms() + timeout_ms;

	for (;;) {
		if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return vuc_error_set(err, -errno, "connect: %s", strerror(errno));
		if (vuc_clock_coarse_ms() >= deadline)
			return vuc_error_set(err, -ETIMEDOUT,
				"connect: the server has not accepted the connection within %u ms",
				timeout_ms);
		wait_a_little();
	}
}

/* The transports wait in the kernel where they have to, and say so per call where they must not. */
static int
make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

VUC_PRIVATE int
vuc_device_connect(const char *path, uint32_t timeout_ms, struct vuc_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd, rc;

	if (len == 0)
		return vuc_error_set(err, -EINVAL, "the path of the socket is empty");
	if (len >= sizeof(addr.sun_path))
		return vuc_error_set(err, -ENAMETOOLONG,
			"a socket's path has at most %zu bytes, this one has %zu",
			sizeof(addr.sun_path) - 1, len);
	memcpy(addr.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vuc_error_set(err, -errno, "socket: %s", strerror(errno));
	rc = connect_in_time(fd, &addr, timeout_ms, err);
	if (rc == 0 && (rc = make_blocking(fd)) != 0)
		vuc_error_set(err, rc, "fcntl: %s", strerror(-rc));
	if (rc != 0) {
		close(fd);
		return rc;
	}
	return fd;
}

static bool
is_unix_stream(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

int
device_check_socket(int fd, const char *what, struct vuc_error *err)
{
	int rc;

	if (!is_unix_stream(fd))
		return vuc_error_set(err, -EINVAL, "%s: not a UNIX stream socket", what);
	rc = make_blocking(fd);
	if (rc != 0)
		return vuc_error_set(err, rc, "%s: fcntl: %s", what, strerror(-rc));
	return 0;
}

int
device_adopt(int fd, struct vuc_error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int rc;

	if (copy < 0)
		return vuc_error_set(err, -errno, "descriptor %d: %s", fd, strerror(errno));
	rc = device_check_socket(copy, "descriptor", err);
	if (rc != 0) {
		close(copy);
		return rc;
	}
	return copy;
}
