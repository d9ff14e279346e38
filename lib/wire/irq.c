/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "info.h"
#include "irq.h"

/* data_len is what follows: it counts in argsz, as there is nothing in the reply. */
static size_t
irq_set_encode(void *buf, const struct vuc_wire_irq_range *range, uint32_t flags, uint32_t data_len)
{
	const struct vfio_user_irq_set set = {
		.argsz = (uint32_t)sizeof(set) + data_len,
		.flags = flags,
		.index = range->index,
		.start = range->start,
		.count = range->count,
	};

	memcpy(buf, &set, sizeof(set));
	return sizeof(set);
}

size_t
vuc_wire_irq_act_encode(
	void *buf, const struct vuc_wire_irq_range *range, enum vuc_wire_irq_action action)
{
	return irq_set_encode(buf, range, VFIO_IRQ_SET_DATA_NONE | (uint32_t)action, 0);
}

int
vuc_wire_irq_select_encode(void *buf, size_t size, const struct vuc_wire_irq_range *range,
	enum vuc_wire_irq_action action, const bool *flags)
{
	uint8_t *at = buf;

	if (range->count == 0 || range->count > VUC_WIRE_MAX_IRQ_COUNT)
		return -EINVAL;
	if (size < sizeof(struct vfio_user_irq_set) + range->count)
		return -ENOSPC;
	at += irq_set_encode(buf, range, VFIO_IRQ_SET_DATA_BOOL | (uint32_t)action, range->count);
	for (uint32_t i = 0; i < range->count; i++)
		*at++ = flags[i];
	return (int)(at - (uint8_t *)buf);
}

size_t
vuc_wire_irq_eventfd_encode(
	void *buf, const struct vuc_wire_irq_range *range, enum vuc_wire_irq_action action)
{
	return irq_set_encode(buf, range, VFIO_IRQ_SET_DATA_EVENTFD | (uint32_t)action, 0);
}

size_t
vuc_wire_irq_disable_encode(void *buf, uint32_t index)
{
	const struct vuc_wire_irq_range none = {.index = index};

	return vuc_wire_irq_act_encode(buf, &none, VUC_WIRE_IRQ_TRIGGER);
}
