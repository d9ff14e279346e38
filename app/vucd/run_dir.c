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

#include "error.h"

bool
vucd_has_folder(const char *path, char folder[VUCD_PATH_SIZE])
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	snprintf(folder, VUCD_PATH_SIZE, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return stat(folder, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Fill err from "PATH: what: errno" and return -errno. */
static int
run_dir_fail(const char *path, const char *what, struct vuc_error *err)
{
	return vuc_error_set_utf8(err, -errno, "%s: %s: %s", path, what, strerror(errno));
}

/* The first of what may be several, with colons. */
static int
runtime_directory_first(char path[VUCD_PATH_SIZE], const char *list)
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
		len = runtime_directory_first(path, runtime);
	else if (xdg != NULL && xdg[0] == '/')
		len = snprintf(path, VUCD_PATH_SIZE, "%s/vucd", xdg);
	else if (geteuid() == 0)
		len = snprintf(path, VUCD_PATH_SIZE, "/run/vucd");
	else
		return vuc_error_set_utf8(err, -ENOENT,
			"no directory for the sockets: set directory in [vucd] or $XDG_RUNTIME_DIR");
	if (len + (int)sizeof("/" VUCD_MANAGEMENT_SOCKET) > VUCD_PATH_SIZE)
		return vuc_error_set_utf8(
			err, -ENAMETOOLONG, "%s: path is too long for the sockets in it", path);
	return 0;
}

/*
 * Whether a directory that is there can be used. Who can write to it can replace the sockets in it.
 * It may be one that others use, such as /tmp, so it is never changed to fit.
 */
static int
run_dir_check_found(const char *path, const struct stat *st, const struct vucd_settings *settings,
	struct vuc_error *err)
{
	mode_t mode = st->st_mode & 07777;

	if (!S_ISDIR(st->st_mode))
		return vuc_error_set_utf8(err, -ENOTDIR, "%s: is not a directory", path);
	if (st->st_uid != geteuid())
		return vuc_error_set_utf8(err, -EPERM, "%s: belongs to another user", path);
	if ((mode & 022 & ~settings->directory_mode) == 0 &&
		((mode & 022) == 0 || (mode & S_ISVTX) == 0))
		return 0;
	return vuc_error_set_utf8(err, -EPERM,
		"%s: mode %04o lets other users write to it; set directory to a path that does not "
		"exist, which vucd creates, or to a directory of mode %04o",
		path, mode, settings->directory_mode);
}

/* Set group and mode, which the owner may do. The mode comes last: chown(2) may clear bits. */
static int
run_dir_set_access(
	const struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err)
{
	if (settings->group != VUCD_NO_ID && fchown(dir->fd, (uid_t)-1, settings->group) != 0)
		return run_dir_fail(dir->path, "cannot change the group", err);
	if (fchmod(dir->fd, (mode_t)settings->directory_mode) != 0)
		return run_dir_fail(dir->path, "cannot change the mode", err);
	return 0;
}

/* Whether the directory is the daemon's alone: it has made it, or systemd has, for the service. */
static bool
run_dir_is_own(const struct vucd_run_dir *dir, const struct vucd_settings *settings)
{
	const char *runtime = getenv("RUNTIME_DIRECTORY");

	return dir->made ||
		(settings->directory[0] == '\0' && runtime != NULL && runtime[0] == '/');
}

static int
run_dir_take(struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err)
{
	struct stat st;
	int rc;

	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->fd < 0)
		return run_dir_fail(dir->path, "cannot be opened", err);
	if (flock(dir->fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return vuc_error_set_utf8(
				err, -EBUSY, "%s: in use by another vucd", dir->path);
		return run_dir_fail(dir->path, "cannot be locked", err);
	}
	if (fstat(dir->fd, &st) != 0)
		return run_dir_fail(dir->path, "cannot be checked", err);
	rc = run_dir_check_found(dir->path, &st, settings, err);
	if (rc == 0 && run_dir_is_own(dir, settings))
		rc = run_dir_set_access(dir, settings, err);
	return rc;
}

int
vucd_run_dir_check(
	struct vucd_run_dir *dir, const struct vucd_settings *settings, struct vuc_error *err)
{
	char folder[VUCD_PATH_SIZE];
	const char *path = dir->path;
	struct stat st;
	int rc;

	*dir = (struct vucd_run_dir){.fd = -1};
	rc = run_dir_choose(dir->path, settings, err);
	if (rc != 0)
		return rc;
	if (lstat(path, &st) == 0)
		return run_dir_check_found(path, &st, settings, err);
	if (errno != ENOENT)
		return run_dir_fail(path, "cannot be checked", err);
	if (vucd_has_folder(path, folder))
		return 0;
	return vuc_error_set_utf8(err, -ENOENT, "%s: there is no folder %s", path, folder);
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
		return run_dir_fail(dir->path, "cannot be created", err);
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

const char *
vucd_run_dir_name_of(const struct vucd_run_dir *dir, const char *path)
{
	static const char *const names[] = {VUCD_VMM_SOCKET, VUCD_MANAGEMENT_SOCKET};
	char own[VUCD_PATH_SIZE];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		vucd_run_dir_socket(dir, names[i], own);
		if (strcmp(path, own) == 0)
			return names[i];
	}
	return NULL;
}
