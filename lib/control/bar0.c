/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * keep_bar0: the file behind a server's BAR0 outlives the server. SPDK's target opens "bar0" beside
 * its socket with O_CREAT before it listens, unlinks it, and offers it for mapping. So a link to a
 * file that stays in this folder is placed there, and again after each unlink: the next target
 * finds the file that VMMs have mapped. A hard link, since a symbolic link would lead nowhere in
 * another mount namespace or once the daemon has ended, and the target would not start.
 *
 * The folder is the server's: whoever can write to it can replace its sockets. What is in it is
 * used only as far as that user could have placed it, never followed, never overwritten.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bar0.h"
#include "clock.h"
#include "control.h"
#include "error.h"

#define BAR0_NAME     "bar0"
#define BAR0_LOOK_MS  10u        /* from an unlink to the next link, for servers that never stop */
#define BAR0_MAX_SIZE (1u << 20) /* that is cleared */

/* The folder and the file while they are looked at. */
struct bar0_files {
	int folder_fd;
	int fd;
	struct stat folder;
	struct stat file;
	bool placed; /* BAR0_NAME is the file */
};

int
control_bar0_init(struct control_device *d, struct vuc_error *err)
{
	struct control_bar0 *b = &d->bar0;

	if (d->path[0] == '\0')
		return vuc_error_set(
			err, -EINVAL, "device %s: keep_bar0 takes a server with a path", d->name);
	b->folder = d->arrival.folder;
	snprintf(b->name, sizeof(b->name), ".bar0-%s", d->name);
	b->on = true;
	return 0;
}

bool
control_bar0_collides(const struct control_device *d, const struct control_device *other)
{
	return d->bar0.on && other->bar0.on && strcmp(d->bar0.folder, other->bar0.folder) == 0;
}

/* ---- the folder and the file ---- */

static int
bar0_fail(const struct control_bar0 *b, const char *name, const char *what, struct vuc_error *err)
{
	return vuc_error_set(
		err, -errno, "keep-bar0: %s/%s: %s: %s", b->folder, name, what, strerror(errno));
}

static int
bar0_refuse(const struct control_bar0 *b, const char *name, const char *why, struct vuc_error *err)
{
	return vuc_error_set(err, -EPERM, "keep-bar0: %s/%s: %s", b->folder, name, why);
}

static int
bar0_open_folder(const struct control_bar0 *b, struct bar0_files *f, struct vuc_error *err)
{
	f->folder_fd = open(b->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f->folder_fd < 0 && (errno == ELOOP || errno == ENOTDIR))
		return bar0_refuse(b, "", "is not a folder, or is a symbolic link", err);
	if (f->folder_fd < 0 || fstat(f->folder_fd, &f->folder) != 0)
		return bar0_fail(b, "", "cannot be opened", err);
	if ((f->folder.st_mode & S_IWOTH) != 0)
		return bar0_refuse(b, "", "its mode lets all users place files in it", err);
	return 0;
}

/* Whoever can place files in the folder can open the file, and nobody else. */
static mode_t
bar0_mode(const struct bar0_files *f)
{
	return (f->folder.st_mode & S_IWGRP) != 0 ? 0660 : 0600;
}

/* The mode comes last: fchown(2) may clear bits. */
static int
bar0_give_away(const struct control_bar0 *b, const struct bar0_files *f, struct vuc_error *err)
{
	bool shared = bar0_mode(f) == 0660;
	gid_t group = shared ? f->folder.st_gid : (gid_t)-1;
	int rc = fchown(f->fd, f->folder.st_uid, group);

	if (rc != 0 && errno == EPERM && shared)
		rc = fchown(f->fd, (uid_t)-1, group);
	if (rc != 0)
		return bar0_fail(b, b->name, "cannot be given to the owner of the folder", err);
	if (fchmod(f->fd, bar0_mode(f)) != 0)
		return bar0_fail(b, b->name, "its mode cannot be set", err);
	return 0;
}

/* It is ours, or that of a daemon before us; a link of any other file has more links, or is not
 * that of the folder's owner. */
static int
bar0_check_file(const struct control_bar0 *b, struct bar0_files *f, struct vuc_error *err)
{
	struct stat at;

	if (fstat(f->fd, &f->file) != 0)
		return bar0_fail(b, b->name, "cannot be checked", err);
	f->placed = fstatat(f->folder_fd, BAR0_NAME, &at, AT_SYMLINK_NOFOLLOW) == 0 &&
		at.st_dev == f->file.st_dev && at.st_ino == f->file.st_ino;
	if (!S_ISREG(f->file.st_mode))
		return bar0_refuse(b, b->name, "is not a regular file", err);
	if (f->file.st_uid != f->folder.st_uid &&
		(f->file.st_uid != geteuid() || bar0_mode(f) != 0660))
		return bar0_refuse(b, b->name, "does not belong to the owner of the folder", err);
	if (f->file.st_nlink != 1u + f->placed)
		return bar0_refuse(b, b->name, "has other links", err);
	if ((f->file.st_mode & 0777 & ~bar0_mode(f)) != 0)
		return bar0_refuse(b, b->name, "has the mode of another file", err);
	return 0;
}

/* One that its maker did not get to give away is empty, and has no other link. */
static bool
bar0_is_half_made(const struct bar0_files *f)
{
	struct stat st;

	return fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
		st.st_size == 0 && st.st_nlink == 1;
}

