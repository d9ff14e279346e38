/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "error.h"
#include "internal.h"
#include "opts.h"

#define TICK_MS         10u /* between looks at all devices' requests */
#define HURRIED_TICK_MS 1u  /* while somebody is about to close one */

VUC_EXPORT void
vuc_poll_group_opts_init(struct vuc_poll_group_opts *opts, size_t size)
{
	const struct vuc_poll_group_opts defaults = {.size = sizeof(defaults)};

	vuc_opts_init(opts, size, &defaults, sizeof(defaults));
}

/* io_uring where it is allowed, and a line to the log where it is not. */
static int
choose_transport(struct vuc_poll_group *group, struct vuc_error *err)
{
	char line[VUC_ERROR_MAX + 64];
	struct vuc_error why = {0};

	if (vuc_transport_uring.group_create(&group->transport, group->log, group->log_arg, &why) ==
		0)
		return 0;
	snprintf(line, sizeof(line), "transport posix instead of uring: %s", why.text);
	group_log(group, VUC_LOG_NOTICE, line);
	return vuc_transport_posix.group_create(&group->transport, group->log, group->log_arg, err);
}

static int
create_transport(struct vuc_poll_group *group, const char *name, struct vuc_error *err)
{
	const struct vuc_transport_ops *ops;

	if (name == NULL)
		return choose_transport(group, err);
	ops = vuc_transport_find(name);
	if (ops == NULL)
		return vuc_error_set(err, -EINVAL,
			"unknown transport '%s' (available: uring, posix, loopback)", name);
	return ops->group_create(&group->transport, group->log, group->log_arg, err);
}

VUC_EXPORT int
vuc_poll_group_create(const struct vuc_poll_group_opts *opts, struct vuc_poll_group **group,
	struct vuc_error *err)
{
	struct vuc_poll_group_opts known;
	struct vuc_poll_group *g;
	int rc;

	*group = NULL;
	vuc_poll_group_opts_init(&known, sizeof(known));
	rc = vuc_opts_read(&known, sizeof(known), opts,
		VUC_OPTS_LEAST(struct vuc_poll_group_opts, log_arg), "vuc_poll_group_opts", err);
	if (rc != 0)
		return rc;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a poll group");
	TAILQ_INIT(&g->devices);
	TAILQ_INIT(&g->dirty);
	TAILQ_INIT(&g->closed);
	g->log = known.log;
	g->log_arg = known.log_arg;
	rc = create_transport(g, known.transport, err);
	if (rc != 0) {
		free(g);
		return rc;
	}
	*group = g;
	return 0;
}

/* Whether a device is closed, and only what was posted is still to be sent. */
static bool
device_lingers(const struct vuc_device *dev)
{
	return dev->closed && dev->closing.done == NULL;
}

static void
free_group(struct vuc_poll_group *group)
{
	group->transport->ops->group_destroy(group->transport);
	free(group);
}

VUC_EXPORT int
vuc_poll_group_destroy(struct vuc_poll_group *group)
{
	const struct vuc_device *dev;

	if (group == NULL)
		return 0;
	TAILQ_FOREACH (dev, &group->devices, link) {
		if (!device_lingers(dev))
			return -EBUSY;
	}
	if (group->polling) {
		group->doomed = true;
		return 0;
	}
	while (!TAILQ_EMPTY(&group->devices)) {
		vuc_poll_group_look_at_clock(group);
		vuc_poll_group_poll(group);
		sched_yield();
	}
	free_group(group);
	return 0;
}

VUC_PRIVATE void
vuc_poll_group_set_source(struct vuc_poll_group *group, const struct vuc_poll_source *source)
{
	group->source = source != NULL ? *source : (struct vuc_poll_source){0};
}

VUC_PRIVATE void
vuc_poll_group_set_closers(struct vuc_poll_group *group, struct vuc_closers *closers)
{
	group->closers = closers;
}

void
group_add(struct vuc_poll_group *group, struct vuc_device *dev)
{
	dev->group = group;
	TAILQ_INSERT_TAIL(&group->devices, dev, link);
}

void
group_remove(struct vuc_device *dev)
{
	TAILQ_REMOVE(&dev->group->devices, dev, link);
	if (dev->dirty)
		TAILQ_REMOVE(&dev->group->dirty, dev, dirty_link);
	dev->dirty = false;
}

void
group_retire(struct vuc_device *dev)
{
	struct vuc_poll_group *group = dev->group;

	group_remove(dev);
	TAILQ_INSERT_TAIL(&group->closed, dev, link);
	group->doomed = group->doomed || dev->own_group;
}

/* Nobody polls the group any more, so these have had their last chance. */
static void
end_lingering(struct vuc_poll_group *group)
{
	struct vuc_device *dev, *next;

	for (dev = TAILQ_FIRST(&group->devices); dev != NULL; dev = next) {
		next = TAILQ_NEXT(dev, link);
		if (!device_lingers(dev))
			continue;
		device_flush(dev);
		dev->closing.deadline_ms = 0;
		dev->step(dev);
	}
}

