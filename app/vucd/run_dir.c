/* SPDX-License-Identifier: BSD-3-Clause */
#include "run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fill err from "PATH: what: errno" and return -errno. */
static int
run_dir_fail(const char *path, const char *what, struct vuc_error *err)
{
	int rc = -errno;

	snprintf(err->text, sizeof(err->text), "%s: %s: %s", path, what, strerror(-rc));
	return rc;
}

static int
run_dir_refuse(const char *path, const char *why, int rc, struct vuc_error *err)
{
	snprintf(err->text, sizeof(err->text), "%s: %s", path, why);
	return rc;
}

/* The first of what may be several, with colons. */
static int
from_runtime_directory(char path[VUCD_PATH_SIZE], const char *list)
{
	return snprintf(path, VUCD_PATH_SIZE, "%.*s", (int)strcspn(list, ":"), list);
}

static int
run_dir_choose(
	char path[VUCD_PATH_SIZE], const struct vucd_settings *settings, struct vuc_error *err)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY");
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int len;

	if (settings->directory[0] != '\0')
		len = snprintf(path, VUCD_PATH_SIZE, "%s", settings->directory);
	else if (runtime != NULL && runtime[0] == '/')
		len = from_runtime_directory(path, runtime);
	else if (xdg != NULL && xdg[0] == '/')
		len = snprintf(path, VUCD_PATH_SIZE, "%s/vucd", xdg);
	else if (geteuid() == 0)
		len = snprintf(path, VUCD_PATH_SIZE, "/run/vucd");
	else
		return run_dir_refuse("no directory for the sockets",
			"set directory in [vucd] or $XDG_RUNTIME_DIR", -ENOENT, err);
	if (len + (int)sizeof("/" VUCD_MANAGEMENT_SOCKET) > VUCD_PATH_SIZE)
		return run_dir_refuse(path, "too long for the sockets in it", -ENAMETOOLONG, err);
	return 0;
}

/* Set group and mode, which the owner may do. The mode comes last: chown(2) may clear bits. */
static int
set_access(
	const struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err)
{
	struct stat st;

	if (fstat(dir->fd, &st) != 0)
		return run_dir_fail(dir->path, "cannot be looked at", err);
	if (st.st_uid != geteuid())
		return run_dir_refuse(dir->path, "belongs to another user", -EPERM, err);
	if (settings->group != VUCD_NO_ID && fchown(dir->fd, (uid_t)-1, settings->group) != 0)
		return run_dir_fail(dir->path, "cannot be given to the group", err);
	if (fchmod(dir->fd, (mode_t)settings->directory_mode) != 0)
		return run_dir_fail(dir->path, "its mode cannot be set", err);
	return 0;
}

static int
run_dir_take(struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err)
{
	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->fd < 0)
		return run_dir_fail(dir->path, "cannot be opened", err);
	if (flock(dir->fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return run_dir_refuse(dir->path, "another vucd has it", -EBUSY, err);
		return run_dir_fail(dir->path, "cannot be locked", err);
	}
	return set_access(dir, settings, err);
}

int
vucd_run_dir_open(
	struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err)
{
	int rc;

	*dir = (struct vucd_run_dir){.fd = -1};
	rc = run_dir_choose(dir->path, settings, err);
	if (rc != 0)
		return rc;
	dir->made = mkdir(dir->path, 0700) == 0;
	if (!dir->made && errno != EEXIST)
		return run_dir_fail(dir->path, "cannot be made", err);
	rc = run_dir_take(dir, settings, err);
	if (rc != 0)
		vucd_run_dir_close(dir);
	return rc;
}

void
vucd_run_dir_close(struct vucd_run_dir *dir)
{
	/* Only while it is locked it is ours to remove. */
	if (dir->fd >= 0 && dir->made)
		rmdir(dir->path);
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
}

void
vucd_run_dir_socket(const struct vucd_run_dir *dir, const char *name, char path[VUCD_PATH_SIZE])
{
	/* It fits, as the directory's path was made sure to leave room. */
	snprintf(path, VUCD_PATH_SIZE, "%.*s/%s",
		VUCD_PATH_SIZE - 1 - (int)sizeof(VUCD_MANAGEMENT_SOCKET), dir->path, name);
}
