/* SPDX-License-Identifier: BSD-3-Clause */

/* What of migration a device supports, and the states that it goes through. */

#include <errno.h>

#include <vuc/migration.h>

#include "error.h"
#include "feature.h"
#include "feature_sequence.h"
#include "recorded.h"

#define REPLY_MAX                                  \
	(sizeof(struct vfio_user_device_feature) + \
		sizeof(struct vfio_user_device_feature_mig_state))

VUC_EXPORT const char *
vuc_migration_state_name(enum vuc_migration_state state)
{
	switch (state) {
	case VUC_MIGRATION_ERROR:
		return "ERROR";
	case VUC_MIGRATION_STOP:
		return "STOP";
	case VUC_MIGRATION_RUNNING:
		return "RUNNING";
	case VUC_MIGRATION_STOP_COPY:
		return "STOP_COPY";
	case VUC_MIGRATION_RESUMING:
		return "RESUMING";
	case VUC_MIGRATION_RUNNING_P2P:
		return "RUNNING_P2P";
	case VUC_MIGRATION_PRE_COPY:
		return "PRE_COPY";
	case VUC_MIGRATION_PRE_COPY_P2P:
		return "PRE_COPY_P2P";
	}
	return "(unknown)";
}

/* One question. */
struct question {
	struct feature_sequence s;
	bool answered;
	uint64_t *flags;
	enum vuc_migration_state *state;
};

static void
flags_ask(struct feature_sequence *s, struct vuc_session_request *req)
{
	if (((struct question *)s)->answered)
		return;
	req->len = vuc_wire_migration_encode(s->request);
	req->reply_max = REPLY_MAX;
}

static int
flags_take(struct feature_sequence *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct question *q = (struct question *)s;

	q->answered = true;
	if (feature_is_missing(reply)) {
		*q->flags = 0;
		return 0;
	}
	if (reply->status != 0)
		return reply->status;
	return vuc_wire_migration_decode(reply->body, reply->len, q->flags, err);
}

static const struct feature_sequence_ops flags_ops = {.ask = flags_ask, .take = flags_take};

VUC_EXPORT int
vuc_migration_supported_start(struct vuc_device *dev, uint64_t *flags, vuc_done_fn done, void *arg)
{
	int rc;
	struct question *q;

	if (flags == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "flags is NULL");
	q = feature_sequence_create(
		dev, sizeof(*q), &flags_ops, dev->timeout_ms, &rc, &dev->reason);
	if (q == NULL)
		return rc;
	q->flags = flags;
	return operation_start(&q->s.op, done, arg, &dev->reason);
}

VUC_EXPORT int
vuc_migration_supported(struct vuc_device *dev, uint64_t *flags)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(&w, vuc_migration_supported_start(dev, flags, operation_wake, &w));
}

static void
state_ask(struct feature_sequence *s, struct vuc_session_request *req)
{
	if (((struct question *)s)->answered)
		return;
	req->len = vuc_wire_mig_state_get_encode(s->request);
	req->reply_max = REPLY_MAX;
}

static int
state_decode(const struct vuc_session_reply *reply, enum vuc_migration_state *state,
	struct vuc_error *err)
{
	enum vfio_user_device_mig_state got;
	int rc = reply->status;

	if (rc == 0)
		rc = vuc_wire_mig_state_get_decode(reply->body, reply->len, &got, err);
	if (rc == 0)
		*state = (enum vuc_migration_state)got;
	return rc;
}

static int
state_take(struct feature_sequence *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct question *q = (struct question *)s;

	q->answered = true;
	return state_decode(reply, q->state, err);
}

static const struct feature_sequence_ops state_ops = {.ask = state_ask, .take = state_take};

VUC_EXPORT int
vuc_migration_get_state_start(
	struct vuc_device *dev, enum vuc_migration_state *state, vuc_done_fn done, void *arg)
{
	int rc;
	struct question *q;

	if (state == NULL)
		return vuc_error_set(&dev->reason, -EINVAL, "state is NULL");
	q = feature_sequence_create(
		dev, sizeof(*q), &state_ops, dev->timeout_ms, &rc, &dev->reason);
	if (q == NULL)
		return rc;
	q->state = state;
	return operation_start(&q->s.op, done, arg, &dev->reason);
}

VUC_EXPORT int
vuc_migration_get_state(struct vuc_device *dev, enum vuc_migration_state *state)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(&w, vuc_migration_get_state_start(dev, state, operation_wake, &w));
}

static bool
is_used(enum vuc_migration_state state)
{
	return state == VUC_MIGRATION_STOP || state == VUC_MIGRATION_RUNNING ||
		state == VUC_MIGRATION_STOP_COPY || state == VUC_MIGRATION_RESUMING ||
		state == VUC_MIGRATION_PRE_COPY;
}

/*
 * The arcs and their combinations lead from each state to each other one, without a saving state
 * in between, but for this one: back from STOP_COPY the data would begin anew.
 */
static bool
is_legal(enum vuc_migration_state from, enum vuc_migration_state to)
{
	if (!is_used(from) || !is_used(to))
		return false;
	return from != VUC_MIGRATION_STOP_COPY || to != VUC_MIGRATION_PRE_COPY;
}

