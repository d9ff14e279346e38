/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Restoring a device: the connection of a fresh one takes the place of the one that was lost, and
 * the record is replayed on it, a stage after the other, one message or operation at a time. The
 * poll group takes the steps. A loss, or whatever else fails, ends the connection: nothing is ever
 * restored in part.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <vuc/dma.h>

#include "compare.h"
#include "error.h"
#include "internal.h"
#include "message.h"
#include "recorded.h"
#include "vfio_user.h"

#define IRQS_AT_ONCE 64u

struct device_restore {
	struct vuc_device *dev;
	bool reset;
	uint64_t kept_files; /* see struct vuc_restore_opts */
	vuc_done_fn done;
	void *arg;
	bool waits; /* for the end of what was begun */
	int status; /* of that */
	struct vuc_error err;
	unsigned int begun;      /* in this stage */
	struct record_irq next;  /* the first one that is not replayed yet */
	bool unmasks;            /* INTx comes before that */
	bool fills;              /* its set was assigned with a filler */
	enum record_order order; /* of registers */
	uint32_t cursor;
	struct vuc_request req;
	struct record_write write;
	uint8_t config[MSIX_CONFIG_SIZE]; /* of the fresh device */
	char step[64];
	unsigned int nr_fds; /* of all regions ... */
	int fds[];           /* ... as the fresh device had them; -1: it is somebody else's */
};

/* ---- what is begun, and its end ---- */

static void
restore_go_on(struct device_restore *o, int status, const char *why)
{
	o->waits = false;
	if (status != 0)
		o->status = vuc_error_set(&o->err, status, "%s", why);
	device_mark_dirty(o->dev);
}

/* A vuc_done_fn. */
static void
restore_operation_done(void *arg, int status, const struct vuc_error *err)
{
	restore_go_on(arg, status, err->text);
}

/* An operation was started, or could not be. */
static int
restore_begun(struct device_restore *o, int rc)
{
	o->dev->replaying = false;
	o->waits = rc == 0;
	o->begun++;
	return rc == 0 ? -EAGAIN : vuc_error_set(&o->err, rc, "%s", o->dev->reason.text);
}

/* What the server has refused, and only that, can be gone without. */
static bool
restore_was_refused(const struct device_restore *o, int status)
{
	return status != 0 && status != -ETIMEDOUT && vuc_session_error(o->dev->session) == 0;
}

/* ---- comparing ---- */

/* A vuc_request_fn. */
static void
restore_config_read(struct vuc_request *req, int status)
{
	struct device_restore *o = req->arg;

	if (status != 0)
		req->count = 0;
	restore_go_on(o, restore_was_refused(o, status) ? 0 : status, o->dev->reason.text);
}

static int
restore_read_config(struct device_restore *o)
{
	o->req = (struct vuc_request){
		.op = VUC_OP_READ,
		.region = VFIO_PCI_CONFIG_REGION_INDEX,
		.data = o->config,
		.count = device_config_size(o->dev),
		.done = restore_config_read,
		.arg = o,
	};
	if (o->req.count == 0)
		return 0;
	device_enqueue(o->dev, &o->req);
	device_mark_dirty(o->dev);
	o->waits = true;
	return -EAGAIN;
}

/* As the kernel knows them: the file system of one may be the server itself. */
static bool
is_same_file(int a, int b)
{
	const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
	struct statx x, y;

	return statx(a, "", flags, STATX_INO, &x) == 0 && statx(b, "", flags, STATX_INO, &y) == 0 &&
		x.stx_ino == y.stx_ino && x.stx_dev_major == y.stx_dev_major &&
		x.stx_dev_minor == y.stx_dev_minor;
}

/* A client that cannot map anew would go on with memory that is nobody's. */
static int
restore_check_files(struct device_restore *o)
{
	const int *fresh = o->fds;

	for (uint32_t i = 0; i < o->dev->info.num_regions; i++) {
		const struct region *r = &o->dev->regions[i];

		for (uint32_t k = 0; k < r->info.nr_fds; k++, fresh++) {
			if (i < 64 && (o->kept_files >> i & 1) != 0 &&
				!is_same_file(r->fds[k], *fresh))
				return vuc_error_set(&o->err, -EXDEV,
					"region %u is in another file than the one that its VMM has mapped "
					"and cannot map anew: start the server with the same file, or the VMM again",
					i);
		}
	}
	return 0;
}