/* At the end of a poll, when nothing refers to what was closed in it. Returns whether the group is
 * gone as well. */
static bool
free_closed(struct vuc_poll_group *group)
{
	struct vuc_device *dev, *next;

	if (group->doomed)
		end_lingering(group);
	for (dev = TAILQ_FIRST(&group->closed); dev != NULL; dev = next) {
		next = TAILQ_NEXT(dev, link);
		if (dev->holds > 0)
			continue;
		TAILQ_REMOVE(&group->closed, dev, link);
		dev->step(dev);
	}
	if (!group->doomed || !TAILQ_EMPTY(&group->devices) || !TAILQ_EMPTY(&group->closed))
		return false;
	free_group(group);
	return true;
}

static bool
has_closed(const struct vuc_poll_group *group)
{
	return !TAILQ_EMPTY(&group->closed) || group->doomed;
}

struct vuc_device *
device_hold(struct vuc_device *dev)
{
	dev->holds++;
	return dev;
}

void
device_let_go(struct vuc_device **held)
{
	struct vuc_poll_group *group = (*held)->group;

	if (--(*held)->holds == 0 && !group->polling && has_closed(group))
		free_closed(group);
}

bool
group_begin_callbacks(struct vuc_poll_group *group)
{
	bool outermost = !group->polling;

	group->polling = true;
	return outermost;
}

void
group_end_callbacks(struct vuc_poll_group *group, bool outermost)
{
	if (!outermost)
		return;
	group->polling = false;
	if (has_closed(group))
		free_closed(group);
}

static uint64_t
device_step_due(const struct vuc_device *dev)
{
	return dev->step != NULL ? dev->step_due(dev) : UINT64_MAX;
}

static uint64_t
group_tick_due(const struct vuc_poll_group *group)
{
	return group->ticked_ms + (group->hurried ? HURRIED_TICK_MS : TICK_MS);
}

static void
group_tick(struct vuc_poll_group *group)
{
	uint64_t now = vuc_clock_coarse_ms();
	struct vuc_device *dev;

	if (now < group_tick_due(group))
		return;
	group->ticked_ms = now;
	group->changed = true;
	group->hurried = false;
	if (group->transport->ops->settle != NULL)
		group->transport->ops->settle(group->transport);
	TAILQ_FOREACH (dev, &group->devices, link) {
		device_link_tick(&dev->main, now);
		device_link_tick(&dev->twin, now);
		device_tick_operations(dev, now);
		device_settle_fds(dev);
		device_tick_hurry(dev, now);
		group->hurried |= dev->hurry.patience_ms != 0;
		if (device_step_due(dev) <= now)
			device_mark_dirty(dev);
	}
}

/* What many devices have does not fit the innermost cache: let it come while another is flushed. */
static void
device_prefetch(const struct vuc_device *dev)
{
	vuc_session_prefetch(dev->session);
	__builtin_prefetch(dev->first);
	__builtin_prefetch(dev->main.conn);
}

/* From so many on, what they send together costs less than what each sends for itself. */
#define SEVERAL 4u

static bool
are_several(const struct vuc_device *dev)
{
	unsigned int nr = 0;

	for (; dev != NULL && nr < SEVERAL; dev = TAILQ_NEXT(dev, dirty_link))
		nr++;
	return nr == SEVERAL;
}

static inline void
flush_device(struct vuc_device *dev)
{
	TAILQ_REMOVE(&dev->group->dirty, dev, dirty_link);
	dev->dirty = false;
	if (dev->step != NULL)
		dev->step(dev);
	device_flush(dev);
}

/* Devices that become dirty meanwhile go to the end of the list and wait for the next poll. */
static void
group_flush_all(struct vuc_poll_group *group)
{
	struct vuc_device *last = TAILQ_LAST(&group->dirty, vuc_device_list);
	struct vuc_device *dev = TAILQ_FIRST(&group->dirty);

	group->transport->several = are_several(dev);
	while (dev != NULL) {
		struct vuc_device *next = dev == last ? NULL : TAILQ_NEXT(dev, dirty_link);

		if (next != NULL)
			device_prefetch(next);
		flush_device(dev);
		dev = next;
	}
	group->transport->several = false;
}

static inline void
group_flush(struct vuc_poll_group *group)
{
	struct vuc_device *dev = TAILQ_FIRST(&group->dirty);

	if (dev == NULL)
		return;
	if (TAILQ_NEXT(dev, dirty_link) != NULL) {
		group_flush_all(group);
		return;
	}
	flush_device(dev);
}

VUC_PRIVATE void
vuc_poll_group_look_at_clock(struct vuc_poll_group *group)
{
	group->polls = TICK_INTERVAL - 1;
}

