/* SPDX-License-Identifier: BSD-3-Clause */

/* The controller as a PCI function: config space, the registers of BAR0, resets. */

#include <errno.h>
#include <stdlib.h>

#include <linux/pci_regs.h>

#include "nvme.h"

#define DEVICE_ID  0x6e76u
#define CLASS_CODE 0x010802u

#define CAP_PM   0x40u
#define CAP_MSIX 0x50u
#define CAP_PCIE 0x60u

#define COMMAND_WRITABLE                                                                   \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
		PCI_COMMAND_INTX_DISABLE)

#define DEVCTL_WRITABLE                                                                           \
	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE | \
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_NOSNOOP_EN |    \
		PCI_EXP_DEVCTL_READRQ)

/* A link of one lane at 2.5 GT/s. */
#define LINK_2_5GT_X1 0x0011u
#define SPEEDS_2_5GT  0x0002u

static const struct refdev_field fields[] = {
	{PCI_VENDOR_ID, 2, NVME_VENDOR_ID, 0},
	{PCI_DEVICE_ID, 2, DEVICE_ID, 0},
	{PCI_COMMAND, 2, 0, COMMAND_WRITABLE},
	{PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0},
	{PCI_CLASS_REVISION, 4, CLASS_CODE << 8 | 1, 0},
	{PCI_CACHE_LINE_SIZE, 1, 0, 0xff},
	{PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_64, ~(NVME_BAR0_SIZE - 1)},
	{PCI_BASE_ADDRESS_1, 4, 0, 0xffffffff},
	{PCI_SUBSYSTEM_VENDOR_ID, 2, NVME_VENDOR_ID, 0},
	{PCI_SUBSYSTEM_ID, 2, DEVICE_ID, 0},
	{PCI_CAPABILITY_LIST, 1, CAP_PM, 0},
	{PCI_INTERRUPT_LINE, 1, 0, 0xff},
	{PCI_INTERRUPT_PIN, 1, 1, 0},
	{CAP_PM, 2, CAP_MSIX << 8 | PCI_CAP_ID_PM, 0},
	{CAP_PM + PCI_PM_PMC, 2, 3, 0},
	{CAP_PM + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK},
	{CAP_MSIX, 2, CAP_PCIE << 8 | PCI_CAP_ID_MSIX, 0},
	{CAP_MSIX + PCI_MSIX_FLAGS, 2, NVME_VECTORS - 1,
		PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL},
	{CAP_MSIX + PCI_MSIX_TABLE, 4, NVME_MSIX | VFIO_PCI_BAR0_REGION_INDEX, 0},
	{CAP_MSIX + PCI_MSIX_PBA, 4, NVME_MSIX_PBA | VFIO_PCI_BAR0_REGION_INDEX, 0},
	{CAP_PCIE, 2, PCI_CAP_ID_EXP, 0},
	{CAP_PCIE + PCI_EXP_FLAGS, 2, PCI_EXP_TYPE_ENDPOINT << 4 | 2, 0},
	{CAP_PCIE + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0},
	{CAP_PCIE + PCI_EXP_DEVCTL, 2,
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B,
		DEVCTL_WRITABLE},
	{CAP_PCIE + PCI_EXP_LNKCAP, 4, LINK_2_5GT_X1, 0},
	{CAP_PCIE + PCI_EXP_LNKCTL, 2, 0, PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC},
	{CAP_PCIE + PCI_EXP_LNKSTA, 2, LINK_2_5GT_X1, 0},
	{CAP_PCIE + PCI_EXP_LNKCAP2, 4, SPEEDS_2_5GT, 0},
	{CAP_PCIE + PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS_2_5GT, PCI_EXP_LNKCTL2_TLS},
};

static const struct sparse_caps {
	struct vfio_user_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
	struct vfio_user_sparse_area doorbells;
} VFIO_USER_PACKED bar0_caps = {
	.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1},
	.nr_areas = 1,
	.doorbells = {.offset = NVME_DOORBELLS, .size = NVME_PAGE},
};

_Static_assert(sizeof(bar0_caps) <= REFDEV_MAX_CAPS, "there is room for capabilities");

/* ---- Enabling, disabling, shutting down ---- */

/* Section 7.3.2 of the specification, without the registers of the admin queue. */
static void
controller_reset(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	refdev_commands_forget(dev);
	memset(nvme->sqs, 0, sizeof(nvme->sqs));
	memset(nvme->cqs, 0, sizeof(nvme->cqs));
	memset(nvme->events, 0, sizeof(nvme->events));
	nvme->job.step = NULL;
	nvme->access = (struct nvme_access){0};
	nvme->nr_event_requests = 0;
	nvme->csts = 0;
	nvme->more = false;
	refdev_nvme_features_reset(dev);
	refdev_nvme_intx_update(dev);
}

