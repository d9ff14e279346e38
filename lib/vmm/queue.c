/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <vuc/export.h>

#include "error.h"
#include "front.h"
#include "operation.h"

/* A queue with the memory that the daemon has made for it. */
struct vmm_queue {
	struct vuc_queue *front;
	uint32_t index;
	void *requests;
	void *completions;
	size_t requests_size;
	size_t completions_size;
};

static void
free_queue(struct vmm_queue *q)
{
	vuc_queue_destroy(q->front);
	if (q->requests != NULL)
		munmap(q->requests, q->requests_size);
	if (q->completions != NULL)
		munmap(q->completions, q->completions_size);
	free(q);
}

void
vmm_queues_free(struct vuc_vmm_device *dev)
{
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		if (dev->queues[i] != NULL)
			free_queue(dev->queues[i]);
		dev->queues[i] = NULL;
	}
}

/* What a thread that waits asks: nobody will ever answer when the daemon has gone. */
static int
check_daemon(void *arg)
{
	const struct vuc_vmm_device *dev = arg;

	return vmm_link_is_gone(&dev->link) ? -ECONNRESET : 0;
}

static int
map_queue(struct vmm_queue *q, const struct vuc_queue_geometry *g, const struct vmm_fds *fds,
	struct vuc_error *err)
{
	int rc;

	q->requests_size = vuc_queue_requests_size(g);
	q->completions_size = vuc_queue_completions_size(g);
	rc = vmm_memory_map(&q->requests, fds->fd[0], q->requests_size, PROT_READ | PROT_WRITE,
		"requests of a queue", err);
	if (rc == 0)
		rc = vmm_memory_map(&q->completions, fds->fd[1], q->completions_size, PROT_READ,
			"completions of a queue", err);
	return rc;
}

static int
create_front(struct vuc_vmm_device *dev, struct vmm_queue *q, const struct vuc_queue_geometry *g,
	struct vuc_error *err)
{
	const struct vuc_queue_front_opts opts = {
		.geometry = *g,
		.requests = q->requests,
		.completions = q->completions,
		.bell =
			{
				.word = (_Atomic uint64_t *)&dev->pages.bell->rung,
				.bit = UINT64_C(1) << q->index,
				.sleeps = (const _Atomic uint32_t *)&dev->pages.poller->sleeps,
				.kick_fd = dev->kick_fd,
			},
		.check = check_daemon,
		.check_arg = dev,
	};

	q->front = vuc_queue_create(&opts);
	return q->front != NULL
		? 0
		: vuc_error_set(err, -ENOMEM, "no memory for a queue of %" PRIu32, g->depth);
}

/* Make a queue of what came with the reply. */
static int
make_queue(struct vuc_vmm_device *dev, const struct vuc_shm_queue_reply *r,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_queue_geometry g = {.depth = r->depth, .chunk = r->max_data};
	struct vmm_queue *q = calloc(1, sizeof(*q));
	int rc;

	if (q == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a queue");
	q->index = r->index;
	rc = map_queue(q, &g, fds, err);
	if (rc == 0)
		rc = create_front(dev, q, &g, err);
	if (rc == 0)
		dev->queues[q->index] = q;
	else
		free_queue(q);
	return rc;
}

static int
check_reply(struct vuc_vmm_device *dev, const union vmm_packet *packet,
	const struct vuc_queue_opts *opts, struct vuc_error *err)
{
	const struct vuc_shm_queue_reply *r = &packet->queue_reply;
	const struct vuc_queue_geometry g = {.depth = r->depth, .chunk = r->max_data};

	if (r->index >= VUC_SHM_MAX_QUEUES || dev->queues[r->index] != NULL)
		return vmm_reply_wrong(dev, packet, err, "index", r->index);
	if (r->depth != opts->depth)
		return vmm_reply_wrong(dev, packet, err, "depth", r->depth);
	if (r->max_data > opts->max_data || !vuc_queue_geometry_valid(&g))
		return vmm_reply_wrong(dev, packet, err, "max_data", r->max_data);
	if (r->reserved != 0)
		return vmm_reply_wrong(dev, packet, err, "reserved", r->reserved);
	if (r->requests_size < vuc_queue_requests_size(&g))
		return vmm_reply_wrong(dev, packet, err, "requests_size", r->requests_size);
	if (r->completions_size < vuc_queue_completions_size(&g))
		return vmm_reply_wrong(dev, packet, err, "completions_size", r->completions_size);
	return 0;
}

/* Also a reply whose descriptors were lost says which queue it is that has to be given back. */
static int
check_all(struct vuc_vmm_device *dev, const union vmm_packet *packet, const struct vmm_fds *fds,
	const struct vuc_queue_opts *opts, struct vuc_error *err)
{
	int shape = vmm_reply_is(dev, packet, sizeof(packet->queue_reply), fds, 2, err);
	int rc;

	if (shape != 0 && shape != -EMFILE)
		return shape;
	rc = check_reply(dev, packet, opts, err);
	return rc != 0 ? rc : shape;
}

struct open_operation {
	struct vmm_operation op;
	struct vuc_queue_opts opts;
	struct vuc_queue **to;
	bool gives_back; /* a queue that this side could not use */
	uint32_t index;
};

static bool
open_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct open_operation *o = (struct open_operation *)op;

	(void)fds;
	if (o->gives_back) {
		vmm_request_set(request, VUC_SHM_CLOSE_QUEUE, sizeof(request->index));
		request->index.index = o->index;
	} else {
		vmm_request_set(request, VUC_SHM_OPEN_QUEUE, sizeof(request->open_queue));
		request->open_queue.depth = o->opts.depth;
		request->open_queue.max_data = o->opts.max_data;
	}
	return true;
}

