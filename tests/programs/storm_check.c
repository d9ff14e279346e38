/* SPDX-License-Identifier: BSD-3-Clause */

/* What the device should have of the VMM, and whether it does. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "storm.h"

#define BAR0    VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG  VFIO_PCI_CONFIG_REGION_INDEX
#define PATTERN UINT64_C(0x5a5a5a5a5a5a5a5a)

/* What a guest's driver writes once: registers of config space at their width, and the MSI-X entry
 * of the last vector. */
static const struct storm_register {
	uint32_t region;
	uint32_t offset;
	uint32_t bytes;
	uint32_t value;
} registers[] = {
	{CONFIG, 0x10, 4, 0xfebf0000}, /* BAR0 */
	{CONFIG, 0x18, 4, 0xe000000c},
	{CONFIG, 0x1c, 4, 0x38},                                /* BAR2 */
	{CONFIG, 0x04, 2, 0x0006},                              /* memory space, bus master */
	{CONFIG, REFDEV_CAP_MSIX + 2, 2, 0x8000 + VECTORS - 1}, /* enabled */
	{CONFIG, 0x3c, 1, 11},                                  /* interrupt line */
	{VFIO_PCI_BAR4_REGION_INDEX, 16 * (VECTORS - 1), 4, 0xfee00000},
	{VFIO_PCI_BAR4_REGION_INDEX, 16 * (VECTORS - 1) + 8, 4, 0x4041},
};

#define REGISTERS (sizeof(registers) / sizeof(registers[0]))

unsigned int
storm_take_signal(struct storm *s, unsigned int i)
{
	uint64_t count;

	return read(s->eventfds[i], &count, sizeof(count)) == sizeof(count) ? (unsigned int)count
									    : 0;
}

typedef int (*storm_write_fn)(struct vuc_queue *queue, uint32_t region, uint64_t offset,
	const void *data, uint32_t count);

static int
check_write(struct storm *s, storm_write_fn fn, uint32_t reg, uint64_t value, uint32_t bytes)
{
	int rc = fn(s->queue, BAR0, reg, &value, bytes);

	return rc == 0 ? 0
		       : vuc_error_set(&s->err, rc, "a write to register 0x%x: %s", reg,
				 vuc_queue_reason(s->queue));
}

static int
check_set(struct storm *s, uint32_t reg, uint64_t value, uint32_t bytes)
{
	return check_write(s, vuc_queue_write, reg, value, bytes);
}

static int
check_get(struct storm *s, uint32_t region, uint32_t reg, uint32_t bytes, uint32_t *value)
{
	int rc;

	*value = 0;
	rc = vuc_queue_read(s->queue, region, reg, value, bytes);
	return rc == 0 ? 0
		       : vuc_error_set(&s->err, rc, "a read of register 0x%x of region %u: %s", reg,
				 region, vuc_queue_reason(s->queue));
}

/* ---- giving ---- */

static int
set_up_maps(struct storm *s)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < SLOTS; i++) {
		const struct vuc_vmm_dma mapping = {.argsz = sizeof(mapping),
			.iova = i * 2 * STORM_PAGE,
			.size = STORM_PAGE,
			.offset = i * STORM_PAGE,
			.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
			.fd = s->memory_fd};

		rc = vuc_vmm_dma_map(s->dev, &mapping, 1, &s->err);
		s->slots[i] = (struct storm_slot){.mapped = true};
	}
	return rc == 0 ? vuc_vmm_dma_commit(s->dev, &s->err) : rc;
}

static int
set_up_index(struct storm *s, uint32_t index, uint32_t count, const int *eventfds)
{
	const struct vuc_vmm_irq_range range = {.index = index, .count = count};

	return vuc_vmm_irq_assign(s->dev, &range, VUC_VMM_IRQ_TRIGGER, eventfds, &s->err);
}

int
storm_set_up(struct storm *s)
{
	int rc = set_up_maps(s);

	for (unsigned int i = 0; i < VECTORS; i++)
		s->vectors[i] = (struct storm_vector){.assigned = true};
	if (rc == 0)
		rc = set_up_index(s, VFIO_PCI_MSIX_IRQ_INDEX, VECTORS, s->eventfds);
	if (rc == 0)
		rc = set_up_index(s, VFIO_PCI_INTX_IRQ_INDEX, 1, &s->eventfds[STORM_INTX]);
	if (rc == 0)
		rc = set_up_index(s, VFIO_PCI_ERR_IRQ_INDEX, 1, &s->eventfds[STORM_ERR]);
	if (rc == 0)
		rc = set_up_index(s, VFIO_PCI_REQ_IRQ_INDEX, 1, &s->eventfds[STORM_REQ]);
	return rc;
}

