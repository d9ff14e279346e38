/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Restoring a device: the connection of a fresh one takes the place of the one that was lost, and
 * the record is replayed on it, a stage after the other, one message or operation at a time. The
 * poll group takes the steps. A loss, or whatever else fails, ends the connection: nothing is ever
 * restored in part.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/pci_regs.h>

#include <vuc/dma.h>

#include "compare.h"
#include "error.h"
#include "message.h"
#include "restore.h"
#include "vfio_user.h"

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

/* Compared by the kernel, because the server may also serve the file's file system. */
static bool
is_same_file(int a, int b)
{
	const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
	struct statx x, y;

	return statx(a, "", flags, STATX_INO, &x) == 0 && statx(b, "", flags, STATX_INO, &y) == 0 &&
		x.stx_ino == y.stx_ino && x.stx_dev_major == y.stx_dev_major &&
		x.stx_dev_minor == y.stx_dev_minor;
}

/* A client that cannot map the new file would continue to use the old one, which no server uses. */
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

/* Exchange descriptors: the restore then owns the old ones, of which there are as many. */
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

/* A vuc_done_fn. A refused reset is no error: the connection is new. */
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

/* Repeated if the client has changed the table meanwhile. */
static int
restore_maps(struct device_restore *o)
{
	if (dma_table_is_committed(&o->dev->dma))
		return 0;
	o->dev->replaying = true;
	return restore_begun(o, vuc_dma_commit_start(o->dev, restore_operation_done, o));
}

/* ---- registers ---- */

/* A vuc_request_fn. A refusal is logged once, however often the restore is tried. */
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

	/* Same as D0. */
	if (status != 0)
		memset(o->write.value, 0, sizeof(o->write.value));
	restore_go_on(o, restore_was_refused(o, status) ? 0 : status, o->dev->reason.text);
}

/* In other power states, a device accepts no other writes. */
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

/* ---- steps of a restore ---- */

/* Each returns 0 when it is finished, -EAGAIN when it has started an operation, or an error. */
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
	/* Cancel the restore's operations, unless it has succeeded. */
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

/* Repeat what the client's recorded changes have made out of date. The client has its answers. */
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
		/* Changes recorded from now on would never be sent. */
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

/* Advance the restore. Each operation that it waits for has a deadline of its own. */
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

/* Take over the new device's connection, and the files of its regions. */
static void
restore_graft(struct device_restore *o, struct vuc_device *fresh)
{
	struct vuc_device *dev = o->dev;
	int *fd = o->fds;

	/* The old connection's end has not been flushed yet. */
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
	dev->record->renewals++;
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