static int
bar0_open_file(const struct control_bar0 *b, struct bar0_files *f, struct vuc_error *err)
{
	const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int rc = 0;

	f->fd = openat(f->folder_fd, b->name, flags | O_CREAT | O_EXCL, 0600);
	if (f->fd < 0 && errno == EEXIST)
		f->fd = openat(f->folder_fd, b->name, flags);
	if (f->fd < 0)
		return bar0_fail(b, b->name, "cannot be created or opened", err);
	if (bar0_is_half_made(f))
		rc = bar0_give_away(b, f, err);
	return rc == 0 ? bar0_check_file(b, f, err) : rc;
}

static int
bar0_open(const struct control_bar0 *b, struct bar0_files *f, struct vuc_error *err)
{
	int rc;

	*f = (struct bar0_files){.folder_fd = -1, .fd = -1};
	rc = bar0_open_folder(b, f, err);
	return rc == 0 ? bar0_open_file(b, f, err) : rc;
}

static void
bar0_close(const struct bar0_files *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->folder_fd >= 0)
		close(f->folder_fd);
}

/* ---- the link ---- */

static int
bar0_link(const struct control_bar0 *b, const struct bar0_files *f, struct vuc_error *err)
{
	if (f->placed || linkat(f->folder_fd, b->name, f->folder_fd, BAR0_NAME, 0) == 0)
		return 0;
	if (errno == EEXIST)
		return bar0_refuse(b, BAR0_NAME,
			"exists and was not placed by vucd; remove it if no server is starting",
			err);
	return bar0_fail(b, BAR0_NAME, "cannot be linked", err);
}

/* The number of the file's links changes when the server unlinks one. Returns whether the link was
 * still there when that began to be watched. */
static bool
bar0_watch(struct vuc_control *c, struct control_bar0 *b, struct bar0_files *f)
{
	char path[sizeof(((struct control_arrival *)NULL)->folder) + sizeof(b->name) + 1];
	struct vuc_error ignored;
	int watch = -1;

	snprintf(path, sizeof(path), "%s/%s", b->folder, b->name);
	if (c->inotify_fd >= 0)
		watch = inotify_add_watch(
			c->inotify_fd, path, IN_ATTRIB | IN_ONESHOT | IN_DONT_FOLLOW);
	/* Without a watch it is placed with the next attempt to connect. */
	if (watch < 0)
		return true;
	/* Otherwise a file that the owner of the folder has renamed would still be watched. */
	if (b->watch > 0 && b->watch != watch)
		inotify_rm_watch(c->inotify_fd, b->watch);
	b->watch = watch;
	return bar0_check_file(b, f, &ignored) != 0 || f->placed;
}

static void
bar0_say(struct control_device *d, int rc, const struct vuc_error *err)
{
	struct control_bar0 *b = &d->bar0;
	bool connected;

	pthread_mutex_lock(&d->control->lock);
	connected = d->link != NULL;
	pthread_mutex_unlock(&d->control->lock);
	/* Without a connection it is why the next attempt fails. */
	if (rc != 0 && connected && strcmp(err->text, b->err.text) != 0)
		control_log(&d->control->log, VUC_LOG_WARNING, "%s: %s", d->name, err->text);
	b->status = rc;
	b->err = *err;
}

void
control_bar0_place(struct control_device *d)
{
	struct control_bar0 *b = &d->bar0;
	struct vuc_error err = {0};
	struct bar0_files f;
	uint64_t due_ms;
	int rc;

	if (!b->on)
		return;
	rc = bar0_open(b, &f, &err);
	if (rc == 0) {
		b->dev = f.file.st_dev;
		b->ino = f.file.st_ino;
		rc = bar0_link(b, &f, &err);
	}
	due_ms = vuc_clock_ms() + BAR0_LOOK_MS;
	if (rc == 0 && !bar0_watch(d->control, b, &f) && (d->due_ms == 0 || d->due_ms > due_ms))
		d->due_ms = due_ms;
	bar0_close(&f);
	bar0_say(d, rc, &err);
}

void
control_bar0_hurry(struct vuc_control *c)
{
	uint64_t due_ms = vuc_clock_ms() + BAR0_LOOK_MS;
	struct control_device *d;

	pthread_mutex_lock(&c->lock);
	TAILQ_FOREACH (d, &c->devices, entry) {
		if (d->bar0.on && (d->due_ms == 0 || d->due_ms > due_ms))
			d->due_ms = due_ms;
	}
	pthread_mutex_unlock(&c->lock);
}

void
control_bar0_clear(struct control_device *d)
{
	static const uint8_t zeros[4096];
	struct vuc_error err = {0};
	struct bar0_files f;

	if (!d->bar0.on)
		return;
	if (bar0_open(&d->bar0, &f, &err) == 0) {
		off_t size = f.file.st_size < BAR0_MAX_SIZE ? f.file.st_size : BAR0_MAX_SIZE;

		for (off_t at = 0; at < size; at += (off_t)sizeof(zeros)) {
			off_t left = size - at;
			size_t n = left < (off_t)sizeof(zeros) ? (size_t)left : sizeof(zeros);

			if (pwrite(f.fd, zeros, n, at) != (ssize_t)n)
				break;
		}
	}
	bar0_close(&f);
}

/* What is not the file is left alone. */
static void
bar0_unlink(const struct control_bar0 *b, int folder_fd, const char *name)
{
	struct stat st;

	if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == b->dev &&
		st.st_ino == b->ino)
		unlinkat(folder_fd, name, 0);
}

void
control_bar0_remove(struct control_device *d)
{
	const struct control_bar0 *b = &d->bar0;
	struct bar0_files f = {.folder_fd = -1, .fd = -1};
	struct vuc_error ignored;

	if (b->ino == 0)
		return;
	if (bar0_open_folder(b, &f, &ignored) == 0) {
		bar0_unlink(b, f.folder_fd, BAR0_NAME);
		bar0_unlink(b, f.folder_fd, b->name);
	}
	bar0_close(&f);
}