/* What was opened and cannot be used is given back. */
static int
open_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct open_operation *o = (struct open_operation *)op;
	struct vuc_vmm_device *dev = op->dev;
	const struct vuc_shm_queue_reply *r = &reply->queue_reply;
	int rc;

	if (o->gives_back)
		return vmm_reply_is(dev, reply, sizeof(reply->plain), fds, 0, err);
	rc = check_all(dev, reply, fds, &o->opts, err);
	if (rc == 0)
		rc = make_queue(dev, r, fds, err);
	if (rc == -EPROTO)
		return vmm_link_end(&dev->link, NULL, rc, "%s", err->text);
	if (rc == 0) {
		*o->to = dev->queues[r->index]->front;
		return 0;
	}
	o->gives_back = true;
	o->index = r->index;
	vmm_operation_fail(op, rc, err);
	return VMM_MORE;
}

static const struct vmm_operation_ops open_ops = {.ask = open_ask, .take = open_take};

static int
check_opts(
	const struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts, struct vuc_error *err)
{
	const struct vuc_queue_geometry g = {.depth = opts->depth, .chunk = opts->max_data};

	if (opts->depth > dev->info.max_depth)
		return vuc_error_set(err, -EINVAL,
			"a queue's depth of %" PRIu32 ", the daemon allows %" PRIu32, opts->depth,
			dev->info.max_depth);
	if (!vuc_queue_geometry_valid(&g))
		return vuc_error_set(err, -EINVAL,
			"a queue with a depth of %" PRIu32 " and a max_data of %" PRIu32
			" cannot be: a power of two, and a multiple of 64",
			opts->depth, opts->max_data);
	return 0;
}

static int
open_begin(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts, struct vuc_queue **queue,
	const struct vmm_completion *completion, struct vuc_error *err)
{
	struct vuc_queue_opts known;
	struct open_operation *o;
	int rc;

	if (queue == NULL)
		return vuc_error_set(err, -EINVAL, "queue is NULL");
	*queue = NULL;
	rc = vuc_queue_read_opts(&known, opts, err);
	if (rc == 0)
		rc = vmm_attached_check(dev, err);
	if (rc == 0)
		rc = check_opts(dev, &known, err);
	if (rc != 0)
		return rc;
	o = vmm_operation_create(dev, &open_ops, sizeof(*o), err);
	if (o == NULL)
		return -ENOMEM;
	o->opts = known;
	o->to = queue;
	return vmm_operation_begin(&o->op, completion, err);
}

VUC_EXPORT int
vuc_vmm_open_queue(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts,
	struct vuc_queue **queue, struct vuc_error *err)
{
	return open_begin(dev, opts, queue, NULL, err);
}

VUC_EXPORT int
vuc_vmm_open_queue_start(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts,
	struct vuc_queue **queue, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return open_begin(dev, opts, queue, &(const struct vmm_completion){done, arg}, err);
}

/* The queue is the operation's. */
struct close_operation {
	struct vmm_operation op;
	struct vmm_queue *queue;
};

static bool
close_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct close_operation *c = (struct close_operation *)op;

	(void)fds;
	vmm_request_set(request, VUC_SHM_CLOSE_QUEUE, sizeof(request->index));
	request->index.index = c->queue->index;
	return true;
}

static int
close_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	return vmm_reply_is(op->dev, reply, sizeof(reply->plain), fds, 0, err);
}

/* However it ended: the daemon does not use the memory, or has forgotten it with the connection. */
static void
close_free(struct vmm_operation *op)
{
	struct close_operation *c = (struct close_operation *)op;

	if (c->queue != NULL)
		free_queue(c->queue);
}

static const struct vmm_operation_ops close_ops = {
	.ask = close_ask,
	.take = close_take,
	.free = close_free,
};

/* Take a queue out of the device. NULL: it has no such queue. */
static struct vmm_queue *
take_queue(struct vuc_vmm_device *dev, const struct vuc_queue *queue)
{
	for (uint32_t i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		struct vmm_queue *q = dev->queues[i];

		if (q == NULL || q->front != queue)
			continue;
		dev->queues[i] = NULL;
		return q;
	}
	return NULL;
}

VUC_EXPORT int
vuc_vmm_close_queue_start(struct vuc_vmm_device *dev, struct vuc_queue *queue, vuc_vmm_done_fn done,
	void *arg, struct vuc_error *err)
{
	const struct vmm_completion completion = {done, arg};
	struct close_operation *c = vmm_operation_create(dev, &close_ops, sizeof(*c), err);
	int rc;

	if (c == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&dev->lock);
	rc = vmm_operation_check(dev, &completion, err);
	if (rc == 0)
		c->queue = take_queue(dev, queue);
	if (rc == 0 && c->queue == NULL)
		rc = vuc_error_set(err, -EINVAL, "the device has no such queue, or it is closed");
	if (rc == 0)
		vmm_operation_start(&c->op, &completion);
	else
		vmm_operation_free(&c->op);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

VUC_EXPORT void
vuc_vmm_close_queue(struct vuc_vmm_device *dev, struct vuc_queue *queue)
{
	struct close_operation *c;
	struct vmm_queue *taken;

	if (queue == NULL)
		return;
	pthread_mutex_lock(&dev->lock);
	taken = take_queue(dev, queue);
	c = taken != NULL && !dev->link.ended
		? vmm_operation_create(dev, &close_ops, sizeof(*c), NULL)
		: NULL;
	if (c != NULL) {
		c->queue = taken;
		vmm_operation_wait(&c->op, NULL);
	} else if (taken != NULL) {
		free_queue(taken);
	}
	pthread_mutex_unlock(&dev->lock);
}
