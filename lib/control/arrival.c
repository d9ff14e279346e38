/* SPDX-License-Identifier: BSD-3-Clause */
#include "arrival.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "thread.h"

/* Attempts to connect because of events, between two timed ones: a bound for whoever can write to
 * the folder. With the delays below, the last one is 254 ms after the first one. */
#define MAX_HURRIED 8u

/* Bytes of events that are read at a time, so that a flood of events does not occupy the thread. */
#define EVENTS_SIZE 4096u

#define HELD_MS    100u /* at most, from the begin of a look-up to an attempt that is due */
#define DESTROY_MS 500u /* for look-ups that are under way at the end */

/* A folder that is being watched, by a thread: looking it up may block. */
struct look_up {
	LIST_ENTRY(look_up) link;
	struct control_folders *folders;
	char folder[sizeof(((struct control_arrival *)NULL)->folder)];
	bool ended;   /* guarded by the lock; from then on the control thread's */
	int watch;    /* or -errno */
	bool doubted; /* the control thread's: what it finds may be a watch that was removed */
};

struct control_folders {
	pthread_mutex_t lock;
	pthread_cond_t ended;
	int inotify_fd;              /* stays open while a look-up is under way */
	struct vuc_mailbox *mailbox; /* of the control thread; NULL: that has ended */
	unsigned int nr_threads;
	LIST_HEAD(, look_up) look_ups; /* changed by the control thread only */
};

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

/* ---- look-ups ---- */

int
control_folders_create(struct vuc_control *c)
{
	struct control_folders *f = calloc(1, sizeof(*f));
	pthread_condattr_t attr;

	if (f == NULL)
		return -ENOMEM;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->ended, &attr);
	pthread_condattr_destroy(&attr);
	LIST_INIT(&f->look_ups);
	f->mailbox = &c->mailbox;
	f->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	c->inotify_fd = f->inotify_fd >= 0 ? f->inotify_fd : -errno;
	c->folders = f;
	return 0;
}

