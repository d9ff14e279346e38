/* SPDX-License-Identifier: BSD-3-Clause */
#include "operation.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "clock.h"
#include "error.h"
#include "names.h"
#include "state.h"

/* Between attempts to connect to a daemon that has no room for another one. */
#define CONNECT_PAUSE_MS 10u

void
vmm_request_set(union vmm_packet *request, enum vuc_shm_type type, size_t size)
{
	request->header = (struct vuc_shm_header){.type = (uint16_t)type, .size = (uint32_t)size};
}

void *
vmm_operation_create(struct vuc_vmm_device *dev, const struct vmm_operation_ops *ops, size_t size,
	struct vuc_error *err)
{
	struct vmm_operation *op = calloc(1, size);

	if (op == NULL) {
		vuc_error_set(err, -ENOMEM, "no memory for a request to the daemon");
		return NULL;
	}
	op->ops = ops;
	op->dev = dev;
	return op;
}

void
vmm_operation_free(struct vmm_operation *op)
{
	if (op->ops->free != NULL)
		op->ops->free(op);
	free(op);
}

void
vmm_operation_fail(struct vmm_operation *op, int status, const struct vuc_error *err)
{
	if (op->status != 0)
		return;
	op->status = status;
	op->err = *err;
}

/* It has ended: whoever waits sees it, or it will be told. */
static void
operation_end(struct vmm_operation *op)
{
	struct vmm_operations *ops = &op->dev->ops;

	if (op->status != 0 && op->dev->link.ended && op->ops->cut != NULL)
		op->ops->cut(op);
	op->over = true;
	TAILQ_REMOVE(&ops->queue, op, link);
	if (ops->asker == op)
		ops->asker = NULL;
	if (op->dev->reattaching == op)
		op->dev->reattaching = NULL;
	if (op->completion.done == NULL)
		return;
	ops->nr_started--;
	TAILQ_INSERT_TAIL(&ops->ended, op, link);
}

/* There is no connection any more. The first operation is what it has ended of, and has said so. */
static void
operations_end(struct vuc_vmm_device *dev)
{
	const struct vuc_error why = dev->link.reason;
	struct vmm_operation *op;

	dev->ops.asked = 0;
	while ((op = TAILQ_FIRST(&dev->ops.queue)) != NULL) {
		vmm_operation_fail(op, -ECONNRESET, &why);
		operation_end(op);
	}
}

/* One that was refused, or could not be sent or taken. */
static void
operation_refused(struct vmm_operation *op, int status, const struct vuc_error *err)
{
	vmm_operation_fail(op, status, err);
	if (op->ops->refused == NULL || op->ops->refused(op) != VMM_MORE)
		operation_end(op);
}

/* Returns false when the reply has not come. */
static bool
reply_take(struct vuc_vmm_device *dev)
{
	struct vmm_operation *op = dev->ops.asker;
	union vmm_packet reply;
	struct vuc_error err;
	struct vmm_fds fds;
	int rc = vmm_reply_receive(dev, dev->ops.asked, &reply, &fds, &err);

	if (rc == VMM_NOT_YET)
		return false;
	dev->ops.asked = 0;
	dev->ops.asker = NULL;
	if (rc == 0 && op != NULL)
		rc = op->ops->take(op, &reply, &fds, &err);
	vmm_fds_close(&fds);
	if (rc < 0 && op != NULL)
		operation_refused(op, rc, &err);
	else if (rc == 0 && op != NULL)
		operation_end(op);
	return true;
}

/* Returns false when there is no room for it yet. */
static bool
request_send(struct vuc_vmm_device *dev, struct vmm_operation *op)
{
	union vmm_packet request = {.bytes = {0}};
	struct vmm_fds fds = {.nr = 0};
	struct vuc_error err;
	int rc;

	if (!op->ops->ask(op, &request, &fds)) {
		operation_end(op);
		return true;
	}
	rc = vmm_request_send(dev, &request, &fds, &err);
	if (rc == -EAGAIN)
		return false;
	if (rc != 0) {
		operation_refused(op, rc, &err);
		return true;
	}
	dev->ops.asked = request.header.type;
	dev->ops.asker = op;
	return true;
}

/* Returns false while the daemon cannot be connected to. */
static bool
link_connect(struct vuc_vmm_device *dev, struct vmm_operation *op)
{
	uint64_t now = vuc_clock_ms();
	struct vuc_error err;
	int rc;

	if (now < dev->link.retry_ms)
		return false;
	rc = vmm_link_connect(&dev->link);
	if (rc == -EAGAIN || ((rc == -ENOENT || rc == -ECONNREFUSED) && now < dev->link.wait_end))
		return false;
	if (rc == 0) {
		vmm_watch_link(&dev->watch, dev->link.fd, 0);
		return true;
	}
	vmm_link_end(&dev->link, &err, rc, "cannot connect to the daemon at %s: %s",
		dev->link.addr.sun_path, strerror(-rc));
	vmm_operation_fail(op, rc, &err);
	return true;
}

