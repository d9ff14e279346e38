/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "listener.h"
#include "report.h"
#include "socket.h"

#define BACKLOG 16

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

/* Returns what a line on stderr has told, or 0. */
static int
remove_stale(const struct sockaddr_un *address)
{
	const char *path = address->sun_path;
	const char *why = NULL;
	struct stat st;
	int rc = 0;

	if (lstat(path, &st) != 0)
		rc = errno == ENOENT ? 0 : -errno;
	else if (!S_ISSOCK(st.st_mode))
		why = "exists and is no socket";
	else if ((rc = is_served(address)) > 0)
		why = "another process serves this socket";
	else if (rc == 0 && unlink(path) != 0 && errno != ENOENT)
		rc = -errno;
	if (why != NULL)
		rc = -EADDRINUSE;
	if (rc != 0)
		refdev_report("%s: %s", path, why != NULL ? why : strerror(-rc));
	return rc;
}

static int
bind_and_listen(struct refdev_listener *listener, const struct sockaddr_un *address)
{
	struct stat st;

	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0 ||
		bind(listener->fd, (const struct sockaddr *)address, sizeof(*address)) != 0 ||
		lstat(address->sun_path, &st) != 0)
		return -errno;
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	return listen(listener->fd, BACKLOG) == 0 ? 0 : -errno;
}

int
refdev_listener_open(struct refdev_listener *listener, const char *path)
{
	struct sockaddr_un address;
	struct vuc_error err;
	int rc = vuc_socket_address(path, &address, &err);

	*listener = (struct refdev_listener){.fd = -1};
	if (rc != 0) {
		refdev_report("%s", err.text);
		return rc;
	}
	rc = remove_stale(&address);
	if (rc != 0)
		return rc;
	rc = bind_and_listen(listener, &address);
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
	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ? -errno : 0;
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