/* Those of the device, of which there are as many, are the restore's then. */
static void
restore_take_files(struct device_restore *o)
{
	int *fresh = o->fds;

	for (uint32_t i = 0; i < o->dev->info.num_regions; i++) {
		struct region *r = &o->dev->regions[i];

		for (uint32_t k = 0; k < r->info.nr_fds; k++, fresh++) {
			int fd = r->fds[k];

			if (i < 64 && !is_same_file(fd, *fresh))
				o->dev->record->remapped |= UINT64_C(1) << i;
			r->fds[k] = *fresh;
			*fresh = fd;
		}
	}
}

static int
restore_compare(struct device_restore *o)
{
	struct device_record *r = o->dev->record;
	int rc = o->begun++ == 0 ? restore_read_config(o) : 0;

	if (rc == 0)
		rc = device_compare_config(
			r->first, r->first_len, o->config, o->req.count, &o->err);
	if (rc == 0 && r->first_len == 0 && o->req.count > 0) {
		memcpy(r->first, o->config, o->req.count);
		rc = record_learn(r, o->req.count, &o->err);
	}
	if (rc == 0)
		rc = restore_check_files(o);
	if (rc == 0)
		restore_take_files(o);
	return rc;
}

/* ---- operations ---- */

/* A vuc_done_fn. A device that cannot be reset is a new one all the same. */
static void
restore_reset_done(void *arg, int status, const struct vuc_error *err)
{
	struct device_restore *o = arg;
	bool cannot = status == -EOPNOTSUPP || status == -ENOSYS;

	restore_go_on(o, cannot && restore_was_refused(o, status) ? 0 : status, err->text);
}

static int
restore_reset(struct device_restore *o)
{
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_RESET, .timeout_ms = o->dev->long_timeout_ms};
	struct message_operation *m;
	int rc;

	if (o->begun > 0 || !o->reset || (o->dev->info.flags & VFIO_DEVICE_FLAGS_RESET) == 0)
		return 0;
	o->dev->replaying = true;
	m = message_operation_create(o->dev, sizeof(*m), &req, NULL, &rc, &o->dev->reason);
	if (m != NULL)
		rc = operation_start(&m->op, restore_reset_done, o, &o->dev->reason);
	return restore_begun(o, rc);
}

/* Again when the client has changed the table meanwhile. */
static int
restore_maps(struct device_restore *o)
{
	if (dma_table_is_committed(&o->dev->dma))
		return 0;
	o->dev->replaying = true;
	return restore_begun(o, vuc_dma_commit_start(o->dev, restore_operation_done, o));
}

/* A vuc_done_fn. Servers that mask no INTx refuse to unmask it. */
static void
restore_unmask_done(void *arg, int status, const struct vuc_error *err)
{
	struct device_restore *o = arg;

	restore_go_on(o, restore_was_refused(o, status) ? 0 : status, err->text);
}

static int
restore_unmask_intx(struct device_restore *o)
{
	const struct vuc_irq_range range = {.index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1};

	o->unmasks = false;
	o->dev->replaying = true;
	return restore_begun(o,
		device_replay_irqs_start(
			o->dev, &range, RECORD_IRQ_UNMASKED, NULL, restore_unmask_done, o));
}

static bool
irq_follows(const struct record_irq *irq, const struct record_irq *first, uint32_t count)
{
	return irq->index == first->index && irq->kind == first->kind &&
		irq->vector == first->vector + count;
}

/* Interrupts that VFIO_IRQ_INFO_NORESIZE binds: all of them come with the first message. A server
 * that does not keep to it may have taken others. */
static bool
irq_is_of_set(const struct vuc_device *dev, const struct record_irq *irq)
{
	const struct irq_set *set = &dev->irq_sets[irq->index];

	return irq->kind == VUC_IRQ_TRIGGER && irq->vector >= set->start &&
		irq->vector < set->end &&
		(dev->irqs[irq->index].flags & VFIO_IRQ_INFO_NORESIZE) != 0;
}

