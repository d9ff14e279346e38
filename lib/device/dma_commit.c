/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A commit: first the server's mappings that are to go, and when all of them are answered, what
 * stays of them, then those that are new, one message each. If the server has no room for all of
 * them, it is the new ones that it refuses. Only so many messages are sent ahead of the answers, so
 * that other devices of the poll group are served in between.
 *
 * An answer that does not come in time ends the connection, since the server may hold the memory.
 * Servers pin it, and let requests drain before they let go of it: both take their time.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/dma.h>

#include "dma.h"
#include "error.h"
#include "internal.h"
#include "recorded.h"
#include "vfio_user.h"

_Static_assert(VUC_DMA_READ == VFIO_USER_F_DMA_REGION_READ &&
		VUC_DMA_WRITE == VFIO_USER_F_DMA_REGION_WRITE &&
		VUC_DMA_MMAP == VFIO_USER_F_DMA_REGION_MMAP &&
		VUC_DMA_FILE_IO == VFIO_USER_F_DMA_REGION_FILE_IO,
	"flags go to the server as they are");

#define WINDOW 32u /* messages without an answer */

struct commit;

struct commit_message {
	struct operation_message message;
	struct vuc_wire_dma_range range;
	size_t leaving; /* of an unmapping: the first of those that leave with it */
	size_t nr_leaving;
	bool map;
	bool rest; /* of a mapping that was there before */
	bool kept; /* the server has not unmapped it */
};

enum commit_phase {
	COMMIT_PLAN,
	COMMIT_UNMAPS,
	COMMIT_FORGET,
	COMMIT_MAPS,
};

struct commit {
	struct operation op;
	uint32_t number; /* as in struct dma_entry */
	bool forget;     /* the server has to forget also what nobody knows of */
	enum commit_phase phase;
	struct commit_message *messages; /* of the phase */
	size_t nr;
	size_t room;
	size_t next;                     /* to be sent */
	struct vuc_wire_dma_range *kept; /* mappings that the server has not unmapped, sorted */
	size_t nr_kept;
};

static int
commit_add_message(struct commit *c, const struct commit_message *m)
{
	if (c->nr == c->room) {
		size_t room = c->room == 0 ? 64 : c->room * 2;
		struct commit_message *messages = realloc(c->messages, room * sizeof(*messages));

		if (messages == NULL)
			return operation_fail(&c->op, -ENOMEM, "no memory for a DMA commit");
		c->messages = messages;
		c->room = room;
	}
	c->messages[c->nr++] = *m;
	return 0;
}

/* ---- unmapping ---- */

/* The first entry that begins in a mapping of the server. */
static size_t
window_first(const struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	size_t i = dma_table_lower_bound(t, window->addr);

	return i < t->entries.nr && t->entries.at[i].iova < window->addr ? i + 1 : i;
}

static bool
window_holds(const struct dma_table *t, size_t i, const struct vuc_wire_dma_range *window)
{
	return i < t->entries.nr && t->entries.at[i].iova - window->addr < window->size;
}

static bool
entry_is_of_window(const struct dma_entry *e, const struct vuc_wire_dma_range *window)
{
	return e->on_server && e->window_iova == window->addr && e->window_size == window->size;
}

/* What stays of a mapping of the server that goes has to be mapped anew. */
static void
commit_queue_rest(struct commit *c, const struct vuc_wire_dma_range *window)
{
	struct dma_table *t = &c->op.dev->dma;

	for (size_t i = window_first(t, window); window_holds(t, i, window); i++) {
		struct dma_entry *e = &t->entries.at[i];

		if (entry_is_of_window(e, window)) {
			e->queued = true;
			e->rest = true;
			e->commit = c->number;
		}
	}
}

static int
compare_leaving(const void *a, const void *b)
{
	const struct dma_entry *x = a, *y = b;

	return x->window_iova < y->window_iova ? -1 : x->window_iova > y->window_iova;
}

/* Those that leave a mapping of the server, sorted, are i to the result. */
static size_t
window_end(const struct dma_entries *leaving, size_t i)
{
	size_t end = i + 1;

	while (end < leaving->nr && leaving->at[end].window_iova == leaving->at[i].window_iova)
		end++;
	return end;
}

