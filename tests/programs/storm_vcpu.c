/* SPDX-License-Identifier: BSD-3-Clause */

/* What each vCPU does, again and again, and how it knows what is right. */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "storm.h"

#define CELL(v, n) (REFDEV_RAM_OFFSET + (v)->id * 64u + (n)*8u)
#define BULK       8u
#define BULK_BYTES 64u

void
storm_wrong(struct storm *s, const char *fmt, ...)
{
	char why[sizeof(s->why)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	pthread_mutex_lock(&s->lock);
	if (s->wrong++ == 0)
		memcpy(s->why, why, sizeof(why));
	pthread_mutex_unlock(&s->lock);
}

uint64_t
storm_events(struct storm *s, uint32_t event)
{
	uint64_t nr;

	pthread_mutex_lock(&s->lock);
	nr = s->events[__builtin_ctz(event)];
	pthread_mutex_unlock(&s->lock);
	return nr;
}

bool
storm_await_event(struct storm *s, uint32_t event, uint64_t before)
{
	bool happened;

	pthread_mutex_lock(&s->lock);
	while (!s->quit && s->events[__builtin_ctz(event)] <= before)
		pthread_cond_wait(&s->changed, &s->lock);
	happened = s->events[__builtin_ctz(event)] > before;
	pthread_mutex_unlock(&s->lock);
	return happened;
}

static int
vcpu_count(struct storm_vcpu *v, enum storm_kind kind, int status)
{
	unsigned int index = status < 0 && status > -(int)STATUSES ? (unsigned int)-status : 0;

	if (status > 0 || status <= -(int)STATUSES)
		storm_wrong(v->storm, "status %d", status);
	atomic_fetch_add_explicit(&v->results[kind][index], 1, memory_order_relaxed);
	return status;
}

/*
 * What is read is what was written last. A write that an outage has dropped, or a device that
 * forgot, are right only if the VMM is told that the device was reset, and not before the write.
 */
static void
vcpu_verify(struct storm_vcpu *v, struct storm_cell *cell, const char *what, uint64_t got,
	uint64_t resets)
{
	uint64_t seen = cell->seen;

	cell->seen = got;
	if (got == cell->written)
		return;
	if (got != 0 && got != seen)
		storm_wrong(v->storm, "%s is %#llx, not %#llx, %#llx or 0", what,
			(unsigned long long)got, (unsigned long long)cell->written,
			(unsigned long long)seen);
	if (storm_await_event(v->storm, VUC_VMM_EVENT_RESET, resets))
		atomic_fetch_add_explicit(&v->lost, 1, memory_order_relaxed);
	else
		storm_wrong(v->storm, "%s is %#llx, not %#llx, and nobody has reset the device",
			what, (unsigned long long)got, (unsigned long long)cell->written);
}

static int
vcpu_access_cell(struct storm_vcpu *v, struct storm_cell *cell, unsigned int n, bool posted)
{
	uint64_t resets = storm_events(v->storm, VUC_VMM_EVENT_RESET);
	uint64_t value = cell->written + 1, got = 0;
	int wrote, rc;

	cell->written = value;
	if (posted)
		wrote = vcpu_count(v, STORM_POST,
			vuc_queue_post(
				v->queue, VFIO_PCI_BAR0_REGION_INDEX, CELL(v, n), &value, 8));
	else
		wrote = vcpu_count(v, STORM_WRITE,
			vuc_queue_write(
				v->queue, VFIO_PCI_BAR0_REGION_INDEX, CELL(v, n), &value, 8));
	rc = vcpu_count(v, STORM_READ,
		vuc_queue_read(v->queue, VFIO_PCI_BAR0_REGION_INDEX, CELL(v, n), &got, 8));
	if (rc == 0 && wrote == 0)
		vcpu_verify(v, cell, posted ? "what was posted" : "what was written", got, resets);
	else if (rc == 0)
		cell->seen = got;
	return wrote != 0 ? wrote : rc;
}

static int
vcpu_read_config(struct storm_vcpu *v)
{
	uint32_t ids = 0;
	int rc = vcpu_count(v, STORM_CONFIG,
		vuc_queue_read(v->queue, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids)));

	if (rc == 0 && ids != (REFDEV_VENDOR_ID | REFDEV_DEVICE_ID << 16))
		storm_wrong(v->storm, "the ids are %#x", ids);
	return rc;
}

