/* SPDX-License-Identifier: BSD-3-Clause */
#include "irq_select.h"

#include <stdlib.h>

#include <linux/vfio.h>

#include "argument.h"
#include "message.h"
#include "vfio_names.h"

int
vucctl_irq_select_option(
	struct vucctl_irq_select *select, const char *command, int opt, const char *value)
{
	uint64_t first, last;

	if (opt == 'i') {
		if (vucctl_irq_parse(value, &select->index) != 0)
			return vucctl_fail_usage(command,
				"index '%s' is neither a number nor intx, msi, msix, err or req",
				value);
		select->has_index = true;
		return 0;
	}
	if (vucctl_number_parse_range(value, UINT32_MAX - 1, &first, &last) != 0)
		return vucctl_fail_usage(
			command, "vector '%s' is neither a number nor a range 'A-B'", value);
	select->first = (uint32_t)first;
	select->last = (uint32_t)last;
	select->has_vectors = true;
	return 0;
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
vucctl_irq_select_range(const struct vucctl_irq_select *select, const struct vucctl_target *target,
	const struct vuc_device *dev, struct vuc_irq_range *range)
{
	uint32_t index = select->has_index ? select->index : default_index(dev);
	uint32_t count = count_of(dev, index);
	struct vucctl_index_name name = vucctl_irq_name(index);

	*range = (struct vuc_irq_range){.index = index, .count = count};
	if (count == 0)
		return vucctl_fail("%s: the device has no %s interrupt", target->path, name.text);
	if (!select->has_vectors)
		return 0;
	if (select->last >= count)
		return vucctl_fail("%s: there is no vector %u, %s has %u", target->path,
			select->last, name.text, count);
	range->start = select->first;
	range->count = select->last - select->first + 1;
	return 0;
}
