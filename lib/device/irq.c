/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/irq.h>

#include "error.h"
#include "fds.h"
#include "internal.h"
#include "irq.h"
#include "irq_check.h"
#include "message.h"
#include "recorded.h"

/* Interrupts that one message selects from: no index of PCI has more than 2048. */
#define MAX_SELECT 4096u

static const enum vuc_wire_irq_action wire_actions[] = {
	[VUC_IRQ_TRIGGER] = VUC_WIRE_IRQ_TRIGGER,
	[VUC_IRQ_MASK] = VUC_WIRE_IRQ_MASK,
	[VUC_IRQ_UNMASK] = VUC_WIRE_IRQ_UNMASK,
};

static struct vuc_wire_irq_range
irq_to_wire(const struct vuc_irq_range *range)
{
	return (struct vuc_wire_irq_range){
		.index = range->index,
		.start = range->start,
		.count = range->count,
	};
}

/* Servers forget flags, and other clients try all the same: what was done says that it can be. */
static void
irq_warn_of_flags(struct vuc_device *dev, uint32_t index, uint32_t flag, const char *name)
{
	uint32_t flags = dev->irqs[index].flags;

	if ((flags & flag) == 0)
		device_warn(dev, DEVICE_FAULT_IRQ_FLAGS,
			"IRQ index %u: its flags 0x%x lack %s, but the server does it", index,
			flags, name);
}

enum irq_kind {
	IRQ_ASSIGN,
	IRQ_DEASSIGN,
	IRQ_ACT,
	IRQ_SELECT,
	IRQ_DISABLE,
};

/* SET_IRQS in as many pieces as it takes, one after the other. */
struct irq_operation {
	struct operation op;
	struct operation_message message;
	enum irq_kind kind;
	enum vuc_irq_action action;
	struct vuc_irq_range range;
	struct vuc_irq_range piece; /* count 0: none is under way */
	uint32_t n;                 /* interrupts, from the first one on, that are dealt with */
	uint32_t *told;             /* where the caller wants that; or NULL */
	int *eventfds;              /* range.count of each that is there */
	bool *which;
	uint32_t nr_owned; /* of eventfds, from the first one on, that are duplicates */
};

static bool
irq_has_eventfds(const struct irq_operation *o)
{
	return o->kind == IRQ_ASSIGN && o->eventfds[o->n] >= 0;
}

static uint32_t
irq_piece_length(const struct irq_operation *o)
{
	uint32_t left = o->range.count - o->n;

	if (o->kind == IRQ_ASSIGN)
		return irq_run_length(o->eventfds + o->n, left, irq_max_eventfds(o->op.dev));
	return o->kind == IRQ_SELECT && left > MAX_SELECT ? MAX_SELECT : left;
}

/* The body of the message for a piece. Returns its length. */
static int
irq_encode(const struct irq_operation *o, const struct vuc_irq_range *piece, uint8_t *body,
	size_t size)
{
	enum vuc_wire_irq_action action = wire_actions[o->action];
	struct vuc_wire_irq_range wire = irq_to_wire(piece);

	switch (o->kind) {
	case IRQ_ASSIGN:
	case IRQ_DEASSIGN:
		return (int)vuc_wire_irq_eventfd_encode(body, &wire, action);
	case IRQ_ACT:
		return (int)vuc_wire_irq_act_encode(body, &wire, action);
	case IRQ_SELECT:
		return vuc_wire_irq_select_encode(body, size, &wire, action, o->which + o->n);
	case IRQ_DISABLE:
		break;
	}
	return (int)vuc_wire_irq_disable_encode(body, piece->index);
}

static int
irq_send_piece(struct irq_operation *o)
{
	uint8_t body[sizeof(struct vfio_user_irq_set) + MAX_SELECT];
	struct vuc_session_request req = {.cmd = VFIO_USER_DEVICE_SET_IRQS, .body = body};
	struct vuc_irq_range piece = {
		.index = o->range.index,
		.start = o->range.start + o->n,
		.count = irq_piece_length(o),
	};
	int len = irq_encode(o, &piece, body, sizeof(body));
	int rc;

	if (len < 0)
		return len;
	req.len = (size_t)len;
	if (irq_has_eventfds(o)) {
		req.fds = o->eventfds + o->n;
		req.nr_fds = (uint16_t)piece.count;
	}
	rc = operation_send(&o->op, &o->message, &req);
	if (rc == 0)
		o->piece = piece;
	return rc;
}

static int
irq_run(struct operation *op)
{
	struct irq_operation *o = (struct irq_operation *)op;
	int rc;

	if (op->status != 0 || o->n == o->range.count)
		return 0;
	if (o->piece.count > 0)
		return -EAGAIN;
	rc = irq_send_piece(o);
	return rc != 0 ? rc : -EAGAIN;
}