/* Returns false when there is something to be waited for. */
static bool
operation_step(struct vuc_vmm_device *dev, struct vmm_operation *op)
{
	if (!dev->link.connected)
		return link_connect(dev, op);
	if (dev->ops.asked != 0)
		return reply_take(dev);
	return request_send(dev, op);
}

/* The daemon has had its time: what came now could be taken for another answer. */
static void
operation_expire(struct vuc_vmm_device *dev, struct vmm_operation *op)
{
	struct vmm_link *link = &dev->link;
	struct vuc_error err;

	if (!link->connected)
		vmm_link_end(link, &err, -ETIMEDOUT, "cannot connect to the daemon at %s: %s",
			link->addr.sun_path, strerror(ETIMEDOUT));
	else if (dev->ops.asked != 0)
		vmm_link_end(link, &err, -ETIMEDOUT,
			"no reply from the daemon to %s within %" PRIu32 " ms",
			vuc_shm_message_name(dev->ops.asked), link->timeout_ms);
	else
		vmm_link_end(link, &err, -ETIMEDOUT,
			"the daemon did not take a request within %" PRIu32 " ms",
			link->timeout_ms);
	vmm_operation_fail(op, -ETIMEDOUT, &err);
}

static void
operations_step(struct vuc_vmm_device *dev)
{
	struct vmm_operation *op;

	while (!dev->link.ended && (op = TAILQ_FIRST(&dev->ops.queue)) != NULL) {
		if (operation_step(dev, op))
			continue;
		if (vuc_clock_ms() < op->deadline_ms)
			return;
		operation_expire(dev, op);
	}
	if (dev->link.ended)
		operations_end(dev);
}

/* When something has to be done without a word of the daemon. */
static uint64_t
next_look(const struct vuc_vmm_device *dev)
{
	uint64_t when_ms = TAILQ_FIRST(&dev->ops.queue)->deadline_ms;
	uint64_t retry_ms = vuc_clock_ms() + CONNECT_PAUSE_MS;

	return dev->link.connected || when_ms < retry_ms ? when_ms : retry_ms;
}

/* The thread that takes events hears of what it has to do, and of nothing else. */
static void
watch_update(struct vuc_vmm_device *dev)
{
	struct vmm_operations *ops = &dev->ops;
	bool advances = ops->nr_started > 0 && ops->waiting == 0;

	if (dev->link.connected)
		vmm_watch_link(&dev->watch, dev->link.fd,
			!advances                 ? 0
				: ops->asked != 0 ? EPOLLIN
						  : EPOLLOUT);
	if (!TAILQ_EMPTY(&ops->ended) || dev->reattached != 0)
		vmm_watch_timer(&dev->watch, VMM_WATCH_NOW);
	else
		vmm_watch_calm(&dev->watch);
	if (advances)
		vmm_watch_timer(&dev->watch, next_look(dev));
}

void
vmm_operations_abort(struct vuc_vmm_device *dev)
{
	operations_end(dev);
	watch_update(dev);
}

void
vmm_operations_advance(struct vuc_vmm_device *dev)
{
	if (dev->ops.waiting == 0)
		operations_step(dev);
	watch_update(dev);
}

static void
operation_enqueue(struct vmm_operation *op, const struct vmm_completion *completion)
{
	struct vmm_operations *ops = &op->dev->ops;

	op->deadline_ms = vuc_clock_ms() + op->dev->link.timeout_ms;
	if (op->waits) {
		op->dev->link.wait_end = vuc_clock_ms() + op->dev->link.wait_ms;
		op->dev->link.pause_ms = 0;
		op->deadline_ms += op->dev->link.wait_ms;
	}
	if (completion != NULL) {
		op->completion = *completion;
		ops->nr_started++;
	}
	TAILQ_INSERT_TAIL(&ops->queue, op, link);
}

void
vmm_operation_start(struct vmm_operation *op, const struct vmm_completion *completion)
{
	struct vuc_vmm_device *dev = op->dev;

	operation_enqueue(op, completion);
	vmm_operations_advance(dev);
}

void
vmm_operation_end_at_once(struct vmm_operation *op, const struct vmm_completion *completion)
{
	operation_enqueue(op, completion);
	operation_end(op);
	watch_update(op->dev);
}

/* Wait for the daemon, without the lock: all else that can happen is of no use before. */
static void
wait_for_daemon(struct vuc_vmm_device *dev)
{
	struct pollfd poller = {
		.fd = dev->link.connected ? dev->link.fd : -1,
		.events = dev->ops.asked != 0 ? POLLIN : POLLOUT,
	};
	int64_t left = (int64_t)(next_look(dev) - vuc_clock_ms());

	dev->ops.receiving = true;
	pthread_mutex_unlock(&dev->lock);
	poll(&poller, 1, left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);
	pthread_mutex_lock(&dev->lock);
	dev->ops.receiving = false;
}

