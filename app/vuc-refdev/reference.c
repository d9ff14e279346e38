/* SPDX-License-Identifier: BSD-3-Clause */

/* The reference device as a whole: its config space, its regions, and what migration moves. */

#include <errno.h>
#include <stdlib.h>

#include <linux/pci_regs.h>

#include "reference.h"

#define BAR2 VFIO_PCI_BAR2_REGION_INDEX
#define BAR4 VFIO_PCI_BAR4_REGION_INDEX

#define BAR_MASK(size) (~((size)-1u))

static const struct refdev_field fields[] = {
	{PCI_VENDOR_ID, 2, REFDEV_VENDOR_ID, 0},
	{PCI_DEVICE_ID, 2, REFDEV_DEVICE_ID, 0},
	{PCI_CLASS_REVISION, 4, REFDEV_CLASS_CODE << 8 | REFDEV_REVISION, 0},
	{PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_32, BAR_MASK(REFDEV_BAR0_SIZE)},
	{PCI_BASE_ADDRESS_2, 4, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH,
		BAR_MASK(REFDEV_BAR2_SIZE)},
	{PCI_BASE_ADDRESS_3, 4, 0, 0xffffffff},
	{PCI_BASE_ADDRESS_4, 4, PCI_BASE_ADDRESS_MEM_TYPE_32, BAR_MASK(REFDEV_BAR4_SIZE)},
	{PCI_SUBSYSTEM_VENDOR_ID, 2, REFDEV_VENDOR_ID, 0},
	{PCI_SUBSYSTEM_ID, 2, REFDEV_DEVICE_ID, 0},
	{PCI_CAPABILITY_LIST, 1, REFDEV_CAP_PCIE, 0},
	{REFDEV_CAP_PCIE, 2, REFDEV_CAP_MSIX << 8 | PCI_CAP_ID_EXP, 0},
	{REFDEV_CAP_MSIX, 2, REFDEV_CAP_VENDOR << 8 | PCI_CAP_ID_MSIX, 0},
	{REFDEV_CAP_VENDOR, 2, PCI_CAP_ID_VNDR, 0},
	{REFDEV_CAP_VENDOR + 2, 2, 1 << 8 | 16, 0}, /* length, and the version of this content */
	{REFDEV_CAP_VENDOR + 4, 4, REFDEV_ID_VALUE, 0},
	{REFDEV_VENDOR_SCRATCH, 4, 0, 0xffffffff},
	{REFDEV_CAP_SERIAL, 4, 1 << 16 | PCI_EXT_CAP_ID_DSN, 0},
};

static void
config_space_reset(struct refdev *dev)
{
	refdev_pci_reset(dev);
	memcpy(dev->config_space.bytes + REFDEV_CAP_SERIAL + 4, &dev->config.serial,
		sizeof(uint64_t));
}

static int
bar2_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	memcpy(data, dev->memory[BAR2].bytes + offset, count);
	return 0;
}

static int
bar2_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	memcpy(dev->memory[BAR2].bytes + offset, data, count);
	return 0;
}

/* The part of an access to BAR4 that lies in an area of it, which is memory. */
static struct refdev_overlap
area_overlap(uint32_t offset, uint32_t count, const struct vfio_user_sparse_area *area)
{
	return refdev_overlap(offset, count, (uint32_t)area->offset, (uint32_t)area->size);
}

/* The rest of the pages of MSI-X reads as 0. */
static int
bar4_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	const struct refdev_region *bar4 = &dev->model->regions[BAR4];

	memset(data, 0, count);
	for (uint32_t i = 0; i < bar4->nr_areas; i++) {
		struct refdev_overlap o = area_overlap(offset, count, &bar4->areas[i]);

		memcpy(data + o.in_access,
			dev->memory[BAR4].bytes + bar4->areas[i].offset + o.in_range, o.count);
	}
	refdev_msix_read(dev, offset, data, count);
	return 0;
}

static int
bar4_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	const struct refdev_region *bar4 = &dev->model->regions[BAR4];

	for (uint32_t i = 0; i < bar4->nr_areas; i++) {
		struct refdev_overlap o = area_overlap(offset, count, &bar4->areas[i]);

		memcpy(dev->memory[BAR4].bytes + bar4->areas[i].offset + o.in_range,
			data + o.in_access, o.count);
	}
	refdev_msix_write(dev, offset, data, count);
	return 0;
}

static void
reference_reset(struct refdev *dev, bool pretend)
{
	REFDEV_REG(dev, RESETS)++;
	if (pretend)
		return;
	config_space_reset(dev);
	refdev_bar0_reset(dev);
	memset(dev->memory[BAR2].bytes, 0, REFDEV_BAR2_SIZE);
	memset(dev->memory[BAR4].bytes, 0, REFDEV_BAR4_SIZE);
}

static int
reference_create(struct refdev *dev)
{
	struct refdev_reference *ref = calloc(1, sizeof(*ref));

	dev->state = ref;
	if (ref == NULL)
		return -ENOMEM;
	ref->engine.buffer.fd = -1;
	ref->shadow.fd = -1;
	ref->ioregion[0] = -1;
	ref->ioregion[1] = -1;
	config_space_reset(dev);
	refdev_bar0_reset(dev);
	return 0;
}

