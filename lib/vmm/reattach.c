/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Another daemon takes the place of one that has gone: it is asked for all that the VMM has asked
 * for before, in one operation. What threads use meanwhile stays at its place: the number of the
 * socket, the addresses of the shared pages, the queues, whose threads are offered their new memory
 * in the end.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/export.h>

#include "attach.h"
#include "error.h"
#include "fds.h"

struct reattach_operation {
	struct vmm_operation op;
	const struct reattach_step *step;
	struct vmm_attached attached;
	struct vmm_region **regions; /* those that were asked for before, by index */
	uint32_t region;
	size_t nr_maps; /* mapped by requests up to the last one */
	size_t asked;   /* mappings or interrupts of the last one */
	struct vmm_irqs *irqs;
	unsigned int event; /* of irqs; VMM_IRQ_EVENTS: masks */
	uint32_t irq;
};

/* What is asked for, one kind after the other. */
struct reattach_step {
	/* As of struct vmm_operation_ops; false: there is nothing, or nothing left. */
	bool (*ask)(struct reattach_operation *r, union vmm_packet *request, struct vmm_fds *fds);
	/* Returns 0 or a negative errno. */
	int (*take)(struct reattach_operation *r, const union vmm_packet *reply,
		struct vmm_fds *fds, struct vuc_error *err);
};

/* ---- HELLO and ATTACH ---- */

static bool
greeting_ask(struct reattach_operation *r, union vmm_packet *request, struct vmm_fds *fds)
{
	(void)fds;
	if (r->attached.info.max_data != 0)
		return false;
	vmm_hello_ask(r->op.dev, request);
	return true;
}

static int
greeting_take(struct reattach_operation *r, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	return vmm_hello_take(r->op.dev, reply, fds, &r->attached.info, err);
}

static bool
attaching_ask(struct reattach_operation *r, union vmm_packet *request, struct vmm_fds *fds)
{
	(void)fds;
	if (r->attached.info.generation != 0)
		return false;
	vmm_attach_ask(r->op.dev, request);
	return true;
}

static int
device_differs(const char *what, uint64_t before, uint64_t now, struct vuc_error *err)
{
	return vuc_error_set(err, -ENODEV,
		"another device: %s was 0x%" PRIx64 ", and is 0x%" PRIx64 " now", what, before,
		now);
}

/* Limits may only be wider: the VMM has seen those that there were. */
static int
info_compare(const struct vuc_vmm_info *old, const struct vuc_vmm_info *now, struct vuc_error *err)
{
	const struct {
		const char *what;
		uint64_t before;
		uint64_t now;
		bool least;
	} rows[] = {
		{"flags", old->flags, now->flags, false},
		{"num_regions", old->num_regions, now->num_regions, false},
		{"num_irqs", old->num_irqs, now->num_irqs, false},
		{"pgsizes", old->pgsizes, now->pgsizes, false},
		{"dma_message", old->dma_message, now->dma_message, false},
		{"max_dma_maps", old->max_dma_maps, now->max_dma_maps, true},
		{"max_queues", old->max_queues, now->max_queues, true},
		{"max_depth", old->max_depth, now->max_depth, true},
		{"max_data", old->max_data, now->max_data, true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].least ? rows[i].now < rows[i].before : rows[i].now != rows[i].before)
			return device_differs(rows[i].what, rows[i].before, rows[i].now, err);
	}
	return 0;
}

static int
attaching_take(struct reattach_operation *r, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	int rc = vmm_attach_take(r->op.dev, reply, fds, &r->attached, err);

	return rc == 0 ? info_compare(&r->op.dev->info, &r->attached.info, err) : rc;
}

/* ---- regions ---- */

static bool
regions_ask(struct reattach_operation *r, union vmm_packet *request, struct vmm_fds *fds)
{
	const struct vuc_vmm_device *dev = r->op.dev;

	(void)fds;
	while (r->region < dev->info.num_regions && dev->regions[r->region] == NULL)
		r->region++;
	if (r->region == dev->info.num_regions)
		return false;
	vmm_region_ask(r->region, request);
	return true;
}

