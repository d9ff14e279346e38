/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_recover.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "error.h"
#include "vmm.h"

/* NVM Express 1.4, sections 4.2, 4.6 and 5.2. */
#define PAGE_MASK           4095u
#define COMMAND_SIZE        64u
#define COMPLETION_SIZE     16u
#define ASYNC_EVENT_REQUEST 0x0cu
#define PERSISTENT_ERROR    0x00010300u /* an error, 3, to be found in the error log */
#define INTERNAL_ERROR      (0x06u << 17)
#define REG_ASQT            0x1000u /* the admin submission queue's doorbell */

/* How many event requests are examined; drivers have no more than 16. */
#define MAX_REQUESTS 64u

/* A driver submits its request soon after it has enabled the controller, or never. */
#define MAX_LOOKS 20u
#define LOOK_MS   500u

/* Linux waits for its commands for 60 s. */
#define MAX_ATTEMPTS 1200u
#define ATTEMPT_MS   50u

/* Commands that are completed at once. */
#define MAX_ERRORS 32u

/* One of the two queues, in the guest's memory. */
struct nvme_queue {
	uint8_t *base;
	uint32_t size; /* entries */
};

struct admin_queues {
	struct nvme_queue sq;
	struct nvme_queue cq;
	uint32_t tail;  /* where the next completion goes, */
	uint32_t phase; /* with this tag */
	uint32_t head;  /* of the submission queue, as the last completion says */
};

/* The guest may change it at any time, so it is loaded only once. */
static uint32_t
entry_load(const struct nvme_queue *q, uint32_t entry_size, uint32_t index, unsigned int word)
{
	const void *at = q->base + (size_t)index * entry_size + word * sizeof(uint32_t);

	return le32toh(atomic_load_explicit((const _Atomic uint32_t *)at, memory_order_acquire));
}

static uint32_t
command_word(const struct admin_queues *a, uint32_t index)
{
	return entry_load(&a->sq, COMMAND_SIZE, index, 0);
}

static uint32_t
completion_word(const struct admin_queues *a, uint32_t index, unsigned int word)
{
	return entry_load(&a->cq, COMPLETION_SIZE, index, word);
}

static uint32_t
completion_phase(const struct admin_queues *a, uint32_t index)
{
	return completion_word(a, index, 3) >> 16 & 1;
}

static int
queue_locate(struct nvme_queue *q, const char *name, uint64_t iova, uint32_t size, uint8_t *base,
	struct vuc_error *why)
{
	*q = (struct nvme_queue){.base = base, .size = size};
	if (size < 2 || (iova & PAGE_MASK) != 0)
		return vuc_error_set(why, -EINVAL, "%u entries at 0x%" PRIx64 " are not an %s",
			size, iova, name);
	if (base == NULL || ((uintptr_t)base & (sizeof(uint32_t) - 1)) != 0)
		return vuc_error_set(
			why, -EFAULT, "no memory is mapped for the %s at 0x%" PRIx64, name, iova);
	return 0;
}

static int
queues_locate(struct admin_queues *a, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps, struct vuc_error *why)
{
	uint32_t sq_size = (queues->aqa & 0xfff) + 1, cq_size = (queues->aqa >> 16 & 0xfff) + 1;
	int rc = queue_locate(&a->sq, "admin submission queue", queues->asq, sq_size,
		dma_maps_find(maps, queues->asq, (uint64_t)sq_size * COMMAND_SIZE, false), why);

	if (rc != 0)
		return rc;
	return queue_locate(&a->cq, "admin completion queue", queues->acq, cq_size,
		dma_maps_find(maps, queues->acq, (uint64_t)cq_size * COMPLETION_SIZE, true), why);
}

/* Entries of one pass through the queue have the same tag, those of the previous pass the other
 * tag. The driver has read the entry at the tail, since a full queue keeps one entry empty. */