static bool
can_enable(const struct refdev_nvme *nvme)
{
	uint32_t sq = nvme->aqa & 0xfff, cq = nvme->aqa >> 16;

	return sq > 0 && sq < NVME_MAX_ENTRIES && cq > 0 && cq < NVME_MAX_ENTRIES &&
		NVME_CC_CSS(nvme->cc) == 0 && NVME_CC_MPS(nvme->cc) == 0 &&
		NVME_CC_AMS(nvme->cc) == 0;
}

static void
controller_enable(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	if (!can_enable(nvme)) {
		nvme->csts = NVME_CSTS_CFS;
		return;
	}
	refdev_nvme_cq_open(dev, 0,
		&(struct nvme_cq){
			.base = nvme->acq, .size = (nvme->aqa >> 16) + 1, .interrupts = true});
	refdev_nvme_sq_open(
		dev, 0, &(struct nvme_sq){.base = nvme->asq, .size = (nvme->aqa & 0xfff) + 1});
	nvme->csts = NVME_CSTS_RDY;
}

static void
cc_write(struct refdev *dev, uint32_t value)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	bool was_enabled = (nvme->cc & NVME_CC_EN) != 0;

	nvme->cc = value & NVME_CC_WRITABLE;
	if (was_enabled && (value & NVME_CC_EN) == 0)
		controller_reset(dev);
	else if (!was_enabled && (value & NVME_CC_EN) != 0)
		controller_enable(dev);
	if (NVME_CC_SHN(value) != 0) {
		refdev_nvme_storage_flush(&nvme->ns);
		nvme->csts |= NVME_CSTS_SHST_DONE;
	}
}

/* ---- Registers ---- */

#define CAP_CQR       (1ull << 16)
#define CAP_TO(units) ((uint64_t)(units) << 24) /* of 500 ms */
#define CAP_CSS_NVM   (1ull << 37)

#define NR_REGISTERS 16u

static void
registers_fill(const struct refdev_nvme *nvme, uint32_t *regs)
{
	const uint64_t cap = (NVME_MAX_ENTRIES - 1) | CAP_CQR | CAP_TO(20) | CAP_CSS_NVM;

	memset(regs, 0, NR_REGISTERS * sizeof(*regs));
	memcpy(regs + NVME_CAP / 4, &cap, sizeof(cap));
	regs[NVME_VS / 4] = NVME_VERSION;
	regs[NVME_INTMS / 4] = nvme->intms;
	regs[NVME_INTMC / 4] = nvme->intms;
	regs[NVME_CC / 4] = nvme->cc;
	regs[NVME_CSTS / 4] = nvme->csts;
	regs[NVME_AQA / 4] = nvme->aqa;
	memcpy(regs + NVME_ASQ / 4, &nvme->asq, sizeof(nvme->asq));
	memcpy(regs + NVME_ACQ / 4, &nvme->acq, sizeof(nvme->acq));
}

static void
half_write(uint64_t *reg, unsigned int half, uint32_t value)
{
	uint64_t mask = 0xffffffffull << (32 * half);

	*reg = (*reg & ~mask) | (uint64_t)value << (32 * half);
	*reg &= ~(uint64_t)(NVME_PAGE - 1);
}

static void
intms_write(struct refdev *dev, uint32_t set, uint32_t clear)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	nvme->intms = (nvme->intms | set) & ~clear;
	refdev_nvme_intx_update(dev);
}

/* What has no case can't be written. */
static void
register_write(struct refdev *dev, uint32_t offset, uint32_t value)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	switch (offset) {
	case NVME_INTMS:
		intms_write(dev, value, 0);
		break;
	case NVME_INTMC:
		intms_write(dev, 0, value);
		break;
	case NVME_CC:
		cc_write(dev, value);
		break;
	case NVME_AQA:
		nvme->aqa = value & 0x0fff0fff;
		break;
	case NVME_ASQ:
	case NVME_ASQ + 4:
		half_write(&nvme->asq, (offset - NVME_ASQ) / 4, value);
		break;
	case NVME_ACQ:
	case NVME_ACQ + 4:
		half_write(&nvme->acq, (offset - NVME_ACQ) / 4, value);
		break;
	default:
		break;
	}
}

/* The registers and doorbells are accessed by 4 or 8 bytes. */
static bool
is_register_access(uint32_t offset, uint32_t count)
{
	return (count == 4 || count == 8) && offset % count == 0;
}

/* Doorbells can't be read, although those who map them see what they have written. */
static int
bar0_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	uint32_t regs[NR_REGISTERS];
	struct refdev_overlap o = refdev_overlap(offset, count, 0, sizeof(regs));

	memset(data, 0, count);
	if (offset >= NVME_MSIX) {
		refdev_msix_read(dev, &refdev_nvme_of(dev)->msix, offset, data, count);
		return 0;
	}
	if (!is_register_access(offset, count))
		return -EINVAL;
	if (offset >= NVME_DOORBELLS)
		return -EPERM;
	registers_fill(refdev_nvme_of(dev), regs);
	memcpy(data + o.in_access, (const uint8_t *)regs + o.in_range, o.count);
	return 0;
}

