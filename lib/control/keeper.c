/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The keeper of a device: a thread that connects to its server, learns that the connection has
 * ended, and connects again. One for each, so that a server that hangs delays no other one.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "error.h"
#include "vmm.h"

#define MAX_RESET_ENDS     3u  /* in a row, until it is tried seldom */
#define RESET_RETRY_FACTOR 12u /* how much more seldom */

static bool
stops(const struct control_device *d)
{
	return atomic_load_explicit(&d->stop, memory_order_acquire);
}

/* Not while a VMM still has the connection before, or it is being closed: a server may take one at
 * a time only. Nor when it will soon not be wanted any more. */
static bool
is_wanted(struct control_device *d)
{
	bool wanted;

	pthread_mutex_lock(&d->control->lock);
	wanted = d->link == NULL && (!d->cleaning || d->vmm == NULL) && !d->removing &&
		!d->control->stop;
	pthread_mutex_unlock(&d->control->lock);
	return wanted;
}

/* Whether a VMM has left, and the connection is only made anew. */
static bool
is_renewing(struct control_device *d)
{
	bool renewing;

	pthread_mutex_lock(&d->control->lock);
	renewing = d->renewing;
	pthread_mutex_unlock(&d->control->lock);
	return renewing;
}

/* With the lock held. */
static void
attempted(struct control_device *d)
{
	d->tried = true;
	d->cleaning = d->cleaning && !d->renewing;
	d->renewing = false;
	pthread_cond_broadcast(&d->control->changed);
}

/* A VMM may attach, leave and have the connection closed as soon as the lock is let go. */
static void
connected(struct control_device *d, struct control_link *link)
{
	struct vuc_control *c = d->control;
	uint64_t generation;

	pthread_mutex_lock(&c->lock);
	generation = ++d->generation;
	link->generation = generation;
	d->link = link;
	d->since_ms = vuc_clock_ms();
	d->reset_ends = 0;
	d->reason.text[0] = '\0';
	/* It has the connection before, which is of no use any more. */
	if (d->vmm != NULL)
		vmm_tell(d->vmm, VUC_SHM_BACK, generation);
	attempted(d);
	pthread_mutex_unlock(&c->lock);
	control_log(&c->log, VUC_LOG_NOTICE, "%s: connected to %s, generation %llu", d->name,
		d->path, (unsigned long long)generation);
}

/* A reset that has ended the server is why it is away, whatever is seen afterwards. */
static void
explain(struct control_device *d, int rc, struct vuc_error *err)
{
	struct vuc_error seen = *err;

	d->reset_ends += rc == -EPIPE;
	if (d->reset_ends > 0)
		vuc_error_set(err, rc,
			"DEVICE_RESET has ended the last %u connections (\"reset = never\" does "
			"without): %.120s",
			d->reset_ends, seen.text);
}

/* The same reason again is no news. */
static void
failed(struct control_device *d, int rc, struct vuc_error *err)
{
	struct vuc_control *c = d->control;
	bool news;

	pthread_mutex_lock(&c->lock);
	explain(d, rc, err);
	news = strcmp(d->reason.text, err->text) != 0;
	d->reason = *err;
	attempted(d);
	pthread_mutex_unlock(&c->lock);
	if (news)
		control_log(&c->log, VUC_LOG_WARNING, "%s: away: %s", d->name, err->text);
}

static int
connect_to(struct control_device *d)
{
	struct control_link *link;
	struct vuc_error err = {0};
	int rc = control_link_open(d, &link, &err);

	if (rc == 0)
		connected(d, link);
	else if (!stops(d))
		failed(d, rc, &err);
	return rc;
}

/* Returns the connection that is to be closed here: a VMM that has one closes it when it leaves. */
static struct control_link *
take_lost(struct control_device *d, struct vuc_error *why)
{
	struct vuc_control *c = d->control;
	struct control_link *link;
	bool theirs;

	pthread_mutex_lock(&c->lock);
	link = d->link;
	if (link == NULL || !atomic_load_explicit(&link->ended, memory_order_acquire)) {
		pthread_mutex_unlock(&c->lock);
		return NULL;
	}
	theirs = d->vmm != NULL && d->vmm->link == link;
	if (d->vmm != NULL)
		vmm_tell(d->vmm, VUC_SHM_LOST, link->generation);
	d->link = NULL;
	d->silent_ms = 0;
	d->since_ms = vuc_clock_ms();
	d->reason = link->reason;
	*why = link->reason;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	control_log(&c->log, VUC_LOG_WARNING, "%s: lost: %s", d->name, why->text);
	return theirs ? NULL : link;
}