static int
queues_find_tail(struct admin_queues *a, struct vuc_error *why)
{
	uint32_t first = completion_phase(a, 0), at = 1;

	while (at < a->cq.size && completion_phase(a, at) == first)
		at++;
	a->tail = at % a->cq.size;
	a->phase = a->tail == 0 ? first ^ 1 : first;
	while (at < a->cq.size && completion_phase(a, at) != first)
		at++;
	if (at < a->cq.size)
		return vuc_error_set(why, -EINVAL,
			"the phase tags of the admin completion queue are inconsistent");
	return 0;
}

/* Before the first completion, the head is 0, as is the memory. */
static int
queues_find_head(struct admin_queues *a, struct vuc_error *why)
{
	uint32_t last = (a->tail + a->cq.size - 1) % a->cq.size;

	a->head = completion_word(a, last, 2) & 0xffff;
	if (a->head >= a->sq.size)
		return vuc_error_set(why, -EINVAL,
			"the last admin completion is of entry %u of %u in the submission queue",
			a->head, a->sq.size);
	return 0;
}

/* It was never written. */
static bool
completion_is_empty(const struct admin_queues *a, uint32_t index)
{
	return (completion_word(a, index, 0) | completion_word(a, index, 1) |
		       completion_word(a, index, 2) | completion_word(a, index, 3)) == 0;
}

/* How many entries the controller has taken from the submission queue since it completed a command;
 * false: the last completions do not include that command. */
static bool
find_completed(const struct admin_queues *a, uint32_t cid, uint32_t last, uint32_t *since)
{
	for (uint32_t i = 1; i <= a->cq.size && i <= last; i++) {
		uint32_t index = (a->tail + a->cq.size - i) % a->cq.size;
		uint32_t head;

		if ((completion_word(a, index, 3) & 0xffff) != cid || completion_is_empty(a, index))
			continue;
		head = (completion_word(a, index, 2) & 0xffff) % a->sq.size;
		*since = (a->head + a->sq.size - head) % a->sq.size;
		return true;
	}
	return false;
}

/* Commands stay in the queue until others overwrite them, so a completion of the same id may belong
 * to this command or to an earlier one; the number of entries taken since tells which. back: the
 * command is that many entries before the head. */
static bool
request_is_outstanding(const struct admin_queues *a, uint32_t cid, uint32_t back)
{
	uint32_t since;

	return !find_completed(a, cid, a->sq.size, &since) || back % a->sq.size <= since;
}

/* The entry at the head comes last: it is the oldest, unless the controller took it after the last
 * completion. */
static int
queues_find_request(const struct admin_queues *a, uint32_t *cid, uint32_t *head)
{
	unsigned int looks = 0;

	for (uint32_t back = 1; back <= a->sq.size && looks < MAX_REQUESTS; back++) {
		uint32_t word = command_word(a, (a->head + a->sq.size - back) % a->sq.size);

		if ((word & 0xff) != ASYNC_EVENT_REQUEST)
			continue;
		looks++;
		if (!request_is_outstanding(a, word >> 16, back))
			continue;
		*cid = word >> 16;
		*head = back == a->sq.size ? (a->head + 1) % a->sq.size : a->head;
		return 0;
	}
	return -ENOENT;
}

/* A request that was seen before, and whose entry has been overwritten since. */
static int
queues_find_known(const struct admin_queues *a, const struct vuc_nvme_queues *queues,
	const struct nvme_watch *watch, uint32_t *cid, uint32_t *head)
{
	uint32_t since;

	if (!watch->known || watch->enables != queues->enables ||
		find_completed(a, watch->cid, a->cq.size, &since))
		return -ENOENT;
	*cid = watch->cid;
	*head = a->head;
	return 0;
}

static int
queues_look_at(struct admin_queues *a, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps, struct vuc_error *why)
{
	int rc = queues_locate(a, queues, maps, why);

	if (rc == 0)
		rc = queues_find_tail(a, why);
	return rc == 0 ? queues_find_head(a, why) : rc;
}

