/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "error.h"
#include "internal.h"
#include "vfio_user.h"

static void
complete(struct vuc_request *req)
{
	req->priv.dev->group->completed++;
	req->done(req, req->priv.status);
}

static void
fail(struct vuc_request *req, int status, const char *reason)
{
	if (req->priv.status != 0)
		return;
	req->priv.status = status;
	vuc_error_set(&req->priv.dev->reason, status, "%s", reason);
}

static bool
is_waiting(const struct vuc_request *req)
{
	return req->priv.dev->first == req;
}

static void
message_done(void *arg, const struct vuc_session_reply *reply)
{
	struct vuc_request *req = arg;

	req->priv.outstanding--;
	if (reply->status != 0)
		fail(req, reply->status, reply->reason);
	/* It may still come, and undo what is set up from now on. */
	if (reply->status == -ETIMEDOUT && req->op == VUC_OP_RESET)
		vuc_session_end(req->priv.dev->session, -ETIMEDOUT, "%s", reply->reason);
	/* One that still waits to be sent as a whole is completed by device_pump(). */
	if (req->priv.outstanding == 0 && !is_waiting(req))
		complete(req);
}

static uint32_t
chunk(size_t left, uint32_t max)
{
	return left < max ? (uint32_t)left : max;
}

VUC_PRIVATE bool
vuc_device_posts(const struct vuc_device *dev, enum vuc_op op, uint32_t region)
{
	if (dev->posted_writes == VUC_POSTED_WRITES_OFF)
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

/* Config space is made of aligned registers of at most 4 bytes, and some servers die of any other
 * access to it. What the caller asks for as one register goes as it is. */
static bool
goes_by_registers(uint32_t region, uint64_t offset, size_t count)
{
	bool is_register = (count == 1 || count == 2 || count == 4 || count == 8) &&
		(offset & (count - 1)) == 0;

	return region == VFIO_PCI_CONFIG_REGION_INDEX && !is_register;
}

/* Of one access, so that a slow server has the time for each of them. */
#define MAX_REGISTERS 32u

/* Up to the next dword, and aligned. */
static uint32_t
register_chunk(uint64_t offset, size_t left)
{
	uint32_t n = chunk(left, 4 - (uint32_t)(offset & 3));

	if (n > 1 && (offset & 1) != 0)
		return 1;
	return n == 3 ? 2 : n;
}

/* Queue one message of a request. Returns 0, -EAGAIN, or what ended the session. */
static int
queue_message(struct vuc_device *dev, struct vuc_request *req)
{
	struct vuc_session *s = dev->session;
	uint64_t offset = req->offset + req->priv.submitted;
	uint8_t *data = (uint8_t *)req->data + req->priv.submitted;
	size_t left = req->count - req->priv.submitted;
	bool posted = vuc_device_posts(dev, req->op, req->region);
	bool by_registers = goes_by_registers(req->region, req->offset, req->count);
	uint32_t n;
	int rc;

	if (by_registers && req->priv.outstanding >= MAX_REGISTERS)
		return -EAGAIN;
	if (req->op == VUC_OP_READ) {
		n = by_registers ? register_chunk(offset, left)
				 : chunk(left, vuc_session_max_data(s));
		rc = vuc_session_region_read(s, req->region, offset, data, n, message_done, req);
	} else {
		n = by_registers ? register_chunk(offset, left)
				 : chunk(left, vuc_session_max_write(s));
		rc = vuc_session_region_write(
			s, req->region, offset, data, n, posted, message_done, req);
	}
	if (rc != 0)
		return rc;
	req->priv.submitted += n;
	if (!posted)
		req->priv.outstanding++;
	return 0;
}

/* Some servers have the flag but no reset. */
static void
reset_done(void *arg, const struct vuc_session_reply *reply)
{
	struct vuc_request *req = arg;
	struct vuc_device *dev = req->priv.dev;
	struct vuc_session_reply none = *reply;

	if (!reply->refused || (reply->status != -EOPNOTSUPP && reply->status != -ENOSYS)) {
		message_done(req, reply);
		return;
	}
	none.status = -EOPNOTSUPP;
	dev->info.flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_RESET;
	device_warn(dev, DEVICE_FAULT_RESET,
		"flags have VFIO_DEVICE_FLAGS_RESET, but %s: the device is taken for one without "
		"reset",
		reply->reason);
	message_done(req, &none);
}

static int
queue_reset(struct vuc_device *dev, struct vuc_request *req)
{
	const struct vuc_session_request reset = {
		.cmd = VFIO_USER_DEVICE_RESET,
		.timeout_ms = dev->long_timeout_ms,
		.done = reset_done,
		.arg = req,
	};
	int rc = vuc_session_request(dev->session, &reset);

	if (rc == 0)
		req->priv.outstanding++;
	return rc;
}

/* Queue all of a request. Returns 0, also when it has failed, or -EAGAIN when some is left. */
static int
queue_request(struct vuc_device *dev, struct vuc_request *req)
{
	int rc = 0;

	if (req->op == VUC_OP_RESET) {
		rc = req->priv.status == 0 ? queue_reset(dev, req) : 0;
	} else {
		while (rc == 0 && req->priv.status == 0 && req->priv.submitted < req->count)
			rc = queue_message(dev, req);
	}
	if (rc == -EAGAIN)
		return rc;
	if (rc != 0)
		fail(req, rc, vuc_session_reason(dev->session));
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
			complete(req);
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

/* Whether an access is one of the device. Says nothing: whoever serves others is asked for
 * anything, and text takes longer than the access. */
static int
check_access(
	struct vuc_device *dev, enum vuc_op op, uint32_t index, uint64_t offset, uint64_t count)
{
	uint32_t flag =
		op == VUC_OP_READ ? VFIO_REGION_INFO_FLAG_READ : VFIO_REGION_INFO_FLAG_WRITE;
	const struct vuc_region *region = vuc_device_region(dev, index);

	if (region == NULL || count == 0 || count > region->size || offset > region->size - count)
		return -EINVAL;
	return (region->flags & flag) != 0 ? 0 : -EACCES;
}

static int
explain_access(struct vuc_device *dev, const struct vuc_request *req, int rc)
{
	const struct vuc_region *region = vuc_device_region(dev, req->region);
	struct vuc_error *err = &dev->reason;

	if (region == NULL || region->size == 0)
		return vuc_error_set(err, rc, "there is no region %u", req->region);
	if (rc == -EACCES)
		return vuc_error_set(err, rc, "region %u cannot be %s", req->region,
			req->op == VUC_OP_READ ? "read" : "written");
	if (req->count == 0)
		return vuc_error_set(err, rc, "region %u: an access of 0 bytes", req->region);
	return vuc_error_set(err, rc,
		"region %u: %zu bytes at offset 0x%llx are outside of its %llu bytes", req->region,
		req->count, (unsigned long long)req->offset, (unsigned long long)region->size);
}

int
device_check_connected(struct vuc_device *dev)
{
	int error = vuc_session_error(dev->session);

	if (vuc_device_connected(dev))
		return 0;
	if (error == 0)
		return vuc_error_set(&dev->reason, -ENOTCONN, "the device is not connected");
	return vuc_error_set(&dev->reason, error, "%s", vuc_session_reason(dev->session));
}

int
device_check_request(struct vuc_device *dev, const struct vuc_request *req)
{
	int rc = device_check_connected(dev);

	if (rc != 0)
		return rc;
	switch (req->op) {
	case VUC_OP_READ:
	case VUC_OP_WRITE:
	case VUC_OP_WRITE_POSTED:
	case VUC_OP_WRITE_PCI:
		rc = check_access(dev, req->op, req->region, req->offset, req->count);
		return rc == 0 ? 0 : explain_access(dev, req, rc);
	case VUC_OP_RESET:
		if ((dev->info.flags & VFIO_DEVICE_FLAGS_RESET) == 0)
			return vuc_error_set(
				&dev->reason, -EOPNOTSUPP, "the device cannot be reset");
		return 0;
	}
	return vuc_error_set(&dev->reason, -EINVAL, "there is no request %d", (int)req->op);
}

void
device_enqueue(struct vuc_device *dev, struct vuc_request *req)
{
	req->priv.next = NULL;
	req->priv.dev = dev;
	req->priv.submitted = 0;
	req->priv.outstanding = 0;
	req->priv.status = 0;
	*dev->last = req;
	dev->last = &req->priv.next;
}

VUC_EXPORT int
vuc_device_submit(struct vuc_device *dev, struct vuc_request *req)
{
	int rc = device_check_request(dev, req);

	if (rc != 0)
		return rc;
	device_enqueue(dev, req);
	device_mark_dirty(dev);
	return 0;
}

struct waiter {
	struct vuc_device *dev;
	int status;
	bool done;
};

static void
wake_of_request(struct vuc_request *req, int status)
{
	struct waiter *w = req->arg;

	w->status = status;
	w->done = true;
}

static void
wake_of_message(void *arg, const struct vuc_session_reply *reply)
{
	struct waiter *w = arg;

	w->status = reply->status;
	w->done = true;
	w->dev->group->completed++;
	if (reply->status != 0)
		vuc_error_set(&w->dev->reason, reply->status, "%s", reply->reason);
}

VUC_PRIVATE uint32_t
vuc_device_timeout_ms(const struct vuc_device *dev)
{
	return dev->timeout_ms;
}

VUC_PRIVATE uint32_t
vuc_device_access_max(const struct vuc_device *dev)
{
	uint32_t write = vuc_session_max_write(dev->session);
	uint32_t read = vuc_session_max_data(dev->session);

	return read < write ? read : write;
}

/* An access that takes several messages. */
struct split_access {
	struct vuc_request req;
	vuc_session_fn done; /* NULL: a posted write */
	void *arg;
	uint8_t data[]; /* to be written */
};

static void
split_access_done(struct vuc_request *req, int status)
{
	struct split_access *split = req->arg;
	const struct vuc_session_reply reply = {
		.status = status, .reason = req->priv.dev->reason.text};

	if (split->done != NULL)
		split->done(split->arg, &reply);
	free(split);
}

static int
begin_split_access(struct vuc_device *dev, const struct vuc_device_access *a)
{
	size_t len = a->op == VUC_OP_READ ? 0 : a->count;
	struct split_access *split = malloc(sizeof(*split) + len);

	if (split == NULL)
		return -ENOMEM;
	split->done = a->op == VUC_OP_WRITE_POSTED ? NULL : a->done;
	split->arg = a->arg;
	if (len > 0)
		memcpy(split->data, a->data, len);
	split->req.op = a->op;
	split->req.region = a->region;
	split->req.offset = a->offset;
	split->req.data = len > 0 ? split->data : a->data;
	split->req.count = a->count;
	split->req.done = split_access_done;
	split->req.arg = split;
	device_enqueue(dev, &split->req);
	return 0;
}

/* With none waiting before it, an access that is one message needs no place in the list. */
static int
begin_access(struct vuc_device *dev, const struct vuc_device_access *a)
{
	struct vuc_session *s = dev->session;

	if (dev->first != NULL)
		return -EAGAIN;
	if (goes_by_registers(a->region, a->offset, a->count))
		return begin_split_access(dev, a);
	if (a->op == VUC_OP_READ)
		return vuc_session_region_read(
			s, a->region, a->offset, a->data, a->count, a->done, a->arg);
	return vuc_session_region_write(s, a->region, a->offset, a->data, a->count,
		a->op == VUC_OP_WRITE_POSTED, a->done, a->arg);
}

VUC_PRIVATE int
vuc_device_access_begin(struct vuc_device *dev, const struct vuc_device_access *a)
{
	int rc = vuc_device_connected(dev) ? 0 : vuc_session_error(dev->session);

	if (rc == 0)
		rc = check_access(dev, a->op, a->region, a->offset, a->count);
	if (rc == 0)
		rc = begin_access(dev, a);
	if (rc == 0)
		device_mark_dirty(dev);
	return rc;
}

static int
queue_alone(struct waiter *w, const struct vuc_request *req)
{
	struct vuc_session *s = w->dev->session;
	const struct vuc_device_access access = {
		.op = req->op,
		.region = req->region,
		.offset = req->offset,
		.data = req->data,
		.count = (uint32_t)req->count,
		.done = wake_of_message,
		.arg = w,
	};

	if (goes_by_registers(req->region, req->offset, req->count))
		return -EAGAIN;
	if ((req->op == VUC_OP_READ && req->count <= vuc_session_max_data(s)) ||
		(req->op == VUC_OP_WRITE && req->count <= vuc_session_max_write(s)))
		return begin_access(w->dev, &access);
	return -EAGAIN;
}

static int
perform(struct vuc_device *dev, struct vuc_request *req)
{
	struct waiter w = {.dev = dev};
	int rc;

	rc = operation_may_wait(dev);
	if (rc == 0)
		rc = device_check_request(dev, req);
	if (rc != 0)
		return rc;
	rc = queue_alone(&w, req);
	if (rc == -EAGAIN) {
		req->done = wake_of_request;
		req->arg = &w;
		device_enqueue(dev, req);
	} else if (rc != 0) {
		return vuc_error_set(&dev->reason, rc, "%s", vuc_session_reason(dev->session));
	}
	device_mark_dirty(dev);
	device_poll_until(dev, &w.done);
	return w.status;
}

static int
access_and_wait(struct vuc_device *dev, enum vuc_op op, uint32_t region, uint64_t offset,
	void *data, size_t count)
{
	struct vuc_request req;

	req.op = op;
	req.region = region;
	req.offset = offset;
	req.data = data;
	req.count = count;
	return perform(dev, &req);
}

VUC_EXPORT int
vuc_device_read(struct vuc_device *dev, uint32_t region, uint64_t offset, void *data, size_t count)
{
	return access_and_wait(dev, VUC_OP_READ, region, offset, data, count);
}

VUC_EXPORT int
vuc_device_write(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	return access_and_wait(dev, VUC_OP_WRITE, region, offset, (void *)(uintptr_t)data, count);
}

VUC_EXPORT int
vuc_device_write_posted(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	const struct vuc_request req = {
		.op = VUC_OP_WRITE_POSTED, .region = region, .offset = offset, .count = count};
	int rc = device_check_request(dev, &req);

	if (rc != 0)
		return rc;
	if (!vuc_device_posts(dev, VUC_OP_WRITE_POSTED, region))
		return vuc_device_write(dev, region, offset, data, count);
	if (dev->first == NULL && count <= vuc_session_max_write(dev->session) &&
		!goes_by_registers(region, offset, count)) {
		rc = vuc_session_region_write(
			dev->session, region, offset, data, (uint32_t)count, true, NULL, NULL);
		if (rc == 0)
			device_mark_dirty(dev);
		if (rc != -EAGAIN)
			return rc;
	}
	return access_and_wait(
		dev, VUC_OP_WRITE_POSTED, region, offset, (void *)(uintptr_t)data, count);
}

VUC_EXPORT int
vuc_device_write_pci(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	if (vuc_device_posts(dev, VUC_OP_WRITE_PCI, region))
		return vuc_device_write_posted(dev, region, offset, data, count);
	return vuc_device_write(dev, region, offset, data, count);
}

VUC_EXPORT int
vuc_device_reset(struct vuc_device *dev)
{
	return access_and_wait(dev, VUC_OP_RESET, 0, 0, NULL, 0);
}
