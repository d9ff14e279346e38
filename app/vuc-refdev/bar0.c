/* SPDX-License-Identifier: BSD-3-Clause */

/* BAR0: registers, and what happens when they are accessed. */

#include <errno.h>
#include <sys/timerfd.h>

#include "reference.h"

enum access {
	RO,
	RW,
	WO
};

struct reg {
	uint8_t size; /* 0: no register begins at this slot */
	uint8_t access;
};

#define REG_ROW(name, offset, bytes, how) [(offset) / 4] = {.size = (bytes), .access = (how)},

static const struct reg regs[REFDEV_NR_SLOTS] = {REFDEV_REGS(REG_ROW)};

/* RESETS outlives resets, and DMA_MAPS belongs to the client. */
void
refdev_bar0_reset(struct refdev *dev)
{
	uint64_t resets = REFDEV_REG(dev, RESETS);

	refdev_reference_of(dev)->bar0 = (struct refdev_bar0){0};
	REFDEV_REG(dev, RESETS) = resets;
	REFDEV_REG(dev, ID) = REFDEV_ID_VALUE;
	REFDEV_REG(dev, VERSION) = REFDEV_VERSION_VALUE;
	REFDEV_REG(dev, ERRNO) = REFDEV_ERRNO_DEFAULT;
}

static uint64_t *
value_of(const struct refdev *dev, uint32_t slot)
{
	return &refdev_reference_of(dev)->bar0.value[slot];
}

static struct refdev_overlap
reg_overlap(uint32_t slot, uint32_t offset, uint32_t count)
{
	return refdev_overlap(offset, count, slot * 4, regs[slot].size);
}

/* An access may begin in the upper half of a register of 8 bytes. */
static uint32_t
first_slot(uint32_t offset)
{
	uint32_t slot = offset / 4;

	return slot > 0 && regs[slot - 1].size == 8 ? slot - 1 : slot;
}

static int
reg_read(struct refdev *dev, uint32_t slot, uint64_t *value)
{
	*value = *value_of(dev, slot);
	switch (slot * 4) {
	case REFDEV_REG_COUNTER:
		REFDEV_REG(dev, COUNTER)++;
		return 0;
	case REFDEV_REG_ERROR:
		return -(int)REFDEV_REG(dev, ERRNO);
	case REFDEV_REG_INTX:
		*value = dev->intx_level;
		return 0;
	case REFDEV_REG_DMA_MAPS:
		*value = dev->dma.nr_maps;
		return 0;
	default:
		return 0;
	}
}

static int
trigger_irq(struct refdev *dev, uint32_t value)
{
	if (value == REFDEV_TRIGGER_INTX)
		refdev_irq_set_intx(dev, true);
	else if (value == REFDEV_TRIGGER_ERR)
		refdev_irq_raise(dev, VFIO_PCI_ERR_IRQ_INDEX, 0);
	else if (value == REFDEV_TRIGGER_REQ)
		refdev_irq_raise(dev, VFIO_PCI_REQ_IRQ_INDEX, 0);
	else if (value < REFDEV_MSIX_VECTORS)
		refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX, value);
	else
		return -EINVAL;
	return 0;
}

/* TIMER was written. */
static int
timer_set(struct refdev *dev, uint32_t ms)
{
	const struct itimerspec spec = {
		.it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
	};
	int fd = dev->event_fds[REFDEV_EVENT_TIMER];

	if (!dev->config.commands)
		return -EOPNOTSUPP;
	if (fd < 0 && ms > 0) {
		fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
		if (fd < 0)
			return -errno;
		dev->event_fds[REFDEV_EVENT_TIMER] = fd;
	}
	return fd < 0 || timerfd_settime(fd, 0, &spec, NULL) == 0 ? 0 : -errno;
}