int
nvme_event_find(struct nvme_event *event, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps, const struct nvme_watch *watch, struct vuc_error *why)
{
	struct admin_queues a;
	uint32_t cid, head;
	int rc = queues_look_at(&a, queues, maps, why);

	if (rc != 0)
		return rc;
	rc = queues_find_request(&a, &cid, &head);
	if (rc != 0)
		rc = queues_find_known(&a, queues, watch, &cid, &head);
	if (rc != 0)
		return vuc_error_set(why, rc, "no asynchronous event request is outstanding");
	*event = (struct nvme_event){
		.entry = a.cq.base + (size_t)a.tail * COMPLETION_SIZE,
		.words = {PERSISTENT_ERROR, 0, head, cid | a.phase << 16},
	};
	return 0;
}

unsigned int
nvme_errors_find(struct nvme_event *errors, unsigned int max, const struct vuc_nvme_queues *queues,
	const struct dma_maps *maps)
{
	struct admin_queues a;
	struct vuc_error why;
	unsigned int n = 0;

	if (queues_look_at(&a, queues, maps, &why) != 0 || queues->tail >= a.sq.size)
		return 0;
	if (max > a.cq.size - 1)
		max = a.cq.size - 1;
	while (a.head != queues->tail && n < max) {
		uint32_t word = command_word(&a, a.head);

		a.head = (a.head + 1) % a.sq.size;
		if ((word & 0xff) == ASYNC_EVENT_REQUEST)
			continue;
		errors[n++] = (struct nvme_event){
			.entry = a.cq.base + (size_t)a.tail * COMPLETION_SIZE,
			.words = {0, 0, a.head, word >> 16 | a.phase << 16 | INTERNAL_ERROR},
		};
		a.tail = (a.tail + 1) % a.cq.size;
		a.phase ^= a.tail == 0;
	}
	return n;
}

bool
nvme_watch_look(
	struct nvme_watch *watch, const struct vuc_nvme_queues *queues, const struct dma_maps *maps)
{
	struct admin_queues a;
	struct vuc_error why;
	uint32_t head;

	watch->known = queues_look_at(&a, queues, maps, &why) == 0 &&
		queues_find_request(&a, &watch->cid, &head) == 0;
	return watch->known;
}

/* The last word has the phase tag. */
void
nvme_event_write(const struct nvme_event *event)
{
	for (unsigned int i = 0; i < 4; i++) {
		void *at = event->entry + i * sizeof(uint32_t);

		atomic_store_explicit((_Atomic uint32_t *)at, htole32(event->words[i]),
			i == 3 ? memory_order_release : memory_order_relaxed);
	}
}

/* ---- on the poller's thread: where the guest's register accesses pass ---- */

/* A control_device_fn: 1 when the controller is enabled. */
static int
queues_get(struct vuc_device *dev, void *arg)
{
	return vuc_device_nvme_queues(dev, arg);
}

struct events {
	uint32_t enables;
	unsigned int nr;
	struct nvme_event events[MAX_ERRORS];
};

/* A control_device_fn: 1 when they were written. */
static int
events_write(struct vuc_device *dev, void *arg)
{
	const struct events *e = arg;
	struct vuc_nvme_queues queues;

	/* A driver that has written CC will begin with empty queues. While the device is away
	 * again, it cannot write CC, and has to go on waiting. */
	if (!vuc_device_nvme_queues(dev, &queues) || !queues.failed ||
		queues.enables != e->enables || !vuc_device_connected(dev))
		return 0;
	for (unsigned int i = 0; i < e->nr; i++)
		nvme_event_write(&e->events[i]);
	return 1;
}

/* ---- on the VMM's thread ---- */

/* A doorbell that the guest writes without us is read from its file, if that is memory: a read from
 * it waits for nobody. A server that has come back may have cleared it. */