static int
region_compare(
	const struct vuc_vmm_region *old, const struct vuc_vmm_region *now, struct vuc_error *err)
{
	if (now->size != old->size)
		return device_differs("size of a region", old->size, now->size, err);
	if (now->type != old->type || now->subtype != old->subtype)
		return device_differs("type of a region", old->type, now->type, err);
	return 0;
}

static int
regions_take(struct reattach_operation *r, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct vuc_vmm_device *dev = r->op.dev;
	uint32_t i = r->region++;
	int rc = vmm_region_take(dev, i, reply, fds, &r->regions[i], err);

	return rc == 0 ? region_compare(&dev->regions[i]->region, &r->regions[i]->region, err) : rc;
}

/* ---- mappings ---- */

static bool
maps_ask(struct reattach_operation *r, union vmm_packet *request, struct vmm_fds *fds)
{
	const struct vmm_record *record = &r->op.dev->record;
	struct vmm_dma_entry entries[VUC_SHM_MAX_DMA];
	struct vuc_shm_dma *d = &request->dma;
	size_t nr = 0;

	for (; nr < VUC_SHM_MAX_DMA && r->nr_maps + nr < record->nr_maps; nr++) {
		const struct vmm_mapping *m = &record->maps[r->nr_maps + nr];

		entries[nr] = (struct vmm_dma_entry){
			.op = VUC_SHM_DMA_MAP,
			.flags = m->flags,
			.iova = m->iova,
			.size = m->size,
			.offset = m->offset,
			.file = m->file,
		};
	}
	if (nr == 0)
		return false;
	vmm_dma_put_entries(d, fds, entries, nr);
	r->asked = d->nr;
	d->flags = r->nr_maps + r->asked == record->nr_maps ? VUC_SHM_DMA_COMMIT : 0;
	vmm_request_set(request, VUC_SHM_DMA, sizeof(*d) + d->nr * sizeof(d->entries[0]));
	return true;
}

static int
maps_take(struct reattach_operation *r, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	int rc = vmm_reply_is(r->op.dev, reply, sizeof(reply->dma_reply), fds, 0, err);

	r->nr_maps += r->asked;
	return rc;
}

/* ---- interrupts ---- */

/* Whether there is something to be said of an interrupt. */
static bool
irq_is_set(const struct reattach_operation *r, uint32_t i)
{
	return r->event < VMM_IRQ_EVENTS ? r->irqs->eventfds[r->event][i] >= 0 : r->irqs->masked[i];
}

/* Go on to the next interrupt of which there is something to be said. Returns false when there is
 * none. */
static bool
irqs_seek(struct reattach_operation *r)
{
	while (r->irqs != NULL) {
		while (r->irq < r->irqs->nr && !irq_is_set(r, r->irq))
			r->irq++;
		if (r->irq < r->irqs->nr)
			return true;
		r->irq = 0;
		if (r->event++ < VMM_IRQ_EVENTS)
			continue;
		r->event = 0;
		r->irqs = SLIST_NEXT(r->irqs, link);
	}
	return false;
}

/* How many follow up to the last one of which there is something to be said. */
static uint32_t
irqs_count(const struct reattach_operation *r)
{
	uint32_t end = r->irqs->nr;

	while (!irq_is_set(r, end - 1))
		end--;
	return end - r->irq;
}

static uint32_t
put_masks(struct vuc_shm_set_irqs *s, const bool *masked, uint32_t nr)
{
	s->count = nr < VUC_SHM_MAX_IRQS ? nr : VUC_SHM_MAX_IRQS;
	for (uint32_t i = 0; i < s->count; i++)
		s->which[i] = masked[i];
	return s->count;
}

static bool
irqs_ask(struct reattach_operation *r, union vmm_packet *request, struct vmm_fds *fds)
{
	struct vuc_shm_set_irqs *s = &request->set_irqs;

	if (!irqs_seek(r))
		return false;
	s->index = r->irqs->index;
	s->start = r->irq;
	if (r->event < VMM_IRQ_EVENTS) {
		s->action = (uint16_t)r->event;
		s->data = VUC_SHM_IRQ_EVENT;
		r->asked = vmm_irq_put_eventfds(
			s, fds, &r->irqs->eventfds[r->event][r->irq], irqs_count(r));
	} else {
		s->action = VUC_SHM_IRQ_MASK;
		s->data = VUC_SHM_IRQ_SOME;
		r->asked = put_masks(s, &r->irqs->masked[r->irq], irqs_count(r));
	}
	vmm_request_set(request, VUC_SHM_SET_IRQS, sizeof(*s) + s->count);
	return true;
}

