/* SPDX-License-Identifier: BSD-3-Clause */
#include "operation.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "internal.h"
#include "record.h"

void
operation_init(struct operation *op, const struct operation_ops *ops, struct vuc_device *dev,
	uint32_t timeout_ms)
{
	op->ops = ops;
	op->name = ops->name;
	op->dev = dev;
	op->timeout_ms = timeout_ms;
	op->replays = dev->replaying;
}

void
operation_free(struct operation *op)
{
	if (op->ops->free != NULL)
		op->ops->free(op);
	else
		free(op);
}

int
operation_fail(struct operation *op, int status, const char *fmt, ...)
{
	char text[VUC_ERROR_MAX];
	va_list args;

	if (op->status != 0)
		return status;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	op->status = vuc_error_set(&op->err, status, "%s", text);
	op->lost = op->lost || vuc_session_state(op->dev->session) == VUC_SESSION_LOST;
	return status;
}

static int
operation_fail_by_session(struct operation *op, int status)
{
	const char *reason = vuc_session_reason(op->dev->session);

	if (*reason)
		return operation_fail(op, status, "%s", reason);
	return operation_fail(op, status, "cannot send the request: %s", strerror(-status));
}

/* Whether it goes into the record instead of to the server. */
static bool
operation_is_recorded(const struct operation *op)
{
	return op->ops->record != NULL && !op->replays && vuc_device_is_away(op->dev);
}

/* Whether there is a server for it, or a record. */
static int
operation_check(const struct operation *op, struct vuc_error *err)
{
	if (op->replays || (op->ops->record != NULL && vuc_device_is_away(op->dev)))
		return 0;
	return device_check_connected(op->dev, err);
}

static void
operation_set_recorded(struct operation *op)
{
	op->state = OPERATION_OVER;
	op->lost = true;
	op->recorded = true;
	device_mark_dirty(op->dev);
}

/* Whether the connection has ended without a flush having noticed it: operations that were started
 * before are still to be recorded. */
static bool
device_is_about_to_lose(const struct vuc_device *dev)
{
	return dev->main.conn != NULL && dev->restoring == RESTORE_NONE;
}

int
operation_start(struct operation *op, vuc_done_fn done, void *arg, struct vuc_error *err)
{
	struct vuc_device *dev = op->dev;
	const struct vuc_poll_source *source = &dev->group->source;
	int rc = operation_check(op, err);

	if (rc != 0) {
		operation_free(op);
		return rc;
	}
	op->done = done;
	op->arg = arg;
	op->state = OPERATION_PLACED;
	op->deadline_ms = vuc_clock_coarse_ms() + op->timeout_ms;
	if (operation_is_recorded(op) && !device_is_about_to_lose(dev)) {
		TAILQ_INSERT_TAIL(&dev->operations, op, link);
		operation_set_recorded(op);
		return 0;
	}
	op->place.op = OPERATION_PLACE;
	op->placed = true;
	TAILQ_INSERT_TAIL(&dev->operations, op, link);
	device_enqueue(dev, &op->place);
	device_mark_dirty(dev);
	if (op->ops->barrier && !op->replays && source->drain != NULL &&
		source->drain(source->arg, dev))
		dev->draining = true;
	return 0;
}

VUC_PRIVATE void
vuc_device_drained(struct vuc_device *dev)
{
	dev->draining = false;
	device_mark_dirty(dev);
}

/* Requests behind it may go on. */
static void
operation_leave_place(struct operation *op)
{
	struct vuc_device *dev = op->dev;
	struct vuc_request **p = &dev->first;

	if (!op->placed)
		return;
	while (*p != &op->place)
		p = &(*p)->priv.next;
	*p = op->place.priv.next;
	if (*p == NULL)
		dev->last = p;
	op->placed = false;
}

static struct operation *
operation_of_place(const struct vuc_request *place)
{
	uintptr_t addr = (uintptr_t)place - offsetof(struct operation, place);

	return (struct operation *)addr;
}

static bool
operation_waits_for_source(const struct operation *op)
{
	return op->ops->barrier && !op->replays && op->state == OPERATION_PLACED &&
		op->dev->draining;
}