/* What was unmapped later, but is a part of the same mapping of the server, leaves with it. */
static int
commit_plan_unmaps(struct commit *c)
{
	struct dma_entries *leaving = &c->op.dev->dma.leaving;
	int rc = 0;

	if (leaving->nr > 1)
		qsort(leaving->at, leaving->nr, sizeof(leaving->at[0]), compare_leaving);
	for (size_t i = 0, end; rc == 0 && i < leaving->nr; i = end) {
		const struct dma_entry *e = &leaving->at[i];
		struct commit_message m = {
			.range = {.addr = e->window_iova, .size = e->window_size},
			.leaving = i,
		};
		bool is_due = false;

		end = window_end(leaving, i);
		for (size_t k = i; k < end; k++)
			is_due = is_due || dma_entry_is_due(&leaving->at[k], c->number);
		if (!is_due)
			continue;
		m.nr_leaving = end - i;
		rc = commit_add_message(c, &m);
		if (rc == 0)
			commit_queue_rest(c, &m.range);
	}
	return rc;
}

static void
window_unmapped(struct dma_table *t, const struct commit_message *m)
{
	for (size_t i = window_first(t, &m->range); window_holds(t, i, &m->range); i++) {
		if (entry_is_of_window(&t->entries.at[i], &m->range))
			t->entries.at[i].on_server = false;
		if (!t->entries.at[i].on_server)
			t->entries.at[i].window_size = 0;
	}
	for (size_t i = m->leaving; i < m->leaving + m->nr_leaving; i++) {
		dma_entry_release(t, &t->leaving.at[i]);
		t->leaving.at[i].left = true;
	}
}

/* ---- mapping ---- */

static int
commit_keep_refused(struct commit *c)
{
	size_t nr = 0;

	for (size_t i = 0; i < c->nr; i++)
		nr += c->messages[i].kept;
	if (nr == 0)
		return 0;
	c->kept = malloc(nr * sizeof(*c->kept));
	if (c->kept == NULL)
		return operation_fail(&c->op, -ENOMEM, "no memory for a DMA commit");
	for (size_t i = 0; i < c->nr; i++) {
		if (c->messages[i].kept)
			c->kept[c->nr_kept++] = c->messages[i].range;
	}
	return 0;
}

/* Whether a mapping that the server has kept is in the way of this one. */
static bool
commit_is_in_the_way(const struct commit *c, const struct dma_entry *e)
{
	size_t low = 0, high = c->nr_kept;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->kept[mid].addr + (c->kept[mid].size - 1) < e->iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->nr_kept && c->kept[low].addr <= e->iova + (e->size - 1);
}

static bool
commit_is_planned(const struct commit *c, const struct dma_entry *e, bool rest)
{
	return e->queued && !e->on_server && e->rest == rest && dma_entry_is_due(e, c->number) &&
		!commit_is_in_the_way(c, e);
}

static void
window_plan(struct dma_entries *list, size_t i, size_t end, const struct vuc_wire_dma_range *window)
{
	for (; i < end; i++) {
		list->at[i].window_iova = window->addr;
		list->at[i].window_size = window->size;
	}
}

/* Neighbours that run on become one mapping of the server. */
static int
commit_plan_maps(struct commit *c, bool rest)
{
	const struct dma_table *t = &c->op.dev->dma;
	struct dma_entries *list = &c->op.dev->dma.entries;
	int rc = 0;

	for (size_t i = 0, begin; rc == 0 && i < list->nr;) {
		const struct dma_entry *first = &list->at[i];
		struct commit_message m = {
			.map = true,
			.rest = rest,
			.range = {.addr = first->iova, .size = first->size},
		};

		begin = i++;
		if (!commit_is_planned(c, first, rest))
			continue;
		while (i < list->nr && commit_is_planned(c, &list->at[i], rest) &&
			dma_table_merges(t, &list->at[i - 1], &list->at[i]))
			m.range.size += list->at[i++].size;
		window_plan(list, begin, i, &m.range);
		rc = commit_add_message(c, &m);
	}
	return rc;
}

static bool
window_is_planned_for(const struct dma_entry *e, const struct vuc_wire_dma_range *window)
{
	return !e->left && e->window_iova == window->addr && e->window_size == window->size;
}

static void
window_mapped(struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	for (size_t i = window_first(t, window); window_holds(t, i, window); i++) {
		struct dma_entry *e = &t->entries.at[i];

		/* Not what has taken the place of an entry that left meanwhile. */
		if (!window_is_planned_for(e, window))
			continue;
		e->queued = false;
		e->rest = false;
		e->on_server = true;
	}
}

/* ---- messages ---- */