static int
irqs_take(struct reattach_operation *r, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	const struct vuc_shm_irqs_reply *reply_irqs = &reply->irqs_reply;
	int rc = vmm_reply_is(r->op.dev, reply, sizeof(*reply_irqs), fds, 0, err);

	if (rc != 0)
		return rc;
	if (reply_irqs->done == 0 || reply_irqs->done > r->asked)
		return vmm_reply_wrong(r->op.dev, reply, err, "done", reply_irqs->done);
	r->irq += reply_irqs->done;
	return 0;
}

/* ---- queues ---- */

static bool
queues_ask(struct reattach_operation *r, union vmm_packet *request, struct vmm_fds *fds)
{
	struct vuc_vmm_device *dev = r->op.dev;

	(void)fds;
	dev->opening = vmm_queue_to_open(dev);
	if (dev->opening == NULL)
		return false;
	vmm_queue_open_ask(dev->opening, request);
	return true;
}

static int
queues_take(struct reattach_operation *r, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct vmm_queue *q = r->op.dev->opening;

	r->op.dev->opening = NULL;
	if (q == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for closing a queue");
	return vmm_queue_open_take(r->op.dev, q, reply, fds, err);
}

/* ---- the whole ---- */

static const struct reattach_step steps[] = {
	{greeting_ask, greeting_take},
	{attaching_ask, attaching_take},
	{regions_ask, regions_take},
	{maps_ask, maps_take},
	{irqs_ask, irqs_take},
	{queues_ask, queues_take},
};
#define STEPS_END (steps + sizeof(steps) / sizeof(steps[0]))

static void
reattach_begin_anew(struct reattach_operation *r)
{
	r->step = steps;
	r->attached = (struct vmm_attached){.kick_fd = -1, .event_fd = -1};
	r->irqs = SLIST_FIRST(&r->op.dev->record.irqs);
}

static int
kick_replace(struct vuc_vmm_device *dev, int fd, struct vuc_error *err)
{
	if (dup3(fd, dev->kick_fd, O_CLOEXEC) >= 0)
		return 0;
	return vuc_error_set(err, -errno, "cannot replace the poller's kick: %s", strerror(errno));
}

/* All has been asked for, and is there. */
static int
reattach_complete(struct reattach_operation *r, struct vuc_error *err)
{
	struct vuc_vmm_device *dev = r->op.dev;
	int rc = vmm_pages_replace(&dev->pages, &r->attached.pages, err);

	if (rc == 0)
		rc = kick_replace(dev, r->attached.kick_fd, err);
	if (rc == 0)
		rc = vmm_watch_renew_event(&dev->watch, r->attached.event_fd, err);
	if (rc != 0)
		return rc;
	r->attached.event_fd = -1;
	vmm_regions_renew(dev, r->regions);
	vmm_queues_offer(dev);
	vmm_record_signal(&dev->record);
	dev->reattached = r->attached.info.generation;
	return 0;
}

static bool
reattach_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct reattach_operation *r = (struct reattach_operation *)op;
	struct vuc_error err;
	int rc;

	for (; r->step < STEPS_END; r->step++) {
		if (r->step->ask(r, request, fds))
			return true;
	}
	rc = reattach_complete(r, &err);
	if (rc != 0) {
		vmm_operation_fail(op, rc, &err);
		vmm_link_end(&op->dev->link, NULL, rc, "%s", err.text);
	}
	return false;
}

static int
reattach_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct reattach_operation *r = (struct reattach_operation *)op;
	int rc = r->step->take(r, reply, fds, err);

	return rc == 0 ? VMM_MORE : rc;
}

/* What came from a daemon that is not taken. */
static void
reattach_drop(struct reattach_operation *r)
{
	vmm_pages_unmap(&r->attached.pages);
	vuc_fds_close((const int[]){r->attached.kick_fd, r->attached.event_fd}, 2);
}

/* Part of a device is of no use. */
static int
reattach_refused(struct vmm_operation *op)
{
	struct reattach_operation *r = (struct reattach_operation *)op;

	if (r->step < steps + 2 && vmm_attach_retry(op)) {
		reattach_drop(r);
		reattach_begin_anew(r);
		return VMM_MORE;
	}
	return vmm_attach_refused(op);
}

