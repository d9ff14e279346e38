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
	struct vuc_queue_geometry geometry;
	bool open; /* the daemon has it, as this index */
	uint32_t index;
	struct vuc_queue_renewal memory;
	struct vuc_queue_renewal *next; /* that a new daemon has made; not offered yet */
};

static void
memory_unmap(const struct vuc_queue_geometry *g, const struct vuc_queue_renewal *memory)
{
	if (memory->requests != NULL)
		munmap(memory->requests, vuc_queue_requests_size(g));
	if (memory->completions != NULL)
		munmap(memory->completions, vuc_queue_completions_size(g));
}

static void
renewal_free(const struct vuc_queue_geometry *g, struct vuc_queue_renewal *renewal)
{
	if (renewal != NULL)
		memory_unmap(g, renewal);
	free(renewal);
}

static void
free_queue(struct vmm_queue *q)
{
	if (q->front != NULL)
		renewal_free(&q->geometry, vuc_queue_cut(q->front, -ECONNRESET));
	vuc_queue_destroy(q->front);
	memory_unmap(&q->geometry, &q->memory);
	renewal_free(&q->geometry, q->next);
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

/* What is mapped already is in it after an error, too. */
static int
memory_map(struct vuc_queue_renewal *memory, const struct vuc_queue_geometry *g,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	int rc = vmm_memory_map(&memory->requests, fds->fd[0], vuc_queue_requests_size(g),
		PROT_READ | PROT_WRITE, "requests of a queue", err);

	if (rc == 0)
		rc = vmm_memory_map(&memory->completions, fds->fd[1], vuc_queue_completions_size(g),
			PROT_READ, "completions of a queue", err);
	return rc;
}

static int
create_front(struct vuc_vmm_device *dev, struct vmm_queue *q, struct vuc_error *err)
{
	const struct vuc_queue_front_opts opts = {
		.geometry = q->geometry,
		.requests = q->memory.requests,
		.completions = q->memory.completions,
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
	return q->front != NULL ? 0
				: vuc_error_set(err, -ENOMEM, "no memory for a queue of %" PRIu32,
					  q->geometry.depth);
}

/* There is one free: the daemon has fewer queues of this VMM than that. */
static struct vmm_queue **
queue_slot(struct vuc_vmm_device *dev)
{
	struct vmm_queue **slot = dev->queues;

	while (*slot != NULL)
		slot++;
	return slot;
}

/* Make a queue of what came with the reply. */
static int
make_queue(struct vuc_vmm_device *dev, const struct vuc_shm_queue_reply *r,
	const struct vmm_fds *fds, struct vuc_queue **front, struct vuc_error *err)
{
	struct vmm_queue *q = calloc(1, sizeof(*q));
	int rc;

	if (q == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a queue");
	q->geometry = (struct vuc_queue_geometry){.depth = r->depth, .chunk = r->max_data};
	q->index = r->index;
	q->open = true;
	rc = memory_map(&q->memory, &q->geometry, fds, err);
	if (rc == 0)
		rc = create_front(dev, q, err);
	if (rc != 0) {
		free_queue(q);
		return rc;
	}
	*queue_slot(dev) = q;
	*front = q->front;
	return 0;
}

/* Whether the daemon has one of this index. */
static bool
is_open(const struct vuc_vmm_device *dev, uint32_t index)
{
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		const struct vmm_queue *q = dev->queues[i];

		if (q != NULL && q->open && q->index == index)
			return true;
	}
	return false;
}

static int
check_reply(struct vuc_vmm_device *dev, const union vmm_packet *packet,
	const struct vuc_queue_opts *opts, struct vuc_error *err)
{
	const struct vuc_shm_queue_reply *r = &packet->queue_reply;
	const struct vuc_queue_geometry g = {.depth = r->depth, .chunk = r->max_data};

	if (r->index >= VUC_SHM_MAX_QUEUES || is_open(dev, r->index))
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

/* ---- a new daemon ---- */

void
vmm_queues_cut(struct vuc_vmm_device *dev)
{
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		struct vmm_queue *q = dev->queues[i];

		if (q == NULL)
			continue;
		renewal_free(&q->geometry, vuc_queue_cut(q->front, -ECONNRESET));
		renewal_free(&q->geometry, q->next);
		q->next = NULL;
		q->open = false;
	}
}

struct vmm_queue *
vmm_queue_to_open(const struct vuc_vmm_device *dev)
{
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		if (dev->queues[i] != NULL && !dev->queues[i]->open)
			return dev->queues[i];
	}
	return NULL;
}

void
vmm_queue_open_ask(const struct vmm_queue *q, union vmm_packet *request)
{
	vmm_request_set(request, VUC_SHM_OPEN_QUEUE, sizeof(request->open_queue));
	request->open_queue.depth = q->geometry.depth;
	request->open_queue.max_data = q->geometry.chunk;
}

int
vmm_queue_open_take(struct vuc_vmm_device *dev, struct vmm_queue *q, const union vmm_packet *reply,
	const struct vmm_fds *fds, struct vuc_error *err)
{
	const struct vuc_shm_queue_reply *r = &reply->queue_reply;
	const struct vuc_queue_opts opts = {
		.depth = q->geometry.depth, .max_data = q->geometry.chunk};
	int rc = check_all(dev, reply, fds, &opts, err);

	if (rc != 0)
		return rc;
	if (r->max_data != q->geometry.chunk)
		return vuc_error_set(err, -ENODEV,
			"a queue had requests of %" PRIu32 " bytes, and has %" PRIu32 " now",
			q->geometry.chunk, r->max_data);
	q->next = calloc(1, sizeof(*q->next));
	if (q->next == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a queue");
	q->open = true;
	q->index = r->index;
	return memory_map(q->next, &q->geometry, fds, err);
}

void
vmm_queues_offer(struct vuc_vmm_device *dev)
{
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		struct vmm_queue *q = dev->queues[i];

		if (q == NULL || q->next == NULL)
			continue;
		q->next->bit = UINT64_C(1) << q->index;
		vuc_queue_offer(q->front, q->next);
		q->next = NULL;
	}
}

/* ---- opening and closing ---- */

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
		rc = make_queue(dev, r, fds, o->to, err);
	if (rc == -EPROTO)
		return vmm_link_end(&dev->link, NULL, rc, "%s", err->text);
	if (rc == 0)
		return 0;
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
			"queue depth %" PRIu32 ", the daemon allows %" PRIu32, opts->depth,
			dev->info.max_depth);
	if (!vuc_queue_geometry_valid(&g))
		return vuc_error_set(err, -EINVAL,
			"queue depth %" PRIu32 ", max_data %" PRIu32
			": expected a power of two and a multiple of 64",
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
	if (!c->queue->open)
		return false;
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
		if (dev->opening == taken)
			dev->opening = NULL;
		free_queue(taken);
	}
	pthread_mutex_unlock(&dev->lock);
}