/* A register of config space, which an outage does not reset: only a write can be dropped. */
static int
vcpu_access_scratch(struct storm_vcpu *v)
{
	uint64_t resets = storm_events(v->storm, VUC_VMM_EVENT_RESET);
	uint32_t value = (uint32_t)v->scratch.written + 1, got = 0;
	int wrote, rc;

	if (v->id != 0)
		return 0;
	v->scratch.written = value;
	wrote = vcpu_count(v, STORM_CONFIG,
		vuc_queue_write(v->queue, VFIO_PCI_CONFIG_REGION_INDEX, REFDEV_VENDOR_SCRATCH,
			&value, sizeof(value)));
	rc = vcpu_count(v, STORM_CONFIG,
		vuc_queue_read(v->queue, VFIO_PCI_CONFIG_REGION_INDEX, REFDEV_VENDOR_SCRATCH, &got,
			sizeof(got)));
	if (rc == 0 && wrote == 0)
		vcpu_verify(v, &v->scratch, "a register of config space", got, resets);
	else if (rc == 0)
		v->scratch.seen = got;
	return wrote != 0 ? wrote : rc;
}

/* Several at a time, of what reads 0. */
static int
vcpu_read_bulk(struct storm_vcpu *v)
{
	static const uint8_t zero[BULK_BYTES];
	struct vuc_queue_result results[BULK];
	struct vuc_queue_request requests[BULK];
	uint8_t data[BULK][BULK_BYTES];
	unsigned int done = 0;
	int rc, first = 0;

	memset(data, 0xff, sizeof(data));
	for (unsigned int i = 0; i < BULK; i++)
		requests[i] = (struct vuc_queue_request){.op = VUC_QUEUE_READ,
			.region = VFIO_PCI_BAR2_REGION_INDEX,
			.offset = (v->id * BULK + i) * STORM_PAGE % REFDEV_BAR2_SIZE,
			.count = BULK_BYTES,
			.data = data[i],
			.arg = data[i]};
	rc = vuc_queue_submit(v->queue, requests, BULK);
	if (rc < 0)
		return vcpu_count(v, STORM_BULK, rc);
	if (rc != BULK)
		storm_wrong(v->storm, "an empty queue has room for %d requests", rc);
	while (done < (unsigned int)rc) {
		unsigned int n = vuc_queue_poll(v->queue, results, BULK);
		int waited = n == 0 ? vuc_queue_wait(v->queue, -1) : 0;

		if (waited != 0)
			return vcpu_count(v, STORM_BULK, waited);
		for (unsigned int i = 0; i < n; i++, done++) {
			int status = vcpu_count(v, STORM_BULK, results[i].status);

			first = first != 0 ? first : status;
			if (status == 0 && memcmp(results[i].arg, zero, sizeof(zero)) != 0)
				storm_wrong(v->storm, "BAR2 does not read 0");
		}
	}
	return first;
}

/* No interrupt is lost: the device raises it, or the return of the device does. */
static int
vcpu_take_interrupt(struct storm_vcpu *v)
{
	struct pollfd fds[] = {
		{.fd = v->storm->eventfds[v->id], .events = POLLIN},
		{.fd = v->storm->quit_fd, .events = POLLIN},
	};
	const uint32_t vector = v->id;
	int rc;

	/* That of the last return of the device. */
	storm_take_signal(v->storm, v->id);
	rc = vcpu_count(v, STORM_RAISE,
		vuc_queue_write(v->queue, VFIO_PCI_BAR0_REGION_INDEX, REFDEV_REG_IRQ_TRIGGER,
			&vector, sizeof(vector)));
	if (rc == 0)
		poll(fds, 2, -1);
	return rc;
}

static uint64_t
vcpu_random(struct storm_vcpu *v, uint64_t range)
{
	v->random = v->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (v->random >> 33) % range;
}

