/* SPDX-License-Identifier: BSD-3-Clause */

/* The reference device as a whole: its regions and interrupts, what is in its config space, the
 * memory behind BAR2 and BAR4, the MSI-X table, and what migration moves. */

#include <errno.h>
#include <stdlib.h>

#include <linux/pci_regs.h>

#include "reference.h"

#define BAR_MASK(size) (~((size)-1u))

#define COMMAND_WRITABLE                                                                   \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
		PCI_COMMAND_INTX_DISABLE)

/* A root complex would see a link of one lane at 2.5 GT/s. */
#define LINK_2_5GT_X1 0x0011u
#define SPEEDS_2_5GT  0x0002u

#define DEVCTL_WRITABLE                                                                           \
	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE | \
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_NOSNOOP_EN |    \
		PCI_EXP_DEVCTL_READRQ)

static const struct refdev_field fields[] = {
	{PCI_VENDOR_ID, 2, REFDEV_VENDOR_ID, 0},
	{PCI_DEVICE_ID, 2, REFDEV_DEVICE_ID, 0},
	{PCI_COMMAND, 2, 0, COMMAND_WRITABLE},
	{PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0},
	{PCI_CLASS_REVISION, 4, REFDEV_CLASS_CODE << 8 | REFDEV_REVISION, 0},
	{PCI_CACHE_LINE_SIZE, 1, 0, 0xff},
	{PCI_HEADER_TYPE, 1, PCI_HEADER_TYPE_NORMAL, 0},
	{PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_32, BAR_MASK(REFDEV_BAR0_SIZE)},
	{PCI_BASE_ADDRESS_2, 4, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH,
		BAR_MASK(REFDEV_BAR2_SIZE)},
	{PCI_BASE_ADDRESS_3, 4, 0, 0xffffffff},
	{PCI_BASE_ADDRESS_4, 4, PCI_BASE_ADDRESS_MEM_TYPE_32, BAR_MASK(REFDEV_BAR4_SIZE)},
	{PCI_SUBSYSTEM_VENDOR_ID, 2, REFDEV_VENDOR_ID, 0},
	{PCI_SUBSYSTEM_ID, 2, REFDEV_DEVICE_ID, 0},
	{PCI_CAPABILITY_LIST, 1, REFDEV_CAP_PCIE, 0},
	{PCI_INTERRUPT_LINE, 1, 0, 0xff},
	{PCI_INTERRUPT_PIN, 1, 1, 0},
	{REFDEV_CAP_PCIE, 2, REFDEV_CAP_MSIX << 8 | PCI_CAP_ID_EXP, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_FLAGS, 2, PCI_EXP_TYPE_ENDPOINT << 4 | 2, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_DEVCTL, 2,
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B,
		DEVCTL_WRITABLE},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCAP, 4, LINK_2_5GT_X1, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCTL, 2, 0, PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKSTA, 2, LINK_2_5GT_X1, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCAP2, 4, SPEEDS_2_5GT, 0},
	{REFDEV_CAP_PCIE + PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS_2_5GT, PCI_EXP_LNKCTL2_TLS},
	{REFDEV_CAP_MSIX, 2, REFDEV_CAP_VENDOR << 8 | PCI_CAP_ID_MSIX, 0},
	{REFDEV_CAP_MSIX + PCI_MSIX_FLAGS, 2, REFDEV_MSIX_VECTORS - 1,
		PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL},
	{REFDEV_CAP_MSIX + PCI_MSIX_TABLE, 4, REFDEV_BAR4_TABLE | VFIO_PCI_BAR4_REGION_INDEX, 0},
	{REFDEV_CAP_MSIX + PCI_MSIX_PBA, 4, REFDEV_BAR4_PBA | VFIO_PCI_BAR4_REGION_INDEX, 0},
	{REFDEV_CAP_VENDOR, 2, PCI_CAP_ID_VNDR, 0},
	{REFDEV_CAP_VENDOR + 2, 2, 1 << 8 | 16, 0}, /* length, and the version of this content */
	{REFDEV_CAP_VENDOR + 4, 4, REFDEV_ID_VALUE, 0},
	{REFDEV_VENDOR_SCRATCH, 4, 0, 0xffffffff},
	{REFDEV_CAP_SERIAL, 4, 1 << 16 | PCI_EXT_CAP_ID_DSN, 0},
};

