/* SPDX-License-Identifier: BSD-3-Clause */

/* The reference device as a whole: its regions and interrupts, the memory behind BAR2 and BAR4, the
 * MSI-X table, and what migration moves. */

#include <errno.h>

#include <linux/pci_regs.h>

#include "device.h"

/* Bits of an MSI-X table entry that can be written: address, data, and the mask bit of vector
 * control, the last 4 bytes. */
#define VECTOR_CONTROL 12u
static const uint8_t entry_writable[REFDEV_MSIX_ENTRY_SIZE] = {
	0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};

static int
bar2_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	memcpy(data, dev->bar2.bytes + offset, count);
	return 0;
}

static int
bar2_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	memcpy(dev->bar2.bytes + offset, data, count);
	return 0;
}

/* The pages of BAR4 that are memory. */
static const uint32_t areas[] = {REFDEV_BAR4_AREA_0, REFDEV_BAR4_AREA_1};
#define NR_AREAS (sizeof(areas) / sizeof(areas[0]))

/* What the rest of its pages does not have reads as 0. */
static int
bar4_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	uint64_t pending = refdev_irq_pending_bits(dev);
	struct refdev_overlap o;

	memset(data, 0, count);
	for (size_t i = 0; i < NR_AREAS; i++) {
		o = refdev_overlap(offset, count, areas[i], REFDEV_PAGE_SIZE);
		memcpy(data + o.in_access, dev->bar4.bytes + areas[i] + o.in_range, o.count);
	}
	o = refdev_overlap(offset, count, REFDEV_BAR4_TABLE, sizeof(dev->msix_table));
	memcpy(data + o.in_access, dev->msix_table + o.in_range, o.count);
	o = refdev_overlap(offset, count, REFDEV_BAR4_PBA, sizeof(pending));
	memcpy(data + o.in_access, (const uint8_t *)&pending + o.in_range, o.count);
	return 0;
}

static int
bar4_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	struct refdev_overlap o;

	for (size_t i = 0; i < NR_AREAS; i++) {
		o = refdev_overlap(offset, count, areas[i], REFDEV_PAGE_SIZE);
		memcpy(dev->bar4.bytes + areas[i] + o.in_range, data + o.in_access, o.count);
	}
	o = refdev_overlap(offset, count, REFDEV_BAR4_TABLE, sizeof(dev->msix_table));
	for (uint32_t i = 0; i < o.count; i++)
		dev->msix_table[o.in_range + i] = data[o.in_access + i] &
			entry_writable[(o.in_range + i) % REFDEV_MSIX_ENTRY_SIZE];
	if (o.count > 0)
		refdev_irq_refresh(dev);
	return 0;
}

static const struct refdev_memory *
reference_memory(const struct refdev *dev, uint32_t region)
{
	switch (region) {
	case VFIO_PCI_BAR2_REGION_INDEX:
		return &dev->bar2;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return &dev->bar4;
	default:
		return NULL;
	}
}

static bool
is_set(const struct refdev *dev, uint32_t offset, uint16_t bit)
{
	uint16_t word;

	memcpy(&word, dev->config_space.bytes + offset, sizeof(word));
	return (word & bit) != 0;
}

static bool
reference_is_masked(const struct refdev *dev, uint32_t index, uint32_t n)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return is_set(dev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return is_set(dev, REFDEV_CAP_MSIX + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_MASKALL) ||
			(dev->msix_table[n * REFDEV_MSIX_ENTRY_SIZE + VECTOR_CONTROL] & 1) != 0;
	default:
		return false;
	}
}

static bool
reference_is_busy(const struct refdev *dev)
{
	return dev->engine.phase != REFDEV_ENGINE_IDLE;
}

/*
 * MSI-X vectors begin unmasked, other than PCI has it: clients that keep the table to themselves,
 * as VMMs do, would never see an interrupt otherwise.
 */
static void
reference_reset(struct refdev *dev, bool pretend)
{
	REFDEV_REG(dev, RESETS)++;
	if (pretend)
		return;
	refdev_engine_reset(dev);
	refdev_config_space_reset(dev);
	refdev_bar0_reset(dev);
	memset(dev->bar2.bytes, 0, dev->bar2.size);
	memset(dev->bar4.bytes, 0, dev->bar4.size);
	memset(dev->msix_table, 0, sizeof(dev->msix_table));
}

static int
reference_open(struct refdev *dev)
{
	int rc;

	dev->engine.buffer.fd = -1;
	dev->bar4.fd = -1;
	refdev_events_init(dev);
	refdev_config_space_reset(dev);
	refdev_bar0_reset(dev);
	rc = refdev_memory_open(&dev->bar2, "refdev-bar2", REFDEV_BAR2_SIZE);
	return rc != 0 ? rc : refdev_memory_open(&dev->bar4, "refdev-bar4", REFDEV_BAR4_SIZE);
}

static void
reference_close(struct refdev *dev)
{
	refdev_memory_close(&dev->bar2);
	refdev_memory_close(&dev->bar4);
	refdev_memory_close(&dev->engine.buffer);
}

