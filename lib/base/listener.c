/* SPDX-License-Identifier: BSD-3-Clause */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "socket.h"

static int
listener_fail(const struct vuc_listener *l, int error, const char *call, struct vuc_error *err)
{
	return vuc_error_set(err, -error, "%s: %s: %s", l->address.sun_path, call, strerror(error));
}

/*
 * Whether a process has the socket of this path. Connecting with another type tells without
 * disturbing it: the kernel compares types only when there is a socket to connect to.
 */
static int
listener_check_unused(const struct vuc_listener *l, struct vuc_error *err)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return listener_fail(l, errno, "socket", err);
	rc = connect(fd, (const struct sockaddr *)&l->address, sizeof(l->address));
	if (rc != 0 && (errno == ECONNREFUSED || errno == ENOENT))
		rc = 0;
	else if (rc != 0 && errno == EACCES)
		rc = listener_fail(l, errno, "exists: connect", err);
	else
		rc = vuc_error_set(err, -EADDRINUSE, "%s: another process serves this socket",
			l->address.sun_path);
	close(fd);
	return rc;
}

static int
listener_remove_stale(const struct vuc_listener *l, struct vuc_error *err)
{
	const char *path = l->address.sun_path;
	struct stat st;
	int rc;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : listener_fail(l, errno, "lstat", err);
	if (!S_ISSOCK(st.st_mode))
		return vuc_error_set(err, -EEXIST, "%s: exists and is not a socket", path);
	rc = listener_check_unused(l, err);
	if (rc == 0 && unlink(path) != 0 && errno != ENOENT)
		rc = listener_fail(l, errno, "unlink", err);
	return rc;
}

/*
 * Set the group and mode of the path, which fd refers to. The owner of its folder can replace it
 * between two system calls, so it is recognized as a socket of mode 0, which no other one is.
 */
static int
listener_set_mode(struct vuc_listener *l, int fd, mode_t mode, gid_t group, struct vuc_error *err)
{
	char link[32];
	struct stat st;

	if (fstat(fd, &st) != 0)
		return listener_fail(l, errno, "fstat", err);
	if (!S_ISSOCK(st.st_mode) || (mode != 0 && (st.st_mode & 07777) != 0))
		return vuc_error_set(
			err, -ESTALE, "%s: replaced by another process", l->address.sun_path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	if (mode == 0)
		return 0;
	if (group != (gid_t)-1 && fchownat(fd, "", (uid_t)-1, group, AT_EMPTY_PATH) != 0)
		return vuc_error_set(err, -errno, "%s: cannot give it to group %u: %s",
			l->address.sun_path, (unsigned int)group, strerror(errno));
	/* fchmod() refuses descriptors of O_PATH. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return chmod(link, mode) != 0 ? listener_fail(l, errno, "chmod", err) : 0;
}

static int
listener_bind_path(struct vuc_listener *l, mode_t mode, gid_t group, struct vuc_error *err)
{
	int fd, rc;

	if (mode != 0 && fchmod(l->fd, 0) != 0)
		return listener_fail(l, errno, "fchmod", err);
	if (bind(l->fd, (const struct sockaddr *)&l->address, sizeof(l->address)) != 0)
		return listener_fail(l, errno, "bind", err);
	fd = open(l->address.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return listener_fail(l, errno, "open", err);
	rc = listener_set_mode(l, fd, mode, group, err);
	close(fd);
	return rc;
}

int
vuc_listener_bind(struct vuc_listener *l, const char *path, int type, mode_t mode, gid_t group,
	struct vuc_error *err)
{
	int rc;

	*l = (struct vuc_listener){.fd = -1};
	rc = vuc_socket_address(path, &l->address, err);
	if (rc == 0)
		rc = listener_remove_stale(l, err);
	if (rc != 0)
		return rc;
	l->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return listener_fail(l, errno, "socket", err);
	rc = listener_bind_path(l, mode, group, err);
	if (rc != 0)
		vuc_listener_close(l);
	return rc;
}

int
vuc_listener_listen(struct vuc_listener *l, int backlog, struct vuc_error *err)
{
	return listen(l->fd, backlog) != 0 ? listener_fail(l, errno, "listen", err) : 0;
}

void
vuc_listener_forget(struct vuc_listener *l)
{
	struct stat st;

	if (l->ino != 0 && lstat(l->address.sun_path, &st) == 0 && st.st_dev == l->dev &&
		st.st_ino == l->ino)
		unlink(l->address.sun_path);
	l->fd = -1;
}

void
vuc_listener_close(struct vuc_listener *l)
{
	int fd = l->fd;

	if (fd < 0)
		return;
	vuc_listener_forget(l);
	close(fd);
}