bool
operation_lets_pass(const struct vuc_request *first)
{
	return first->op == OPERATION_PLACE &&
		operation_waits_for_source(operation_of_place(first));
}

bool
operation_take_turn(struct vuc_request *place)
{
	struct operation *op = operation_of_place(place);

	if (operation_waits_for_source(op))
		return false;
	if (op->state == OPERATION_PLACED)
		op->state = OPERATION_READY;
	if (op->ops->barrier)
		return false;
	operation_leave_place(op);
	/* Before the requests behind it, if it can. */
	device_run_operations(op->dev);
	return true;
}

/* One that the loss of its connection has kept from its end has the record's. */
static void
operation_record(struct operation *op)
{
	if (op->ops->record == NULL || op->replays || op->dev->record == NULL)
		return;
	if (op->lost)
		op->status = 0;
	op->status = op->ops->record(op);
	if (op->status == 0)
		op->err = (struct vuc_error){0};
}

/* The callback may do anything but poll; the memory is kept for replies that are still to come. */
static void
operation_end(struct operation *op)
{
	struct vuc_device *dev = op->dev;

	operation_leave_place(op);
	TAILQ_REMOVE(&dev->operations, op, link);
	op->state = OPERATION_ENDED;
	if (!op->recorded)
		dev->operating = dev->step != NULL;
	if (dev->first != NULL || !TAILQ_EMPTY(&dev->operations))
		device_mark_dirty(dev);
	dev->group->completed++;
	operation_record(op);
	if (op->ops->end != NULL)
		op->ops->end(op);
	/* Until the callback has returned it cannot be freed. */
	op->outstanding++;
	op->done(op->arg, op->status, &op->err);
	if (--op->outstanding == 0)
		operation_free(op);
}

/* It has failed, and ends now. */
static void
operation_stop(struct operation *op)
{
	struct vuc_device *dev = op->dev;

	op->state = OPERATION_OVER;
	device_mark_dirty(dev);
	/* This completes its messages, and so ends it; unless the session is about to do so. */
	if (op->outstanding > 0 && op->ops->vital &&
		vuc_session_state(dev->session) != VUC_SESSION_LOST)
		vuc_session_end(dev->session, op->status, "%s", op->err.text);
	else
		operation_end(op);
}

/* Returns whether it has ended. */
static bool
operation_advance(struct operation *op)
{
	struct vuc_error why = {0};
	int rc = 0;

	if (op->state == OPERATION_READY && operation_is_recorded(op)) {
		op->state = OPERATION_OVER;
		op->lost = true;
	}
	if (op->state == OPERATION_READY) {
		op->state = OPERATION_RUNNING;
		rc = operation_check(op, &why);
		if (rc != 0) {
			operation_fail(op, rc, "%s: %s", op->name, why.text);
			op->state = OPERATION_OVER;
		}
	}
	if (op->state == OPERATION_RUNNING) {
		rc = op->ops->run(op);
		if (rc != 0 && rc != -EAGAIN)
			operation_fail_by_session(op, rc);
		if (rc != -EAGAIN)
			op->state = OPERATION_OVER;
	}
	op->dev->operating = op->state == OPERATION_RUNNING || op->dev->step != NULL;
	if (op->state != OPERATION_OVER || op->outstanding > 0)
		return false;
	operation_end(op);
	return true;
}

static void
operation_replied(void *arg, const struct vuc_session_reply *reply)
{
	struct operation_message *m = arg;
	struct operation *op = m->op;

	if (op->state != OPERATION_ENDED) {
		bool timed_out = op->ops->vital && reply->status == -ETIMEDOUT && !reply->refused;

		op->lost = op->lost || (timed_out && op->status == 0);
		m->replied(m, reply);
		if (timed_out)
			vuc_session_end(op->dev->session, -ETIMEDOUT, "%s", reply->reason);
	}
	/* Until here it could not be freed. */
	op->outstanding--;
	if (op->state != OPERATION_ENDED)
		operation_advance(op);
	else if (op->outstanding == 0)
		operation_free(op);
}

int
operation_send(
	struct operation *op, struct operation_message *m, const struct vuc_session_request *req)
{
	struct vuc_session_request sent = *req;
	int rc;

