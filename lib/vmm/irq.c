/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include <vuc/export.h>

#include "error.h"
#include "fds.h"
#include "operation.h"
#include "opts.h"

_Static_assert((int)VUC_VMM_IRQ_TRIGGER == VUC_SHM_IRQ_TRIGGER &&
		(int)VUC_VMM_IRQ_MASK == VUC_SHM_IRQ_MASK &&
		(int)VUC_VMM_IRQ_UNMASK == VUC_SHM_IRQ_UNMASK,
	"actions");

static int
check_index(struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err)
{
	int rc = vmm_attached_check(dev, err);

	if (rc != 0 || index < dev->info.num_irqs)
		return rc;
	return vuc_error_set(err, -EINVAL,
		"there is no IRQ index %" PRIu32 ", the device has %" PRIu32, index,
		dev->info.num_irqs);
}

struct info_operation {
	struct vmm_operation op;
	uint32_t index;
	struct vuc_vmm_irq *irq;
	size_t argsz; /* as it was at first */
};

static bool
info_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct info_operation *i = (struct info_operation *)op;

	(void)fds;
	vmm_request_set(request, VUC_SHM_IRQ_INFO, sizeof(request->index));
	request->index.index = i->index;
	return true;
}

static int
info_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct info_operation *i = (struct info_operation *)op;
	const struct vuc_shm_irq_reply *r = &reply->irq_reply;
	int rc = vmm_reply_is(op->dev, reply, sizeof(*r), fds, 0, err);
	struct vuc_vmm_irq known;

	if (rc != 0)
		return rc;
	if (r->index != i->index)
		return vmm_reply_wrong(op->dev, reply, err, "index", r->index);
	if (r->reserved != 0)
		return vmm_reply_wrong(op->dev, reply, err, "reserved", r->reserved);
	known = (struct vuc_vmm_irq){.index = r->index, .flags = r->flags, .count = r->count};
	vuc_argsz_write(i->irq, i->argsz, &known, sizeof(known));
	return 0;
}

static const struct vmm_operation_ops info_ops = {.ask = info_ask, .take = info_take};

static int
info_begin(struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq,
	const struct vmm_completion *completion, struct vuc_error *err)
{
	struct info_operation *i;
	int rc;

	if (irq == NULL)
		return vuc_error_set(err, -EINVAL, "irq is NULL");
	rc = vuc_argsz_check(
		irq->argsz, VUC_OPTS_LEAST(struct vuc_vmm_irq, count), "vuc_vmm_irq", err);
	if (rc == 0)
		rc = check_index(dev, index, err);
	if (rc != 0)
		return rc;
	i = vmm_operation_create(dev, &info_ops, sizeof(*i), err);
	if (i == NULL)
		return -ENOMEM;
	i->index = index;
	i->irq = irq;
	i->argsz = irq->argsz;
	return vmm_operation_begin(&i->op, completion, err);
}

VUC_EXPORT int
vuc_vmm_irq(
	struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq, struct vuc_error *err)
{
	return info_begin(dev, index, irq, NULL, err);
}

VUC_EXPORT int
vuc_vmm_irq_start(struct vuc_vmm_device *dev, uint32_t index, struct vuc_vmm_irq *irq,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return info_begin(dev, index, irq, &(const struct vmm_completion){done, arg}, err);
}

static int
check_range(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, struct vuc_error *err)
{
	int rc = check_index(dev, range->index, err);

	if (rc != 0)
		return rc;
	if (action > VUC_VMM_IRQ_UNMASK)
		return vuc_error_set(err, -EINVAL, "unknown interrupt action %d", action);
	if (range->count == 0 || range->start >= VMM_MAX_VECTORS ||
		range->count > VMM_MAX_VECTORS - range->start)
		return vuc_error_set(err, -EINVAL,
			"IRQ index %" PRIu32 ": invalid range: %" PRIu32 " interrupts from %" PRIu32
			" on",
			range->index, range->count, range->start);
	return 0;
}

/* What is done with interrupts, in as many requests as it takes. */
struct set_operation {
	struct vmm_operation op;
	struct vuc_vmm_irq_range left;
	enum vuc_shm_irq_action action;
	enum vuc_shm_irq_data data;
	uint32_t asked; /* interrupts of the request */
	uint32_t done;
	int *eventfds;  /* VUC_SHM_IRQ_EVENT: duplicates, until the record has them */
	uint8_t *which; /* VUC_SHM_IRQ_SOME */
};