static int
settle_slot(struct storm *s, unsigned int i)
{
	int rc = vuc_vmm_dma_unmap(s->dev, i * 2 * STORM_PAGE, STORM_PAGE, &s->err);

	if (rc == 0)
		rc = vuc_vmm_dma_commit(s->dev, &s->err);
	s->slots[i] = (struct storm_slot){0};
	return rc == -ENOENT ? 0 : rc;
}

static int
settle_vector(struct storm *s, unsigned int i)
{
	const struct vuc_vmm_irq_range range = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = i, .count = 1};
	int rc = vuc_vmm_irq_assign(s->dev, &range, VUC_VMM_IRQ_TRIGGER, &s->eventfds[i], &s->err);

	s->vectors[i] = (struct storm_vector){.assigned = true};
	return rc == 0 ? vuc_vmm_irq_act(s->dev, &range, VUC_VMM_IRQ_UNMASK, &s->err) : rc;
}

int
storm_settle(struct storm *s)
{
	int rc = 0;

	pthread_mutex_lock(&s->churn);
	for (unsigned int i = 0; rc == 0 && i < SLOTS; i++)
		rc = s->slots[i].unknown ? settle_slot(s, i) : 0;
	for (unsigned int i = 0; rc == 0 && i < VECTORS; i++)
		rc = s->vectors[i].unknown ? settle_vector(s, i) : 0;
	pthread_mutex_unlock(&s->churn);
	return rc;
}

int
storm_configure(struct storm *s)
{
	for (unsigned int i = 0; i < REGISTERS; i++) {
		const struct storm_register *r = &registers[i];
		int rc = vuc_queue_write(s->queue, r->region, r->offset, &r->value, r->bytes);

		if (rc != 0)
			return vuc_error_set(&s->err, rc,
				"a write of 0x%x to 0x%x of region %u: %s", r->value, r->offset,
				r->region, vuc_queue_reason(s->queue));
	}
	return 0;
}

/* ---- checking ---- */

static int
check_registers(struct storm *s)
{
	for (unsigned int i = 0; i < REGISTERS; i++) {
		const struct storm_register *r = &registers[i];
		uint32_t got;
		int rc = check_get(s, r->region, r->offset, r->bytes, &got);

		if (rc != 0)
			return rc;
		if (got != r->value)
			return vuc_error_set(&s->err, -EILSEQ,
				"0x%x of region %u is 0x%x, and was 0x%x", r->offset, r->region,
				got, r->value);
	}
	return 0;
}

/* Have the engine fill a slot. */
static int
check_start_fill(struct storm *s, storm_write_fn fn, unsigned int i, uint32_t mode)
{
	int rc = check_write(s, fn, REFDEV_REG_DMA_DST, i * 2 * STORM_PAGE, 8);

	memset(s->memory + i * STORM_PAGE, 0, STORM_PAGE);
	if (rc == 0)
		rc = check_write(s, fn, REFDEV_REG_DMA_LEN, STORM_PAGE, 4);
	if (rc == 0)
		rc = check_write(s, fn, REFDEV_REG_DMA_MODE, mode | REFDEV_DMA_FILL, 4);
	if (rc == 0)
		rc = check_write(s, fn, REFDEV_REG_DMA_PATTERN, PATTERN, 8);
	return rc == 0 ? check_write(s, fn, REFDEV_REG_DMA_START, 1, 4) : rc;
}

static bool
page_is_filled(const uint8_t *page, uint8_t value)
{
	return page[0] == value && memcmp(page, page + 1, STORM_PAGE - 1) == 0;
}

static int
check_slot(struct storm *s, unsigned int i)
{
	const struct storm_slot *slot = &s->slots[i];
	const uint8_t *page = s->memory + i * STORM_PAGE;
	uint32_t error;
	int rc = check_start_fill(
		s, vuc_queue_write, i, i % 2 == 0 ? REFDEV_DMA_BY_MMAP : REFDEV_DMA_BY_FILE);

	if (rc == 0)
		rc = check_get(s, BAR0, REFDEV_REG_DMA_ERRNO, 4, &error);
	if (rc != 0 || slot->unknown)
		return rc;
	if (error != (slot->mapped ? 0 : EFAULT) || !page_is_filled(page, slot->mapped ? 0x5a : 0))
		return vuc_error_set(&s->err, -EILSEQ,
			"slot %u is %smapped: DMA ends with %u, the page begins with 0x%x", i,
			slot->mapped ? "" : "not ", error, page[0]);
	return 0;
}