static void
config_space_reset(struct refdev *dev)
{
	refdev_config_space_reset(dev);
	memcpy(dev->config_space.bytes + REFDEV_CAP_SERIAL + 4, &dev->config.serial,
		sizeof(uint64_t));
}

static int
bar2_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	memcpy(data, refdev_reference_of(dev)->bar2.bytes + offset, count);
	return 0;
}

static int
bar2_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	memcpy(refdev_reference_of(dev)->bar2.bytes + offset, data, count);
	return 0;
}

/* The pages of BAR4 that are memory. */
static const uint32_t areas[] = {REFDEV_BAR4_AREA_0, REFDEV_BAR4_AREA_1};
#define NR_AREAS (sizeof(areas) / sizeof(areas[0]))

/* The capability chain of BAR4: one link, a struct vfio_user_cap_sparse_mmap with its areas. */
static const struct sparse_caps {
	struct vfio_user_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_user_sparse_area areas[NR_AREAS];
} VFIO_USER_PACKED bar4_caps = {
	.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1},
	.nr_areas = NR_AREAS,
	.areas =
		{
			{.offset = REFDEV_BAR4_AREA_0, .size = REFDEV_PAGE_SIZE},
			{.offset = REFDEV_BAR4_AREA_1, .size = REFDEV_PAGE_SIZE},
		},
};

_Static_assert(offsetof(struct sparse_caps, areas) == sizeof(struct vfio_user_cap_sparse_mmap),
	"sparse areas follow their capability");
_Static_assert(sizeof(bar4_caps) <= REFDEV_MAX_CAPS, "there is room for capabilities");

/* What the rest of its pages does not have reads as 0. */
static int
bar4_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	struct refdev_overlap o;

	memset(data, 0, count);
	for (size_t i = 0; i < NR_AREAS; i++) {
		o = refdev_overlap(offset, count, areas[i], REFDEV_PAGE_SIZE);
		memcpy(data + o.in_access,
			refdev_reference_of(dev)->bar4.bytes + areas[i] + o.in_range, o.count);
	}
	refdev_msix_read(dev, &refdev_reference_of(dev)->msix, offset, data, count);
	return 0;
}

static int
bar4_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	struct refdev_overlap o;

	for (size_t i = 0; i < NR_AREAS; i++) {
		o = refdev_overlap(offset, count, areas[i], REFDEV_PAGE_SIZE);
		memcpy(refdev_reference_of(dev)->bar4.bytes + areas[i] + o.in_range,
			data + o.in_access, o.count);
	}
	refdev_msix_write(dev, &refdev_reference_of(dev)->msix, offset, data, count);
	return 0;
}

static const struct refdev_memory *
reference_memory(const struct refdev *dev, uint32_t region)
{
	switch (region) {
	case VFIO_PCI_BAR2_REGION_INDEX:
		return &refdev_reference_of(dev)->bar2;
	case VFIO_PCI_BAR4_REGION_INDEX:
		return &refdev_reference_of(dev)->bar4;
	default:
		return NULL;
	}
}

static bool
reference_is_masked(const struct refdev *dev, uint32_t index, uint32_t n)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return refdev_intx_is_disabled(dev);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return refdev_msix_is_masked(dev, &refdev_reference_of(dev)->msix, n);
	default:
		return false;
	}
}

static bool
reference_is_busy(const struct refdev *dev)
{
	return refdev_reference_of(dev)->engine.phase != REFDEV_ENGINE_IDLE;
}

