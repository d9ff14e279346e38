/* SPDX-License-Identifier: BSD-3-Clause */

/* Region accesses that are one message: what a poller and a caller who waits do all the time. */

#include "access_check.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "operation.h"
#include "vfio_user.h"

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

VUC_PRIVATE int
vuc_device_check_access(const struct vuc_device *dev, enum vuc_op op, uint32_t region,
	uint64_t offset, uint64_t count)
{
	return device_check_access(dev, op, region, offset, count);
}

/* An access that takes several messages, or that the record is about. */
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
	/* The device's reason may be that of another call by now. */
	const struct vuc_session_reply reply = {.status = status, .reason = strerror(-status)};

	if (split->done != NULL)
		split->done(split->arg, &reply);
	free(split);
}

static int
begin_split_access(struct vuc_device *dev, enum vuc_op op, const struct vuc_session_access *a)
{
	size_t len = op == VUC_OP_READ ? 0 : a->count;
	struct split_access *split = malloc(sizeof(*split) + len);

	if (split == NULL)
		return -ENOMEM;
	split->done = op == VUC_OP_WRITE_POSTED ? NULL : a->done;
	split->arg = a->arg;
	if (len > 0)
		memcpy(split->data, a->data, len);
	split->req.op = op;
	split->req.region = a->region;
	split->req.offset = a->offset;
	split->req.data = len > 0 ? split->data : a->data;
	split->req.count = a->count;
	split->req.done = split_access_done;
	split->req.arg = split;
	device_enqueue_first(dev, &split->req);
	return 0;
}

/* With none waiting before it, an access that is one message needs no place in the list. */
static inline int
begin_message(struct vuc_device *dev, enum vuc_op op, const struct vuc_session_access *a)
{
	if (op == VUC_OP_READ)
		return vuc_session_region_read(dev->session, a);
	return vuc_session_region_write(dev->session, a, op == VUC_OP_WRITE_POSTED);
}

VUC_PRIVATE int
vuc_device_access_begin(struct vuc_device *dev, enum vuc_op op, const struct vuc_session_access *a)
{
	int rc = vuc_device_connected(dev) ? 0 : device_check_connected(dev, &dev->reason);

	if (rc == 0)
		rc = device_check_access(dev, op, a->region, a->offset, a->count);
	if (rc == 0 && dev->first != NULL && !operation_lets_pass(dev->first))
		rc = -EAGAIN;
	if (rc != 0)
		return rc;
	if (device_goes_by_registers(a->region, a->offset, a->count) ||
		device_records(dev, op, a->region, a->offset, a->count))
		rc = begin_split_access(dev, op, a);
	else
		rc = begin_message(dev, op, a);
	if (rc == 0)
		device_mark_dirty(dev);
	return rc;
}

/* Whoever waits for an access or a request. */
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
	if (reply->status != 0)
		vuc_error_set(&w->dev->reason, reply->status, "%s", reply->reason);
}

/* Whether sending and a look at the device's socket are all that a poll had to do now. */
static inline bool
polls_alone(const struct vuc_device *dev)
{
	const struct vuc_poll_group *group = dev->group;

	return TAILQ_EMPTY(&group->dirty) && TAILQ_EMPTY(&dev->operations) &&
		group->source.end == NULL && (group->polls + 1) % TICK_INTERVAL != 0 &&
		vuc_view_receives_plainly(vuc_session_view(dev->session)) &&
		group->transport->ops->look != NULL;
}

/* Looks at the socket for an answer, before all that a poll does is worth its while. */
#define ANSWER_LOOKS 16u

/* Send, and look at the socket for a while. */
static inline void
device_exchange(struct vuc_device *dev, const bool *done)
{
	struct vuc_poll_group *group = dev->group;
	struct device_link *link = &dev->main;

	group->polls++;
	group->polling = true;
	device_link_send(link);
	for (unsigned int i = 0; !*done && !link->sending && i < ANSWER_LOOKS; i++) {
		if (!device_link_look(link))
			break;
	}
	group_end_callbacks(group, true);
}

