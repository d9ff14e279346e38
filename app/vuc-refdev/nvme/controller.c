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

static const struct refdev_field fields[] = {
	{PCI_VENDOR_ID, 2, NVME_VENDOR_ID, 0},
	{PCI_DEVICE_ID, 2, DEVICE_ID, 0},
	{PCI_CLASS_REVISION, 4, CLASS_CODE << 8 | 1, 0},
	{PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_64, ~(NVME_BAR0_SIZE - 1)},
	{PCI_BASE_ADDRESS_1, 4, 0, 0xffffffff},
	{PCI_SUBSYSTEM_VENDOR_ID, 2, NVME_VENDOR_ID, 0},
	{PCI_SUBSYSTEM_ID, 2, DEVICE_ID, 0},
	{PCI_CAPABILITY_LIST, 1, CAP_PM, 0},
	{CAP_PM, 2, CAP_MSIX << 8 | PCI_CAP_ID_PM, 0},
	{CAP_PM + PCI_PM_PMC, 2, 3, 0},
	{CAP_PM + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK},
	{CAP_MSIX, 2, CAP_PCIE << 8 | PCI_CAP_ID_MSIX, 0},
	{CAP_PCIE, 2, PCI_CAP_ID_EXP, 0},
};

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
		refdev_msix_read(dev, offset, data, count);
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
		refdev_msix_write(dev, offset, data, count);
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

static void
function_reset(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	refdev_pci_reset(dev);
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
	nvme->buffer.fd = -1;
	nvme->ns.fd = -1;
	rc = refdev_nvme_storage_open(
		&nvme->ns, dev->config.nvme_file, dev->config.nvme_size, dev->config.err);
	if (rc == 0)
		rc = refdev_memory_open(&nvme->buffer, "refdev-nvme", NVME_BUFFER_SIZE);
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
	refdev_memory_close(&nvme->buffer);
	refdev_nvme_storage_close(&nvme->ns);
	free(nvme);
}

/* clang-format off */
const struct refdev_model refdev_nvme = {
	.regions = {
		[VFIO_PCI_BAR0_REGION_INDEX] = {NVME_BAR0_SIZE, true, bar0_read, bar0_write, 1,
			{{NVME_DOORBELLS, NVME_PAGE}}},
		[VFIO_PCI_CONFIG_REGION_INDEX] = {REFDEV_CONFIG_SIZE, false,
			refdev_config_space_read, refdev_config_space_write},
	},
	.vectors = NVME_VECTORS,
	.fields = fields,
	.nr_fields = sizeof(fields) / sizeof(fields[0]),
	.pcie_cap = CAP_PCIE,
	.msix_cap = CAP_MSIX,
	.msix_table = NVME_MSIX | VFIO_PCI_BAR0_REGION_INDEX,
	.msix_pending = NVME_MSIX_PBA | VFIO_PCI_BAR0_REGION_INDEX,
	.create = nvme_create,
	.destroy = nvme_destroy,
	.reset = nvme_reset,
	.disconnect = function_reset, /* the queues were in memory of the client that has left */
	.transferred = refdev_nvme_transferred,
	.poll = refdev_nvme_poll,
	.poll_ns = refdev_nvme_poll_ns,
};
/* clang-format on */
