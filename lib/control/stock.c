/* SPDX-License-Identifier: BSD-3-Clause */
#include "stock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "error.h"
#include "outage.h"
#include "serve.h"
#include "source.h"
#include "text.h"

#define MAX_DATA     (1u << 20) /* of an access */
#define LATE_LOOK_MS 20u        /* between looks, while an operation takes too long */

struct stock {
	bool works; /* the thread carries out a request */
	bool late;  /* its requests have been answered, and the turn was passed on */
	struct front *front;
	struct vuc_queue *queue;
	struct front_server *server;
};

/* ---- coming and going ---- */

/* A stock VMM has no name of its own, so that of its program is used. */
static void
stock_find_name(struct control_vmm *v)
{
	char path[64], name[sizeof(v->name)] = "";
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)v->user.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, name, sizeof(name) - 1);
		close(fd);
	}
	if (n <= 0)
		return;
	name[strcspn(name, "\n")] = '\0';
	pthread_mutex_lock(&v->control->lock);
	snprintf(v->name, sizeof(v->name), "%s", name);
	vuc_text_clean_name(v->name);
	pthread_mutex_unlock(&v->control->lock);
}

static uint32_t
stock_reply_ms(struct control_vmm *v)
{
	struct control_device *d;
	uint32_t ms = 0;

	pthread_mutex_lock(&v->control->lock);
	d = control_find(v->control, v->exported);
	if (d != NULL)
		ms = d->reply_ms;
	pthread_mutex_unlock(&v->control->lock);
	return ms;
}

static int
stock_open_queue(struct control_vmm *v, struct stock *st, struct vuc_error *err)
{
	struct vuc_queue_opts opts;

	vuc_queue_opts_init(&opts, sizeof(opts));
	opts.depth = FRONT_MAX_REQUESTS;
	return vuc_poller_open_queue(v->device->poller, v->link->dev, &opts, &st->queue, err);
}

static int
stock_create_front(struct control_vmm *v, struct stock *st, struct vuc_error *err)
{
	const struct vuc_device_version *version = vuc_device_version(v->link->dev);
	uint32_t max_maps = v->control->opts.max_dma_maps;
	uint32_t max_data = vuc_device_access_max(v->link->dev);
	struct front_shape shape;
	const struct front_opts opts = {
		.max_data = max_data < MAX_DATA ? max_data : MAX_DATA,
		.reply_ms = v->device->reply_ms,
		.now_ms = vuc_clock_coarse_ms(),
		.max_dma_maps = version->max_dma_maps < max_maps ? version->max_dma_maps : max_maps,
		.pgsizes = version->pgsizes,
		.migration_pgsize = version->migration_pgsize,
		.shape = &shape,
	};
	int rc = stock_shape_make(v, st->queue, &shape, err);

	if (rc != 0)
		return rc;
	st->front = front_create(&opts);
	stock_shape_free(&shape);
	return st->front != NULL ? 0 : vuc_error_set(err, -ENOMEM, "no memory for a connection");
}

