/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listener.h"
#include "report.h"

#define BACKLOG 16

static int
fill_address(struct sockaddr_un *address, const char *path)
{
	size_t len = strlen(path);

	if (len == 0) {
		refdev_report("the socket path is empty");
		return -EINVAL;
	}
	if (len >= sizeof(address->sun_path)) {
		refdev_report("socket path of %zu bytes, at most %zu are possible: %.40s...", len,
			sizeof(address->sun_path) - 1, path);
		return -ENAMETOOLONG;
	}
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, len + 1);
	return 0;
}

/*
 * Whether a process holds the socket of this file. Connecting by the wrong type tells without
 * disturbing it: the kernel compares types only when there is somebody to connect to.
 */
static int
is_served(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
	close(fd);
	return rc != ECONNREFUSED && rc != ENOENT;
}

static int
remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int rc;

	if (lstat(address->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		refdev_report("%s: exists and is no socket", address->sun_path);
		return -EEXIST;
	}
	rc = is_served(address);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		refdev_report("%s: another process serves this socket", address->sun_path);
		return -EADDRINUSE;
	}
	return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int
bind_and_listen(struct refdev_listener *listener, const struct sockaddr_un *address)
{
	struct stat st;

	if (bind(listener->fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		return -errno;
	if (lstat(address->sun_path, &st) != 0)
		return -errno;
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	return listen(listener->fd, BACKLOG) == 0 ? 0 : -errno;
}

int
refdev_listener_open(struct refdev_listener *listener, const char *path)
{
	struct sockaddr_un address;
	int rc = fill_address(&address, path);

	*listener = (struct refdev_listener){.fd = -1};
	if (rc != 0)
		return rc;
	rc = remove_stale(&address);
	if (rc != 0) {
		if (rc != -EEXIST && rc != -EADDRINUSE)
			refdev_report("%s: %s", path, strerror(-rc));
		return rc;
	}
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = listener->fd < 0 ? -errno : bind_and_listen(listener, &address);
	listener->path = path;
	if (rc != 0) {
		refdev_report("%s: can't listen: %s", path, strerror(-rc));
		refdev_listener_close(listener);
	}
	return rc;
}

int
refdev_listener_adopt(struct refdev_listener *listener, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	*listener = (struct refdev_listener){.fd = fd};
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return -errno;
	return 0;
}

void
refdev_listener_close(struct refdev_listener *listener)
{
	struct stat st;

	if (listener->path != NULL && lstat(listener->path, &st) == 0 &&
		st.st_dev == listener->dev && st.st_ino == listener->ino)
		unlink(listener->path);
	if (listener->fd >= 0)
		close(listener->fd);
	*listener = (struct refdev_listener){.fd = -1};
}

int
refdev_listener_accept(const struct refdev_listener *listener)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);

	return fd >= 0 ? fd : -errno;
}
