/* SPDX-License-Identifier: BSD-3-Clause */
#include "listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "socket.h"

/* Whoever does not wait to connect is refused when there are as many already: a crowd of one user
 * should not be it. */
#define BACKLOG 1024

static int
fail(const struct control_listener *l, int error, const char *what, struct vuc_error *err)
{
	return vuc_error_set(err, -error, "%s: %s: %s", l->address.sun_path, what, strerror(error));
}

/* Whoever refuses is nobody; one who does not accept right now, or expects another kind of socket,
 * is there. */
static int
check_nobody_listens(const struct control_listener *l, struct vuc_error *err)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return fail(l, errno, "socket", err);
	rc = connect(fd, (const struct sockaddr *)&l->address, sizeof(l->address));
	if (rc != 0 && (errno == ECONNREFUSED || errno == ENOENT))
		rc = 0;
	else
		rc = vuc_error_set(
			err, -EADDRINUSE, "%s: somebody listens there", l->address.sun_path);
	close(fd);
	return rc;
}

static int
take_place(const struct control_listener *l, struct vuc_error *err)
{
	struct stat st;
	int rc;

	if (lstat(l->address.sun_path, &st) != 0)
		return errno == ENOENT ? 0 : fail(l, errno, "lstat", err);
	if (!S_ISSOCK(st.st_mode))
		return vuc_error_set(
			err, -EEXIST, "%s is there, and is no socket", l->address.sun_path);
	rc = check_nobody_listens(l, err);
	if (rc == 0 && unlink(l->address.sun_path) != 0 && errno != ENOENT)
		rc = fail(l, errno, "unlink", err);
	return rc;
}

/* The mode is set before there is a path, so that there is no moment at which others could
 * connect; and again behind the umask. */
static int
bind_it(struct control_listener *l, mode_t mode, struct vuc_error *err)
{
	struct stat st;

	if (fchmod(l->fd, mode) != 0)
		return fail(l, errno, "fchmod", err);
	if (bind(l->fd, (const struct sockaddr *)&l->address, sizeof(l->address)) != 0)
		return fail(l, errno, "bind", err);
	if (lstat(l->address.sun_path, &st) != 0)
		return fail(l, errno, "lstat", err);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	if (chmod(l->address.sun_path, mode) != 0)
		return fail(l, errno, "chmod", err);
	return 0;
}

int
control_listen(struct control_listener *l, struct vuc_error *err)
{
	return listen(l->fd, BACKLOG) != 0 ? fail(l, errno, "listen", err) : 0;
}

int
control_bind(struct control_listener *l, const char *path, mode_t mode, struct vuc_error *err)
{
	int rc;

	*l = (struct control_listener){.fd = -1};
	rc = vuc_socket_address(path, &l->address, err);
	if (rc != 0)
		return rc;
	rc = take_place(l, err);
	if (rc != 0)
		return rc;
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return fail(l, errno, "socket", err);
	rc = bind_it(l, mode, err);
	if (rc != 0)
		control_listener_close(l);
	return rc;
}

void
control_listener_close(struct control_listener *l)
{
	struct stat st;

	if (l->fd < 0)
		return;
	if (l->ino != 0 && lstat(l->address.sun_path, &st) == 0 && st.st_dev == l->dev &&
		st.st_ino == l->ino)
		unlink(l->address.sun_path);
	close(l->fd);
	l->fd = -1;
}