/* Interrupts that VFIO_IRQ_INFO_NORESIZE binds are those of the first assignment. */
static void
irq_keep_set(const struct irq_operation *o, const struct vuc_irq_range *assigned)
{
	struct irq_set *set = &o->op.dev->irq_sets[o->range.index];

	if (o->kind == IRQ_DISABLE) {
		set->start = set->end = 0;
	} else if (assigned->count > 0 && o->action == VUC_IRQ_TRIGGER && set->start == set->end) {
		set->start = assigned->start;
		set->end = assigned->start + assigned->count;
	}
}

static void
irq_warn(const struct irq_operation *o)
{
	bool assigned = irq_has_eventfds(o);

	if (assigned)
		irq_warn_of_flags(
			o->op.dev, o->range.index, VFIO_IRQ_INFO_EVENTFD, "VFIO_IRQ_INFO_EVENTFD");
	if (o->action != VUC_IRQ_TRIGGER &&
		(assigned || o->kind == IRQ_ACT || o->kind == IRQ_SELECT))
		irq_warn_of_flags(o->op.dev, o->range.index, VFIO_IRQ_INFO_MASKABLE,
			"VFIO_IRQ_INFO_MASKABLE");
}

static void
irq_replied(struct operation_message *message, const struct vuc_session_reply *reply)
{
	struct irq_operation *o = (struct irq_operation *)message->op;
	const struct vuc_irq_range *piece = &o->piece;

	if (reply->status != 0) {
		operation_fail(&o->op, reply->status, "IRQ index %u, interrupts %u to %u: %s",
			piece->index, piece->start, piece->start + piece->count - 1, reply->reason);
		return;
	}
	/* A replayed assignment is in the set already. */
	if (!o->op.replays)
		irq_keep_set(o, irq_has_eventfds(o) ? piece : &(struct vuc_irq_range){0});
	irq_warn(o);
	o->n += piece->count;
	o->piece.count = 0;
}

/* ---- the record ---- */

static void
irq_record_assigned(struct irq_operation *o, struct device_record *r)
{
	for (uint32_t i = 0; i < o->n; i++) {
		if (o->eventfds[i] < 0) {
			record_irq_clear(r, o->range.index, o->action, o->range.start + i, 1);
			continue;
		}
		record_irq_set(r, o->range.index, o->action, o->range.start + i, o->eventfds[i]);
		o->eventfds[i] = -1;
	}
}

static void
irq_record_masked(const struct irq_operation *o, struct device_record *r)
{
	uint32_t index = o->range.index, start = o->range.start;

	if (o->which == NULL && o->action == VUC_IRQ_UNMASK)
		record_irq_clear(r, index, RECORD_IRQ_MASKED, start, o->n);
	if (o->action == VUC_IRQ_TRIGGER || (o->which == NULL && o->action == VUC_IRQ_UNMASK))
		return;
	for (uint32_t i = 0; i < o->n; i++) {
		if (o->which != NULL && !o->which[i])
			continue;
		if (o->action == VUC_IRQ_MASK)
			record_irq_set(r, index, RECORD_IRQ_MASKED, start + i, -1);
		else
			record_irq_clear(r, index, RECORD_IRQ_MASKED, start + i, 1);
	}
}

/* What the server has not seen is dealt with as if it had. */
static void
irq_record_rest(struct irq_operation *o)
{
	struct vuc_irq_range span = {0};

	if (o->kind == IRQ_ASSIGN)
		span = irq_span_of(&o->range, o->eventfds);
	irq_keep_set(o, &span);
	o->n = o->range.count;
}

static int
irq_record(struct operation *op)
{
	struct irq_operation *o = (struct irq_operation *)op;
	struct device_record *r = op->dev->record;

	op->dev->irq_sets[o->range.index].changed = true;
	if (op->lost)
		irq_record_rest(o);
	switch (o->kind) {
	case IRQ_ASSIGN:
		irq_record_assigned(o, r);
		break;
	case IRQ_DEASSIGN:
		record_irq_clear(r, o->range.index, o->action, o->range.start, o->n);
		break;
	case IRQ_ACT:
	case IRQ_SELECT:
		irq_record_masked(o, r);
		break;
	case IRQ_DISABLE:
		if (o->n > 0)
			record_irq_clear_index(r, o->range.index);
		break;
	}
	return op->status;
}

static void
irq_end(struct operation *op)
{
	struct irq_operation *o = (struct irq_operation *)op;

	if (o->told != NULL)
		*o->told = o->n;
}

static void
irq_free(struct operation *op)
{
	struct irq_operation *o = (struct irq_operation *)op;

	vuc_fds_close(o->eventfds, o->nr_owned);
	free(o->eventfds);
	free(o->which);
	free(o);
}

