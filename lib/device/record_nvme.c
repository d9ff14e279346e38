/* SPDX-License-Identifier: BSD-3-Clause */

/* The registers of an NVMe controller in the record (NVM Express 1.4, section 3.1): after a
 * restore, the controller is disabled, and the commands that were under way are lost. */

#include <endian.h>
#include <stdatomic.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "internal.h"
#include "recorded.h"

#define CLASS_NVME 0x010802u

/* Offsets in BAR0. */
#define REG_CC   0x14u
#define REG_CSTS 0x1cu
#define REG_AQA  0x24u
#define REG_ASQ  0x28u
#define REG_ACQ  0x30u
#define REG_END  0x38u
#define REG_ASQT 0x1000u /* the admin submission queue's doorbell */

#define CC_EN    (1u << 0)
#define CSTS_CFS (1u << 1) /* in its first byte */

_Static_assert(REG_END - REG_CC == RECORD_NVME_SIZE, "all of them are kept");

static uint64_t
nvme_get64(const struct record_nvme *n, uint32_t reg)
{
	uint64_t value;

	memcpy(&value, n->regs + (reg - REG_CC), sizeof(value));
	return le64toh(value);
}

static uint32_t
nvme_get32(const struct record_nvme *n, uint32_t reg)
{
	uint32_t value;

	memcpy(&value, n->regs + (reg - REG_CC), sizeof(value));
	return le32toh(value);
}

static bool
nvme_is_enabled(const struct record_nvme *n)
{
	return (nvme_get32(n, REG_CC) & CC_EN) != 0;
}

static void
nvme_count_enabling(struct device_record *r)
{
	atomic_fetch_add_explicit(&r->dev->nvme_enables, 1, memory_order_relaxed);
	if (r->nvme_enabled != NULL)
		r->nvme_enabled(r->nvme_arg);
}

void
record_find_nvme(struct device_record *r)
{
	uint32_t class;

	if (!r->recovers_nvme || r->first_len < PCI_STD_HEADER_SIZEOF)
		return;
	memcpy(&class, r->first + PCI_CLASS_REVISION, sizeof(class));
	if (le32toh(class) >> 8 != CLASS_NVME)
		return;
	r->dev->registers = (struct recorded_range){
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.begin = REG_CC,
		.end = REG_END,
	};
	r->dev->doorbell = (struct recorded_range){
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.begin = REG_ASQT,
		.end = REG_ASQT + sizeof(uint32_t),
	};
	r->dev->recorded.writes |= 1u << VFIO_PCI_BAR0_REGION_INDEX;
	nvme_count_enabling(r);
}

/* CSTS is the server's value again. */
static void
nvme_clear_failure(struct device_record *r)
{
	r->nvme.failed = false;
	r->dev->recorded.reads &= ~(1u << VFIO_PCI_BAR0_REGION_INDEX);
}

void
record_note_nvme(struct device_record *r, uint64_t offset, const void *data, size_t count)
{
	uint64_t begin = offset > REG_CC ? offset : REG_CC;
	uint64_t end = offset + count < REG_END ? offset + count : REG_END;
	bool was_enabled = nvme_is_enabled(&r->nvme);

	memcpy(r->nvme.regs + (begin - REG_CC), (const uint8_t *)data + (begin - offset),
		end - begin);
	if (begin < REG_CC + sizeof(uint32_t))
		nvme_clear_failure(r);
	if (nvme_is_enabled(&r->nvme) && !was_enabled) {
		r->nvme.rung = false;
		nvme_count_enabling(r);
	}
}

void
record_note_doorbell(
	struct device_record *r, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	uint32_t value;

	if (!recorded_range_has(&r->dev->doorbell, region, offset, count) || offset != REG_ASQT ||
		count < sizeof(value))
		return;
	memcpy(&value, data, sizeof(value));
	r->nvme.tail = le32toh(value);
	r->nvme.rung = true;
}

VUC_PRIVATE void
vuc_device_record_dropped(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	struct device_record *r = dev->record;

	if (r == NULL)
		return;
	record_note_doorbell(r, region, offset, data, count);
	if (recorded_range_has(&dev->registers, region, offset, count))
		record_note_nvme(r, offset, data, count);
}

void
record_fail_nvme(struct device_record *r)
{
	if (!nvme_is_enabled(&r->nvme))
		return;
	r->nvme.failed = true;
	r->dev->recorded.reads |= 1u << VFIO_PCI_BAR0_REGION_INDEX;
}

void
record_forget_nvme(struct device_record *r)
{
	memset(r->nvme.regs, 0, sizeof(r->nvme.regs));
	r->nvme.rung = false;
	nvme_clear_failure(r);
}

void
record_overlay_nvme(const struct device_record *r, uint64_t offset, void *data, size_t count)
{
	if (r->nvme.failed && offset <= REG_CSTS && offset + count > REG_CSTS)
		((uint8_t *)data)[REG_CSTS - offset] |= CSTS_CFS;
}

VUC_PRIVATE bool
vuc_device_nvme_queues(const struct vuc_device *dev, struct vuc_nvme_queues *queues)
{
	const struct device_record *r = dev->record;

	if (r == NULL || !nvme_is_enabled(&r->nvme))
		return false;
	queues->asq = nvme_get64(&r->nvme, REG_ASQ);
	queues->acq = nvme_get64(&r->nvme, REG_ACQ);
	queues->aqa = nvme_get32(&r->nvme, REG_AQA);
	queues->enables = vuc_device_nvme_enables(dev);
	queues->failed = r->nvme.failed;
	queues->rung = r->nvme.rung;
	queues->tail = r->nvme.tail;
	return true;
}

VUC_PRIVATE uint32_t
vuc_device_nvme_enables(const struct vuc_device *dev)
{
	return atomic_load_explicit(&dev->nvme_enables, memory_order_relaxed);
}