static bool
vmm_read_tail(struct control_vmm *v, uint32_t *tail)
{
	struct vmm_areas areas;
	uint32_t value = 0;

	if ((atomic_load_explicit(&v->mapped, memory_order_relaxed) &
		    1u << VFIO_PCI_BAR0_REGION_INDEX) == 0)
		return false;
	if (vmm_find_areas(v, VFIO_PCI_BAR0_REGION_INDEX, &areas, &(struct vuc_error){0}) != 0)
		areas.found.nr = 0;
	for (uint32_t i = 0; i < areas.found.nr; i++) {
		const struct device_area *a = &areas.found.areas[i];
		int fd = areas.fds[areas.indexes[i]];

		if (a->offset <= REG_ASQT && REG_ASQT - a->offset < a->size &&
			fcntl(fd, F_GET_SEALS) >= 0 &&
			pread(fd, &value, sizeof(value),
				(off_t)(a->file_offset + REG_ASQT - a->offset)) !=
				(ssize_t)sizeof(value))
			value = 0;
	}
	vmm_drop_areas(v, &areas);
	*tail = le32toh(value);
	return value != 0;
}

static void
vmm_complete_commands(struct control_vmm *v)
{
	struct vuc_nvme_queues queues;
	struct events e;

	if (vmm_call(v, queues_get, &queues, NULL) <= 0 || !queues.failed ||
		queues.enables != v->nvme.told) {
		v->nvme.attempts = 0;
		return;
	}
	if (!queues.rung && !vmm_read_tail(v, &queues.tail))
		return;
	e.enables = queues.enables;
	e.nr = nvme_errors_find(e.events, MAX_ERRORS, &queues, &v->maps);
	if (e.nr == 0 || vmm_call(v, events_write, &e, NULL) <= 0)
		return;
	vmm_log(v, VUC_LOG_NOTICE,
		"%u admin commands that the guest's NVMe driver waits for were completed with an "
		"error",
		e.nr);
	vmm_signal_interrupts(v);
}

static void
vmm_look_for_request(struct control_vmm *v)
{
	struct nvme_watch *watch = &v->nvme;
	struct vuc_nvme_queues queues;

	if (vmm_call(v, queues_get, &queues, NULL) <= 0) {
		watch->looks = 0;
		return;
	}
	if (queues.enables != watch->enables || queues.failed ||
		!nvme_watch_look(watch, &queues, &v->maps))
		return;
	watch->looks = 0;
	vmm_log(v, VUC_LOG_DEBUG,
		"the guest's NVMe driver has requested events by admin command %u", watch->cid);
}

void
vmm_watch_nvme(struct control_vmm *v, uint64_t now_ms)
{
	struct nvme_watch *watch = &v->nvme;
	uint32_t enables = vuc_device_nvme_enables(v->link->dev);

	if (enables != watch->enables) {
		watch->enables = enables;
		watch->known = false;
		watch->looks = MAX_LOOKS;
		watch->due_ms = now_ms;
	}
	if (watch->due_ms == 0 || now_ms < watch->due_ms)
		return;
	if (watch->attempts > 0) {
		watch->attempts--;
		vmm_complete_commands(v);
	}
	if (watch->looks > 0) {
		watch->looks--;
		vmm_look_for_request(v);
	}
	if (watch->attempts > 0)
		watch->due_ms = now_ms + ATTEMPT_MS;
	else
		watch->due_ms = watch->looks > 0 ? now_ms + LOOK_MS : 0;
}

void
vmm_recover_nvme(struct control_vmm *v)
{
	struct vuc_nvme_queues queues;
	struct vuc_error why = {0};
	struct events e = {.nr = 1};

	if (vmm_call(v, queues_get, &queues, NULL) <= 0 || !queues.failed)
		return;
	e.enables = queues.enables;
	if (nvme_event_find(e.events, &queues, &v->maps, &v->nvme, &why) != 0) {
		vmm_log(v, VUC_LOG_NOTICE,
			"the guest's NVMe driver gets no event, but sees in CSTS that the "
			"controller has failed: %s",
			why.text);
	} else if (vmm_call(v, events_write, &e, NULL) > 0) {
		v->nvme.told = queues.enables;
		vmm_log(v, VUC_LOG_NOTICE,
			"the guest's NVMe driver was sent the event \"persistent internal error\"");
	}
	/* One that resets the controller because of that does so at once. */
	if (v->nvme.told == queues.enables) {
		v->nvme.attempts = MAX_ATTEMPTS;
		v->nvme.due_ms = vuc_clock_ms() + ATTEMPT_MS;
	}
}