static void
log_silence(struct control_device *d, uint64_t before, uint64_t now)
{
	struct control_log *log = &d->control->log;

	if (now != 0 && before == 0)
		control_log_limited(log, &d->silent_lines, VUC_LOG_WARNING,
			"%s: the server is not answering: requests time out, and it has sent "
			"nothing for %" PRIu64 " ms",
			d->name, vuc_clock_ms() - now);
	else if (now == 0)
		control_log_limited(log, &d->silent_lines, VUC_LOG_NOTICE,
			"%s: the server answers again, after %" PRIu64 " ms", d->name,
			vuc_clock_ms() - before);
}

/* Whoever sees the state, or is told, finds the line in the log. */
static void
look_at_silence(struct control_device *d)
{
	struct vuc_control *c = d->control;
	struct control_link *link;
	uint64_t before, generation, now = 0;

	pthread_mutex_lock(&c->lock);
	link = d->link;
	before = d->silent_ms;
	generation = d->generation;
	if (link != NULL)
		now = atomic_load_explicit(&link->silent_ms, memory_order_relaxed);
	pthread_mutex_unlock(&c->lock);
	if (now == before)
		return;
	log_silence(d, before, now);
	pthread_mutex_lock(&c->lock);
	/* Another connection may lie where this one lay. */
	if (d->link == link && d->generation == generation) {
		d->silent_ms = now;
		if (d->vmm != NULL && d->vmm->link == link)
			vmm_tell(d->vmm, now != 0 ? VUC_SHM_SILENT : VUC_SHM_ATTACHED, generation);
	}
	pthread_mutex_unlock(&c->lock);
}

static void
look(struct control_device *d)
{
	struct vuc_error why = {0};
	struct control_link *link = take_lost(d, &why);

	if (link != NULL)
		control_link_close(link);
	look_at_silence(d);
}

/* A server that a reset ends may be started again by somebody each time, to no avail. */
static uint32_t
next_delay(const struct control_device *d, uint32_t delay)
{
	if (d->reset_ends >= MAX_RESET_ENDS)
		return d->retry_max_ms < UINT32_MAX / RESET_RETRY_FACTOR
			? d->retry_max_ms * RESET_RETRY_FACTOR
			: UINT32_MAX;
	if (delay == 0)
		return d->retry_min_ms;
	return delay > d->retry_max_ms / 2 ? d->retry_max_ms : delay * 2;
}

/* Whatever wakes it meanwhile: a server that ends each connection does not keep its poller busy. */
static void
wait_for_next(const struct control_device *d, uint32_t delay)
{
	uint64_t end = vuc_clock_ms() + delay;
	uint64_t now;

	while (!stops(d) && (now = vuc_clock_ms()) < end)
		control_wait(d->wake_fd, (int)(end - now));
}

/* Whether it was more than one that a server takes only to end it. */
static bool
has_lasted(const struct control_device *d, uint64_t connected_ms)
{
	return connected_ms != 0 && vuc_clock_ms() - connected_ms >= d->retry_max_ms;
}

/* When to connect, and how long the next attempt is waited with. */
struct pace {
	uint64_t connected_ms; /* when it was, with the last attempt; 0: not */
	uint32_t delay;
};

/* One that was closed to be made anew has not failed. */
static void
renew(struct control_device *d, struct pace *pace)
{
	if (connect_to(d) == 0)
		return;
	pace->connected_ms = 0;
	pace->delay = next_delay(d, pace->delay);
}

static void
retry(struct control_device *d, struct pace *pace)
{
	if (has_lasted(d, pace->connected_ms))
		pace->delay = 0;
	pace->connected_ms = 0;
	wait_for_next(d, pace->delay);
	if (stops(d) || !is_wanted(d))
		return;
	pace->connected_ms = connect_to(d) == 0 ? vuc_clock_ms() : 0;
	pace->delay = next_delay(d, pace->delay);
}

void *
control_keep(void *arg)
{
	struct control_device *d = arg;
	struct pace pace = {0};
	char name[16];

	snprintf(name, sizeof(name), "vuc %.11s", d->name);
	pthread_setname_np(pthread_self(), name);
	while (!stops(d)) {
		look(d);
		if (!is_wanted(d))
			control_wait(d->wake_fd, -1);
		else if (is_renewing(d))
			renew(d, &pace);
		else
			retry(d, &pace);
	}
	return NULL;
}