/* The eventfds of a set; -1: this interrupt has none. Returns whether each has one. */
static bool
restore_find_set(const struct device_record *r, const struct vuc_irq_range *range, int *fds)
{
	unsigned int i = record_irq_find(r, range->index, VUC_IRQ_TRIGGER, range->start);
	bool is_whole = true;

	for (uint32_t k = 0; k < range->count; k++) {
		const struct record_irq wanted = {
			.index = range->index, .kind = VUC_IRQ_TRIGGER, .vector = range->start};
		bool has = i < r->nr_irqs && irq_follows(&r->irqs[i], &wanted, k);

		fds[k] = has ? r->irqs[i++].fd : -1;
		is_whole = is_whole && has;
	}
	return is_whole;
}

static int
restore_irqs_start(
	struct device_restore *o, const struct vuc_irq_range *range, uint32_t kind, const int *fds)
{
	o->dev->irq_sets[range->index].replayed = true;
	o->dev->replaying = true;
	return restore_begun(
		o, device_replay_irqs_start(o->dev, range, kind, fds, restore_operation_done, o));
}

/* A set that has lost some of its eventfds is assigned with one of ours in their places, and then
 * as it is. */
static int
restore_irq_set(struct device_restore *o, uint32_t index)
{
	const struct irq_set *set = &o->dev->irq_sets[index];
	const struct vuc_irq_range range = {
		.index = index, .start = set->start, .count = set->end - set->start};
	int fds[VUC_MAX_SEGMENT_FDS];
	int filler, rc;

	assert(range.count <= VUC_MAX_SEGMENT_FDS);
	if (restore_find_set(o->dev->record, &range, fds) || o->fills) {
		o->fills = false;
		o->next.kind = VUC_IRQ_TRIGGER;
		o->next.vector = set->end;
		return restore_irqs_start(o, &range, VUC_IRQ_TRIGGER, fds);
	}
	filler = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (filler < 0)
		return vuc_error_set(&o->err, -errno, "eventfd: %s", strerror(errno));
	for (uint32_t k = 0; k < range.count; k++)
		fds[k] = fds[k] < 0 ? filler : fds[k];
	o->fills = true;
	rc = restore_irqs_start(o, &range, VUC_IRQ_TRIGGER, fds);
	close(filler);
	return rc;
}

/* Interrupts of the index behind each other with one message, or as many as it takes. */
static int
restore_next_irqs(struct device_restore *o)
{
	const struct device_record *r = o->dev->record;
	unsigned int i = record_irq_find(r, o->next.index, o->next.kind, o->next.vector);
	const struct record_irq *first = &r->irqs[i];
	struct vuc_irq_range range = {0};
	int fds[IRQS_AT_ONCE];

	if (i == r->nr_irqs || first->index != o->next.index)
		return 0;
	if (irq_is_of_set(o->dev, first))
		return restore_irq_set(o, first->index);
	range.index = first->index;
	range.start = first->vector;
	while (range.count < IRQS_AT_ONCE && i + range.count < r->nr_irqs &&
		irq_follows(first + range.count, first, range.count)) {
		fds[range.count] = first[range.count].fd;
		range.count++;
	}
	o->next.kind = first->kind;
	o->next.vector = first->vector + range.count;
	/* INTx is never left masked. */
	if (first->index == VFIO_PCI_INTX_IRQ_INDEX && first->kind == RECORD_IRQ_MASKED)
		return 0;
	o->unmasks = first->index == VFIO_PCI_INTX_IRQ_INDEX && first->kind == VUC_IRQ_TRIGGER;
	return restore_irqs_start(o, &range, first->kind, fds);
}

/* The first index that has changed since it was replayed; num_irqs: there is none. */
static uint32_t
find_changed_index(const struct vuc_device *dev)
{
	uint32_t i = 0;

	while (i < dev->info.num_irqs && !dev->irq_sets[i].changed)
		i++;
	return i;
}

/* What an index had before is not asked for: all of it is replaced. */
static int
restore_begin_index(struct device_restore *o, uint32_t index)
{
	const struct device_record *r = o->dev->record;
	struct irq_set *set = &o->dev->irq_sets[index];
	const struct vuc_irq_range range = {.index = index};

	set->changed = false;
	o->next = (struct record_irq){.index = index};
	o->fills = false;
	/* Nothing binds the new server yet. */
	if (record_irq_find(r, index, VUC_IRQ_TRIGGER, 0) ==
		record_irq_find(r, index, VUC_IRQ_TRIGGER, UINT32_MAX))
		set->start = set->end = 0;
	if (!set->replayed)
		return restore_next_irqs(o);
	set->replayed = false;
	o->dev->replaying = true;
	return restore_begun(o,
		device_replay_irqs_start(
			o->dev, &range, RECORD_IRQ_NONE, NULL, restore_operation_done, o));
}