static void
folders_free(struct control_folders *f)
{
	struct look_up *l;

	while ((l = LIST_FIRST(&f->look_ups)) != NULL) {
		LIST_REMOVE(l, link);
		free(l);
	}
	if (f->inotify_fd >= 0)
		close(f->inotify_fd);
	pthread_cond_destroy(&f->ended);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

void
control_folders_destroy(struct control_folders *f)
{
	uint64_t end_ms = vuc_clock_ms() + DESTROY_MS;
	const struct timespec end = {
		.tv_sec = (time_t)(end_ms / 1000),
		.tv_nsec = (long)(end_ms % 1000) * 1000000,
	};
	bool last;

	if (f == NULL)
		return;
	pthread_mutex_lock(&f->lock);
	while (f->nr_threads > 0 && pthread_cond_timedwait(&f->ended, &f->lock, &end) == 0)
		continue;
	f->mailbox = NULL;
	last = f->nr_threads == 0;
	pthread_mutex_unlock(&f->lock);
	if (last)
		folders_free(f);
}

static void *
look_up_run(void *arg)
{
	struct look_up *l = arg;
	struct control_folders *f = l->folders;
	bool last;

	pthread_setname_np(pthread_self(), "vuc-folder");
	l->watch =
		inotify_add_watch(f->inotify_fd, l->folder, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
	if (l->watch < 0)
		l->watch = -errno;
	pthread_mutex_lock(&f->lock);
	l->ended = true;
	f->nr_threads--;
	if (f->mailbox != NULL)
		vuc_mailbox_wake(f->mailbox);
	last = f->mailbox == NULL && f->nr_threads == 0;
	pthread_cond_signal(&f->ended);
	pthread_mutex_unlock(&f->lock);
	if (last)
		folders_free(f);
	return NULL;
}

static int
look_up_start(struct look_up *l)
{
	struct control_folders *f = l->folders;
	pthread_t thread;
	int rc;

	l->ended = l->doubted = false;
	pthread_mutex_lock(&f->lock);
	rc = vuc_thread_create(&thread, THREAD_STACK, look_up_run, l);
	if (rc == 0) {
		pthread_detach(thread);
		f->nr_threads++;
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* However many devices wait there, a folder that blocks holds up one thread. */
static int
folder_look_up(struct control_folders *f, const char *folder)
{
	struct look_up *l;
	int rc;

	LIST_FOREACH (l, &f->look_ups, link) {
		if (strcmp(l->folder, folder) == 0)
			return 0;
	}
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return -ENOMEM;
	l->folders = f;
	snprintf(l->folder, sizeof(l->folder), "%s", folder);
	rc = look_up_start(l);
	if (rc != 0) {
		free(l);
		return rc;
	}
	LIST_INSERT_HEAD(&f->look_ups, l, link);
	return 0;
}

/* One that has ended, or NULL. */
static struct look_up *
folders_take_ended(struct control_folders *f)
{
	struct look_up *l;

	if (LIST_EMPTY(&f->look_ups))
		return NULL;
	pthread_mutex_lock(&f->lock);
	LIST_FOREACH (l, &f->look_ups, link) {
		if (l->ended)
			break;
	}
	pthread_mutex_unlock(&f->lock);
	if (l != NULL)
		LIST_REMOVE(l, link);
	return l;
}

/* ---- watches ---- */

static bool
watch_is_used(struct vuc_control *c, int watch)
{
	const struct control_device *d;

	pthread_mutex_lock(&c->lock);
	TAILQ_FOREACH (d, &c->devices, entry) {
		if (d->arrival.watch == watch)
			break;
	}
	pthread_mutex_unlock(&c->lock);
	return d != NULL;
}

/* A look-up that is under way may have found the watch just before. */
static void
watch_remove_unused(struct vuc_control *c, int watch)
{
	struct look_up *l;

	if (watch < 0 || watch_is_used(c, watch))
		return;
	inotify_rm_watch(c->inotify_fd, watch);
	LIST_FOREACH (l, &c->folders->look_ups, link)
		l->doubted = true;
}

static void
device_set_watch(struct control_device *d, int watch)
{
	int before = d->arrival.watch;

	d->arrival.watch = watch;
	if (before != watch)
		watch_remove_unused(d->control, before);
}

void
control_arrival_forget(struct control_device *d)
{
	d->arrival.looking = false;
	d->arrival.due_ms = 0;
	device_set_watch(d, -1);
}

/* A folder that does not exist or cannot be read is not worth a log message. */
static void
watch_log_failure(struct vuc_control *c, int rc)
{
	bool is_limit =
		rc == -ENOSPC || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -EAGAIN;

	if (!is_limit || c->watch_logged)
		return;
	c->watch_logged = true;
	control_log(&c->log, VUC_LOG_WARNING,
		"cannot watch folders of sockets: %s; servers that come back are found by "
		"retry-min-ms only",
		strerror(-rc));
}

void
control_arrival_watch(struct control_device *d)
{
	struct control_arrival *a = &d->arrival;
	struct vuc_control *c = d->control;
	int rc;

	if (a->folder[0] == '\0' || a->looking)
		return;
	rc = c->inotify_fd >= 0 ? folder_look_up(c->folders, a->folder) : c->inotify_fd;
	a->looking = rc == 0;
	a->held_ms = vuc_clock_ms() + HELD_MS;
	if (rc != 0)
		watch_log_failure(c, rc);
}

/* A device that waits for a look-up, or NULL. */
static struct control_device *
look_up_find_device(struct vuc_control *c, const struct look_up *l)
{
	struct control_device *d;

	pthread_mutex_lock(&c->lock);
	TAILQ_FOREACH (d, &c->devices, entry) {
		if (d->arrival.looking && strcmp(d->arrival.folder, l->folder) == 0)
			break;
	}
	pthread_mutex_unlock(&c->lock);
	return d;
}

static void
device_take_watch(struct control_device *d, int watch)
{
	uint64_t now = vuc_clock_ms();

	d->arrival.looking = false;
	if (d->next_ms <= now) /* an attempt that was held */
		d->due_ms = now;
	if (watch >= 0)
		device_set_watch(d, watch);
}

static void
look_up_end(struct vuc_control *c, struct look_up *l)
{
	struct control_device *d = look_up_find_device(c, l);

	if (d != NULL && l->doubted) {
		int rc = look_up_start(l);

		if (rc == 0) {
			LIST_INSERT_HEAD(&c->folders->look_ups, l, link);
			return;
		}
		l->watch = rc;
	}
	if (l->watch < 0)
		watch_log_failure(c, l->watch);
	for (; d != NULL; d = look_up_find_device(c, l))
		device_take_watch(d, l->watch);
	watch_remove_unused(c, l->watch);
	free(l);
}

void
control_arrival_take_watches(struct vuc_control *c)
{
	struct look_up *l;

	while ((l = folders_take_ended(c->folders)) != NULL)
		look_up_end(c, l);
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

		/* The number of the watch may not be known yet. */
		if (!a->looking && (a->watch < 0 || (a->watch != e->wd && !overflow)))
			continue;
		if ((e->mask & IN_IGNORED) != 0 && a->watch == e->wd)
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

uint64_t
control_arrival_next(const struct control_device *d)
{
	const struct control_arrival *a = &d->arrival;
	uint64_t next_ms = d->next_ms;

	if (a->looking && next_ms < a->held_ms)
		next_ms = a->held_ms;
	return a->due_ms != 0 && a->due_ms < next_ms ? a->due_ms : next_ms;
}

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