static void
churn_slots(struct storm_vcpu *v)
{
	struct storm *s = v->storm;
	bool chosen[SLOTS] = {false};
	struct vuc_error err;
	int rc = 0;

	for (unsigned int n = 0; rc == 0 && n < 4; n++) {
		unsigned int i = (unsigned int)vcpu_random(v, SLOTS);
		const struct vuc_vmm_dma mapping = {.argsz = sizeof(mapping),
			.iova = i * 2 * STORM_PAGE,
			.size = STORM_PAGE,
			.offset = i * STORM_PAGE,
			.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
			.fd = s->memory_fd};

		if (chosen[i] || s->slots[i].unknown)
			continue;
		chosen[i] = true;
		rc = s->slots[i].mapped ? vuc_vmm_dma_unmap(s->dev, mapping.iova, STORM_PAGE, &err)
					: vuc_vmm_dma_map(s->dev, &mapping, 1, &err);
	}
	if (rc == 0)
		rc = vuc_vmm_dma_commit(s->dev, &err);
	vcpu_count(v, STORM_MAP, rc);
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (chosen[i] && rc == 0)
			s->slots[i].mapped = !s->slots[i].mapped;
		else if (chosen[i])
			s->slots[i].unknown = true;
	}
}

static void
churn_vector(struct storm_vcpu *v)
{
	struct storm *s = v->storm;
	unsigned int i = FIRST_CHURN + (unsigned int)vcpu_random(v, VECTORS - FIRST_CHURN);
	struct storm_vector *vector = &s->vectors[i];
	const struct vuc_vmm_irq_range range = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = i, .count = 1};
	bool mask = vcpu_random(v, 2) == 0;
	const int none = -1;
	struct vuc_error err;
	int rc;

	if (vector->unknown)
		return;
	if (mask)
		rc = vuc_vmm_irq_act(s->dev, &range,
			vector->masked ? VUC_VMM_IRQ_UNMASK : VUC_VMM_IRQ_MASK, &err);
	else
		rc = vuc_vmm_irq_assign(s->dev, &range, VUC_VMM_IRQ_TRIGGER,
			vector->assigned ? &none : &s->eventfds[i], &err);
	vcpu_count(v, STORM_IRQ, rc);
	if (rc != 0)
		vector->unknown = true;
	else if (mask)
		vector->masked = !vector->masked;
	else
		vector->assigned = !vector->assigned;
}

/* Maps and interrupts have one owner at a time: the last vCPU, or a check. */
void
storm_churn(struct storm_vcpu *v)
{
	pthread_mutex_lock(&v->storm->churn);
	churn_slots(v);
	churn_vector(v);
	pthread_mutex_unlock(&v->storm->churn);
}

/* The daemon has gone, and closed the queue. */
static bool
queue_is_closed(int status)
{
	return status == -ECONNRESET || status == -ECANCELED || status == -ESHUTDOWN;
}

/* Returns false when there is nothing more to do. */
static bool
vcpu_do_round(struct storm_vcpu *v)
{
	uint64_t gone = storm_events(v->storm, STORM_EVENT_ATTACHED);
	int rc = vcpu_access_cell(v, &v->ram, 0, false);
	struct pollfd quit = {.fd = v->storm->quit_fd, .events = POLLIN};

	if (rc == 0)
		rc = vcpu_access_cell(v, &v->posted, 1, true);
	if (rc == 0)
		rc = vcpu_read_config(v);
	if (rc == 0)
		rc = vcpu_access_scratch(v);
	if (rc == 0)
		rc = vcpu_read_bulk(v);
	if (rc == 0)
		rc = vcpu_take_interrupt(v);
	if (v->id == VCPUS - 1)
		storm_churn(v);
	if (rc == 0)
		atomic_fetch_add_explicit(&v->rounds, 1, memory_order_relaxed);
	if (queue_is_closed(rc))
		return storm_await_event(v->storm, STORM_EVENT_ATTACHED, gone);
	/* Errors come at once: leave the CPU to those who end them. */
	return poll(&quit, 1, rc != 0 ? 1 : 0) == 0;
}

void *
storm_vcpu_run(void *arg)
{
	while (vcpu_do_round(arg))
		;
	return NULL;
}