/* Cold: after ticks, and when a connection has ended. */
static void __attribute__((noinline)) group_tell_source(struct vuc_poll_group *group)
{
	group->changed = false;
	if (group->source.changed != NULL)
		group->source.changed(group->source.arg);
}

int
group_poll(struct vuc_poll_group *group, unsigned int looks)
{
	unsigned int completed;

	if (group->polling)
		return -EDEADLK;
	group->polling = true;
	group->completed = 0;
	if (group->source.begin != NULL)
		group->source.begin(group->source.arg);
	group_flush(group);
	/* A source has more to do than to look at sockets. */
	group->transport->ops->poll(group->transport, group->source.end != NULL ? 1 : looks);
	if (++group->polls % TICK_INTERVAL == 0)
		group_tick(group);
	if (group->source.end != NULL)
		group->source.end(group->source.arg);
	if (group->changed)
		group_tell_source(group);
	group->polling = false;
	completed = group->completed;
	if (has_closed(group))
		free_closed(group);
	return (int)completed;
}

VUC_EXPORT int
vuc_poll_group_poll(struct vuc_poll_group *group)
{
	return group_poll(group, 1);
}

/* What becomes of such a device takes polls, not flushes alone: device_flush(). */
static bool
has_lost_link(const struct vuc_device *dev)
{
	return vuc_session_state(dev->session) == VUC_SESSION_LOST ||
		(dev->twin.session != NULL &&
			vuc_session_state(dev->twin.session) == VUC_SESSION_LOST);
}

/*
 * Whether a device that a flush has left dirty could go on at once. It could not when it waits for
 * room in its socket or for a free place among its requests: the event that brings it ends a wait.
 */
static bool
can_go_on(struct vuc_device *dev)
{
	if (has_lost_link(dev))
		return true;
	if ((dev->first == NULL && !dev->operating) || vuc_session_has_segment(dev->session))
		return false;
	device_pump(dev);
	return vuc_session_has_segment(dev->session);
}

/* Do what can be done now. Returns whether there is more of it. */
static bool
flush_before_wait(struct vuc_poll_group *group)
{
	struct vuc_device *dev;
	bool more = false;

	TAILQ_FOREACH (dev, &group->dirty, dirty_link) {
		if (has_lost_link(dev))
			return true;
	}
	group->polling = true;
	group->completed = 0;
	group_flush(group);
	TAILQ_FOREACH (dev, &group->dirty, dirty_link)
		more |= can_go_on(dev);
	/* A connection that broke has completed what was under way. */
	if (group->source.end != NULL)
		group->source.end(group->source.arg);
	group->polling = false;
	/* A callback may have submitted anything. */
	more |= group->completed > 0;
	return (has_closed(group) && free_closed(group)) || more;
}

/* When a tick has something to do for a device, unless something comes before; 0: now. */
static uint64_t
device_due(const struct vuc_device *dev)
{
	const uint64_t dues[] = {
		device_link_due(&dev->main),
		device_link_due(&dev->twin),
		device_operations_due(dev),
		device_hurry_due(dev),
		device_step_due(dev),
	};
	uint64_t due = UINT64_MAX;

	for (unsigned int i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
		due = dues[i] < due ? dues[i] : due;
	return due;
}

static uint64_t
earliest_due(const struct vuc_poll_group *group)
{
	const struct vuc_device *dev;
	uint64_t due = UINT64_MAX;

	TAILQ_FOREACH (dev, &group->devices, link) {
		uint64_t its = device_due(dev);

		due = its < due ? its : due;
	}
	return due;
}

/* Until the earliest deadline, but not before the next tick, which is the first to see it. */
static unsigned int
limit_sleep(const struct vuc_poll_group *group, unsigned int timeout_ms)
{
	uint64_t now = vuc_clock_coarse_ms(), due = group_tick_due(group);

	if (timeout_ms > INT_MAX)
		timeout_ms = INT_MAX;
	if (now + timeout_ms > due) {
		uint64_t earliest = earliest_due(group);

		due = earliest > due ? earliest : due;
	}
	if (due <= now)
		return 0;
	return due - now < timeout_ms ? (unsigned int)(due - now) : timeout_ms;
}

VUC_EXPORT int
vuc_poll_group_wait(struct vuc_poll_group *group, int wake_fd, unsigned int timeout_ms)
{
	if (group->polling)
		return -EDEADLK;
	/* One who sleeps polls rarely. */
	vuc_poll_group_look_at_clock(group);
	if (!TAILQ_EMPTY(&group->dirty) && flush_before_wait(group))
		return 1;
	return group->transport->ops->wait(
		group->transport, wake_fd < 0 ? -1 : wake_fd, limit_sleep(group, timeout_ms));
}

VUC_EXPORT const char *
vuc_poll_group_transport(const struct vuc_poll_group *group)
{
	return group->transport->ops->name;
}

VUC_EXPORT uint64_t
vuc_poll_group_syscalls(const struct vuc_poll_group *group)
{
	return group->transport->syscalls;
}