static const struct operation_ops irq_ops = {
	.name = "SET_IRQS",
	.run = irq_run,
	.record = irq_record,
	.end = irq_end,
	.free = irq_free,
};

static int
irq_duplicate(struct irq_operation *o, struct vuc_error *err)
{
	for (; o->nr_owned < o->range.count; o->nr_owned++) {
		int *fd = &o->eventfds[o->nr_owned];
		int copy = *fd;

		if (copy >= 0 && (copy = fcntl(*fd, F_DUPFD_CLOEXEC, 0)) < 0)
			return vuc_error_set(err, -errno,
				"IRQ index %u: descriptor %d for interrupt %u: %s", o->range.index,
				*fd, o->range.start + o->nr_owned, strerror(errno));
		*fd = copy;
	}
	return 0;
}

/* What an operation is made of. Arrays are the caller's. */
struct irq_change {
	enum irq_kind kind;
	enum vuc_irq_action action;
	struct vuc_irq_range range;
	const int *eventfds;
	const bool *which;
	uint32_t *told;
	bool waits; /* the caller's descriptors stay open until the end */
};

static int
irq_copy(struct irq_operation *o, const struct irq_change *c)
{
	size_t n = c->range.count;

	if (c->eventfds != NULL) {
		o->eventfds = malloc(n * sizeof(*o->eventfds));
		if (o->eventfds == NULL)
			return -ENOMEM;
		memcpy(o->eventfds, c->eventfds, n * sizeof(*o->eventfds));
	}
	if (c->which != NULL) {
		o->which = malloc(n * sizeof(*o->which));
		if (o->which == NULL)
			return -ENOMEM;
		memcpy(o->which, c->which, n * sizeof(*o->which));
	}
	return 0;
}

/* How many entries of the record it adds at most. */
static unsigned int
irq_count_new(const struct irq_operation *o)
{
	const struct device_record *r = o->op.dev->record;

	if (o->kind == IRQ_ASSIGN)
		return record_irq_count_new(r, &o->range, o->action, o->eventfds);
	if ((o->kind == IRQ_ACT || o->kind == IRQ_SELECT) && o->action == VUC_IRQ_MASK)
		return record_irq_count_new(r, &o->range, RECORD_IRQ_MASKED, NULL);
	return 0;
}

/* Whether the record has room for this one behind those that have not ended. */
static int
irq_check_room(const struct irq_operation *o, struct vuc_error *err)
{
	const struct vuc_device *dev = o->op.dev;
	const struct operation *op;
	uint64_t nr;

	if (dev->record == NULL || o->op.replays)
		return 0;
	nr = dev->record->nr_irqs + irq_count_new(o);
	TAILQ_FOREACH (op, &dev->operations, link) {
		if (op->ops == o->op.ops && !op->replays)
			nr += irq_count_new((const struct irq_operation *)op);
	}
	if (nr <= VUC_RECORD_MAX_IRQS)
		return 0;
	return vuc_error_set(err, -ENOSPC,
		"IRQ index %u: more than %u eventfds and masks of a device are not kept",
		o->range.index, VUC_RECORD_MAX_IRQS);
}

static int
irq_start(struct vuc_device *dev, const struct irq_change *c, vuc_done_fn done, void *arg)
{
	struct irq_operation *o = calloc(1, sizeof(*o));
	struct vuc_error *err = &dev->reason;
	int rc;

	if (o == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for SET_IRQS");
	operation_init(&o->op, &irq_ops, dev, dev->timeout_ms);
	o->message.replied = irq_replied;
	o->kind = c->kind;
	o->action = c->action;
	o->range = c->range;
	o->told = c->told;
	rc = irq_copy(o, c);
	if (rc != 0)
		vuc_error_set(err, rc, "no memory for SET_IRQS");
	else
		rc = device_check_command(dev, VFIO_USER_DEVICE_SET_IRQS, err);
	if (rc == 0)
		rc = irq_check_room(o, err);
	if (rc == 0 && c->eventfds != NULL && (!c->waits || dev->record != NULL))
		rc = irq_duplicate(o, err);
	if (rc == 0)
		return operation_start(&o->op, done, arg, err);
	operation_free(&o->op);
	return rc;
}

static int
irq_change_and_wait(struct vuc_device *dev, struct irq_change *c)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	c->waits = true;
	return rc != 0 ? rc : operation_wait(&w, irq_start(dev, c, operation_wake, &w));
}

/* ---- what there is to be done ---- */

static int
irq_prepare_assign(struct vuc_device *dev, const struct irq_change *c)
{
	if (c->told != NULL)
		*c->told = 0;
	return irq_check_assign(dev, &c->range, c->action, c->eventfds, &dev->reason);
}

