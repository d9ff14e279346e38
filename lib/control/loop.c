/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The control thread: it accepts connections, and looks at devices when something of theirs has
 * ended or their time has come. It waits for nobody.
 */

#include <poll.h>
#include <stdio.h>

#include "clock.h"
#include "control.h"
#include "vmm.h"

#define CLOSERS_RETRY_MS 100u  /* until it tries again to start a thread that closes */
#define STOPPING_MS      1000u /* until it is logged again what is waited for at the end */

/* The first one that is due, behind this one or of all. */
static struct control_device *
device_find_due(struct vuc_control *c, struct control_device *behind, uint64_t now)
{
	struct control_device *d;

	pthread_mutex_lock(&c->lock);
	d = behind != NULL ? TAILQ_NEXT(behind, entry) : TAILQ_FIRST(&c->devices);
	while (d != NULL && (d->due_ms == 0 || d->due_ms > now))
		d = TAILQ_NEXT(d, entry);
	pthread_mutex_unlock(&c->lock);
	return d;
}

/* Only this thread takes devices out, and a look at one leaves the others; other threads put them
 * behind the last one. */
static void
control_look_at_due(struct vuc_control *c)
{
	uint64_t now = vuc_clock_ms();
	struct control_device *d, *next;

	for (d = device_find_due(c, NULL, now); d != NULL; d = next) {
		next = device_find_due(c, d, now);
		control_look_at(d);
	}
}

/* Those who have a device are given the time to detach. */
static void
control_send_vmms_away(struct vuc_control *c)
{
	uint64_t now = vuc_clock_ms();
	struct control_vmm *v;

	TAILQ_FOREACH (v, &c->vmms, entry) {
		if (v->device != NULL)
			vmm_tell(v, VUC_SHM_STOPPING, v->device->generation);
		vmm_leave(v, v->device != NULL ? now + LEAVE_GRACE_MS : now,
			"the daemon is stopping");
	}
}

/* It may come once more, and does nothing then. */
static void
control_begin_to_stop(struct vuc_control *c)
{
	struct control_device *d;

	pthread_mutex_lock(&c->lock);
	c->listens = false;
	control_send_vmms_away(c);
	TAILQ_FOREACH (d, &c->devices, entry)
		control_stop_device(d);
	pthread_mutex_unlock(&c->lock);
	vuc_listener_close(&c->listener);
	c->stopping_ms = vuc_clock_ms() + STOPPING_MS;
}

static void
control_log_vmms(struct vuc_control *c)
{
	struct control_vmm *v;

	TAILQ_FOREACH (v, &c->vmms, entry)
		control_log(&c->log, VUC_LOG_NOTICE,
			"stopping: waiting for VMM %s (pid %d, user %u)%s%s",
			v->name[0] != '\0' ? v->name : "?", (int)v->user.pid,
			(unsigned int)v->user.uid, v->device != NULL ? " to leave device " : "",
			v->device != NULL ? v->device->name : "");
}

static void
control_log_devices(struct vuc_control *c)
{
	const struct control_device *d;

	TAILQ_FOREACH (d, &c->devices, entry) {
		if (d->vmm == NULL)
			control_log(&c->log, VUC_LOG_NOTICE,
				"stopping: waiting for the server of device %s, at %s", d->name,
				d->path);
	}
}

static void
control_log_stopping(struct vuc_control *c)
{
	pthread_mutex_lock(&c->lock);
	control_log_vmms(c);
	control_log_devices(c);
	pthread_mutex_unlock(&c->lock);
	c->stopping_ms = vuc_clock_ms() + STOPPING_MS;
}

/* Returns whether nothing is left. */
static bool
control_stop_step(struct vuc_control *c)
{
	bool empty;

	if (c->stopping_ms == 0)
		control_begin_to_stop(c);
	if (vuc_clock_ms() >= c->stopping_ms)
		control_log_stopping(c);
	pthread_mutex_lock(&c->lock);
	empty = TAILQ_EMPTY(&c->devices) && c->nr_vmms == 0;
	pthread_mutex_unlock(&c->lock);
	return empty;
}

static uint64_t
due_earlier(uint64_t a, uint64_t b)
{
	return b != 0 && (a == 0 || b < a) ? b : a;
}

/* With the lock held: the milliseconds until something is due; -1: for ever. */
static int
control_until_due(const struct vuc_control *c)
{
	uint64_t due = due_earlier(c->stopping_ms, c->closers_ms), now = vuc_clock_ms();
	const struct control_device *d;

	TAILQ_FOREACH (d, &c->devices, entry)
		due = due_earlier(due, d->due_ms);
	due = due_earlier(due, c->accept_ms);
	if (due == 0)
		return -1;
	if (due <= now)
		return 0;
	return due - now < INT32_MAX ? (int)(due - now) : INT32_MAX;
}

static void
control_wait_for_events(struct vuc_control *c)
{
	struct pollfd fds[] = {
		{.fd = c->mailbox.fd, .events = POLLIN},
		{.fd = -1, .events = POLLIN},
		{.fd = c->inotify_fd, .events = POLLIN},
		{.fd = -1, .events = POLLIN},
	};
	bool listens;
	int timeout;

	pthread_mutex_lock(&c->lock);
	timeout = control_until_due(c);
	listens = c->listens;
	pthread_mutex_unlock(&c->lock);
	if (c->accept_ms != 0 && vuc_clock_ms() >= c->accept_ms)
		c->accept_ms = 0;
	if (listens && c->accept_ms == 0)
		fds[1].fd = c->listener.fd;
	if (c->accept_ms == 0)
		fds[3].fd = c->exports_fd;
	if (poll(fds, 4, timeout) <= 0)
		return;
	if (fds[1].revents != 0)
		control_accept(c);
	if (fds[3].revents != 0)
		control_accept_exported(c);
	if (fds[2].revents != 0)
		control_arrival_take_events(c);
}

static bool
control_stops(struct vuc_control *c)
{
	bool stop;

	pthread_mutex_lock(&c->lock);
	stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	return stop;
}

/* What VMMs have sent is closed by a thread as soon as one can be started. */
static void
control_retry_closers(struct vuc_control *c)
{
	c->closers_ms = vuc_closers_retry(c->closers) ? vuc_clock_ms() + CLOSERS_RETRY_MS : 0;
}

void *
control_run(void *arg)
{
	struct vuc_control *c = arg;

	pthread_setname_np(pthread_self(), "vuc-control");
	while (!control_stops(c) || !control_stop_step(c)) {
		control_wait_for_events(c);
		vuc_mailbox_run(&c->mailbox);
		control_arrival_take_watches(c);
		control_look_at_due(c);
		control_reap(c);
		control_retry_closers(c);
	}
	control_reap(c);
	return NULL;
}