/* Whoever unmaps a part of a mapping does not expect to lose the rest of it: each is named. */
static void
error_add_lost(struct vuc_error *reason, const struct vuc_wire_dma_range *range)
{
	size_t len = strlen(reason->text);

	snprintf(reason->text + len, sizeof(reason->text) - len,
		"; lost, too: 0x%" PRIx64 " + 0x%" PRIx64, range->addr, range->size);
}

static void
commit_message_failed(struct commit *c, struct commit_message *m, int status, const char *reason)
{
	m->kept = !m->map;
	if (c->op.status == 0)
		operation_fail(&c->op, status,
			"DMA %smapping of 0x%" PRIx64 " + 0x%" PRIx64 "%s: %s", m->map ? "" : "un",
			m->range.addr, m->range.size,
			m->rest ? ", which was mapped before and is lost" : "", reason);
	else if (m->rest)
		error_add_lost(&c->op.err, &m->range);
}

static void
commit_message_replied(struct operation_message *message, const struct vuc_session_reply *reply)
{
	struct commit_message *m = (struct commit_message *)message;
	struct commit *c = (struct commit *)message->op;
	struct vuc_error err = {0};
	const char *reason = reply->reason;
	int status = reply->status;

	/* It is not there any more, as when an earlier answer was lost. */
	if (status == -ENOENT && !m->map)
		status = 0;
	else if (status == 0 && !m->map) {
		status = vuc_wire_dma_unmap_decode(reply->body, reply->len, &m->range, &err);
		reason = err.text;
	}
	if (status != 0)
		commit_message_failed(c, m, status, reason);
	else if (m->map)
		window_mapped(&c->op.dev->dma, &m->range);
	else
		window_unmapped(&c->op.dev->dma, m);
}

/* The first entry of a mapping that is to be made, which may be leaving already. */
static const struct dma_entry *
window_first_entry(const struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	size_t i = dma_table_lower_bound(t, window->addr), leaving = t->leaving.nr;
	const struct dma_entry *e = i < t->entries.nr ? &t->entries.at[i] : NULL;

	while (e == NULL || e->iova != window->addr || !window_is_planned_for(e, window)) {
		assert(leaving > 0);
		e = &t->leaving.at[--leaving];
	}
	return e;
}

static int
commit_send_map(struct commit *c, struct commit_message *m)
{
	const struct dma_entry *e = window_first_entry(&c->op.dev->dma, &m->range);
	uint8_t body[sizeof(struct vfio_user_dma_map)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_MAP,
		.body = body,
		.len = vuc_wire_dma_map_encode(body, &m->range, e->flags, e->offset),
		.fds = e->file != NULL ? &e->file->fd : NULL,
		.nr_fds = e->file != NULL,
	};

	return operation_send(&c->op, &m->message, &req);
}

static int
commit_send_unmap(struct commit *c, struct commit_message *m)
{
	uint8_t body[sizeof(struct vfio_user_dma_unmap)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_UNMAP,
		.body = body,
		.len = vuc_wire_dma_unmap_encode(body, &m->range),
	};

	return operation_send(&c->op, &m->message, &req);
}

/*
 * The server forgets also what nobody here knows of. The specification does not have this, and
 * there are servers that refuse it, or say that they did it and have not: so each mapping was
 * unmapped before by a message of its own, and the answer to this one means nothing.
 */
static int
commit_send_forget(struct commit *c, struct commit_message *m)
{
	uint8_t body[sizeof(struct vfio_user_dma_unmap)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_UNMAP,
		.body = body,
		.len = vuc_wire_dma_unmap_all_encode(body),
	};

	return operation_send(&c->op, &m->message, &req);
}

static void
commit_forget_replied(struct operation_message *message, const struct vuc_session_reply *reply)
{
	struct operation *op = message->op;

	if (vuc_session_error(op->dev->session) != 0)
		operation_fail(op, reply->status, "%s", reply->reason);
}

static int
commit_send_message(struct commit *c, struct commit_message *m)
{
	if (c->phase == COMMIT_FORGET) {
		m->message.replied = commit_forget_replied;
		return commit_send_forget(c, m);
	}
	m->message.replied = commit_message_replied;
	return m->map ? commit_send_map(c, m) : commit_send_unmap(c, m);
}

static int
commit_send_messages(struct commit *c)
{
	for (; c->next < c->nr; c->next++) {
		struct commit_message *m = &c->messages[c->next];
		const char *reason;
		int rc;

		if (c->op.outstanding == WINDOW)
			return -EAGAIN;
		rc = commit_send_message(c, m);
		if (rc == -EAGAIN)
			return rc;
		reason = vuc_session_reason(c->op.dev->session);
		if (rc != 0)
			commit_message_failed(c, m, rc, *reason ? reason : strerror(-rc));
	}
	return 0;
}