static int
stock_create_server(struct control_vmm *v, struct stock *st, struct vuc_error *err)
{
	const struct front_server_opts opts = {
		.poller = v->device->poller,
		.dev = v->link->dev,
		.queue = st->queue,
		.front = st->front,
		.closer = v->closer,
		.fd = v->fd,
		.wake_fd = v->wake_fd,
	};
	int rc;

	st->server = front_server_create(&opts);
	if (st->server == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a connection");
	rc = front_server_pass(st->server);
	return rc != 0 ? vuc_error_set(err, rc, "the poller: %s", strerror(-rc)) : 0;
}

/*
 * While the thread waits for the server: the request is answered in time, and the poller gets its
 * turn. The thread's operation continues; until it ends, the thread refuses other requests.
 */
static uint64_t
stock_wait(struct control_vmm *v)
{
	struct stock *st = v->stock;
	uint64_t now = vuc_clock_coarse_ms(), due;

	if (!front_server_has_turn(st->server))
		return now + LATE_LOOK_MS;
	front_server_receive(st->server);
	if (front_why(st->front) != NULL)
		return now + LATE_LOOK_MS;
	if (st->late || !st->works) {
		front_server_drop_late(st->server);
	} else {
		due = front_deadline_ms(st->front);
		if (due == 0 || due > now)
			return now + LATE_LOOK_MS;
		front_server_expire(st->server);
		st->late = front_outstanding(st->front) == 0;
	}
	if (front_server_send(st->server) == 0 && front_outstanding(st->front) == 0)
		front_server_pass(st->server);
	return now + LATE_LOOK_MS;
}

static int
stock_begin(struct control_vmm *v, struct vuc_error *err)
{
	struct stock *st = calloc(1, sizeof(*st));
	int rc;

	v->stock = st;
	if (st == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a connection");
	rc = vmm_claim_device(v, v->exported, vuc_clock_ms() + stock_reply_ms(v), err);
	if (rc != 0)
		return rc;
	rc = vmm_prepare_device(v);
	if (rc != 0)
		return vuc_error_set(err, rc, "no memory for a VMM: %s", strerror(-rc));
	vmm_start_record(v);
	rc = stock_open_queue(v, st, err);
	if (rc == 0)
		rc = stock_create_front(v, st, err);
	if (rc == 0)
		rc = stock_create_server(v, st, err);
	if (rc != 0)
		return rc;
	v->while_waiting = stock_wait;
	v->state = VMM_ATTACHED;
	atomic_store_explicit(&v->nr_queues, 1, memory_order_relaxed);
	vmm_log(v, VUC_LOG_NOTICE, "attached at %s", v->device->exported.listener.address.sun_path);
	return 0;
}

void
stock_end(struct control_vmm *v)
{
	struct stock *st = v->stock;

	if (st == NULL)
		return;
	v->while_waiting = NULL;
	front_server_destroy(st->server);
	if (st->queue != NULL)
		vuc_poller_close_queue(v->device->poller, st->queue);
	if (st->front != NULL) {
		int fds[VUC_SHM_MAX_FDS];
		unsigned int n;

		front_end(st->front, NULL);
		while ((n = front_take_stray_fds(st->front, fds, VUC_SHM_MAX_FDS)) > 0)
			vmm_close_fds(v, fds, n);
	}
	front_destroy(st->front);
	free(st);
	v->stock = NULL;
	atomic_store_explicit(&v->nr_queues, 0, memory_order_relaxed);
}

/* ---- answers ---- */

/* Whether the request is still to be answered, since its time is not over. */
static bool
stock_may_answer(struct control_vmm *v)
{
	if (v->stock->late)
		return false;
	front_server_expire(v->stock->server);
	return true;
}

static void
stock_reply(struct control_vmm *v, unsigned int token, int status)
{
	if (stock_may_answer(v))
		front_reply(v->stock->front, token, status);
}

/* Log refusals, as for other VMMs. */
static void
stock_answer(struct control_vmm *v, const struct front_request *r, const char *what, int status,
	const struct vuc_error *err)
{
	if (status != 0)
		vmm_log(v, VUC_LOG_NOTICE, "%s refused: %s", what, err->text);
	stock_reply(v, r->token, status);
}

/* ---- DMA ---- */

#define MAX_BATCH VUC_SHM_MAX_DMA

_Static_assert(MAX_BATCH >= FRONT_MAX_REQUESTS, "what is outstanding fits");

/* Maps, or unmaps, that the VMM has sent without waiting: they are one commit. */
struct stock_batch {
	union {
		struct vuc_shm_dma dma;
		uint8_t bytes[sizeof(struct vuc_shm_dma) +
			MAX_BATCH * sizeof(struct vuc_shm_dma_entry)];
	} request;
	unsigned int tokens[MAX_BATCH];
	unsigned int ignored[MAX_BATCH]; /* tokens of what is not forwarded */
	unsigned int nr_ignored;
	int fds[MAX_BATCH];
	unsigned int nr_fds;
};

/* A server cannot access memory without a descriptor, so this mapping is not forwarded. Returns
 * whether it is. */
static bool
stock_fill_map(struct stock_batch *b, const struct front_request *r, struct vuc_shm_dma_entry *e)
{
	if (r->nr_fds == 0)
		return false;
	*e = (struct vuc_shm_dma_entry){
		.op = VUC_SHM_DMA_MAP,
		.flags = r->map.flags & (VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE),
		.iova = r->map.addr,
		.size = r->map.size,
		.offset = r->map.offset,
		.fd_index = (int32_t)b->nr_fds,
	};
	b->fds[b->nr_fds++] = r->fds[0];
	return true;
}

static void
stock_fill_unmap(const struct front_request *r, struct vuc_shm_dma_entry *e)
{
	*e = (struct vuc_shm_dma_entry){
		.op = r->unmap.all ? VUC_SHM_DMA_UNMAP_ALL : VUC_SHM_DMA_UNMAP,
		.flags = r->unmap.all ? 0 : VUC_SHM_DMA_IF_MAPPED,
		.iova = r->unmap.addr,
		.size = r->unmap.size,
		.fd_index = -1,
	};
}

static void
stock_add_to_batch(struct stock_batch *b, const struct front_request *r)
{
	struct vuc_shm_dma *dma = &b->request.dma;
	struct vuc_shm_dma_entry *e = &dma->entries[dma->nr];

	if (r->kind == FRONT_DMA_UNMAP)
		stock_fill_unmap(r, e);
	else if (!stock_fill_map(b, r, e)) {
		b->ignored[b->nr_ignored++] = r->token;
		return;
	}
	b->tokens[dma->nr++] = r->token;
}

static void
stock_apply_batch(struct control_vmm *v, const struct stock_batch *b, const char *what)
{
	const struct vuc_shm_dma *dma = &b->request.dma;
	int statuses[MAX_BATCH] = {0};
	unsigned int refused = 0;
	struct vuc_error err;
	int rc = 0;

	if (dma->nr > 0)
		rc = vmm_apply_dma(v, dma, b->fds, statuses, &err);
	for (uint32_t i = 0; i < dma->nr; i++) {
		refused += statuses[i] != 0;
		stock_reply(v, b->tokens[i], statuses[i]);
	}
	for (unsigned int i = 0; i < b->nr_ignored; i++)
		stock_reply(v, b->ignored[i], 0);
	if (rc != 0)
		vmm_log(v, VUC_LOG_NOTICE, "%u of %u %s refused: %s", refused, dma->nr, what,
			err.text);
}

/*
 * The machine returns nothing else while maps, or unmaps, are outstanding, so none is answered
 * before all are there. If the connection ends meanwhile, nobody needs them any more.
 */
static void
stock_change_dma(struct control_vmm *v, const struct front_request *first)
{
	struct stock_batch b = {.request.dma.flags = VUC_SHM_DMA_COMMIT};
	const char *what = first->kind == FRONT_DMA_MAP ? "DMA_MAP" : "DMA_UNMAP";
	struct front_request r = *first;
	int rc = 1;

	while (rc == 1) {
		stock_add_to_batch(&b, &r);
		rc = b.request.dma.nr + b.nr_ignored < MAX_BATCH
			? front_server_next(v->stock->server, &r)
			: 0;
	}
	if (rc == 0)
		stock_apply_batch(v, &b, what);
	vmm_close_fds(v, b.fds, b.nr_fds);
}

/* ---- interrupts ---- */

/* The eventfd of REQ asks the VMM to release its device. */
static void
stock_keep_request_fd(struct control_vmm *v, const struct front_request *r)
{
	int fd = -1, old;

	if (r->irqs.range.index != VFIO_PCI_REQ_IRQ_INDEX ||
		r->irqs.action != VUC_WIRE_IRQ_TRIGGER ||
		(r->irqs.data != FRONT_IRQ_EVENTFD && r->irqs.range.count > 0))
		return;
	if (r->irqs.data == FRONT_IRQ_EVENTFD && front_irq_fd(r, 0) >= 0 &&
		packet_is_eventfd(front_irq_fd(r, 0), false))
		fd = fcntl(front_irq_fd(r, 0), F_DUPFD_CLOEXEC, 0);
	pthread_mutex_lock(&v->control->lock);
	old = v->request_fd;
	v->request_fd = fd;
	pthread_mutex_unlock(&v->control->lock);
	vmm_close_fds(v, &old, 1);
}

static bool
stock_has_irq(const struct control_vmm *v, uint32_t index)
{
	const struct vuc_irq *irq = vuc_device_irq(v->link->dev, index);

	return irq != NULL && irq->count > 0;
}

/* A count of 0 disables the index. */
static enum vuc_shm_irq_action
stock_irq_action(const struct front_set_irqs *set)
{
	if (set->range.count == 0)
		return VUC_SHM_IRQ_DISABLE;
	switch (set->action) {
	case VUC_WIRE_IRQ_MASK:
		return VUC_SHM_IRQ_MASK;
	case VUC_WIRE_IRQ_UNMASK:
		return VUC_SHM_IRQ_UNMASK;
	case VUC_WIRE_IRQ_TRIGGER:
		break;
	}
	return VUC_SHM_IRQ_TRIGGER;
}

static int
stock_apply_irqs(struct control_vmm *v, const struct front_request *r, struct vuc_error *err)
{
	const struct front_set_irqs *set = &r->irqs;
	int eventfds[VUC_SHM_MAX_IRQS];
	bool which[VUC_SHM_MAX_IRQS];
	struct vmm_irqs irqs = {
		.range = {set->range.index, set->range.start, set->range.count},
		.action = stock_irq_action(set),
	};

	if (set->data != FRONT_IRQ_NONE && set->range.count > VUC_SHM_MAX_IRQS)
		return vuc_error_set(err, -EINVAL, "%u interrupts in a message", set->range.count);
	for (uint32_t i = 0; set->data != FRONT_IRQ_NONE && i < set->range.count; i++) {
		if (set->data == FRONT_IRQ_EVENTFD)
			eventfds[i] = front_irq_fd(r, i);
		else
			which[i] = set->flags[i] != 0;
	}
	if (set->data == FRONT_IRQ_EVENTFD)
		irqs.eventfds = eventfds;
	else if (set->data == FRONT_IRQ_BOOL)
		irqs.which = which;
	return vmm_apply_irqs(v, &irqs, err);
}

static void
stock_set_irqs(struct control_vmm *v, const struct front_request *r)
{
	uint32_t index = r->irqs.range.index;
	struct vuc_error err = {0};
	int rc = 0;

	stock_keep_request_fd(v, r);
	/* Indexes that the device does not have are accepted nevertheless. */
	if (stock_has_irq(v, index))
		rc = stock_apply_irqs(v, r, &err);
	stock_answer(v, r, "SET_IRQS", rc, &err);
}

/* ---- features ---- */

static void
stock_use_feature(struct control_vmm *v, const struct front_request *r)
{
	struct stock_data reply = {0};
	struct vuc_error err = {0};
	int rc = stock_feature_use(v, r, &reply, &err);

	if (rc != 0)
		vmm_log(v, VUC_LOG_NOTICE, "%s refused: %s", stock_feature_name(r), err.text);
	if (stock_may_answer(v))
		front_reply_data(v->stock->front, r->token, rc, reply.bytes, reply.len);
	free(reply.bytes);
}

/* ---- everything else ---- */

static void
stock_give_region(struct control_vmm *v, const struct front_request *r)
{
	struct vuc_error err = {0};
	struct vmm_areas areas;
	int rc;

	/* Set before the call, so that a restore that begins meanwhile sees it. */
	/* One that can be mapped is below VMM_MAPPED_REGIONS. */
	atomic_fetch_or_explicit(
		&v->link->kept_files, UINT64_C(1) << r->region, memory_order_relaxed);
	rc = vmm_find_areas(v, r->region, &areas, &err);
	if (rc == 0 && areas.nr_fds != 1)
		rc = vuc_error_set(&err, -EOPNOTSUPP, "region %u has %u files by now", r->region,
			areas.nr_fds);
	if (rc != 0)
		vmm_log(v, VUC_LOG_NOTICE, "GET_REGION_INFO: no descriptor: %s", err.text);
	if (stock_may_answer(v)) {
		front_reply_fd(v->stock->front, r->token, rc, rc == 0 ? areas.fds[0] : -1);
		areas.nr_fds = rc == 0 ? 0 : areas.nr_fds;
	}
	vmm_drop_areas(v, &areas);
}

static void
stock_carry_out(struct control_vmm *v, const struct front_request *r)
{
	struct vuc_error err = {0};
	int rc;

	switch (r->kind) {
	case FRONT_SET_IRQS:
		stock_set_irqs(v, r);
		break;
	case FRONT_REGION_FD:
		stock_give_region(v, r);
		break;
	case FRONT_RESET:
		rc = vmm_apply_reset(v, &err);
		stock_feature_note_reset(v, rc);
		stock_answer(v, r, "DEVICE_RESET", rc, &err);
		break;
	case FRONT_FEATURE:
	case FRONT_MIGRATION_READ:
	case FRONT_MIGRATION_WRITE:
		stock_use_feature(v, r);
		break;
	case FRONT_DMA_MAP: /* stock_take_request() */
	case FRONT_DMA_UNMAP:
	case FRONT_ACCESS: /* the poller's */
		break;
	}
}

/* The request is invalid after the next call of the machine; its descriptors are kept. */
static void
stock_take_request(struct control_vmm *v, struct front_request *r)
{
	int fds[FRONT_MAX_FDS];

	if (r->kind == FRONT_DMA_MAP || r->kind == FRONT_DMA_UNMAP) {
		stock_change_dma(v, r);
		return;
	}
	if (r->nr_fds > 0)
		memcpy(fds, r->fds, r->nr_fds * sizeof(*fds));
	r->fds = fds;
	stock_carry_out(v, r);
	vmm_close_fds(v, fds, r->nr_fds);
}

/* ---- the thread ---- */

/* While it is this thread's turn. Returns 0, or an error that ends the connection, with why. */
static int
stock_take_turn(struct control_vmm *v)
{
	struct stock *st = v->stock;
	struct front_request r;
	int rc;

	while ((rc = front_server_next(st->server, &r)) == 1) {
		bool late;

		st->works = true;
		stock_take_request(v, &r);
		late = st->late;
		st->works = st->late = false;
		/* The turn was passed on, and may have come back. */
		if (late && !front_server_has_turn(st->server))
			return 0;
		rc = front_server_send(st->server);
		if (rc != 0)
			break;
	}
	if (rc == 0)
		rc = front_server_send(st->server);
	if (rc != 0)
		return vuc_error_set(&v->why, rc, "%s", front_why(st->front));
	rc = front_server_pass(st->server);
	return rc != 0 ? vuc_error_set(&v->why, rc, "the poller: %s", strerror(-rc)) : 0;
}

static int
stock_look_around(struct control_vmm *v)
{
	uint64_t now = vuc_clock_ms();
	const char *problem = vmm_leaves(v, now);

	if (problem != NULL)
		return vuc_error_set(&v->why, -ECANCELED, "%s", problem);
	problem = dma_maps_problem(&v->maps);
	if (problem != NULL)
		return vuc_error_set(&v->why, -EFAULT, "%s", problem);
	vmm_watch_nvme(v, now);
	vmm_signal_return(v);
	return front_server_has_turn(v->stock->server) ? stock_take_turn(v) : 0;
}

static int
stock_until_next(struct control_vmm *v)
{
	uint64_t now = vuc_clock_ms(), next;

	pthread_mutex_lock(&v->control->lock);
	next = v->leave_ms;
	pthread_mutex_unlock(&v->control->lock);
	if (v->nvme.due_ms != 0 && (next == 0 || v->nvme.due_ms < next))
		next = v->nvme.due_ms;
	if (next == 0)
		return -1;
	return next > now ? (int)(next - now) : 0;
}

int
stock_serve(struct control_vmm *v)
{
	int rc;

	stock_find_name(v);
	rc = stock_begin(v, &v->why);
	while (rc == 0) {
		control_wait(v->wake_fd, stock_until_next(v));
		rc = stock_look_around(v);
	}
	/* A stock VMM is blocked while it waits for a reply, so it must not wait for the release of
	 * its device, too. */
	shutdown(v->fd, SHUT_RDWR);
	return rc;
}