/* What a change asks, in this order. */
enum change_step {
	CHANGE_LOOK,    /* what state is it in? */
	CHANGE_SUPPORT, /* for PRE_COPY: can it do that? */
	CHANGE_SET,
	CHANGE_EXPLAIN, /* after an error: what state is it in now? */
	CHANGE_OVER,
};

struct change {
	struct feature_sequence s;
	enum change_step step;
	enum vuc_migration_state from;
	enum vuc_migration_state to;
	int error; /* of CHANGE_SET, and its reason */
	struct vuc_error why;
};

static void
change_ask(struct feature_sequence *s, struct vuc_session_request *req)
{
	const struct change *c = (struct change *)s;

	req->reply_max = REPLY_MAX;
	switch (c->step) {
	case CHANGE_LOOK:
	case CHANGE_EXPLAIN:
		req->len = vuc_wire_mig_state_get_encode(s->request);
		break;
	case CHANGE_SUPPORT:
		req->len = vuc_wire_migration_encode(s->request);
		break;
	case CHANGE_SET:
		req->len = vuc_wire_mig_state_set_encode(
			s->request, (enum vfio_user_device_mig_state)c->to);
		break;
	case CHANGE_OVER:
		break;
	}
}

static int
change_take_look(struct change *c, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	int rc = state_decode(reply, &c->from, err);

	if (rc != 0)
		return rc;
	if (c->from == c->to && is_used(c->to)) {
		c->step = CHANGE_OVER;
		return 0;
	}
	if (!is_legal(c->from, c->to))
		return vuc_error_set(err, -EINVAL, "migration state cannot change from %s to %s%s",
			vuc_migration_state_name(c->from), vuc_migration_state_name(c->to),
			c->from == VUC_MIGRATION_ERROR ? ": reset the device" : "");
	c->step = c->to == VUC_MIGRATION_PRE_COPY ? CHANGE_SUPPORT : CHANGE_SET;
	return 0;
}

static int
change_take_support(struct change *c, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	uint64_t flags = 0;
	int rc = 0;

	if (!feature_is_missing(reply))
		rc = reply->status != 0
			? reply->status
			: vuc_wire_migration_decode(reply->body, reply->len, &flags, err);
	if (rc == 0 && (flags & VUC_MIGRATION_CAN_PRE_COPY) == 0)
		return vuc_error_set(err, -EOPNOTSUPP, "the device does not support PRE_COPY");
	c->step = CHANGE_SET;
	return rc;
}

/* A server that could not take an arc may have ended in ERROR, which is said with the reason. */
static int
change_explain(const struct change *c, bool failed, struct vuc_error *err)
{
	return vuc_error_set(err, c->error, "%sfrom migration state %s to %s: %s",
		failed ? "the device is in ERROR now: " : "", vuc_migration_state_name(c->from),
		vuc_migration_state_name(c->to), c->why.text);
}

static int
change_take_set(struct change *c, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	c->error = reply->status;
	if (c->error == 0)
		c->error = vuc_wire_mig_state_set_decode(
			reply->body, reply->len, (enum vfio_user_device_mig_state)c->to, err);
	c->step = c->error == 0 ? CHANGE_OVER : CHANGE_EXPLAIN;
	/* The state that is loaded now has registers of its own. */
	if (c->error == 0 && c->to == VUC_MIGRATION_RESUMING && c->s.op.dev->record != NULL)
		record_forget_registers(c->s.op.dev->record);
	if (c->error == 0)
		return 0;
	c->why = *err;
	/* Who does not answer is not asked again. */
	return reply->status == 0 || reply->refused ? 0 : change_explain(c, false, err);
}

static int
change_take(
	struct feature_sequence *s, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	struct change *c = (struct change *)s;
	enum vuc_migration_state now;

	switch (c->step) {
	case CHANGE_LOOK:
		return change_take_look(c, reply, err);
	case CHANGE_SUPPORT:
		return change_take_support(c, reply, err);
	case CHANGE_SET:
		return change_take_set(c, reply, err);
	case CHANGE_EXPLAIN:
	case CHANGE_OVER:
		break;
	}
	return change_explain(
		c, state_decode(reply, &now, err) == 0 && now == VUC_MIGRATION_ERROR, err);
}

static const struct feature_sequence_ops change_ops = {.ask = change_ask, .take = change_take};

VUC_EXPORT int
vuc_migration_set_state_start(
	struct vuc_device *dev, enum vuc_migration_state state, vuc_done_fn done, void *arg)
{
	int rc;
	struct change *c = feature_sequence_create(
		dev, sizeof(*c), &change_ops, dev->long_timeout_ms, &rc, &dev->reason);

	if (c == NULL)
		return rc;
	c->to = state;
	return operation_start(&c->s.op, done, arg, &dev->reason);
}

VUC_EXPORT int
vuc_migration_set_state(struct vuc_device *dev, enum vuc_migration_state state)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(&w, vuc_migration_set_state_start(dev, state, operation_wake, &w));
}
