/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "device.h"

#define DATA_FLAGS   ((uint32_t)VFIO_IRQ_SET_DATA_TYPE_MASK)
#define ACTION_FLAGS ((uint32_t)VFIO_IRQ_SET_ACTION_TYPE_MASK)

/* A request that has been checked. */
struct irq_set {
	uint32_t data;   /* one of DATA_FLAGS */
	uint32_t action; /* one of ACTION_FLAGS */
	uint32_t index;
	uint32_t start;
	uint32_t count;
	const uint8_t *bools;
	int *fds; /* count of them, or NULL to de-assign */
};

static bool
is_one_bit(uint32_t flags)
{
	return flags != 0 && (flags & (flags - 1)) == 0;
}

/* What comes behind the fixed part: a byte an interrupt, a descriptor an interrupt, or nothing. */
static bool
payload_fits(const struct irq_set *set, size_t bytes, unsigned int nr_fds)
{
	switch (set->data) {
	case VFIO_IRQ_SET_DATA_BOOL:
		return bytes == set->count && nr_fds == 0;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		return bytes == 0 && (nr_fds == 0 || nr_fds == set->count);
	default:
		return bytes == 0 && nr_fds == 0;
	}
}

/* No interrupts at all stands for all of them, and only when they are to be disabled. */
static bool
is_disable(const struct irq_set *set)
{
	return set->count == 0 && set->start == 0 && set->data == VFIO_IRQ_SET_DATA_NONE &&
		set->action == VFIO_IRQ_SET_ACTION_TRIGGER;
}

static int
irq_set_check(const struct irq_set *set)
{
	const struct refdev_irq_index *index;

	if (!is_one_bit(set->data) || !is_one_bit(set->action))
		return -EINVAL;
	if (set->index >= REFDEV_NR_IRQ_INDEXES)
		return -EINVAL;
	if (is_disable(set))
		return 0;
	index = &refdev_irq_indexes[set->index];
	if (set->count == 0 || set->start > index->count || set->count > index->count - set->start)
		return -EINVAL;
	if (set->action != VFIO_IRQ_SET_ACTION_TRIGGER &&
		(index->flags & VFIO_IRQ_INFO_MASKABLE) == 0)
		return -EINVAL;
	return 0;
}

static int
irq_set_decode(const struct refdev_body *in, struct irq_set *set)
{
	struct vfio_user_irq_set wire;
	int rc;

	memcpy(&wire, in->bytes, sizeof(wire));
	if (wire.argsz != in->len || (wire.flags & ~(DATA_FLAGS | ACTION_FLAGS)) != 0)
		return -EINVAL;
	*set = (struct irq_set){
		.data = wire.flags & DATA_FLAGS,
		.action = wire.flags & ACTION_FLAGS,
		.index = wire.index,
		.start = wire.start,
		.count = wire.count,
		.bools = in->bytes + sizeof(wire),
		.fds = in->nr_fds > 0 ? in->fds : NULL,
	};
	rc = irq_set_check(set);
	if (rc != 0)
		return rc;
	return payload_fits(set, in->len - sizeof(wire), in->nr_fds) ? 0 : -EINVAL;
}

static void
irq_set_act(struct refdev *dev, const struct irq_set *set, uint32_t n)
{
	if (set->action == VFIO_IRQ_SET_ACTION_TRIGGER)
		refdev_irq_raise(dev, set->index, n);
	else
		refdev_irq_set_client_mask(
			dev, set->index, n, set->action == VFIO_IRQ_SET_ACTION_MASK);
}

static enum refdev_irq_event
event_of(uint32_t action)
{
	switch (action) {
	case VFIO_IRQ_SET_ACTION_MASK:
		return REFDEV_IRQ_MASKED;
	case VFIO_IRQ_SET_ACTION_UNMASK:
		return REFDEV_IRQ_UNMASKED;
	default:
		return REFDEV_IRQ_TRIGGERED;
	}
}

/* Takes the i-th descriptor. */
static void
irq_set_assign(struct refdev *dev, const struct irq_set *set, uint32_t i)
{
	int fd = -1;

	if (set->fds != NULL) {
		fd = set->fds[i];
		set->fds[i] = -1;
	}
	refdev_irq_assign(dev, set->index, set->start + i, event_of(set->action), fd);
}

int
refdev_set_irqs_handle(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct irq_set set;
	int rc;

	(void)out;
	rc = irq_set_decode(in, &set);
	if (rc != 0)
		return rc;
	if (is_disable(&set))
		refdev_irq_release(dev, set.index);
	for (uint32_t i = 0; i < set.count; i++) {
		if (set.data == VFIO_IRQ_SET_DATA_EVENTFD)
			irq_set_assign(dev, &set, i);
		else if (set.data == VFIO_IRQ_SET_DATA_NONE || set.bools[i] != 0)
			irq_set_act(dev, &set, set.start + i);
	}
	return 0;
}
