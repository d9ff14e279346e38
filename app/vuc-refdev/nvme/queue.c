/* SPDX-License-Identifier: BSD-3-Clause */

/* Queues: doorbells, completions and their interrupts; the error log and events. */

#include <errno.h>
#include <stdatomic.h>

#include <linux/pci_regs.h>

#include "nvme.h"

/* ---- Events and the error log ---- */

/* At most one event of each type is pending. It is reported when the client has requested one; the
 * next of its type only after the client has read the log page. */
void
refdev_nvme_event_raise(
	struct refdev *dev, enum nvme_event_type type, uint8_t info, enum nvme_log log)
{
	struct nvme_event *event = &refdev_nvme_of(dev)->events[type];

	if (event->pending || event->masked)
		return;
	event->pending = true;
	event->info = info;
	event->log = (uint8_t)log;
}

/* Where the error is, is not said. */
#define NO_PARAMETER 0xffffu

void
refdev_nvme_error_log(
	struct refdev *dev, uint16_t sq, const struct nvme_command *cmd, uint16_t status)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint64_t count = ++nvme->statistics.errors;

	nvme->errors[(count - 1) % NVME_NR_ERRORS] = (struct nvme_error_entry){
		.count = count,
		.sq = sq,
		.cid = cmd->cid,
		.status = (uint16_t)(status << 1),
		.parameter = NO_PARAMETER,
		.lba = sq != 0 ? (uint64_t)cmd->cdw11 << 32 | cmd->cdw10 : 0,
		.nsid = cmd->nsid,
	};
}

/* ---- Doorbells ---- */

/* A doorbell is an index: 2 for each queue, the first of them that of the submission queue. */
static uint32_t *
doorbell_at(const struct refdev *dev, uint32_t index)
{
	uint8_t *at = dev->memory[VFIO_PCI_BAR0_REGION_INDEX].bytes + NVME_DOORBELLS +
		index * sizeof(uint32_t);

	return (uint32_t *)(void *)at;
}

/* Acquire: what the client has written to its queue before it rang, in any way. */
static uint32_t
doorbell_load(const struct refdev *dev, uint32_t index)
{
	return __atomic_load_n(doorbell_at(dev, index), __ATOMIC_ACQUIRE);
}

static void
doorbell_clear(const struct refdev *dev, uint32_t index)
{
	__atomic_store_n(doorbell_at(dev, index), 0, __ATOMIC_RELAXED);
}

static void
sq_doorbell_take(struct refdev *dev, struct nvme_sq *sq, uint32_t value)
{
	if (value == sq->doorbell)
		return;
	sq->doorbell = value;
	if (value < sq->size)
		sq->tail = value;
	else
		refdev_nvme_event_raise(
			dev, NVME_EVENT_ERROR, NVME_INVALID_DOORBELL_VALUE, NVME_LOG_ERROR);
}

static uint32_t
entries_between(uint32_t from, uint32_t to, uint32_t size)
{
	return to >= from ? to - from : to + size - from;
}

/* The client can't have taken more completions than there are. */
static void
cq_doorbell_take(struct refdev *dev, struct nvme_cq *cq, uint32_t value)
{
	if (value == cq->doorbell)
		return;
	cq->doorbell = value;
	if (value < cq->size &&
		entries_between(cq->head, value, cq->size) <=
			entries_between(cq->head, cq->tail, cq->size))
		cq->head = value;
	else
		refdev_nvme_event_raise(
			dev, NVME_EVENT_ERROR, NVME_INVALID_DOORBELL_VALUE, NVME_LOG_ERROR);
}

void
refdev_nvme_doorbells_read(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	for (uint32_t id = 0; id < NVME_NR_QUEUES; id++) {
		if (nvme->sqs[id].size > 0)
			sq_doorbell_take(dev, &nvme->sqs[id], doorbell_load(dev, 2 * id));
		if (nvme->cqs[id].size > 0)
			cq_doorbell_take(dev, &nvme->cqs[id], doorbell_load(dev, 2 * id + 1));
	}
}

static bool
has_doorbell(const struct refdev_nvme *nvme, uint32_t index)
{
	uint32_t id = index / 2;

	if (id >= NVME_NR_QUEUES)
		return false;
	return index % 2 == 0 ? nvme->sqs[id].size > 0 : nvme->cqs[id].size > 0;
}

int
refdev_nvme_doorbell_write(struct refdev *dev, uint32_t offset, uint32_t value)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	uint32_t index = (offset - NVME_DOORBELLS) / (uint32_t)sizeof(value);

	if ((nvme->csts & NVME_CSTS_RDY) == 0)
		return 0;
	if (!has_doorbell(nvme, index)) {
		refdev_nvme_event_raise(
			dev, NVME_EVENT_ERROR, NVME_INVALID_DOORBELL, NVME_LOG_ERROR);
		return 0;
	}
	__atomic_store_n(doorbell_at(dev, index), value, __ATOMIC_RELAXED);
	refdev_nvme_doorbells_read(dev);
	refdev_nvme_intx_update(dev);
	nvme->more = true;
	return 0;
}

void
refdev_nvme_sq_open(struct refdev *dev, uint16_t id, const struct nvme_sq *sq)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	nvme->sqs[id] = *sq;
	nvme->cqs[sq->cq].nr_sqs++;
	doorbell_clear(dev, 2u * id);
}