VUC_EXPORT int
vuc_irq_assign(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, uint32_t *done)
{
	struct irq_change c = {.kind = IRQ_ASSIGN,
		.action = action,
		.range = *range,
		.eventfds = eventfds,
		.told = done};
	int rc = irq_prepare_assign(dev, &c);

	return rc != 0 ? rc : irq_change_and_wait(dev, &c);
}

VUC_EXPORT int
vuc_irq_assign_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const int *eventfds, vuc_done_fn done, void *arg)
{
	const struct irq_change c = {
		.kind = IRQ_ASSIGN, .action = action, .range = *range, .eventfds = eventfds};
	int rc = irq_prepare_assign(dev, &c);

	return rc != 0 ? rc : irq_start(dev, &c, done, arg);
}

VUC_EXPORT int
vuc_irq_deassign(
	struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action)
{
	struct irq_change c = {.kind = IRQ_DEASSIGN, .action = action, .range = *range};
	int rc = irq_prepare_assign(dev, &c);

	return rc != 0 ? rc : irq_change_and_wait(dev, &c);
}

VUC_EXPORT int
vuc_irq_deassign_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, vuc_done_fn done, void *arg)
{
	const struct irq_change c = {.kind = IRQ_DEASSIGN, .action = action, .range = *range};
	int rc = irq_prepare_assign(dev, &c);

	return rc != 0 ? rc : irq_start(dev, &c, done, arg);
}

VUC_EXPORT int
vuc_irq_act(struct vuc_device *dev, const struct vuc_irq_range *range, enum vuc_irq_action action)
{
	struct irq_change c = {.kind = IRQ_ACT, .action = action, .range = *range};
	int rc = irq_check_action(dev, range, action, &dev->reason);

	return rc != 0 ? rc : irq_change_and_wait(dev, &c);
}

VUC_EXPORT int
vuc_irq_act_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, vuc_done_fn done, void *arg)
{
	const struct irq_change c = {.kind = IRQ_ACT, .action = action, .range = *range};
	int rc = irq_check_action(dev, range, action, &dev->reason);

	return rc != 0 ? rc : irq_start(dev, &c, done, arg);
}

VUC_EXPORT int
vuc_irq_select(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const bool *which, uint32_t *done)
{
	struct irq_change c = {.kind = IRQ_SELECT,
		.action = action,
		.range = *range,
		.which = which,
		.told = done};
	int rc = irq_check_action(dev, range, action, &dev->reason);

	if (done != NULL)
		*done = 0;
	return rc != 0 ? rc : irq_change_and_wait(dev, &c);
}

VUC_EXPORT int
vuc_irq_select_start(struct vuc_device *dev, const struct vuc_irq_range *range,
	enum vuc_irq_action action, const bool *which, vuc_done_fn done, void *arg)
{
	const struct irq_change c = {
		.kind = IRQ_SELECT, .action = action, .range = *range, .which = which};
	int rc = irq_check_action(dev, range, action, &dev->reason);

	return rc != 0 ? rc : irq_start(dev, &c, done, arg);
}

static struct irq_change
irq_disable_all(const struct vuc_device *dev, uint32_t index)
{
	return (struct irq_change){
		.kind = IRQ_DISABLE,
		.range = {.index = index, .count = dev->irqs[index].count},
	};
}

VUC_EXPORT int
vuc_irq_disable(struct vuc_device *dev, uint32_t index)
{
	int rc = irq_check_index(dev, index, &dev->reason);
	struct irq_change c;

	if (rc != 0)
		return rc;
	c = irq_disable_all(dev, index);
	return irq_change_and_wait(dev, &c);
}

VUC_EXPORT int
vuc_irq_disable_start(struct vuc_device *dev, uint32_t index, vuc_done_fn done, void *arg)
{
	int rc = irq_check_index(dev, index, &dev->reason);
	struct irq_change c;

	if (rc != 0)
		return rc;
	c = irq_disable_all(dev, index);
	return irq_start(dev, &c, done, arg);
}

/* The descriptors are duplicated: a client may replace them meanwhile. */
int
device_replay_irqs_start(struct vuc_device *dev, const struct vuc_irq_range *range, uint32_t kind,
	const int *fds, vuc_done_fn done, void *arg)
{
	struct irq_change c = {.kind = IRQ_ACT, .range = *range};

	if (kind == RECORD_IRQ_NONE)
		c = irq_disable_all(dev, range->index);
	else if (kind == RECORD_IRQ_MASKED)
		c.action = VUC_IRQ_MASK;
	else if (kind == RECORD_IRQ_UNMASKED)
		c.action = VUC_IRQ_UNMASK;
	else {
		c.kind = IRQ_ASSIGN;
		c.action = (enum vuc_irq_action)kind;
		c.eventfds = fds;
	}
	return irq_start(dev, &c, done, arg);
}