static int
reg_write(struct refdev *dev, uint32_t slot, uint64_t value)
{
	switch (slot * 4) {
	case REFDEV_REG_DOORBELL:
	case REFDEV_REG_DOORBELL2:
		REFDEV_REG(dev, DOORBELL_LAST) = value;
		REFDEV_REG(dev, DOORBELL_COUNT)++;
		return 0;
	case REFDEV_REG_IRQ_TRIGGER:
		return trigger_irq(dev, (uint32_t)value);
	case REFDEV_REG_INTX:
		refdev_irq_set_intx(dev, (value & 1) != 0);
		return 0;
	case REFDEV_REG_ERROR:
		return -(int)REFDEV_REG(dev, ERRNO);
	case REFDEV_REG_DMA_START:
		return refdev_engine_start(dev);
	case REFDEV_REG_RAW_SEND:
		return refdev_engine_send_raw(dev, (uint32_t)value);
	case REFDEV_REG_TIMER:
		*value_of(dev, slot) = value;
		return timer_set(dev, (uint32_t)value);
	case REFDEV_REG_ERRNO:
		if (value < 1 || value > 4095)
			return -EINVAL;
		break;
	default:
		break;
	}
	*value_of(dev, slot) = value;
	return 0;
}

/* What lies in no register that can be read is 0. */
static __attribute__((cold)) int
read_across(struct refdev *dev, uint32_t slot, uint32_t offset, uint8_t *data, uint32_t count)
{
	memset(data, 0, count);
	for (; slot * 4 < offset + count; slot++) {
		struct refdev_overlap o;
		uint64_t value;
		int rc;

		if (regs[slot].size == 0 || regs[slot].access == WO)
			continue;
		rc = reg_read(dev, slot, &value);
		if (rc != 0)
			return rc;
		o = reg_overlap(slot, offset, count);
		memcpy(data + o.in_access, (const uint8_t *)&value + o.in_range, o.count);
	}
	return 0;
}

static int
regs_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	uint32_t slot = first_slot(offset);
	uint64_t value;
	int rc;

	if (regs[slot].access == WO || offset + count > slot * 4 + regs[slot].size)
		return read_across(dev, slot, offset, data, count);
	/* All in one register, as nearly always. */
	rc = reg_read(dev, slot, &value);
	if (rc == 0)
		memcpy(data, (const uint8_t *)&value + (offset - slot * 4), count);
	return rc;
}

static int
regs_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	for (uint32_t slot = first_slot(offset); slot * 4 < offset + count; slot++) {
		uint64_t value = regs[slot].access == WO ? 0 : *value_of(dev, slot);
		struct refdev_overlap o;
		int rc;

		if (regs[slot].size == 0 || regs[slot].access == RO)
			continue;
		o = reg_overlap(slot, offset, count);
		memcpy((uint8_t *)&value + o.in_range, data + o.in_access, o.count);
		rc = reg_write(dev, slot, value);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static bool
is_reg_access(uint32_t offset, uint32_t count)
{
	bool natural = count == 1 || count == 2 || count == 4 || count == 8;

	return natural && (offset & (count - 1)) == 0 && offset < REFDEV_REGS_SIZE;
}

/* The RAM that an access is all inside of, or NULL. */
static uint8_t *
ram_at(struct refdev *dev, uint32_t offset, uint32_t count)
{
	if (offset < REFDEV_RAM_OFFSET || offset + count > REFDEV_RAM_OFFSET + REFDEV_RAM_SIZE)
		return NULL;
	return refdev_reference_of(dev)->bar0.ram + (offset - REFDEV_RAM_OFFSET);
}

int
refdev_bar0_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	const uint8_t *ram = ram_at(dev, offset, count);

	if (ram != NULL) {
		memcpy(data, ram, count);
		return 0;
	}
	return is_reg_access(offset, count) ? regs_read(dev, offset, data, count) : -EINVAL;
}

int
refdev_bar0_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	uint8_t *ram = ram_at(dev, offset, count);

	REFDEV_REG(dev, WRITES)++;
	if (ram != NULL) {
		memcpy(ram, data, count);
		return 0;
	}
	return is_reg_access(offset, count) ? regs_write(dev, offset, data, count) : -EINVAL;
}
