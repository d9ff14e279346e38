/* SPDX-License-Identifier: BSD-3-Clause */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
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
listener_fail_replaced(const struct vuc_listener *l, struct vuc_error *err)
{
	return vuc_error_set(err, -ESTALE, "%s: replaced by another process", l->address.sun_path);
}

/* Move it back, unless there is a newer one at the path. Where RENAME_NOREPLACE is unknown, as on
 * NFS and 9p, a second link does that. Returns whether it is there. */
static bool
listener_move_back(const char *aside, const char *path)
{
	if (renameat2(AT_FDCWD, aside, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return true;
	if (errno == EEXIST || link(aside, path) != 0)
		return false;
	unlink(aside);
	return true;
}

/*
 * Remove the path if it is still this socket, which is open, so that no other one gets its number.
 * Another process may replace the path at any time, so it is moved first, to a name that nobody
 * else has; what turns out to be another socket is moved back, or, if that is impossible, stays
 * there. Returns 0; -ESTALE; what the system says.
 */
static int
listener_remove(const struct vuc_listener *l, dev_t dev, ino_t ino, struct vuc_error *err)
{
	const char *path = l->address.sun_path;
	char aside[sizeof(l->address.sun_path) + 32];
	struct stat st;
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return listener_fail(l, errno, "getrandom", err);
	snprintf(aside, sizeof(aside), "%s.old-%016" PRIx64, path, number);
	if (rename(path, aside) != 0)
		return errno == ENOENT ? 0 : listener_fail(l, errno, "rename", err);
	if (lstat(aside, &st) == 0 && st.st_dev == dev && st.st_ino == ino)
		return unlink(aside) == 0 ? 0 : listener_fail(l, errno, "unlink", err);
	if (listener_move_back(aside, path))
		return listener_fail_replaced(l, err);
	return vuc_error_set(err, -ESTALE,
		"%s: replaced by another process, whose socket is now %s", path, aside);
}

static int
listener_replace_unused(const struct vuc_listener *l, int fd, struct vuc_error *err)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) != 0)
		return listener_fail(l, errno, "fstat", err);
	if (!S_ISSOCK(st.st_mode))
		return vuc_error_set(
			err, -EEXIST, "%s: exists and is not a socket", l->address.sun_path);
	rc = listener_check_unused(l, err);
	return rc == 0 ? listener_remove(l, st.st_dev, st.st_ino, err) : rc;
}

static int
listener_remove_stale(const struct vuc_listener *l, struct vuc_error *err)
{
	int fd = open(l->address.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return errno == ENOENT ? 0 : listener_fail(l, errno, "open", err);
	rc = listener_replace_unused(l, fd, err);
	close(fd);
	return rc;
}

/*
 * Which one it is that has been bound. The owner of its folder can replace it between two system
 * calls, so it is recognized as a socket of mode 0, which no other one is.
 */
static int
listener_find_path(struct vuc_listener *l, mode_t mode, struct vuc_error *err)
{
	struct stat st;

	if (lstat(l->address.sun_path, &st) != 0)
		return listener_fail(l, errno, "lstat", err);
	if (!S_ISSOCK(st.st_mode) || (mode != 0 && (st.st_mode & 07777) != 0))
		return listener_fail_replaced(l, err);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

/* Set the group and mode of the path, which fd refers to. */
static int
listener_set_mode(struct vuc_listener *l, int fd, mode_t mode, gid_t group, struct vuc_error *err)
{
	char link[32];
	struct stat st;

	if (fstat(fd, &st) != 0)
		return listener_fail(l, errno, "fstat", err);
	if (st.st_dev != l->dev || st.st_ino != l->ino)
		return listener_fail_replaced(l, err);
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
	rc = listener_find_path(l, mode, err);
	if (rc != 0)
		return rc;
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
		listener_remove(l, l->dev, l->ino, NULL);
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