	if (op->dev->group->ticked_ms >= op->deadline_ms)
		return operation_fail(op, -ETIMEDOUT, "%s: not completely sent within %u ms",
			op->name, op->timeout_ms);
	m->op = op;
	sent.timeout_ms = op->timeout_ms;
	sent.deadline_ms = op->deadline_ms;
	sent.done = operation_replied;
	sent.arg = m;
	rc = vuc_session_request(op->dev->session, &sent);
	if (rc != 0)
		return rc;
	op->outstanding++;
	device_mark_dirty(op->dev);
	return 0;
}

static struct operation *
find_recorded(const struct vuc_device *dev)
{
	struct operation *op;

	TAILQ_FOREACH (op, &dev->operations, link) {
		if (op->recorded && op->outstanding == 0)
			return op;
	}
	return NULL;
}

bool
device_is_recording(const struct vuc_device *dev)
{
	return find_recorded(dev) != NULL;
}

/* They wait for none of the others, nor does the server know of them. */
static bool
end_recorded_operations(struct vuc_device *dev)
{
	struct operation *last = TAILQ_LAST(&dev->operations, operation_list);
	struct operation *op;
	bool ended = false, is_last = false;

	while (!is_last && (op = find_recorded(dev)) != NULL) {
		is_last = op == last;
		operation_end(op);
		ended = true;
	}
	return ended;
}

void
device_record_operations(struct vuc_device *dev)
{
	struct operation *op;

	TAILQ_FOREACH (op, &dev->operations, link) {
		if (op->state >= OPERATION_RUNNING || !operation_is_recorded(op))
			continue;
		operation_leave_place(op);
		operation_set_recorded(op);
	}
}

/* Those that callbacks start meanwhile wait for the next time. */
bool
device_run_operations(struct vuc_device *dev)
{
	bool ended = dev->record != NULL && end_recorded_operations(dev), is_last = false;
	struct operation *last = TAILQ_LAST(&dev->operations, operation_list);
	struct operation *op = TAILQ_FIRST(&dev->operations);

	while (!is_last && op != NULL && op->state != OPERATION_PLACED) {
		is_last = op == last;
		if (!operation_advance(op))
			break;
		ended = true;
		op = TAILQ_FIRST(&dev->operations);
	}
	return ended;
}

static struct operation *
find_expired(const struct vuc_device *dev, uint64_t now_ms)
{
	struct operation *op;

	TAILQ_FOREACH (op, &dev->operations, link) {
		if (now_ms >= op->deadline_ms)
			return op;
	}
	return NULL;
}

uint64_t
device_operations_due(const struct vuc_device *dev)
{
	const struct operation *op;
	uint64_t due = UINT64_MAX;

	TAILQ_FOREACH (op, &dev->operations, link) {
		if (op->deadline_ms < due)
			due = op->deadline_ms;
	}
	return due;
}

/* What it has sent timed out with the session's tick, just before. */
void
device_tick_operations(struct vuc_device *dev, uint64_t now_ms)
{
	struct operation *op;

	while ((op = find_expired(dev, now_ms)) != NULL) {
		op->lost = op->lost || (op->status == 0 && op->outstanding > 0 && op->ops->vital);
		operation_fail(op, -ETIMEDOUT, "%s: %s within %u ms", op->name,
			op->state < OPERATION_RUNNING ? "not begun" : "not completely sent",
			op->timeout_ms);
		operation_stop(op);
	}
}

void
device_cancel_replays(struct vuc_device *dev, int error, const char *why)
{
	struct operation *op = TAILQ_FIRST(&dev->operations);

	while (op != NULL && !op->replays)
		op = TAILQ_NEXT(op, link);
	if (op == NULL)
		return;
	operation_fail(op, error, "%s: %s", op->name, why);
	operation_end(op);
}

void
device_cancel_operations(struct vuc_device *dev, int error, const char *why)
{
	struct operation *last = TAILQ_LAST(&dev->operations, operation_list);
	struct operation *op;
	bool is_last = false;

	while (!is_last && (op = TAILQ_FIRST(&dev->operations)) != NULL) {
		is_last = op == last;
		operation_fail(op, error, "%s: %s", op->name, why);
		operation_stop(op);
	}
	/* Nobody waits for replies to what they have sent. */
	vuc_session_cancel(dev->session, operation_replied, error, why);
}
