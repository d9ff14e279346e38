/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "device.h"

void
refdev_image_capture(const struct refdev *dev, struct refdev_image *image)
{
	memcpy(image->regs, dev->bar0.value, sizeof(image->regs));
	memcpy(image->ram, dev->bar0.ram, sizeof(image->ram));
	memcpy(image->config, dev->config_space.bytes, sizeof(image->config));
	memcpy(image->bar2, dev->bar2.bytes, sizeof(image->bar2));
	memcpy(image->bar4, dev->bar4.memory.bytes, sizeof(image->bar4));
	memcpy(image->msix_table, dev->bar4.table, sizeof(image->msix_table));
	image->intx_level = dev->intx_level;
	image->pending = refdev_irq_pending_bits(dev);
}

#define IMAGE_REG(image, name) ((image)->regs[REFDEV_REG_##name / 4])

static bool
is_valid(const struct refdev_image *image)
{
	return IMAGE_REG(image, ID) == REFDEV_ID_VALUE &&
		IMAGE_REG(image, VERSION) == REFDEV_VERSION_VALUE && IMAGE_REG(image, ERRNO) >= 1 &&
		IMAGE_REG(image, ERRNO) <= 4095 &&
		IMAGE_REG(image, DMA_STATUS) <= REFDEV_DMA_STATUS_ERROR &&
		IMAGE_REG(image, DMA_STATUS) != REFDEV_DMA_STATUS_BUSY && image->intx_level <= 1 &&
		image->pending < 1u << REFDEV_MSIX_VECTORS;
}

/* What a driver can write moves; what the device is stays. */
static void
apply_config_space(struct refdev *dev, const uint8_t *bytes)
{
	struct refdev_config_space *space = &dev->config_space;

	for (size_t i = 0; i < sizeof(space->bytes); i++)
		space->bytes[i] = (uint8_t)((space->bytes[i] & ~space->writable[i]) |
			(bytes[i] & space->writable[i]));
}

/* RESETS are those of this device. */
static void
apply_registers(struct refdev *dev, const struct refdev_image *image)
{
	uint64_t resets = REFDEV_REG(dev, RESETS);

	memcpy(dev->bar0.value, image->regs, sizeof(image->regs));
	REFDEV_REG(dev, RESETS) = resets;
	memcpy(dev->bar0.ram, image->ram, sizeof(image->ram));
}

int
refdev_image_apply(struct refdev *dev, const struct refdev_image *image)
{
	if (!is_valid(image))
		return -EINVAL;
	refdev_irq_reset(dev);
	apply_config_space(dev, image->config);
	apply_registers(dev, image);
	memcpy(dev->bar2.bytes, image->bar2, sizeof(image->bar2));
	memcpy(dev->bar4.memory.bytes, image->bar4, sizeof(image->bar4));
	memcpy(dev->bar4.table, image->msix_table, sizeof(image->msix_table));
	refdev_irq_refresh(dev);
	for (uint32_t vector = 0; vector < REFDEV_MSIX_VECTORS; vector++)
		if (image->pending & 1u << vector)
			refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX, vector);
	refdev_irq_set_intx(dev, image->intx_level != 0);
	return 0;
}

uint64_t
refdev_checksum(uint64_t sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ at[i]) * 0x100000001b3ull;
	return sum;
}