static void
reference_disconnect(struct refdev *dev)
{
	refdev_engine_release(dev);
	refdev_events_release(dev);
}

static void
reference_capture(const struct refdev *dev, struct refdev_image *image)
{
	memcpy(image->regs, dev->bar0.value, sizeof(image->regs));
	memcpy(image->ram, dev->bar0.ram, sizeof(image->ram));
	memcpy(image->config, dev->config_space.bytes, sizeof(image->config));
	memcpy(image->bar2, dev->bar2.bytes, sizeof(image->bar2));
	memcpy(image->bar4, dev->bar4.bytes, sizeof(image->bar4));
	memcpy(image->msix_table, dev->msix_table, sizeof(image->msix_table));
	image->intx_level = dev->intx_level;
	image->pending = refdev_irq_pending_bits(dev);
}

#define IMAGE_REG(image, name) ((image)->regs[REFDEV_REG_##name / 4])

static bool
image_is_valid(const struct refdev_image *image)
{
	return IMAGE_REG(image, ID) == REFDEV_ID_VALUE &&
		IMAGE_REG(image, VERSION) == REFDEV_VERSION_VALUE && IMAGE_REG(image, ERRNO) >= 1 &&
		IMAGE_REG(image, ERRNO) <= 4095 &&
		IMAGE_REG(image, DMA_STATUS) <= REFDEV_DMA_STATUS_ERROR &&
		IMAGE_REG(image, DMA_STATUS) != REFDEV_DMA_STATUS_BUSY && image->intx_level <= 1 &&
		image->pending < 1u << REFDEV_MSIX_VECTORS;
}

/* Of config space, what a driver can write moves, and what the device is stays; RESETS are those of
 * this device. */
static int
reference_apply(struct refdev *dev, const struct refdev_image *image)
{
	struct refdev_config_space *space = &dev->config_space;
	uint64_t resets = REFDEV_REG(dev, RESETS);

	if (!image_is_valid(image))
		return -EINVAL;
	refdev_irq_reset(dev);
	for (size_t i = 0; i < sizeof(space->bytes); i++)
		space->bytes[i] = (uint8_t)((space->bytes[i] & ~space->writable[i]) |
			(image->config[i] & space->writable[i]));
	memcpy(dev->bar0.value, image->regs, sizeof(image->regs));
	REFDEV_REG(dev, RESETS) = resets;
	memcpy(dev->bar0.ram, image->ram, sizeof(image->ram));
	memcpy(dev->bar2.bytes, image->bar2, sizeof(image->bar2));
	memcpy(dev->bar4.bytes, image->bar4, sizeof(image->bar4));
	memcpy(dev->msix_table, image->msix_table, sizeof(image->msix_table));
	refdev_irq_refresh(dev);
	for (uint32_t vector = 0; vector < REFDEV_MSIX_VECTORS; vector++)
		if (image->pending & 1u << vector)
			refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX, vector);
	refdev_irq_set_intx(dev, image->intx_level != 0);
	return 0;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
#define MMAP       VFIO_REGION_INFO_FLAG_MMAP
#define CAPS       VFIO_REGION_INFO_FLAG_CAPS
#define EVENTFD    VFIO_IRQ_INFO_EVENTFD
#define MASKABLE   VFIO_IRQ_INFO_MASKABLE

/* clang-format off */
const struct refdev_model refdev_reference = {
	.regions = {
		[VFIO_PCI_BAR0_REGION_INDEX] =
			{REFDEV_BAR0_SIZE, READ_WRITE, refdev_bar0_read, refdev_bar0_write},
		[VFIO_PCI_BAR2_REGION_INDEX] =
			{REFDEV_BAR2_SIZE, READ_WRITE | MMAP, bar2_read, bar2_write},
		[VFIO_PCI_BAR4_REGION_INDEX] =
			{REFDEV_BAR4_SIZE, READ_WRITE | MMAP | CAPS, bar4_read, bar4_write},
		[VFIO_PCI_CONFIG_REGION_INDEX] = {REFDEV_CONFIG_SIZE, READ_WRITE,
			refdev_config_space_read, refdev_config_space_write},
	},
	.irqs = {
		[VFIO_PCI_INTX_IRQ_INDEX] =
			{EVENTFD | MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, .count = 1, .first = 0},
		[VFIO_PCI_MSIX_IRQ_INDEX] =
			{EVENTFD | MASKABLE, .count = REFDEV_MSIX_VECTORS, .first = 1},
		[VFIO_PCI_ERR_IRQ_INDEX] = {EVENTFD, .count = 1, .first = 1 + REFDEV_MSIX_VECTORS},
		[VFIO_PCI_REQ_IRQ_INDEX] = {EVENTFD, .count = 1, .first = 2 + REFDEV_MSIX_VECTORS},
	},
	.open = reference_open,
	.close = reference_close,
	.reset = reference_reset,
	.disconnect = reference_disconnect,
	.memory = reference_memory,
	.is_masked = reference_is_masked,
	.is_busy = reference_is_busy,
	.capture = reference_capture,
	.apply = reference_apply,
};
/* clang-format on */
