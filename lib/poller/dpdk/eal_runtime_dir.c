/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "eal_log.h"
#include "eal_runtime_dir.h"
#include "error.h"
#include "socket.h"

#define SOCKET "dpdk_telemetry.v2"
#define TRIES  100u /* a folder may be removed by its last owner just now */

/* Where EAL makes it, by EAL's own rules. */
static const char *
runtime_base(void)
{
	const char *base = getenv("RUNTIME_DIRECTORY");

	if (base == NULL && getuid() == 0)
		return "/var/run";
	if (base == NULL)
		base = getenv("XDG_RUNTIME_DIR");
	return base != NULL ? base : "/tmp";
}

/* Make a folder that is ours and only ours. */
static int
make_folder(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) == 0)
		return 0;
	if (errno != EEXIST || lstat(path, &st) != 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == geteuid() && access(path, W_OK | X_OK) == 0 ? 0 : -EACCES;
}

/* Whether a path still leads to the folder that was opened. */
static bool
is_still(const char *path, int fd)
{
	struct stat opened, now;

	return fstat(fd, &opened) == 0 && lstat(path, &now) == 0 && opened.st_dev == now.st_dev &&
		opened.st_ino == now.st_ino && opened.st_uid == geteuid();
}

/* Returns a descriptor that locks the folder; -EBUSY when another process has it, -ENOENT when it
 * has gone meanwhile. */
static int
lock_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = fd >= 0 ? 0 : -errno;

	if (rc == 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (rc == 0 && !is_still(path, fd))
		rc = -ENOENT;
	if (rc == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Whether a process serves telemetry there: one that does not lock its folder, then. */
static bool
is_served(const char *folder)
{
	struct sockaddr_un addr;
	char path[PATH_MAX + sizeof("/" SOCKET)];
	int fd, rc;

	snprintf(path, sizeof(path), "%s/%s", folder, SOCKET);
	if (vuc_socket_address(path, &addr, NULL) != 0)
		return true;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 ? 0 : errno;
	close(fd);
	return rc != ECONNREFUSED && rc != ENOENT;
}

/* EAL removes its sockets when the process exits, unless it is killed. */
static void
remove_sockets(const char *folder)
{
	static const char *const sockets[] = {SOCKET, "telemetry"};
	char path[PATH_MAX + 32];

	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, sockets[i]);
		unlink(path);
	}
}

/* As eal.c names a process that is not named: "vuc-PID-HEX". */
static bool
is_chosen_name(const char *name)
{
	size_t digits;

	if (strncmp(name, "vuc-", 4) != 0)
		return false;
	name += 4;
	digits = strspn(name, "0123456789");
	return digits > 0 && name[digits] == '-' &&
		strspn(name + digits + 1, "0123456789abcdef") == 8 && name[digits + 9] == '\0';
}

static void
remove_if_dead(const char *folder)
{
	int lock = lock_folder(folder);

	if (lock < 0)
		return;
	if (!is_served(folder)) {
		remove_sockets(folder);
		rmdir(folder);
	}
	close(lock);
}

static void
remove_dead(const char *base)
{
	DIR *dir = opendir(base);
	const struct dirent *entry;
	char path[PATH_MAX];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!is_chosen_name(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%.3800s/%.255s", base, entry->d_name);
		remove_if_dead(path);
	}
	if (dir != NULL)
		closedir(dir);
}

/* chosen: no other process has this name, but one may be looking whether its folder is of a dead
 * one. */
static int
make_and_lock(const char *path, bool chosen)
{
	int rc = -ENOENT;

	for (unsigned int i = 0; (rc == -ENOENT || (chosen && rc == -EBUSY)) && i < TRIES; i++) {
		if (rc == -EBUSY)
			vuc_clock_sleep_ms(1);
		rc = make_folder(path);
		if (rc == 0)
			rc = lock_folder(path);
	}
	if (rc < 0 || !is_served(path))
		return rc;
	close(rc);
	return -EBUSY;
}

static int
make_runtime_dir(const char *prefix, struct eal_runtime_dir *dir)
{
	int len = snprintf(dir->path, sizeof(dir->path), "%s/dpdk", runtime_base());
	int rc;

	if (len < 0 || (size_t)len + strlen(prefix) + strlen("//" SOCKET) > VUC_SOCKET_PATH_MAX)
		return -ENAMETOOLONG;
	rc = make_folder(dir->path);
	if (rc != 0)
		return rc;
	remove_dead(dir->path);
	snprintf(dir->path + len, sizeof(dir->path) - (size_t)len, "/%s", prefix);
	dir->lock = make_and_lock(dir->path, is_chosen_name(prefix));
	if (dir->lock < 0)
		return dir->lock;
	remove_sockets(dir->path);
	return 0;
}

/*
 * EAL carries on without its folder, but then serves telemetry wherever it can, or fails. So make
 * the folder as it would, and let it do without telemetry where that is not possible.
 */
int
vuc_eal_runtime_dir_make(const struct vuc_eal_opts *opts, const char *prefix,
	struct eal_runtime_dir *dir, bool *usable, struct vuc_error *err)
{
	int rc = make_runtime_dir(prefix, dir);

	*usable = rc == 0;
	if (rc == -EBUSY && opts->telemetry)
		vuc_error_set(err, rc,
			"another process uses %.120s: choose another file prefix than %s, or "
			"switch telemetry off",
			dir->path, prefix);
	else if (rc != 0 && opts->telemetry)
		vuc_eal_say(opts, VUC_LOG_WARNING,
			"no telemetry: folder %.120s: %s; see XDG_RUNTIME_DIR", dir->path,
			strerror(-rc));
	if (rc != 0)
		dir->path[0] = '\0';
	return rc == -EBUSY && opts->telemetry ? rc : 0;
}

void
vuc_eal_runtime_dir_remove(struct eal_runtime_dir *dir)
{
	if (dir->path[0] == '\0')
		return;
	remove_sockets(dir->path);
	rmdir(dir->path);
	close(dir->lock);
	dir->path[0] = '\0';
}