static void
reattach_free(struct vmm_operation *op)
{
	struct reattach_operation *r = (struct reattach_operation *)op;
	struct vuc_vmm_device *dev = op->dev;

	reattach_drop(r);
	for (uint32_t i = 0; r->regions != NULL && i < dev->info.num_regions; i++)
		vmm_region_free(r->regions[i]);
	free(r->regions);
	dev->opening = NULL;
}

static const struct vmm_operation_ops reattach_ops = {
	.ask = reattach_ask,
	.take = reattach_take,
	.refused = reattach_refused,
	.free = reattach_free,
};

static struct reattach_operation *
reattach_create(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	struct reattach_operation *r = vmm_operation_create(dev, &reattach_ops, sizeof(*r), err);

	if (r == NULL)
		return NULL;
	reattach_begin_anew(r);
	r->op.waits = true;
	r->regions = calloc(dev->info.num_regions + 1u, sizeof(struct vmm_region *));
	if (r->regions != NULL)
		return r;
	vuc_error_set(err, -ENOMEM, "no memory for %" PRIu32 " regions", dev->info.num_regions);
	vmm_operation_free(&r->op);
	return NULL;
}

/* With the lock held: whether it can be done now. */
static int
reattach_check(const struct vuc_vmm_device *dev, int fd, const struct vmm_completion *completion,
	struct vuc_error *err)
{
	int rc = vmm_operation_check_call(dev, completion, err);

	if (rc == 0 && dev->reattaching != NULL)
		return vuc_error_set(err, -EALREADY, "the device is being attached again");
	if (rc == 0 && fd < 0 && dev->link.addr.sun_path[0] == '\0')
		return vuc_error_set(err, -EINVAL,
			"the device was attached by a connected descriptor: another one is needed");
	return rc;
}

/* With the lock held: the old daemon is not listened to any more. Queues are first: threads that
 * wait in them look at the connection. */
static int
device_leave_daemon(struct vuc_vmm_device *dev, int fd, struct vuc_error *err)
{
	static const char why[] = "the device is being attached again";

	if (!dev->link.ended)
		vmm_link_end(&dev->link, NULL, -ECONNRESET, why);
	vmm_operations_abort(dev);
	vmm_queues_cut(dev);
	vmm_watch_forget_link(&dev->watch, dev->link.fd);
	return vmm_link_renew(&dev->link, fd, err);
}

/* With the lock held. */
static int
reattach_begin_locked(struct vuc_vmm_device *dev, int fd, const struct vmm_completion *completion,
	struct vuc_error *err)
{
	int rc = reattach_check(dev, fd, completion, err);
	struct reattach_operation *r = rc == 0 ? reattach_create(dev, err) : NULL;

	if (r == NULL)
		return rc != 0 ? rc : -ENOMEM;
	rc = device_leave_daemon(dev, fd, err);
	if (rc != 0) {
		vmm_operation_free(&r->op);
		return rc;
	}
	dev->reattaching = &r->op;
	dev->link.wait_ms = dev->link.reattach_wait_ms;
	if (completion == NULL)
		return vmm_operation_wait(&r->op, err);
	vmm_operation_start(&r->op, completion);
	return 0;
}

static int
reattach_begin(struct vuc_vmm_device *dev, int fd, const struct vmm_completion *completion,
	struct vuc_error *err)
{
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = reattach_begin_locked(dev, fd, completion, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

uint32_t
vmm_take_reattached(struct vuc_vmm_device *dev)
{
	if (dev->reattached == 0)
		return 0;
	vmm_state_begin(dev, dev->reattached);
	dev->reattached = 0;
	return VUC_VMM_EVENT_RESET | VUC_VMM_EVENT_REMAP;
}

VUC_EXPORT int
vuc_vmm_reattach(struct vuc_vmm_device *dev, int fd, struct vuc_error *err)
{
	return reattach_begin(dev, fd, NULL, err);
}

VUC_EXPORT int
vuc_vmm_reattach_start(
	struct vuc_vmm_device *dev, int fd, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return reattach_begin(dev, fd, &(const struct vmm_completion){done, arg}, err);
}