int
vmm_operation_wait(struct vmm_operation *op, struct vuc_error *err)
{
	struct vuc_vmm_device *dev = op->dev;
	struct vmm_operations *ops = &dev->ops;
	int status;

	operation_enqueue(op, NULL);
	ops->waiting++;
	if (!ops->receiving)
		operations_step(dev);
	watch_update(dev);
	while (!op->over) {
		if (ops->receiving) {
			pthread_cond_wait(&ops->turn, &dev->lock);
			continue;
		}
		wait_for_daemon(dev);
		operations_step(dev);
		watch_update(dev);
		pthread_cond_broadcast(&ops->turn);
	}
	ops->waiting--;
	vmm_operations_advance(dev);
	status = op->status != 0 ? vuc_error_set(err, op->status, "%s", op->err.text) : 0;
	vmm_operation_free(op);
	return status;
}

bool
vmm_is_callback(const struct vuc_vmm_device *dev)
{
	return dev->ops.telling && pthread_equal(dev->ops.teller, pthread_self());
}

int
vmm_check_attached(const struct vuc_vmm_device *dev, struct vuc_error *err)
{
	if (dev->phase == VMM_ATTACHED)
		return 0;
	if (dev->phase != VMM_ATTACHING)
		return vuc_error_set(err, -ECANCELED, "the device is being detached");
	if (dev->link.ended)
		return vuc_error_set(
			err, -ENOTCONN, "the device was not attached: %s", dev->link.reason.text);
	return vuc_error_set(err, -ENOTCONN,
		"the device is not attached yet: wait until vuc_vmm_attach_start() has ended");
}

int
vmm_attached_check(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = vmm_check_attached(dev, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

int
vmm_operation_check_call(const struct vuc_vmm_device *dev, const struct vmm_completion *completion,
	struct vuc_error *err)
{
	if (completion != NULL && completion->done == NULL)
		return vuc_error_set(err, -EINVAL, "no completion callback");
	if (completion == NULL && vmm_is_callback(dev))
		return vuc_error_set(
			err, -EDEADLK, "a synchronous call from a completion callback");
	return vmm_check_attached(dev, err);
}

int
vmm_operation_check(const struct vuc_vmm_device *dev, const struct vmm_completion *completion,
	struct vuc_error *err)
{
	int rc = vmm_operation_check_call(dev, completion, err);

	if (rc == 0 && dev->link.ended)
		rc = vuc_error_set(err, -ECONNRESET, "%s", dev->link.reason.text);
	return rc;
}

int
vmm_operation_begin_locked(
	struct vmm_operation *op, const struct vmm_completion *completion, struct vuc_error *err)
{
	int rc = vmm_operation_check(op->dev, completion, err);

	if (rc == -ECONNRESET && op->ops->cut != NULL)
		op->ops->cut(op);
	if (rc != 0)
		vmm_operation_free(op);
	else if (completion != NULL)
		vmm_operation_start(op, completion);
	else
		rc = vmm_operation_wait(op, err);
	return rc;
}

int
vmm_operation_begin(
	struct vmm_operation *op, const struct vmm_completion *completion, struct vuc_error *err)
{
	struct vuc_vmm_device *dev = op->dev;
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = vmm_operation_begin_locked(op, completion, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

void
vmm_operations_cancel(struct vuc_vmm_device *dev)
{
	static const struct vuc_error why = {"the device is being detached"};
	struct vmm_operation *op;

	while ((op = TAILQ_FIRST(&dev->ops.queue)) != NULL) {
		vmm_operation_fail(op, -ECANCELED, &why);
		operation_end(op);
	}
	watch_update(dev);
}

void
vmm_operations_tell(struct vuc_vmm_device *dev)
{
	struct vmm_operations *ops = &dev->ops;
	struct vmm_operation *last = TAILQ_LAST(&ops->ended, vmm_operation_list);
	struct vmm_operation *op;
	bool is_last = last == NULL, nested = ops->telling;
	enum vmm_phase phase;

	ops->telling = true;
	ops->teller = pthread_self();
	while (!is_last && (op = TAILQ_FIRST(&ops->ended)) != NULL) {
		is_last = op == last;
		TAILQ_REMOVE(&ops->ended, op, link);
		phase = op->phase;
		if (phase == VMM_ATTACHED && op->status == 0 && dev->phase == VMM_ATTACHING)
			dev->phase = phase;
		pthread_mutex_unlock(&dev->lock);
		op->completion.done(op->completion.arg, op->status, &op->err);
		pthread_mutex_lock(&dev->lock);
		vmm_operation_free(op);
		if (phase == VMM_DETACHED)
			dev->phase = phase;
	}
	ops->telling = nested;
	watch_update(dev);
}