/* What was left to the next poll, or has no answer yet. */
static __attribute__((noinline)) void
await_by_polls(struct vuc_device *dev, const bool *done)
{
	device_mark_dirty(dev);
	device_poll_until(dev, done);
}

/* The way of everything that has no shorter one; it also says why there is none. */
static __attribute__((noinline)) int
perform_request(struct vuc_device *dev, struct vuc_request *req)
{
	struct waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc == 0)
		rc = device_check_request(dev, req, &dev->reason);
	if (rc != 0)
		return rc;
	req->done = wake_of_request;
	req->arg = &w;
	device_enqueue(dev, req);
	await_by_polls(dev, &w.done);
	return w.status;
}

static __attribute__((noinline)) int
perform_long_access(struct vuc_device *dev, enum vuc_op op, uint32_t region, uint64_t offset,
	void *data, size_t count)
{
	struct vuc_request req;

	req.op = op;
	req.region = region;
	req.offset = offset;
	req.data = data;
	req.count = count;
	return perform_request(dev, &req);
}

/* An access that is awaited: as one message when it can be, else as a request of several. */
static inline int
perform_access(struct vuc_device *dev, enum vuc_op op, uint32_t region, uint64_t offset, void *data,
	size_t count)
{
	struct waiter w = {.dev = dev};
	const struct vuc_session_access access = {
		.region = region,
		.count = (uint32_t)count,
		.offset = offset,
		.data = data,
		.done = wake_of_message,
		.arg = &w,
	};

	if (dev->group->polling || dev->first != NULL || count > UINT32_MAX ||
		device_check_access(dev, op, region, offset, count) != 0 ||
		device_goes_by_registers(region, offset, count) ||
		device_records(dev, op, region, offset, count) ||
		begin_message(dev, op, &access) != 0)
		return perform_long_access(dev, op, region, offset, data, count);
	if (polls_alone(dev))
		device_exchange(dev, &w.done);
	if (!w.done)
		await_by_polls(dev, &w.done);
	return w.status;
}

VUC_EXPORT int
vuc_device_read(struct vuc_device *dev, uint32_t region, uint64_t offset, void *data, size_t count)
{
	return perform_access(dev, VUC_OP_READ, region, offset, data, count);
}

VUC_EXPORT int
vuc_device_write(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	return perform_access(dev, VUC_OP_WRITE, region, offset, (void *)(uintptr_t)data, count);
}

VUC_EXPORT int
vuc_device_write_posted(
	struct vuc_device *dev, uint32_t region, uint64_t offset, const void *data, size_t count)
{
	const struct vuc_session_access access = {
		.region = region,
		.count = (uint32_t)count,
		.offset = offset,
		.data = (void *)(uintptr_t)data,
	};
	const struct vuc_request req = {
		.op = VUC_OP_WRITE_POSTED, .region = region, .offset = offset, .count = count};
	int rc = device_check_request(dev, &req, &dev->reason);

	if (rc != 0)
		return rc;
	if (!vuc_device_posts(dev, VUC_OP_WRITE_POSTED, region))
		return vuc_device_write(dev, region, offset, data, count);
	if (dev->first == NULL && count <= vuc_session_max_write(dev->session) &&
		!device_goes_by_registers(region, offset, count) &&
		!device_records(dev, VUC_OP_WRITE_POSTED, region, offset, count)) {
		rc = vuc_session_region_write(dev->session, &access, true);
		if (rc == 0)
			device_mark_dirty(dev);
		if (rc != -EAGAIN)
			return rc;
	}
	return perform_long_access(dev, VUC_OP_WRITE_POSTED, region, offset, access.data, count);
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
vuc_device_submit(struct vuc_device *dev, struct vuc_request *req)
{
	int rc = device_check_request(dev, req, &dev->reason);

	if (rc != 0)
		return rc;
	if (req->op == VUC_OP_RESET)
		return device_submit_reset(dev, req);
	device_enqueue(dev, req);
	device_mark_dirty(dev);
	return 0;
}
