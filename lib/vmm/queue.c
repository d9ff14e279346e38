/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <vuc/export.h>

#include "descriptor.h"
#include "error.h"
#include "front.h"
#include "message.h"

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
check_all(struct vuc_vmm_device *dev, const union vmm_packet *packet, struct vmm_fds *fds,
	const struct vuc_queue_opts *opts, struct vuc_error *err)
{
	int shape = vmm_reply_is(dev, packet, sizeof(packet->queue_reply), fds, 2, err);
	int rc;

	if (shape != 0 && shape != -EMFILE)
		return shape;
	rc = check_reply(dev, packet, opts, err);
	return rc != 0 ? rc : shape;
}

static void
give_back(struct vuc_vmm_device *dev, uint32_t index)
{
	union vmm_packet packet = {.index = {.index = index}};

	/* Should it fail, the daemon has forgotten the queue with the connection. */
	vmm_ask(dev, VUC_SHM_CLOSE_QUEUE, &packet, sizeof(packet.index), sizeof(packet.plain),
		NULL);
}

/* Returns 0 with the queue at *index. */
static int
open_queue(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts, uint32_t *index,
	struct vuc_error *err)
{
	union vmm_packet packet = {.open_queue = {
					   .depth = opts->depth,
					   .max_data = opts->max_data,
				   }};
	const struct vuc_shm_queue_reply *r = &packet.queue_reply;
	struct vmm_fds fds = {.nr = 0};
	int rc = vmm_ask_with(
		dev, VUC_SHM_OPEN_QUEUE, &packet, sizeof(packet.open_queue), &fds, err);

	if (rc != 0)
		return rc;
	rc = check_all(dev, &packet, &fds, opts, err);
	if (rc == 0)
		rc = make_queue(dev, r, &fds, err);
	vmm_fds_close(&fds);
	*index = r->index;
	if (rc == -EPROTO)
		vmm_link_end(&dev->link, NULL, rc, "%s", err->text);
	else if (rc != 0)
		give_back(dev, r->index);
	return rc;
}

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

VUC_EXPORT int
vuc_vmm_open_queue(struct vuc_vmm_device *dev, const struct vuc_queue_opts *opts,
	struct vuc_queue **queue, struct vuc_error *err)
{
	struct vuc_queue_opts known;
	struct vuc_error own;
	uint32_t index;
	int rc;

	*queue = NULL;
	if (err == NULL)
		err = &own;
	rc = vuc_queue_read_opts(&known, opts, err);
	if (rc == 0)
		rc = check_opts(dev, &known, err);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&dev->lock);
	rc = open_queue(dev, &known, &index, err);
	if (rc == 0)
		*queue = dev->queues[index]->front;
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

VUC_EXPORT void
vuc_vmm_close_queue(struct vuc_vmm_device *dev, struct vuc_queue *queue)
{
	if (queue == NULL)
		return;
	pthread_mutex_lock(&dev->lock);
	for (uint32_t i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		struct vmm_queue *q = dev->queues[i];

		if (q == NULL || q->front != queue)
			continue;
		give_back(dev, i);
		dev->queues[i] = NULL;
		free_queue(q);
		break;
	}
	pthread_mutex_unlock(&dev->lock);
}
