/* SPDX-License-Identifier: BSD-3-Clause */

#include <linux/pci_regs.h>

#include "device.h"

void
refdev_config_space_reset(struct refdev *dev)
{
	struct refdev_config_space *cs = &dev->config_space;

	*cs = (struct refdev_config_space){0};
	for (size_t i = 0; i < dev->model->nr_fields; i++) {
		const struct refdev_field *field = &dev->model->fields[i];

		memcpy(cs->bytes + field->offset, &field->value, field->bytes);
		memcpy(cs->writable + field->offset, &field->writable, field->bytes);
	}
}

bool
refdev_intx_is_disabled(const struct refdev *dev)
{
	uint16_t command;

	memcpy(&command, dev->config_space.bytes + PCI_COMMAND, sizeof(command));
	return (command & PCI_COMMAND_INTX_DISABLE) != 0;
}

int
refdev_config_space_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	memcpy(data, dev->config_space.bytes + offset, count);
	return 0;
}

/* Whether a write sets the bit that resets the function, which always reads as 0. */
static bool
sets_flr(const struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	uint32_t at = dev->model->pcie_cap + PCI_EXP_DEVCTL + 1u;

	return offset <= at && at - offset < count &&
		(data[at - offset] & PCI_EXP_DEVCTL_BCR_FLR >> 8) != 0;
}

int
refdev_config_space_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	uint8_t *bytes = dev->config_space.bytes + offset;
	const uint8_t *writable = dev->config_space.writable + offset;

	for (uint32_t i = 0; i < count; i++)
		bytes[i] = (uint8_t)((bytes[i] & ~writable[i]) | (data[i] & writable[i]));
	dev->reset_due = sets_flr(dev, offset, data, count);
	if (!dev->reset_due)
		refdev_irq_refresh(dev);
	return 0;
}
