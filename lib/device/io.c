/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "access_check.h"
#include "error.h"
#include "internal.h"
#include "recorded.h"
#include "vfio_user.h"

static void
request_record_bar(struct device_record *r, const struct vuc_request *req)
{
	const struct vuc_device *dev = req->priv.dev;

	if (recorded_range_has(&dev->table, req->region, req->offset, req->count))
		record_note_table(r, req->offset, req->data, req->count);
	if (recorded_range_has(&dev->registers, req->region, req->offset, req->count))
		record_note_nvme(r, req->offset, req->data, req->count);
}

/* What the server has answered or taken, and the record is about; of an NVMe controller, also a
 * write that was lost with the connection, and a doorbell that the server refuses. */
static __attribute__((noinline)) void
request_record(const struct vuc_request *req)
{
	struct vuc_device *dev = req->priv.dev;
	struct device_record *r = dev->record;

	if (r == NULL || dev->restoring != RESTORE_NONE)
		return;
	if (req->op != VUC_OP_READ && req->priv.status != 0 && vuc_device_is_away(dev))
		vuc_device_record_dropped(dev, req->region, req->offset, req->data, req->count);
	else if (req->op != VUC_OP_READ)
		record_note_doorbell(r, req->region, req->offset, req->data, req->count);
	if (req->priv.status != 0)
		return;
	if (req->region == VFIO_PCI_CONFIG_REGION_INDEX && req->op == VUC_OP_READ)
		record_note_read(r, req->offset, req->data, req->count);
	else if (req->region == VFIO_PCI_CONFIG_REGION_INDEX)
		record_note_write(r, req->offset, req->data, req->count);
	else if (req->op == VUC_OP_READ)
		record_overlay_nvme(r, req->offset, req->data, req->count);
	else
		request_record_bar(r, req);
}

static void
request_complete(struct vuc_request *req)
{
	if (device_records(req->priv.dev, req->op, req->region, req->offset, req->count))
		request_record(req);
	req->priv.dev->group->completed++;
	req->done(req, req->priv.status);
}

static void
request_fail(struct vuc_request *req, int status, const char *reason)
{
	if (req->priv.status != 0)
		return;
	req->priv.status = status;
	vuc_error_set(&req->priv.dev->reason, status, "%s", reason);
}

static bool
request_is_waiting(const struct vuc_request *req)
{
	return req->priv.dev->first == req;
}

static void
request_message_done(void *arg, const struct vuc_session_reply *reply)
{
	struct vuc_request *req = arg;

	req->priv.outstanding--;
	if (reply->status != 0)
		request_fail(req, reply->status, reply->reason);
	/* One that still waits to be sent as a whole is completed by device_pump(). */
	if (req->priv.outstanding == 0 && !request_is_waiting(req))
		request_complete(req);
}

static uint32_t
message_size(size_t left, uint32_t max)
{
	return left < max ? (uint32_t)left : max;
}

VUC_PRIVATE bool
vuc_device_posts(const struct vuc_device *dev, enum vuc_op op, uint32_t region)
{
	if (dev->posted_writes == VUC_POSTED_WRITES_OFF)
		return false;
	/* What is recorded is what the server has taken. */
	if (region == VFIO_PCI_CONFIG_REGION_INDEX && dev->record != NULL)
		return false;
	if (op != VUC_OP_WRITE_PCI)
		return op == VUC_OP_WRITE_POSTED;
	if (dev->posted_writes == VUC_POSTED_WRITES_AUTO && dev->bypassed)
		return false;
	return region < PCI_STD_NUM_BARS && (dev->memory_bars & (1u << region)) != 0;
}

VUC_PRIVATE void
vuc_device_forget_bypasses(struct vuc_device *dev)
{
	dev->bypassed = false;
}

/* Of one access, so that a slow server has the time for each of them. */
#define MAX_REGISTERS 32u

/* Queue one message of a request. Returns 0, -EAGAIN, or what ended the session. */
static int
queue_message(struct vuc_device *dev, struct vuc_request *req)
{
	struct vuc_session *s = dev->session;
	struct vuc_session_access access = {
		.region = req->region,
		.offset = req->offset + req->priv.submitted,
		.data = (uint8_t *)req->data + req->priv.submitted,
		.done = request_message_done,
		.arg = req,
	};
	size_t left = req->count - req->priv.submitted;
	bool posted = vuc_device_posts(dev, req->op, req->region);
	bool by_registers = device_goes_by_registers(req->region, req->offset, req->count);
	uint32_t max = req->op == VUC_OP_READ ? vuc_session_max_data(s) : vuc_session_max_write(s);
	int rc;

	if (by_registers && req->priv.outstanding >= MAX_REGISTERS)
		return -EAGAIN;
	access.count =
		by_registers ? config_register_size(access.offset, left) : message_size(left, max);
	if (req->op == VUC_OP_READ)
		rc = vuc_session_region_read(s, &access);
	else
		rc = vuc_session_region_write(s, &access, posted);
	if (rc != 0)
		return rc;
	req->priv.submitted += access.count;
	if (!posted)
		req->priv.outstanding++;
	return 0;
}

/* Queue all of a request. Returns 0, also when it has failed, or -EAGAIN when some is left. */
static int
queue_request(struct vuc_device *dev, struct vuc_request *req)
{
	int rc = 0;

	while (rc == 0 && req->priv.status == 0 && req->priv.submitted < req->count)
		rc = queue_message(dev, req);
	if (rc == -EAGAIN)
		return rc;
	if (rc != 0)
		request_fail(req, rc, vuc_session_reason(dev->session));
	return 0;
}

static void
queue_requests(struct vuc_device *dev)
{
	while (dev->first != NULL) {
		struct vuc_request *req = dev->first;

		if (req->op == OPERATION_PLACE) {
			if (!operation_take_turn(req))
				return;
			continue;
		}
		if (queue_request(dev, req) != 0)
			return;
		dev->first = req->priv.next;
		if (dev->first == NULL)
			dev->last = &dev->first;
		if (req->priv.outstanding == 0)
			request_complete(req);
	}
}

void
device_pump(struct vuc_device *dev)
{
	queue_requests(dev);
	/* On a connection that stands, those behind a barrier go on with the next poll. */
	while (device_run_operations(dev) && dev->first != NULL && !vuc_device_connected(dev))
		queue_requests(dev);
}

void
device_cancel_requests(struct vuc_device *dev, int error, const char *reason)
{
	while (dev->first != NULL) {
		struct vuc_request *req = dev->first;

		dev->first = req->priv.next;
		request_fail(req, error, reason);
		request_complete(req);
	}
	dev->last = &dev->first;
}
