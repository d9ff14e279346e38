/* SPDX-License-Identifier: BSD-3-Clause */

/* OPEN_QUEUE and CLOSE_QUEUE. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "back.h"
#include "error.h"
#include "layout.h"
#include "vmm.h"
#include "watch.h"

static uint64_t
queue_size_of(const struct vmm_queue *q)
{
	return q->requests.size + q->completions.size;
}

static void
queue_free(struct vmm_queue *q)
{
	memory_free(&q->requests);
	memory_free(&q->completions);
}

static int
queue_check(struct control_vmm *v, const struct vuc_queue_geometry *g, struct vuc_error *err)
{
	const struct vuc_control_opts *opts = &v->control->opts;
	uint64_t size;

	if (!vuc_queue_geometry_valid(g))
		return vuc_error_set(err, -EINVAL,
			"a queue of depth %u with %u bytes a request: the depth is a power of two up "
			"to %u, the bytes are a multiple of %u up to %u",
			g->depth, g->chunk, QUEUE_DEPTH_MAX, QUEUE_SLOT_SIZE, QUEUE_CHUNK_MAX);
	if (atomic_load_explicit(&v->nr_queues, memory_order_relaxed) >= opts->max_queues)
		return vuc_error_set(err, -ENOSPC, "there are %u queues already", opts->max_queues);
	size = vuc_queue_requests_size(g) + vuc_queue_completions_size(g);
	if (size > opts->max_queue_memory - v->queue_memory)
		return vuc_error_set(err, -ENOSPC,
			"a queue of %" PRIu64 " bytes: %" PRIu64 " of %" PRIu64 " bytes are in use",
			size, v->queue_memory, opts->max_queue_memory);
	return 0;
}

static int
queue_create_memory(struct control_vmm *v, struct vmm_queue *q, const struct vuc_queue_geometry *g)
{
	int node = vuc_poller_node(v->device->poller);
	int rc = memory_create(&q->requests, vuc_queue_requests_size(g), MEMORY_THEIRS, node);

	if (rc == 0)
		rc = memory_create(
			&q->completions, vuc_queue_completions_size(g), MEMORY_OURS, node);
	return rc;
}

/* The queue with its memory, or nothing. */
static int
queue_open(struct control_vmm *v, const struct vuc_queue_geometry *g, unsigned int *index,
	struct vuc_error *err)
{
	struct vmm_queue q = {.requests.fd = -1, .completions.fd = -1, .open = true};
	struct vuc_queue_back_opts back = {.geometry = *g};
	int rc = queue_create_memory(v, &q, g);

	if (rc != 0) {
		vuc_error_set(err, rc, "no memory for a queue: %s", strerror(-rc));
	} else {
		back.requests = q.requests.addr;
		back.completions = q.completions.addr;
		rc = vuc_poller_remote_open_queue(v->remote, &back, index, err);
	}
	if (rc != 0) {
		queue_free(&q);
		return rc;
	}
	v->queues[*index] = q;
	v->queue_memory += queue_size_of(&q);
	atomic_fetch_add_explicit(&v->nr_queues, 1, memory_order_relaxed);
	return 0;
}

int
vmm_open_queue(struct control_vmm *v)
{
	const struct vuc_shm_open_queue *r = &v->packet.open_queue;
	struct vuc_queue_geometry g = {.depth = r->depth, .chunk = r->max_data};
	struct vuc_shm_queue_reply reply = {0};
	struct vuc_error err = {0};
	struct vmm_queue *q;
	unsigned int index;
	int rc;

	if (g.chunk > v->max_data && g.chunk <= QUEUE_CHUNK_MAX && g.chunk % QUEUE_SLOT_SIZE == 0)
		g.chunk = v->max_data;
	rc = queue_check(v, &g, &err);
	if (rc == 0)
		rc = queue_open(v, &g, &index, &err);
	if (rc != 0)
		return vmm_refuse(v, rc, "%s", err.text);
	q = &v->queues[index];
	reply.index = index;
	reply.depth = g.depth;
	reply.max_data = g.chunk;
	reply.requests_size = q->requests.size;
	reply.completions_size = q->completions.size;
	rc = vmm_reply(v, &reply.header, sizeof(reply),
		(const int[]){q->requests.fd, q->completions.fd}, 2);
	memory_close(&q->requests);
	memory_close(&q->completions);
	return rc;
}

int
vmm_close_queue(struct control_vmm *v)
{
	const struct vuc_shm_index *r = &v->packet.index;
	struct vuc_shm_plain reply = {0};
	struct vmm_queue *q;

	if (r->reserved != 0)
		return vmm_end(v, "reserved is 0x%x", r->reserved);
	if (r->index >= VUC_SHM_MAX_QUEUES || !v->queues[r->index].open)
		return vmm_refuse(v, -EINVAL, "there is no queue %u", r->index);
	vuc_poller_remote_close_queue(v->remote, r->index);
	q = &v->queues[r->index];
	v->queue_memory -= queue_size_of(q);
	queue_free(q);
	q->open = false;
	atomic_fetch_sub_explicit(&v->nr_queues, 1, memory_order_relaxed);
	return vmm_reply(v, &reply.header, sizeof(reply), NULL, 0);
}

void
vmm_free_queues(struct control_vmm *v)
{
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++) {
		if (v->queues[i].open)
			queue_free(&v->queues[i]);
		v->queues[i].open = false;
	}
	v->queue_memory = 0;
	atomic_store_explicit(&v->nr_queues, 0, memory_order_relaxed);
}
