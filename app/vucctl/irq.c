/* SPDX-License-Identifier: BSD-3-Clause */

/* irq mask, irq unmask, irq trigger: the same but for what the server is told. */

#include "irq.h"

#include <stdlib.h>

#include <linux/vfio.h>

#include "number.h"
#include "print.h"

/* "A" or "A-B" with A <= B. */
static bool
parse_range(const char *text, struct vucctl_irqs *irqs)
{
	uint64_t first, last;
	const char *end;

	if (vuc_number_scan(text, 0, &first, &end) != 0)
		return false;
	if (*end == '-')
		text = end + 1;
	else if (*end != '\0')
		return false;
	if (vuc_number_parse(text, 0, first, UINT32_MAX - 1, &last) != 0)
		return false;
	irqs->first = (uint32_t)first;
	irqs->last = (uint32_t)last;
	return true;
}

void
vucctl_irqs_take(const struct vucctl *ctl, struct vucctl_irqs *irqs, int key, const char *value)
{
	if (key == 'i') {
		if (vucctl_irq_parse(value, &irqs->index) != 0)
			app_args_error(ctl->state,
				"index '%s' is neither a number nor intx, msi, msix, err or req",
				value);
		irqs->has_index = true;
		return;
	}
	if (!parse_range(value, irqs))
		app_args_error(
			ctl->state, "vector '%s' is neither a number nor a range 'A-B'", value);
	irqs->has_vectors = true;
}

static uint32_t
count_of(const struct vuc_device *dev, uint32_t index)
{
	const struct vuc_irq *irq = vuc_device_irq(dev, index);

	return irq != NULL ? irq->count : 0;
}

/* The index that a driver of the device would use. */
static uint32_t
default_index(const struct vuc_device *dev)
{
	if (count_of(dev, VFIO_PCI_MSIX_IRQ_INDEX) > 0)
		return VFIO_PCI_MSIX_IRQ_INDEX;
	if (count_of(dev, VFIO_PCI_MSI_IRQ_INDEX) > 0)
		return VFIO_PCI_MSI_IRQ_INDEX;
	return VFIO_PCI_INTX_IRQ_INDEX;
}

int
vucctl_irqs_find(
	const struct vucctl *ctl, const struct vucctl_irqs *irqs, struct vuc_irq_range *range)
{
	uint32_t index = irqs->has_index ? irqs->index : default_index(ctl->dev);
	uint32_t count = count_of(ctl->dev, index);
	struct vucctl_index_name name = vucctl_irq_name(index);

	*range = (struct vuc_irq_range){.index = index, .count = count};
	if (count == 0 && index >= VFIO_PCI_NUM_IRQS)
		return vucctl_fail(
			"%s: the device has no interrupts of index %u", ctl->args[0], index);
	if (count == 0)
		return vucctl_fail("%s: the device has no %s interrupt", ctl->args[0], name.text);
	if (!irqs->has_vectors)
		return 0;
	if (irqs->last >= count)
		return vucctl_fail("%s: there is no vector %u, %s has %u", ctl->args[0], irqs->last,
			name.text, count);
	range->start = irqs->first;
	range->count = irqs->last - irqs->first + 1;
	return 0;
}

static const struct argp_option options[] = {
	VUCCTL_IRQ_OPTIONS,
	{0},
};

static void
irq_take(struct vucctl *ctl, int key, const char *value)
{
	vucctl_irqs_take(ctl, ctl->own, key, value);
}

static int
irq_act(struct vucctl *ctl, enum vuc_irq_action action, const char *verb)
{
	struct vuc_irq_range range;
	int ret = vucctl_irqs_find(ctl, ctl->own, &range);

	if (ret != 0)
		return ret;
	ret = vuc_irq_act(ctl->dev, &range, action);
	if (ret != 0)
		return vucctl_fail_device(
			ctl, ret, "cannot %s %s", verb, vucctl_irq_name(range.index).text);
	return EXIT_SUCCESS;
}

static int
irq_mask_run(struct vucctl *ctl)
{
	return irq_act(ctl, VUC_IRQ_MASK, "mask");
}

static int
irq_unmask_run(struct vucctl *ctl)
{
	return irq_act(ctl, VUC_IRQ_UNMASK, "unmask");
}

static int
irq_trigger_run(struct vucctl *ctl)
{
	return irq_act(ctl, VUC_IRQ_TRIGGER, "trigger");
}

#define FORGETS                                                                                       \
	" of the device on SOCKET. When the command exits, the server may reset the masks and drops " \
	"the eventfds."
#define COMMON                                                                         \
	.arguments = "SOCKET", .options = options, .size = sizeof(struct vucctl_irqs), \
	.take = irq_take

const struct vucctl_command vucctl_irq_mask = {
	.name = "irq mask",
	.summary = "mask interrupts",
	.doc = "Masks interrupts" FORGETS,
	COMMON,
	.run = irq_mask_run,
};

const struct vucctl_command vucctl_irq_unmask = {
	.name = "irq unmask",
	.summary = "unmask interrupts",
	.doc = "Unmasks interrupts" FORGETS,
	COMMON,
	.run = irq_unmask_run,
};

const struct vucctl_command vucctl_irq_trigger = {
	.name = "irq trigger",
	.summary = "make the server raise interrupts",
	.doc = "Makes the server raise interrupts" FORGETS,
	COMMON,
	.run = irq_trigger_run,
};