uint32_t
vmm_irq_put_eventfds(
	struct vuc_shm_set_irqs *r, struct vmm_fds *fds, const int *eventfds, uint32_t nr)
{
	for (r->count = 0; r->count < nr && r->count < VUC_SHM_MAX_IRQS; r->count++) {
		int fd = eventfds[r->count];

		if (fd >= 0 && fds->nr == VUC_SHM_MAX_FDS)
			break;
		r->which[r->count] = fd >= 0;
		if (fd >= 0)
			fds->fd[fds->nr++] = fd;
	}
	return r->count;
}

static bool
set_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct set_operation *s = (struct set_operation *)op;
	struct vuc_shm_set_irqs *r = &request->set_irqs;
	size_t size = sizeof(*r);

	r->data = (uint16_t)s->data;
	r->count = s->left.count < VUC_SHM_MAX_IRQS ? s->left.count : VUC_SHM_MAX_IRQS;
	if (s->data == VUC_SHM_IRQ_EVENT)
		size += vmm_irq_put_eventfds(r, fds, &s->eventfds[s->done], s->left.count);
	if (s->data == VUC_SHM_IRQ_SOME) {
		memcpy(r->which, &s->which[s->done], r->count);
		size += r->count;
	}
	r->index = s->left.index;
	r->start = s->left.start;
	r->action = (uint16_t)s->action;
	vmm_request_set(request, VUC_SHM_SET_IRQS, size);
	s->asked = r->count;
	return true;
}

/* So many interrupts, from the first one that is left on, have been dealt with. */
static void
set_record(struct set_operation *s, uint32_t done)
{
	struct vmm_record *record = &s->op.dev->record;
	const struct vuc_vmm_irq_range *range = &s->left;

	if (s->action == VUC_SHM_IRQ_DISABLE)
		vmm_record_disable(record, range->index);
	else if (s->data == VUC_SHM_IRQ_EVENT)
		vmm_record_assign(
			record, range->index, range->start, s->action, &s->eventfds[s->done], done);
	else if (s->action != VUC_SHM_IRQ_TRIGGER)
		vmm_record_mask(record, range->index, range->start, done,
			s->which != NULL ? &s->which[s->done] : NULL,
			s->action == VUC_SHM_IRQ_MASK);
	if (s->data == VUC_SHM_IRQ_EVENT)
		memset(&s->eventfds[s->done], 0xff, done * sizeof(*s->eventfds));
}

static int
set_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct set_operation *s = (struct set_operation *)op;
	const struct vuc_shm_irqs_reply *r = &reply->irqs_reply;
	int rc = vmm_reply_is(op->dev, reply, sizeof(*r), fds, 0, err);

	if (rc != 0)
		return rc;
	if (r->done > s->asked || (r->done == 0 && s->asked > 0))
		return vmm_reply_wrong(op->dev, reply, err, "done", r->done);
	if (r->reserved != 0)
		return vmm_reply_wrong(op->dev, reply, err, "reserved", r->reserved);
	set_record(s, r->done);
	s->left.start += r->done;
	s->left.count -= r->done;
	s->done += r->done;
	return s->left.count > 0 ? VMM_MORE : 0;
}

/* An interrupt that was to be unmasked stays masked. */
static void
set_cut(struct vmm_operation *op)
{
	struct set_operation *s = (struct set_operation *)op;

	if (s->data == VUC_SHM_IRQ_EVENT) {
		vuc_fds_close(&s->eventfds[s->done], s->left.count);
		memset(&s->eventfds[s->done], 0xff, s->left.count * sizeof(*s->eventfds));
	}
	if (s->data == VUC_SHM_IRQ_EVENT || s->action != VUC_SHM_IRQ_UNMASK)
		set_record(s, s->left.count);
}

static void
set_free(struct vmm_operation *op)
{
	struct set_operation *s = (struct set_operation *)op;

	if (s->eventfds != NULL)
		vuc_fds_close(s->eventfds, s->done + s->left.count);
	free(s->eventfds);
	free(s->which);
}

static const struct vmm_operation_ops set_ops = {
	.ask = set_ask,
	.take = set_take,
	.cut = set_cut,
	.free = set_free,
};