static int
check_maps(struct storm *s)
{
	uint32_t mapped = 0, unknown = 0, got;
	int rc = check_get(s, BAR0, REFDEV_REG_DMA_MAPS, 4, &got);

	for (unsigned int i = 0; rc == 0 && i < SLOTS; i++) {
		mapped += s->slots[i].mapped;
		unknown += s->slots[i].unknown;
		rc = check_slot(s, i);
	}
	if (rc == 0 && unknown == 0 && got != mapped)
		return vuc_error_set(
			&s->err, -EILSEQ, "the device has %u mappings, not %u", got, mapped);
	return rc;
}

/* One that is masked is pending, and comes when it is not masked any more. early: how often it has
 * come before. */
static int
check_masked(struct storm *s, unsigned int i, unsigned int *early)
{
	const struct vuc_vmm_irq_range range = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = i, .count = 1};

	if (i >= VECTORS || !s->vectors[i].masked)
		return 0;
	*early = storm_take_signal(s, i);
	s->vectors[i].masked = false;
	return vuc_vmm_irq_act(s->dev, &range, VUC_VMM_IRQ_UNMASK, &s->err);
}

/* The device signals before it answers the write that raises. extra: that of its return may come
 * only now. */
static int
check_interrupt(struct storm *s, unsigned int i, uint32_t raise, bool assigned, unsigned int extra)
{
	unsigned int signals, early = 0;
	int rc;

	storm_take_signal(s, i);
	rc = check_set(s, REFDEV_REG_IRQ_TRIGGER, raise, 4);
	if (rc == 0)
		rc = check_masked(s, i, &early);
	if (rc != 0)
		return rc;
	signals = storm_take_signal(s, i);
	if (assigned ? signals < 1 || early + signals > 1 + extra : early + signals > 0)
		return vuc_error_set(&s->err, -EILSEQ, "interrupt %u%s comes %u times, %u before",
			i, assigned ? "" : ", which has no eventfd,", signals, early);
	return 0;
}

/* INTx is a level, and is masked when it is delivered. */
static int
check_intx(struct storm *s)
{
	const struct vuc_vmm_irq_range range = {.index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1};
	int rc = check_interrupt(s, STORM_INTX, REFDEV_TRIGGER_INTX, true, 1);

	if (rc == 0)
		rc = check_set(s, REFDEV_REG_INTX, 0, 4);
	return rc == 0 ? vuc_vmm_irq_act(s->dev, &range, VUC_VMM_IRQ_UNMASK, &s->err) : rc;
}

/* Stock VMMs stop on ERR and unplug on REQ: nobody but the device signals them. */
static int
check_rare(struct storm *s, enum storm_event event, uint32_t raise)
{
	unsigned int signals = storm_take_signal(s, event);

	if (signals != 0)
		return vuc_error_set(&s->err, -EILSEQ, "%s has come %u times",
			event == STORM_ERR ? "ERR" : "REQ", signals);
	return check_interrupt(s, event, raise, true, 0);
}

static int
check_interrupts(struct storm *s)
{
	int rc = 0;

	/* Those before belong to vCPUs, which take them all the time. */
	for (unsigned int i = FIRST_CHURN; rc == 0 && i < VECTORS; i++) {
		if (!s->vectors[i].unknown)
			rc = check_interrupt(s, i, i, s->vectors[i].assigned, 1);
	}
	if (rc == 0)
		rc = check_intx(s);
	if (rc == 0)
		rc = check_rare(s, STORM_ERR, REFDEV_TRIGGER_ERR);
	return rc == 0 ? check_rare(s, STORM_REQ, REFDEV_TRIGGER_REQ) : rc;
}

int
storm_check(struct storm *s, bool configured)
{
	int rc;

	pthread_mutex_lock(&s->churn);
	rc = check_maps(s);
	if (rc == 0)
		rc = check_interrupts(s);
	if (rc == 0 && configured)
		rc = check_registers(s);
	pthread_mutex_unlock(&s->churn);
	return rc;
}

int
storm_post_fill(struct storm *s)
{
	s->filled = 0;
	while (s->filled < SLOTS && !s->slots[s->filled].mapped)
		s->filled++;
	return s->filled < SLOTS
		? check_start_fill(s, vuc_queue_post, s->filled, REFDEV_DMA_BY_MMAP)
		: -ENOENT;
}

bool
storm_is_filled(const struct storm *s)
{
	return page_is_filled(s->memory + s->filled * STORM_PAGE, 0x5a);
}