static void
reference_reset(struct refdev *dev, bool pretend)
{
	REFDEV_REG(dev, RESETS)++;
	if (pretend)
		return;
	refdev_engine_reset(dev);
	config_space_reset(dev);
	refdev_bar0_reset(dev);
	memset(refdev_reference_of(dev)->bar2.bytes, 0, refdev_reference_of(dev)->bar2.size);
	memset(refdev_reference_of(dev)->bar4.bytes, 0, refdev_reference_of(dev)->bar4.size);
	refdev_msix_reset(&refdev_reference_of(dev)->msix);
}

static int
reference_create(struct refdev *dev)
{
	struct refdev_reference *ref = calloc(1, sizeof(*ref));
	int rc;

	dev->state = ref;
	if (ref == NULL)
		return -ENOMEM;
	ref->engine.buffer.fd = -1;
	ref->bar4.fd = -1;
	ref->shadow.fd = -1;
	ref->ioregion[0] = -1;
	ref->ioregion[1] = -1;
	ref->msix = (struct refdev_msix){.vectors = REFDEV_MSIX_VECTORS,
		.table_at = REFDEV_BAR4_TABLE,
		.pending_at = REFDEV_BAR4_PBA,
		.cap = REFDEV_CAP_MSIX};
	config_space_reset(dev);
	refdev_bar0_reset(dev);
	rc = refdev_memory_open_region(
		dev, &ref->bar2, VFIO_PCI_BAR2_REGION_INDEX, REFDEV_BAR2_SIZE);
	return rc != 0 ? rc
		       : refdev_memory_open_region(
				 dev, &ref->bar4, VFIO_PCI_BAR4_REGION_INDEX, REFDEV_BAR4_SIZE);
}

static void
reference_destroy(struct refdev *dev)
{
	struct refdev_reference *ref = dev->state;

	if (ref == NULL)
		return;
	refdev_memory_close(&ref->bar2);
	refdev_memory_close(&ref->bar4);
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
	memcpy(image->bar2, ref->bar2.bytes, sizeof(image->bar2));
	memcpy(image->bar4, ref->bar4.bytes, sizeof(image->bar4));
	memcpy(image->msix_table, ref->msix.table, sizeof(image->msix_table));
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
	memcpy(ref->bar2.bytes, image->bar2, sizeof(image->bar2));
	memcpy(ref->bar4.bytes, image->bar4, sizeof(image->bar4));
	memcpy(ref->msix.table, image->msix_table, sizeof(image->msix_table));
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
			{REFDEV_BAR4_SIZE, READ_WRITE | MMAP | CAPS, bar4_read, bar4_write,
			&bar4_caps, sizeof(bar4_caps)},
		[VFIO_PCI_CONFIG_REGION_INDEX] = {REFDEV_CONFIG_SIZE, READ_WRITE,
			refdev_config_space_read, refdev_config_space_write},
	},
	.irqs = {
		[VFIO_PCI_INTX_IRQ_INDEX] =
			{EVENTFD | MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, .count = 1},
		[VFIO_PCI_MSIX_IRQ_INDEX] =
			{EVENTFD | MASKABLE, .count = REFDEV_MSIX_VECTORS},
		[VFIO_PCI_ERR_IRQ_INDEX] = {EVENTFD, .count = 1},
		[VFIO_PCI_REQ_IRQ_INDEX] = {EVENTFD, .count = 1},
	},
	.fields = fields,
	.nr_fields = sizeof(fields) / sizeof(fields[0]),
	.pcie_cap = REFDEV_CAP_PCIE,
	.create = reference_create,
	.destroy = reference_destroy,
	.reset = reference_reset,
	.disconnect = reference_disconnect,
	.memory = reference_memory,
	.is_masked = reference_is_masked,
	.is_busy = reference_is_busy,
	.io_fds = refdev_io_fds_get,
	.take_event = refdev_io_fds_take_event,
	.has_command = refdev_engine_has_command,
	.next_command = refdev_engine_next_command,
	.answer = refdev_engine_answer,
	.image_size = sizeof(struct image),
	.capture = reference_capture,
	.apply = reference_apply,
};
/* clang-format on */