/* The caller may close its own, and the record keeps them. */
static int
eventfds_duplicate(struct set_operation *s, const int *eventfds, struct vuc_error *err)
{
	uint32_t count = s->left.count;

	s->eventfds = malloc(count * sizeof(*s->eventfds));
	if (s->eventfds == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %" PRIu32 " interrupts", count);
	memset(s->eventfds, 0xff, count * sizeof(*s->eventfds));
	for (uint32_t i = 0; i < count; i++) {
		if (eventfds[i] < 0)
			continue;
		s->eventfds[i] = fcntl(eventfds[i], F_DUPFD_CLOEXEC, 0);
		if (s->eventfds[i] < 0)
			return vuc_error_set(err, -errno, "eventfd of interrupt %" PRIu64 ": %s",
				(uint64_t)s->left.start + i, strerror(errno));
	}
	return 0;
}

static int
which_copy(struct set_operation *s, const uint8_t *which, struct vuc_error *err)
{
	uint32_t count = s->left.count;

	s->which = malloc(count);
	if (s->which == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %" PRIu32 " interrupts", count);
	for (uint32_t i = 0; i < count; i++)
		s->which[i] = which[i] != 0;
	return 0;
}

/* What is asked of the daemon. */
struct set_request {
	struct vuc_vmm_irq_range range;
	enum vuc_shm_irq_action action;
	enum vuc_shm_irq_data data;
	const void *values; /* as many as interrupts: eventfds, or bytes that are not 0 */
};

/* With the lock held. */
static int
set_begin_locked(
	struct set_operation *s, const struct vmm_completion *completion, struct vuc_error *err)
{
	const struct vuc_vmm_irq_range *range = &s->left;

	if (vmm_record_reserve_irqs(
		    &s->op.dev->record, range->index, range->start + range->count) == 0)
		return vmm_operation_begin_locked(&s->op, completion, err);
	vmm_operation_free(&s->op);
	return vuc_error_set(err, -ENOMEM, "no memory for interrupts");
}

static int
set_begin(struct vuc_vmm_device *dev, const struct set_request *request,
	const struct vmm_completion *completion, struct vuc_error *err)
{
	struct set_operation *s = vmm_operation_create(dev, &set_ops, sizeof(*s), err);
	int rc = 0;

	if (s == NULL)
		return -ENOMEM;
	s->left = request->range;
	s->action = request->action;
	s->data = request->data;
	if (s->data == VUC_SHM_IRQ_EVENT)
		rc = eventfds_duplicate(s, request->values, err);
	else if (s->data == VUC_SHM_IRQ_SOME)
		rc = which_copy(s, request->values, err);
	pthread_mutex_lock(&dev->lock);
	if (rc == 0)
		rc = set_begin_locked(s, completion, err);
	else
		vmm_operation_free(&s->op);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

static int
assign_begin(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds,
	const struct vmm_completion *completion, struct vuc_error *err)
{
	const struct set_request request = {
		.range = *range,
		.action = (enum vuc_shm_irq_action)action,
		.data = VUC_SHM_IRQ_EVENT,
		.values = eventfds,
	};
	int rc = check_range(dev, range, action, err);

	/* Before the first message: later ones would fail with some of the work done. */
	for (uint32_t i = 0; rc == 0 && i < range->count; i++) {
		if (eventfds[i] < -1 || (eventfds[i] >= 0 && fcntl(eventfds[i], F_GETFD) < 0))
			rc = vuc_error_set(err, -EINVAL,
				"descriptor %d of interrupt %" PRIu64 " is not open", eventfds[i],
				(uint64_t)range->start + i);
	}
	return rc == 0 ? set_begin(dev, &request, completion, err) : rc;
}

VUC_EXPORT int
vuc_vmm_irq_assign(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, struct vuc_error *err)
{
	return assign_begin(dev, range, action, eventfds, NULL, err);
}

VUC_EXPORT int
vuc_vmm_irq_assign_start(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const int *eventfds, vuc_vmm_done_fn done, void *arg,
	struct vuc_error *err)
{
	return assign_begin(
		dev, range, action, eventfds, &(const struct vmm_completion){done, arg}, err);
}

static int
act_begin(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, const struct vmm_completion *completion,
	struct vuc_error *err)
{
	const struct set_request request = {
		.range = *range,
		.action = (enum vuc_shm_irq_action)action,
		.data = VUC_SHM_IRQ_ALL,
	};
	int rc = check_range(dev, range, action, err);

	return rc == 0 ? set_begin(dev, &request, completion, err) : rc;
}

VUC_EXPORT int
vuc_vmm_irq_act(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, struct vuc_error *err)
{
	return act_begin(dev, range, action, NULL, err);
}

VUC_EXPORT int
vuc_vmm_irq_act_start(struct vuc_vmm_device *dev, const struct vuc_vmm_irq_range *range,
	enum vuc_vmm_irq_action action, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return act_begin(dev, range, action, &(const struct vmm_completion){done, arg}, err);
}

static int
disable_begin(struct vuc_vmm_device *dev, uint32_t index, const struct vmm_completion *completion,
	struct vuc_error *err)
{
	const struct set_request request = {
		.range.index = index,
		.action = VUC_SHM_IRQ_DISABLE,
		.data = VUC_SHM_IRQ_ALL,
	};
	int rc = check_index(dev, index, err);

	return rc == 0 ? set_begin(dev, &request, completion, err) : rc;
}

VUC_EXPORT int
vuc_vmm_irq_disable(struct vuc_vmm_device *dev, uint32_t index, struct vuc_error *err)
{
	return disable_begin(dev, index, NULL, err);
}

VUC_EXPORT int
vuc_vmm_irq_disable_start(struct vuc_vmm_device *dev, uint32_t index, vuc_vmm_done_fn done,
	void *arg, struct vuc_error *err)
{
	return disable_begin(dev, index, &(const struct vmm_completion){done, arg}, err);
}

static const uint32_t data_mask =
	VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD;

/* The bits of the data, or of the action, of which one has to be set. Returns false otherwise. */
static bool
raw_read_flags(uint32_t flags, struct set_request *request)
{
	switch (flags & data_mask) {
	case VFIO_IRQ_SET_DATA_NONE:
		request->data = VUC_SHM_IRQ_ALL;
		break;
	case VFIO_IRQ_SET_DATA_BOOL:
		request->data = VUC_SHM_IRQ_SOME;
		break;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		request->data = VUC_SHM_IRQ_EVENT;
		break;
	default:
		return false;
	}
	switch (flags & ~data_mask) {
	case VFIO_IRQ_SET_ACTION_TRIGGER:
		request->action = VUC_SHM_IRQ_TRIGGER;
		return true;
	case VFIO_IRQ_SET_ACTION_MASK:
		request->action = VUC_SHM_IRQ_MASK;
		return true;
	case VFIO_IRQ_SET_ACTION_UNMASK:
		request->action = VUC_SHM_IRQ_UNMASK;
		return true;
	default:
		return false;
	}
}

static size_t
raw_data_size(const struct vfio_irq_set *set, const struct set_request *request)
{
	if (request->data == VUC_SHM_IRQ_ALL)
		return 0;
	return set->count * (request->data == VUC_SHM_IRQ_EVENT ? sizeof(int32_t) : 1);
}

static int
raw_begin(struct vuc_vmm_device *dev, const struct vfio_irq_set *set,
	const struct vmm_completion *completion, struct vuc_error *err)
{
	struct set_request request = {
		.range = {.index = set->index, .start = set->start, .count = set->count},
		.values = set->data,
	};
	int rc;

	if (!raw_read_flags(set->flags, &request))
		return vuc_error_set(
			err, -EINVAL, "vfio_irq_set: invalid flags 0x%" PRIx32, set->flags);
	if (set->argsz < sizeof(*set) || set->argsz - sizeof(*set) < raw_data_size(set, &request))
		return vuc_error_set(err, -EINVAL,
			"vfio_irq_set: argsz %" PRIu32 " is too small for %" PRIu32 " interrupts",
			set->argsz, set->count);
	/* As VFIO has it: no interrupts, no data, to be raised. */
	if (set->count == 0 && request.data == VUC_SHM_IRQ_ALL &&
		request.action == VUC_SHM_IRQ_TRIGGER)
		return disable_begin(dev, set->index, completion, err);
	if (request.data == VUC_SHM_IRQ_EVENT)
		return assign_begin(dev, &request.range, (enum vuc_vmm_irq_action)request.action,
			request.values, completion, err);
	rc = check_range(dev, &request.range, (enum vuc_vmm_irq_action)request.action, err);
	return rc == 0 ? set_begin(dev, &request, completion, err) : rc;
}

VUC_EXPORT int
vuc_vmm_irq_set(struct vuc_vmm_device *dev, const struct vfio_irq_set *set, struct vuc_error *err)
{
	return raw_begin(dev, set, NULL, err);
}

VUC_EXPORT int
vuc_vmm_irq_set_start(struct vuc_vmm_device *dev, const struct vfio_irq_set *set,
	vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return raw_begin(dev, set, &(const struct vmm_completion){done, arg}, err);
}