static int
bar0_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	uint32_t value;

	if (offset >= NVME_MSIX) {
		refdev_msix_write(dev, &refdev_nvme_of(dev)->msix, offset, data, count);
		return 0;
	}
	if (!is_register_access(offset, count))
		return -EINVAL;
	for (uint32_t at = 0; at < count; at += sizeof(value)) {
		memcpy(&value, data + at, sizeof(value));
		if (offset + at < NVME_DOORBELLS)
			register_write(dev, offset + at, value);
		else
			refdev_nvme_doorbell_write(dev, offset + at, value);
	}
	return 0;
}

static const struct refdev_memory *
nvme_memory(const struct refdev *dev, uint32_t region)
{
	return region == VFIO_PCI_BAR0_REGION_INDEX ? &refdev_nvme_of(dev)->bar0 : NULL;
}

static bool
nvme_is_masked(const struct refdev *dev, uint32_t index, uint32_t n)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return refdev_intx_is_disabled(dev);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return refdev_msix_is_masked(dev, &refdev_nvme_of(dev)->msix, n);
	default:
		return false;
	}
}

static void
function_reset(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	refdev_config_space_reset(dev);
	refdev_msix_reset(&nvme->msix);
	nvme->cc = 0;
	nvme->aqa = 0;
	nvme->asq = 0;
	nvme->acq = 0;
	nvme->intms = 0;
	controller_reset(dev);
}

static void
nvme_reset(struct refdev *dev, bool pretend)
{
	if (!pretend)
		function_reset(dev);
}

static int
nvme_create(struct refdev *dev)
{
	struct refdev_nvme *nvme = calloc(1, sizeof(*nvme));
	int rc;

	dev->state = nvme;
	if (nvme == NULL)
		return -ENOMEM;
	nvme->bar0.fd = -1;
	nvme->buffer.fd = -1;
	nvme->ns.fd = -1;
	nvme->msix = (struct refdev_msix){.vectors = NVME_VECTORS,
		.table_at = NVME_MSIX,
		.pending_at = NVME_MSIX_PBA,
		.cap = CAP_MSIX};
	rc = refdev_nvme_storage_open(
		&nvme->ns, dev->config.nvme_file, dev->config.nvme_size, dev->config.err);
	if (rc == 0)
		rc = refdev_memory_open(&nvme->buffer, "refdev-nvme", NVME_BUFFER_SIZE);
	if (rc == 0)
		rc = refdev_memory_open_region(
			dev, &nvme->bar0, VFIO_PCI_BAR0_REGION_INDEX, NVME_BAR0_SIZE);
	if (rc == 0)
		function_reset(dev);
	return rc;
}

static void
nvme_destroy(struct refdev *dev)
{
	struct refdev_nvme *nvme = dev->state;

	if (nvme == NULL)
		return;
	refdev_memory_close(&nvme->bar0);
	refdev_memory_close(&nvme->buffer);
	refdev_nvme_storage_close(&nvme->ns);
	free(nvme);
}

/* The queues were in memory of the client that has gone. */
static void
nvme_disconnect(struct refdev *dev)
{
	function_reset(dev);
}

static bool
nvme_is_busy(const struct refdev *dev)
{
	return refdev_nvme_access_waits(dev);
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
#define MAPPABLE   (VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS)
#define EVENTFD    VFIO_IRQ_INFO_EVENTFD
#define MASKABLE   VFIO_IRQ_INFO_MASKABLE

/* clang-format off */
const struct refdev_model refdev_nvme = {
	.regions = {
		[VFIO_PCI_BAR0_REGION_INDEX] = {NVME_BAR0_SIZE, READ_WRITE | MAPPABLE, bar0_read,
			bar0_write, &bar0_caps, sizeof(bar0_caps)},
		[VFIO_PCI_CONFIG_REGION_INDEX] = {REFDEV_CONFIG_SIZE, READ_WRITE,
			refdev_config_space_read, refdev_config_space_write},
	},
	.irqs = {
		[VFIO_PCI_INTX_IRQ_INDEX] =
			{EVENTFD | MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, .count = 1},
		[VFIO_PCI_MSIX_IRQ_INDEX] = {EVENTFD | MASKABLE, .count = NVME_VECTORS},
		[VFIO_PCI_ERR_IRQ_INDEX] = {EVENTFD, .count = 1},
		[VFIO_PCI_REQ_IRQ_INDEX] = {EVENTFD, .count = 1},
	},
	.fields = fields,
	.nr_fields = sizeof(fields) / sizeof(fields[0]),
	.pcie_cap = CAP_PCIE,
	.create = nvme_create,
	.destroy = nvme_destroy,
	.reset = nvme_reset,
	.disconnect = nvme_disconnect,
	.memory = nvme_memory,
	.is_masked = nvme_is_masked,
	.is_busy = nvme_is_busy,
	.poll = refdev_nvme_poll,
	.poll_ns = refdev_nvme_poll_ns,
	.has_command = refdev_nvme_has_command,
	.next_command = refdev_nvme_next_command,
	.answer = refdev_nvme_answer,
};
/* clang-format on */