/* ---- the operation ---- */

/* All of the phase before is answered. */
static int
commit_begin_phase(struct commit *c)
{
	struct dma_table *t = &c->op.dev->dma;
	int rc;

	if (c->phase == COMMIT_PLAN) {
		c->phase = COMMIT_UNMAPS;
		t->commits_run = true;
		t->replays = c->op.replays;
		t->running_commit = c->number;
		return commit_plan_unmaps(c);
	}
	rc = c->phase == COMMIT_UNMAPS ? commit_keep_refused(c) : 0;
	c->nr = 0;
	c->next = 0;
	if (rc == 0 && c->phase == COMMIT_UNMAPS && c->forget) {
		c->phase = COMMIT_FORGET;
		return commit_add_message(c, &(struct commit_message){.map = false});
	}
	c->phase = COMMIT_MAPS;
	if (rc == 0)
		rc = commit_plan_maps(c, true);
	return rc == 0 ? commit_plan_maps(c, false) : rc;
}

static int
commit_run(struct operation *op)
{
	struct commit *c = (struct commit *)op;
	int rc = 0;

	if (c->phase == COMMIT_PLAN)
		rc = commit_begin_phase(c);
	while (rc == 0) {
		rc = commit_send_messages(c);
		if (rc != 0 || c->phase == COMMIT_MAPS)
			return rc;
		if (op->outstanding > 0)
			return -EAGAIN;
		rc = commit_begin_phase(c);
	}
	return rc;
}

/* What was a part of a mapping that the server has kept is still that, the rest is gone. */
static void
commit_drop_unmapped(struct dma_table *t, uint32_t number)
{
	struct dma_entries *list = &t->entries;
	size_t kept = 0;

	for (size_t i = 0; i < list->nr; i++) {
		struct dma_entry *e = &list->at[i];

		if (e->queued && dma_entry_is_due(e, number)) {
			e->queued = false;
			e->rest = false;
			if (!e->on_server) {
				dma_entry_release(t, e);
				continue;
			}
		}
		list->at[kept++] = *e;
	}
	list->nr = kept;
}

static void
commit_end(struct operation *op)
{
	struct commit *c = (struct commit *)op;
	struct dma_table *t = &op->dev->dma;
	bool keeps = op->dev->record != NULL && (op->lost || op->replays);

	/* The server has kept them, so they are back; or, where something else was to take their
	 * place, they are to be unmapped by the next commit. With a record they are dropped when
	 * the server is gone. */
	if (keeps)
		dma_entries_compact(&t->leaving);
	else
		dma_table_put_back(t, c->number);
	if (op->status != 0 && !keeps)
		commit_drop_unmapped(t, c->number);
	/* One that was recorded did not run. */
	if (c->phase != COMMIT_PLAN)
		t->commits_run = t->replays = false;
	t->commits_left--;
}

/* The table is the record. Mappings that the server took are what one after it has to take. */
static int
commit_record(struct operation *op)
{
	struct device_record *r = op->dev->record;
	size_t taken = vuc_dma_server_count(op->dev);

	if (taken > r->maps_taken)
		r->maps_taken = taken;
	return op->status;
}

static void
commit_free(struct operation *op)
{
	struct commit *c = (struct commit *)op;

	free(c->messages);
	free(c->kept);
	free(c);
}

static const struct operation_ops commit_ops = {
	.name = "DMA commit",
	.vital = true,
	.run = commit_run,
	.record = commit_record,
	.end = commit_end,
	.free = commit_free,
};

VUC_EXPORT int
vuc_dma_commit_start(struct vuc_device *dev, vuc_done_fn done, void *arg)
{
	struct commit *c = calloc(1, sizeof(*c));
	bool forget = dev->unmap_all;
	int rc;

	if (c == NULL)
		return vuc_error_set(&dev->reason, -ENOMEM, "no memory for a DMA commit");
	c->number = dev->dma.next_commit;
	c->forget = forget;
	operation_init(&c->op, &commit_ops, dev, dev->long_timeout_ms);
	rc = operation_start(&c->op, done, arg, &dev->reason);
	if (rc != 0)
		return rc;
	dev->dma.next_commit++;
	dev->dma.commits_left++;
	dev->unmap_all = false;
	return 0;
}

VUC_EXPORT int
vuc_dma_commit(struct vuc_device *dev)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	return rc != 0 ? rc : operation_wait(&w, vuc_dma_commit_start(dev, operation_wake, &w));
}