void
refdev_nvme_cq_open(struct refdev *dev, uint16_t id, const struct nvme_cq *cq)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);

	nvme->cqs[id] = *cq;
	nvme->cqs[id].phase = 1;
	doorbell_clear(dev, 2u * id + 1);
}

/* ---- Interrupts ---- */

/* A client that keeps MSI-X control to itself has eventfds all the same. */
static bool
msix_is_used(const struct refdev *dev)
{
	return refdev_irq_msix_is_enabled(dev) ||
		dev->irq[VFIO_PCI_MSIX_IRQ_INDEX][0].eventfd[REFDEV_IRQ_TRIGGERED] >= 0;
}

static bool
intx_is_due(const struct refdev *dev)
{
	const struct refdev_nvme *nvme = refdev_nvme_of(dev);

	if (msix_is_used(dev))
		return false;
	for (uint32_t id = 0; id < NVME_NR_QUEUES; id++) {
		const struct nvme_cq *cq = &nvme->cqs[id];
		bool masked = cq->vector < 32 && (nvme->intms >> cq->vector & 1) != 0;

		if (cq->size > 0 && cq->interrupts && cq->head != cq->tail && !masked)
			return true;
	}
	return false;
}

void
refdev_nvme_intx_update(struct refdev *dev)
{
	refdev_irq_set_intx(dev, intx_is_due(dev));
}

/* One for all completions since the last poll. */
void
refdev_nvme_interrupts_raise(struct refdev *dev)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	bool msix = msix_is_used(dev);

	for (uint32_t id = 0; id < NVME_NR_QUEUES; id++) {
		struct nvme_cq *cq = &nvme->cqs[id];

		if (cq->signal && msix)
			refdev_irq_raise(dev, VFIO_PCI_MSIX_IRQ_INDEX, cq->vector);
		cq->signal = false;
	}
	refdev_nvme_intx_update(dev);
}

/* ---- Completions ---- */

bool
refdev_nvme_cq_has_room(const struct nvme_cq *cq, uint32_t entries)
{
	return cq->size - 1 - entries_between(cq->head, cq->tail, cq->size) >= entries;
}

void
refdev_nvme_fatal(struct refdev *dev)
{
	refdev_nvme_of(dev)->csts |= NVME_CSTS_CFS;
	refdev_nvme_job_end(dev);
}

void
refdev_nvme_job_end(struct refdev *dev)
{
	refdev_nvme_of(dev)->job.step = NULL;
}

static struct nvme_cq *
job_cq(struct refdev_nvme *nvme)
{
	return &nvme->cqs[nvme->sqs[nvme->job.sq].cq];
}

static void
completion_written(struct refdev *dev, int error)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	struct nvme_cq *cq = job_cq(nvme);

	if (error != 0) {
		refdev_nvme_fatal(dev);
		return;
	}
	cq->signal = cq->interrupts;
	if (nvme->job.completed != NULL)
		nvme->job.completed(dev, 0);
	else
		refdev_nvme_job_end(dev);
}

#define PHASE_AT offsetof(struct nvme_completion, cid)

/* Write a part of the completion, from an offset on. */
static void
completion_write(struct refdev *dev, uint32_t entry, uint32_t from, uint32_t to, nvme_step *step)
{
	uint64_t addr = job_cq(refdev_nvme_of(dev))->base + entry * sizeof(struct nvme_completion);

	refdev_nvme_access_start(dev, (struct nvme_segment){addr + from, to - from},
		NVME_BUFFER_ENTRY + from, true, step);
}

/* The phase comes last: the client may look at any time. It may also ring before it says that it
 * has got the phase, if that goes by message: so the entry counts from now on. */
static void
completion_begun(struct refdev *dev, int error)
{
	struct nvme_cq *cq = job_cq(refdev_nvme_of(dev));
	uint32_t entry = cq->tail;

	if (error != 0) {
		refdev_nvme_fatal(dev);
		return;
	}
	cq->tail = (cq->tail + 1) % cq->size;
	if (cq->tail == 0)
		cq->phase ^= 1;
	atomic_thread_fence(memory_order_release);
	completion_write(dev, entry, PHASE_AT, sizeof(struct nvme_completion), completion_written);
}

static void
completion_post(struct refdev *dev, nvme_step *completed)
{
	struct refdev_nvme *nvme = refdev_nvme_of(dev);
	struct nvme_completion *completion = &nvme->job.completion;

	completion->sq_head = (uint16_t)nvme->sqs[nvme->job.sq].head;
	completion->sq_id = nvme->job.sq;
	completion->status = (uint16_t)(completion->status << 1 | job_cq(nvme)->phase);
	nvme->job.completed = completed;
	memcpy(nvme->buffer.bytes + NVME_BUFFER_ENTRY, completion, sizeof(*completion));
	completion_write(dev, job_cq(nvme)->tail, 0, PHASE_AT, completion_begun);
}

void
refdev_nvme_job_complete(struct refdev *dev, uint16_t status)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;

	if (status != NVME_SUCCESS)
		refdev_nvme_error_log(dev, job->sq, &job->command, status);
	job->completion.cid = job->command.cid;
	job->completion.status = status;
	completion_post(dev, NULL);
}

void
refdev_nvme_kept_complete(
	struct refdev *dev, uint16_t cid, uint16_t status, uint32_t result, nvme_step *completed)
{
	struct nvme_job *job = &refdev_nvme_of(dev)->job;

	job->sq = 0;
	job->completion = (struct nvme_completion){.result = result, .cid = cid, .status = status};
	completion_post(dev, completed);
}
