/* SPDX-License-Identifier: BSD-3-Clause */
#include "arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"

/* Attempts to connect because of events, between two timed ones: a bound for whoever can write to
 * the folder. With the delays below, the last one is 254 ms after the first one. */
#define MAX_HURRIED 8u

/* Bytes of events that are read at a time, so that a flood of events does not occupy the thread. */
#define EVENTS_SIZE 4096u

void
control_arrival_init(struct control_device *d)
{
	struct control_arrival *a = &d->arrival;
	const char *slash = strrchr(d->path, '/');

	a->watch = -1;
	a->name = slash != NULL ? slash + 1 : d->path;
	if (slash == NULL && d->path[0] != '\0')
		snprintf(a->folder, sizeof(a->folder), ".");
	else if (slash != NULL)
		snprintf(a->folder, sizeof(a->folder), "%.*s",
			slash == d->path ? 1 : (int)(slash - d->path), d->path);
}

/* ---- watches ---- */

static bool
watch_is_shared(const struct control_device *d)
{
	struct vuc_control *c = d->control;
	const struct control_device *other;

	pthread_mutex_lock(&c->lock);
	TAILQ_FOREACH (other, &c->devices, entry) {
		if (other != d && other->arrival.watch == d->arrival.watch)
			break;
	}
	pthread_mutex_unlock(&c->lock);
	return other != NULL;
}

void
control_arrival_forget(struct control_device *d)
{
	struct control_arrival *a = &d->arrival;

	if (a->watch >= 0 && !watch_is_shared(d))
		inotify_rm_watch(d->control->inotify_fd, a->watch);
	a->watch = -1;
	a->due_ms = 0;
}

/* Looks up only what the kernel has cached, so that it never waits for a file system. Returns the
 * watch or -errno. */
static int
folder_watch(const struct vuc_control *c, const char *folder)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_CACHED};
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, folder, &how, sizeof(how));
	char path[32];
	int watch;

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	watch = inotify_add_watch(c->inotify_fd, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
	watch = watch >= 0 ? watch : -errno;
	close(fd);
	return watch;
}

/* A folder that does not exist or cannot be read is not worth a log message. */
static void
watch_log_failure(struct vuc_control *c, int rc)
{
	bool is_limit = rc == -ENOSPC || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;

	if (!is_limit || c->watch_logged)
		return;
	c->watch_logged = true;
	control_log(&c->log, VUC_LOG_WARNING,
		"cannot watch folders of sockets: inotify: %s; servers that come back are found by "
		"retry-min-ms only",
		strerror(-rc));
}

void
control_arrival_watch(struct control_device *d)
{
	struct control_arrival *a = &d->arrival;
	struct vuc_control *c = d->control;
	int watch;

	if (a->folder[0] == '\0')
		return;
	watch = c->inotify_fd >= 0 ? folder_watch(c, a->folder) : c->inotify_fd;
	if (watch < 0) {
		watch_log_failure(c, watch);
	} else if (watch != a->watch) {
		control_arrival_forget(d);
		a->watch = watch;
	}
}

/* ---- events ---- */

/* With the lock held. A server that is ended by resets is not tried at each of its restarts. */
static void
arrival_hurry(struct control_device *d)
{
	struct control_arrival *a = &d->arrival;

	if (a->hurried == MAX_HURRIED || d->reset_ends > 0)
		return;
	a->due_ms = d->due_ms = vuc_clock_ms();
}

/* With the lock held. */
static void
arrival_take_event(struct vuc_control *c, const struct inotify_event *e)
{
	bool overflow = (e->mask & IN_Q_OVERFLOW) != 0;
	struct control_device *d;

	TAILQ_FOREACH (d, &c->devices, entry) {
		struct control_arrival *a = &d->arrival;

		if (a->watch < 0 || (a->watch != e->wd && !overflow))
			continue;
		if ((e->mask & IN_IGNORED) != 0)
			a->watch = -1;
		else if (overflow || (e->len > 0 && strcmp(e->name, a->name) == 0))
			arrival_hurry(d);
	}
}

void
control_arrival_take_events(struct vuc_control *c)
{
	_Alignas(struct inotify_event) char events[EVENTS_SIZE];
	ssize_t len = read(c->inotify_fd, events, sizeof(events));
	uint32_t seen = 0;

	pthread_mutex_lock(&c->lock);
	for (ssize_t at = 0; at < len;) {
		const struct inotify_event *e = (const void *)(events + at);

		arrival_take_event(c, e);
		seen |= e->mask;
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	pthread_mutex_unlock(&c->lock);
	if ((seen & (IN_ATTRIB | IN_Q_OVERFLOW)) != 0)
		control_bar0_hurry(c);
}

/* ---- attempts ---- */

void
control_arrival_begin(struct control_device *d, bool hurried)
{
	d->arrival.due_ms = 0;
	d->arrival.hurried = hurried ? d->arrival.hurried + 1 : 0;
}

/* The name appears with bind(2), before listen(2). */
bool
control_arrival_was_early(struct control_device *d, int rc)
{
	struct control_arrival *a = &d->arrival;

	if (a->hurried == 0 || (rc != -ENOENT && rc != -ECONNREFUSED))
		return false;
	if (rc == -ECONNREFUSED && a->hurried < MAX_HURRIED && a->due_ms == 0)
		a->due_ms = vuc_clock_ms() + (UINT64_C(1) << a->hurried);
	return true;
}