static int
restore_irqs(struct device_restore *o)
{
	uint32_t index;
	int rc;

	if (o->unmasks)
		return restore_unmask_intx(o);
	rc = restore_next_irqs(o);
	while (rc == 0 && (index = find_changed_index(o->dev)) < o->dev->info.num_irqs)
		rc = restore_begin_index(o, index);
	return rc;
}

/* ---- registers ---- */

/* A vuc_request_fn. What is refused is said once, however often it is tried. */
static void
restore_written(struct vuc_request *req, int status)
{
	struct device_restore *o = req->arg;
	struct vuc_device *dev = o->dev;
	struct device_record *r = dev->record;
	bool is_config = req->region == VFIO_PCI_CONFIG_REGION_INDEX;
	char line[VUC_ERROR_MAX];
	bool is_known;

	/* Otherwise there may be no record any more. */
	if (restore_was_refused(o, status)) {
		is_known = is_config ? r->config.is_refused[req->offset] : r->table.is_refused;
		snprintf(line, sizeof(line),
			"%s at 0x%llx was not restored: the server refuses a write of %zu bytes",
			is_config ? "the register" : "the MSI-X table",
			(unsigned long long)req->offset, req->count);
		if (!is_known)
			device_log_warning(dev, line);
		if (is_config)
			r->config.is_refused[req->offset] = 1;
		else
			r->table.is_refused = true;
		status = 0;
	}
	restore_go_on(o, status, dev->reason.text);
}

static int
restore_write(struct device_restore *o, const struct record_write *write)
{
	o->write = *write;
	o->req = (struct vuc_request){
		.op = VUC_OP_WRITE,
		.region = write->region,
		.offset = write->offset,
		.data = o->write.value,
		.count = write->width,
		.done = restore_written,
		.arg = o,
	};
	device_enqueue(o->dev, &o->req);
	device_mark_dirty(o->dev);
	o->waits = true;
	o->begun++;
	return -EAGAIN;
}

static int
restore_registers_of(struct device_restore *o, enum record_order order)
{
	struct record_write write;

	return record_next_write(o->dev->record, order, &o->cursor, &write)
		? restore_write(o, &write)
		: 0;
}

static int
restore_bars(struct device_restore *o)
{
	return restore_registers_of(o, RECORD_BARS);
}

static int
restore_table(struct device_restore *o)
{
	struct record_write write;

	return record_next_entry(o->dev->record, &o->cursor, &write) ? restore_write(o, &write) : 0;
}

