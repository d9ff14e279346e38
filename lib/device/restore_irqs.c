/* SPDX-License-Identifier: BSD-3-Clause */

/* What a restore replays of interrupts: all of an index anew, each time its client has changed it.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"
#include "restore.h"
#include "vfio_user.h"

#define IRQS_AT_ONCE 64u

/* A vuc_done_fn. Servers that mask no INTx refuse to unmask it. */
static void
restore_unmask_done(void *arg, int status, const struct vuc_error *err)
{
	struct device_restore *o = arg;

	restore_go_on(o, restore_was_refused(o, status) ? 0 : status, err->text);
}

static int
restore_unmask_intx(struct device_restore *o)
{
	const struct vuc_irq_range range = {.index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1};

	o->unmasks = false;
	o->dev->replaying = true;
	return restore_begun(o,
		device_replay_irqs_start(
			o->dev, &range, RECORD_IRQ_UNMASKED, NULL, restore_unmask_done, o));
}

static bool
irq_follows(const struct record_irq *irq, const struct record_irq *first, uint32_t count)
{
	return irq->index == first->index && irq->kind == first->kind &&
		irq->vector == first->vector + count;
}

/* Interrupts that VFIO_IRQ_INFO_NORESIZE binds: all of them come with the first message. A server
 * that does not keep to it may have taken others. */
static bool
irq_is_of_set(const struct vuc_device *dev, const struct record_irq *irq)
{
	const struct irq_set *set = &dev->irq_sets[irq->index];

	return irq->kind == VUC_IRQ_TRIGGER && irq->vector >= set->start &&
		irq->vector < set->end &&
		(dev->irqs[irq->index].flags & VFIO_IRQ_INFO_NORESIZE) != 0;
}

/* The eventfds of a set; -1: this interrupt has none. Returns whether each has one. */
static bool
restore_find_set(const struct device_record *r, const struct vuc_irq_range *range, int *fds)
{
	unsigned int i = record_irq_find(r, range->index, VUC_IRQ_TRIGGER, range->start);
	bool is_whole = true;

	for (uint32_t k = 0; k < range->count; k++) {
		const struct record_irq wanted = {
			.index = range->index, .kind = VUC_IRQ_TRIGGER, .vector = range->start};
		bool has = i < r->nr_irqs && irq_follows(&r->irqs[i], &wanted, k);

		fds[k] = has ? r->irqs[i++].fd : -1;
		is_whole = is_whole && has;
	}
	return is_whole;
}

static int
restore_irqs_start(
	struct device_restore *o, const struct vuc_irq_range *range, uint32_t kind, const int *fds)
{
	o->dev->irq_sets[range->index].replayed = true;
	o->dev->replaying = true;
	return restore_begun(
		o, device_replay_irqs_start(o->dev, range, kind, fds, restore_operation_done, o));
}

/* A set that has lost some of its eventfds is assigned with one of ours in their places, and then
 * as it is. */
static int
restore_irq_set(struct device_restore *o, uint32_t index)
{
	const struct irq_set *set = &o->dev->irq_sets[index];
	const struct vuc_irq_range range = {
		.index = index, .start = set->start, .count = set->end - set->start};
	int fds[VUC_MAX_SEGMENT_FDS];
	int filler, rc;

	assert(range.count <= VUC_MAX_SEGMENT_FDS);
	if (restore_find_set(o->dev->record, &range, fds) || o->fills) {
		o->fills = false;
		o->next.kind = VUC_IRQ_TRIGGER;
		o->next.vector = set->end;
		return restore_irqs_start(o, &range, VUC_IRQ_TRIGGER, fds);
	}
	filler = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (filler < 0)
		return vuc_error_set(&o->err, -errno, "eventfd: %s", strerror(errno));
	for (uint32_t k = 0; k < range.count; k++)
		fds[k] = fds[k] < 0 ? filler : fds[k];
	o->fills = true;
	rc = restore_irqs_start(o, &range, VUC_IRQ_TRIGGER, fds);
	close(filler);
	return rc;
}

/* Interrupts of the index behind each other with one message, or as many as it takes. */
static int
restore_next_irqs(struct device_restore *o)
{
	const struct device_record *r = o->dev->record;
	unsigned int i = record_irq_find(r, o->next.index, o->next.kind, o->next.vector);
	const struct record_irq *first = &r->irqs[i];
	struct vuc_irq_range range = {0};
	int fds[IRQS_AT_ONCE];

	if (i == r->nr_irqs || first->index != o->next.index)
		return 0;
	if (irq_is_of_set(o->dev, first))
		return restore_irq_set(o, first->index);
	range.index = first->index;
	range.start = first->vector;
	while (range.count < IRQS_AT_ONCE && i + range.count < r->nr_irqs &&
		irq_follows(first + range.count, first, range.count)) {
		fds[range.count] = first[range.count].fd;
		range.count++;
	}
	o->next.kind = first->kind;
	o->next.vector = first->vector + range.count;
	/* INTx is never left masked. */
	if (first->index == VFIO_PCI_INTX_IRQ_INDEX && first->kind == RECORD_IRQ_MASKED)
		return 0;
	o->unmasks = first->index == VFIO_PCI_INTX_IRQ_INDEX && first->kind == VUC_IRQ_TRIGGER;
	return restore_irqs_start(o, &range, first->kind, fds);
}

/* The first index that has changed since it was replayed; num_irqs: there is none. */
static uint32_t
find_changed_index(const struct vuc_device *dev)
{
	uint32_t i = 0;

	while (i < dev->info.num_irqs && !dev->irq_sets[i].changed)
		i++;
	return i;
}

/* What an index had before is not asked for: all of it is replaced. */
static int
restore_begin_index(struct device_restore *o, uint32_t index)
{
	const struct device_record *r = o->dev->record;
	struct irq_set *set = &o->dev->irq_sets[index];
	const struct vuc_irq_range range = {.index = index};

	set->changed = false;
	o->next = (struct record_irq){.index = index};
	o->fills = false;
	/* Nothing binds the new server yet. */
	if (record_irq_find(r, index, VUC_IRQ_TRIGGER, 0) ==
		record_irq_find(r, index, VUC_IRQ_TRIGGER, UINT32_MAX))
		set->start = set->end = 0;
	if (!set->replayed)
		return restore_next_irqs(o);
	set->replayed = false;
	o->dev->replaying = true;
	return restore_begun(o,
		device_replay_irqs_start(
			o->dev, &range, RECORD_IRQ_NONE, NULL, restore_operation_done, o));
}

int
restore_irqs(struct device_restore *o)
{
	uint32_t index;
	int rc;

	if (o->unmasks)
		return restore_unmask_intx(o);
	rc = restore_next_irqs(o);
	while (rc == 0 && (index = find_changed_index(o->dev)) < o->dev->info.num_irqs)
		rc = restore_begin_index(o, index);
	return rc;
}