static void
reference_destroy(struct refdev *dev)
{
	struct refdev_reference *ref = dev->state;

	if (ref == NULL)
		return;
	refdev_memory_close(&ref->engine.buffer);
	free(ref);
}

static void
reference_disconnect(struct refdev *dev)
{
	refdev_engine_release(dev);
	refdev_io_fds_release(dev);
}

/* All that migration moves. */
struct image {
	uint64_t regs[REFDEV_NR_SLOTS];
	uint8_t ram[REFDEV_RAM_SIZE];
	uint8_t config[REFDEV_CONFIG_SIZE];
	uint8_t bar2[REFDEV_BAR2_SIZE];
	uint8_t bar4[REFDEV_BAR4_SIZE];
	uint8_t msix_table[REFDEV_MSIX_VECTORS * REFDEV_MSIX_ENTRY_SIZE];
	uint64_t intx_level;
	uint64_t pending; /* bits of MSI-X vectors */
};

static void
reference_capture(const struct refdev *dev, void *to)
{
	const struct refdev_reference *ref = dev->state;
	struct image *image = to;

	memcpy(image->regs, ref->bar0.value, sizeof(image->regs));
	memcpy(image->ram, ref->bar0.ram, sizeof(image->ram));
	memcpy(image->config, dev->config_space.bytes, sizeof(image->config));
	memcpy(image->bar2, dev->memory[BAR2].bytes, sizeof(image->bar2));
	memcpy(image->bar4, dev->memory[BAR4].bytes, sizeof(image->bar4));
	memcpy(image->msix_table, dev->msix_table, sizeof(image->msix_table));
	image->intx_level = dev->intx_level;
	image->pending = refdev_irq_pending_bits(dev);
}

#define IMAGE_REG(image, name) ((image)->regs[REFDEV_REG_##name / 4])

static bool
image_is_valid(const struct image *image)
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
reference_apply(struct refdev *dev, const void *from)
{
	struct refdev_config_space *space = &dev->config_space;
	struct refdev_reference *ref = dev->state;
	uint64_t resets = REFDEV_REG(dev, RESETS);
	const struct image *image = from;

	if (!image_is_valid(image))
		return -EINVAL;
	refdev_irq_reset(dev);
	for (size_t i = 0; i < sizeof(space->bytes); i++)
		space->bytes[i] = (uint8_t)((space->bytes[i] & ~space->writable[i]) |
			(image->config[i] & space->writable[i]));
	memcpy(ref->bar0.value, image->regs, sizeof(image->regs));
	REFDEV_REG(dev, RESETS) = resets;
	memcpy(ref->bar0.ram, image->ram, sizeof(image->ram));
	memcpy(dev->memory[BAR2].bytes, image->bar2, sizeof(image->bar2));
	memcpy(dev->memory[BAR4].bytes, image->bar4, sizeof(image->bar4));
	memcpy(dev->msix_table, image->msix_table, sizeof(image->msix_table));
	refdev_irq_refresh(dev);
	for (uint32_t vector = 0; vector < REFDEV_MSIX_VECTORS; vector++)
		if (image->pending & 1u << vector)
			refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX, vector);
	refdev_irq_set_intx(dev, image->intx_level != 0);
	return 0;
}

/* clang-format off */
const struct refdev_model refdev_reference = {
	.regions = {
		[VFIO_PCI_BAR0_REGION_INDEX] =
			{REFDEV_BAR0_SIZE, false, refdev_bar0_read, refdev_bar0_write},
		[BAR2] = {REFDEV_BAR2_SIZE, true, bar2_read, bar2_write},
		[BAR4] = {REFDEV_BAR4_SIZE, true, bar4_read, bar4_write, 2, {
			{REFDEV_BAR4_AREA_0, REFDEV_PAGE_SIZE}, {REFDEV_BAR4_AREA_1, REFDEV_PAGE_SIZE}}},
		[VFIO_PCI_CONFIG_REGION_INDEX] = {REFDEV_CONFIG_SIZE, false,
			refdev_config_space_read, refdev_config_space_write},
	},
	.vectors = REFDEV_MSIX_VECTORS,
	.fields = fields,
	.nr_fields = sizeof(fields) / sizeof(fields[0]),
	.pcie_cap = REFDEV_CAP_PCIE,
	.msix_cap = REFDEV_CAP_MSIX,
	.msix_table = REFDEV_BAR4_TABLE | BAR4,
	.msix_pending = REFDEV_BAR4_PBA | BAR4,
	.create = reference_create,
	.destroy = reference_destroy,
	.reset = reference_reset,
	.disconnect = reference_disconnect,
	.transferred = refdev_engine_transferred,
	.raw_next = refdev_engine_raw_next,
	.raw_answered = refdev_engine_raw_answered,
	.io_fds = refdev_io_fds_get,
	.take_event = refdev_io_fds_take_event,
	.image_size = sizeof(struct image),
	.capture = reference_capture,
	.apply = reference_apply,
};
/* clang-format on */