static int
restore_registers(struct device_restore *o)
{
	for (; o->order <= RECORD_OTHERS; o->order++, o->cursor = 0) {
		int rc = restore_registers_of(o, o->order);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
restore_command(struct device_restore *o)
{
	return restore_registers_of(o, RECORD_COMMAND);
}

/* A vuc_request_fn. */
static void
restore_power_read(struct vuc_request *req, int status)
{
	struct device_restore *o = req->arg;

	/* As good as D0. */
	if (status != 0)
		memset(o->write.value, 0, sizeof(o->write.value));
	restore_go_on(o, restore_was_refused(o, status) ? 0 : status, o->dev->reason.text);
}

/* A device in another power state takes nothing else. */
static int
restore_power(struct device_restore *o)
{
	uint32_t at = o->dev->record->config.power;
	struct record_write write = {.region = VFIO_PCI_CONFIG_REGION_INDEX, .width = 2};

	if (at == 0 || o->begun > 1)
		return 0;
	write.offset = at;
	if (o->begun == 0) {
		restore_write(o, &write);
		o->req.op = VUC_OP_READ;
		o->req.done = restore_power_read;
		return -EAGAIN;
	}
	memcpy(write.value, o->write.value, write.width);
	if ((write.value[0] & PCI_PM_CTRL_STATE_MASK) == 0)
		return 0;
	write.value[0] &= (uint8_t)~PCI_PM_CTRL_STATE_MASK;
	write.value[1] &= (uint8_t) ~(PCI_PM_CTRL_PME_STATUS >> 8);
	return restore_write(o, &write);
}

/* ---- the whole of it ---- */

/* Each returns 0 when it is over, -EAGAIN when it has begun something, and what it fails with. */
static int (*const restore_stages[])(struct device_restore *o) = {
	[RESTORE_COMPARE] = restore_compare,
	[RESTORE_RESET] = restore_reset,
	[RESTORE_POWER] = restore_power,
	[RESTORE_BARS] = restore_bars,
	[RESTORE_MAPS] = restore_maps,
	[RESTORE_IRQS] = restore_irqs,
	[RESTORE_TABLE] = restore_table,
	[RESTORE_REGISTERS] = restore_registers,
	[RESTORE_COMMAND] = restore_command,
};

static void restore_step(struct vuc_device *dev);

/* The callback may close the device. */
static void
restore_finish(struct device_restore *o, int status, const struct vuc_error *why)
{
	struct vuc_device *dev = o->dev;
	struct vuc_error err = *why;

	/* From here on a callback may stop the record, or close the device. */
	dev->restore = NULL;
	dev->restoring = RESTORE_NONE;
	if (dev->step == restore_step) {
		dev->step = NULL;
		dev->operating = false;
	}
	/* What is under way for the restore ends here, unless it has succeeded. */
	if (status != 0) {
		vuc_session_end(dev->session, status, "%s", err.text);
		device_pump(dev);
		device_cancel_replays(dev, status, err.text);
	} else {
		record_fail_nvme(dev->record);
	}
	vuc_closer_close(dev->closer, o->fds, o->nr_fds);
	dev->group->changed = true;
	dev->group->completed++;
	device_mark_dirty(dev);
	o->done(o->arg, status, &err);
	free(o);
}

/* What the client has changed since is behind the record: it was answered already. */
static int
restore_changes(struct device_restore *o)
{
	struct vuc_device *dev = o->dev;
	int rc = 0;

	if (dev->record->resets) {
		dev->record->resets = false;
		o->reset = true;
		o->begun = 0;
		o->cursor = 0;
		o->order = RECORD_MESSAGES;
		dev->restoring = RESTORE_RESET;
	}
	if (dev->restoring > RESTORE_MAPS)
		rc = restore_maps(o);
	if (rc == 0 && dev->restoring > RESTORE_IRQS)
		rc = restore_irqs(o);
	return rc;
}

static int
restore_run(struct device_restore *o)
{
	struct vuc_device *dev = o->dev;
	int rc = 0;

	if (vuc_session_error(dev->session) != 0)
		return vuc_error_set(&o->err, vuc_session_error(dev->session), "%s",
			vuc_session_reason(dev->session));
	while (rc == 0 && !o->waits) {
		rc = o->status != 0 ? o->status : restore_changes(o);
		/* What comes into the record now would never be sent. */
		if (rc == 0 && dev->restoring == RESTORE_DONE && device_is_recording(dev)) {
			device_mark_dirty(dev);
			return -EAGAIN;
		}
		if (rc == 0 && dev->restoring == RESTORE_DONE)
			return 0;
		if (rc == 0)
			rc = restore_stages[dev->restoring](o);
		if (rc != 0)
			continue;
		dev->restoring++;
		o->begun = 0;
		o->cursor = 0;
	}
	return o->waits ? -EAGAIN : rc;
}

/* Taken when something has come. All that is waited for has a deadline of its own. */
static void
restore_step(struct vuc_device *dev)
{
	struct device_restore *o = dev->restore;
	int rc = restore_run(o);

	if (rc != -EAGAIN)
		restore_finish(o, rc, &o->err);
}

static uint64_t
restore_due(const struct vuc_device *dev)
{
	(void)dev;
	return UINT64_MAX;
}

void
device_cancel_restore(struct vuc_device *dev, const char *why)
{
	struct vuc_error err = {0};

	vuc_error_set(&err, -ECANCELED, "%s", why);
	if (dev->restore != NULL)
		restore_finish(dev->restore, -ECANCELED, &err);
}

static int
restore_check(const struct vuc_device *dev, const struct vuc_device *fresh, struct vuc_error *err)
{
	if (dev->restore != NULL)
		return vuc_error_set(err, -EBUSY, "the device is being restored already");
	if (!vuc_device_is_away(dev))
		return vuc_error_set(err, -EINVAL, "the device is not away");
	if (fresh == dev || fresh->group != dev->group || !vuc_device_connected(fresh))
		return vuc_error_set(
			err, -EINVAL, "the fresh device is not connected, or of another group");
	return device_compare(dev, fresh, err);
}

static struct device_restore *
restore_create(const struct vuc_device *fresh)
{
	struct device_restore *o;
	unsigned int nr_fds = 0;

	for (uint32_t i = 0; i < fresh->info.num_regions; i++)
		nr_fds += fresh->regions[i].info.nr_fds;
	o = calloc(1, sizeof(*o) + nr_fds * sizeof(o->fds[0]));
	if (o != NULL)
		o->nr_fds = nr_fds;
	return o;
}

/* Take what the fresh device has: the connection, and the files of its regions for later. */
static void
restore_graft(struct device_restore *o, struct vuc_device *fresh)
{
	struct vuc_device *dev = o->dev;
	int *fd = o->fds;

	/* No flush has seen the end yet. */
	if (dev->main.conn != NULL) {
		device_pump(dev);
		device_lose(dev);
	}

	for (uint32_t i = 0; i < fresh->info.num_regions; i++) {
		struct region *r = &fresh->regions[i];

		for (uint32_t k = 0; k < r->info.nr_fds; k++) {
			*fd++ = r->fds[k];
			r->fds[k] = -1;
		}
	}
	dev->faults->warned |= fresh->faults->warned;
	dev->faults->broke_on |= fresh->faults->broke_on;
	dev->faults->answers_posted |= fresh->faults->answers_posted;
	device_swap_connections(dev, fresh);
	dev->hurry.moved_ms = 0;
	dev->reason.text[0] = '\0';
}

VUC_PRIVATE int
vuc_device_restore_start(struct vuc_device *dev, struct vuc_device *fresh,
	const struct vuc_restore_opts *opts, vuc_done_fn done, void *arg, struct vuc_error *err)
{
	struct device_restore *o;
	int rc = restore_check(dev, fresh, err);

	if (rc != 0)
		return rc;
	o = restore_create(fresh);
	if (o == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory to restore a device");
	o->dev = dev;
	o->reset = opts->reset;
	o->kept_files = opts->kept_files;
	o->order = RECORD_MESSAGES;
	o->done = done;
	o->arg = arg;
	o->next.index = UINT32_MAX;
	for (uint32_t i = 0; i < dev->info.num_irqs; i++) {
		dev->irq_sets[i].changed = true;
		dev->irq_sets[i].replayed = false;
	}
	dev->record->resets = false;
	restore_graft(o, fresh);
	dev->restore = o;
	dev->restoring = RESTORE_COMPARE;
	dev->step = restore_step;
	dev->step_due = restore_due;
	device_mark_dirty(dev);
	return 0;
}

static size_t
count_mapped(const struct vuc_device *dev)
{
	const struct dma_entries *list = &dev->dma.entries;
	size_t n = 0;

	for (size_t i = 0; i < list->nr; i++)
		n += list->at[i].on_server;
	return n;
}

VUC_PRIVATE const char *
vuc_device_restore_step(struct vuc_device *dev)
{
	static const char *const steps[] = {
		[RESTORE_NONE] = "",
		[RESTORE_COMPARE] = "comparing",
		[RESTORE_RESET] = "resetting",
		[RESTORE_POWER] = "powering up",
		[RESTORE_BARS] = "setting BARs",
		[RESTORE_MAPS] = "",
		[RESTORE_IRQS] = "assigning interrupts",
		[RESTORE_TABLE] = "writing the MSI-X table",
		[RESTORE_REGISTERS] = "writing registers",
		[RESTORE_COMMAND] = "enabling",
		[RESTORE_DONE] = "",
	};
	struct device_restore *o = dev->restore;

	if (dev->restoring != RESTORE_MAPS)
		return steps[dev->restoring];
	snprintf(o->step, sizeof(o->step), "mapping %zu of %zu", count_mapped(dev),
		vuc_dma_count(dev));
	return o->step;
}
