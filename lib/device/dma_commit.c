/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A commit: first the server's mappings that are to go, then what stays of them, then those that
 * are new, one message each, all sent before the first answer is waited for. The server works in
 * order, so a new mapping may lie where an old one was; and if it has no room for all of them, it
 * is the new ones that it refuses.
 *
 * An answer that does not come in time ends the connection, since the server may hold the memory.
 * Servers pin it, and let requests drain before they let go of it: both take their time.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/dma.h>

#include "dma.h"
#include "error.h"
#include "internal.h"
#include "vfio_user.h"

_Static_assert(VUC_DMA_READ == VFIO_USER_F_DMA_REGION_READ &&
		VUC_DMA_WRITE == VFIO_USER_F_DMA_REGION_WRITE &&
		VUC_DMA_MMAP == VFIO_USER_F_DMA_REGION_MMAP &&
		VUC_DMA_FILE_IO == VFIO_USER_F_DMA_REGION_FILE_IO,
	"flags go to the server as they are");

struct commit;

/* One message. */
struct commit_message {
	struct commit *commit;
	struct vuc_wire_dma_range range;
	bool map;
	bool rest; /* of a mapping that was there before */
};

struct commit {
	struct vuc_device *dev;
	struct commit_message *operations;
	size_t nr;
	size_t room;
	size_t answered;
	int status; /* the first error */
};

static int
add_operation(struct commit *c, const struct commit_message *op)
{
	struct commit_message *operations;

	if (c->nr == c->room) {
		size_t room = c->room == 0 ? 64 : c->room * 2;

		operations = realloc(c->operations, room * sizeof(*operations));
		if (operations == NULL)
			return vuc_error_set(
				&c->dev->reason, -ENOMEM, "no memory for a DMA commit");
		c->operations = operations;
		c->room = room;
	}
	c->operations[c->nr++] = *op;
	return 0;
}

/* The first entry that begins in a mapping of the server. */
static size_t
first_in(const struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	size_t i = dma_table_lower_bound(t, window->addr);

	return i < t->entries.nr && t->entries.at[i].iova < window->addr ? i + 1 : i;
}

static bool
lies_in(const struct dma_table *t, size_t i, const struct vuc_wire_dma_range *window)
{
	return i < t->entries.nr && t->entries.at[i].iova - window->addr < window->size;
}

static bool
in_window(const struct dma_entry *e, const struct vuc_wire_dma_range *window)
{
	return e->on_server && e->window_iova == window->addr && e->window_size == window->size;
}

/* What stays of a mapping of the server that goes has to be mapped anew. */
static void
queue_rest(struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	for (size_t i = first_in(t, window); lies_in(t, i, window); i++) {
		if (in_window(&t->entries.at[i], window))
			t->entries.at[i].queued = true;
	}
}

static int
compare_leaving(const void *a, const void *b)
{
	const struct dma_entry *x = a, *y = b;

	return x->window_iova < y->window_iova ? -1 : x->window_iova > y->window_iova;
}

static int
plan_unmaps(struct commit *c)
{
	struct dma_table *t = &c->dev->dma;
	struct dma_entries *leaving = &t->leaving;
	int rc = 0;

	if (leaving->nr > 1)
		qsort(leaving->at, leaving->nr, sizeof(leaving->at[0]), compare_leaving);
	for (size_t i = 0; rc == 0 && i < leaving->nr; i++) {
		const struct dma_entry *e = &leaving->at[i];
		const struct commit_message op = {
			.range = {.addr = e->window_iova, .size = e->window_size}};

		if (i > 0 && leaving->at[i - 1].window_iova == e->window_iova)
			continue;
		rc = add_operation(c, &op);
		if (rc == 0)
			queue_rest(t, &op.range);
	}
	return rc;
}

static bool
is_planned(const struct dma_entry *e, bool rest)
{
	return e->queued && e->on_server == rest;
}

/* Neighbours that run on become one mapping of the server. */
static int
plan_maps(struct commit *c, bool rest)
{
	const struct dma_entries *list = &c->dev->dma.entries;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->nr;) {
		const struct dma_entry *first = &list->at[i];
		struct commit_message op = {
			.map = true,
			.rest = rest,
			.range = {.addr = first->iova, .size = first->size},
		};

		i++;
		if (!is_planned(first, rest))
			continue;
		while (i < list->nr && is_planned(&list->at[i], rest) &&
			dma_entry_runs_on(&list->at[i - 1], &list->at[i]))
			op.range.size += list->at[i++].size;
		rc = add_operation(c, &op);
	}
	return rc;
}

/* The first of those leaving that was a part of this mapping of the server; they are sorted. */
static size_t
first_leaving(const struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	size_t low = 0, high = t->leaving.nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->leaving.at[mid].window_iova < window->addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
leaves(const struct dma_table *t, size_t i, const struct vuc_wire_dma_range *window)
{
	return i < t->leaving.nr && in_window(&t->leaving.at[i], window);
}

static void
unmapped(struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	for (size_t i = first_in(t, window); lies_in(t, i, window); i++) {
		if (in_window(&t->entries.at[i], window))
			t->entries.at[i].on_server = false;
	}
	for (size_t i = first_leaving(t, window); leaves(t, i, window); i++) {
		dma_entry_release(t, &t->leaving.at[i]);
		t->leaving.at[i].left = true;
	}
}

/* The server has kept it, so it is back; or, where something else was to take its place, it is to
 * be unmapped by the next commit. */
static void
not_unmapped(struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	for (size_t i = first_leaving(t, window); leaves(t, i, window); i++) {
		struct dma_entry *e = &t->leaving.at[i];

		if (dma_table_overlap(t, e->iova, e->size) == NULL && dma_table_insert(t, e) == 0)
			e->left = true;
	}
}

static void
mapped(struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	for (size_t i = first_in(t, window); lies_in(t, i, window); i++) {
		struct dma_entry *e = &t->entries.at[i];

		e->queued = false;
		e->on_server = true;
		e->window_iova = window->addr;
		e->window_size = window->size;
	}
}

/* What was a part of a mapping that the server has kept is still that, the rest is gone. */
static void
not_mapped(struct dma_table *t, const struct vuc_wire_dma_range *window)
{
	size_t i = first_in(t, window);

	while (lies_in(t, i, window)) {
		t->entries.at[i].queued = false;
		if (t->entries.at[i].on_server)
			i++;
		else
			dma_table_remove(t, i);
	}
}

static void
settle(struct commit_message *op, int status)
{
	struct dma_table *t = &op->commit->dev->dma;

	if (op->map)
		(status == 0 ? mapped : not_mapped)(t, &op->range);
	else
		(status == 0 ? unmapped : not_unmapped)(t, &op->range);
}

/* Whoever unmaps a part of a mapping does not expect to lose the rest of it: each is named. */
static void
add_lost(struct vuc_error *reason, const struct vuc_wire_dma_range *range)
{
	size_t len = strlen(reason->text);

	snprintf(reason->text + len, sizeof(reason->text) - len,
		"; lost, too: 0x%" PRIx64 " + 0x%" PRIx64, range->addr, range->size);
}

static void
fail(struct commit_message *op, int status, const char *reason)
{
	struct commit *c = op->commit;

	if (c->status == 0)
		c->status = vuc_error_set(&c->dev->reason, status,
			"DMA %smapping of 0x%" PRIx64 " + 0x%" PRIx64 "%s: %s", op->map ? "" : "un",
			op->range.addr, op->range.size,
			op->rest ? ", which was mapped before and is lost" : "", reason);
	else if (op->rest)
		add_lost(&c->dev->reason, &op->range);
}

static void
operation_done(void *arg, const struct vuc_session_reply *reply)
{
	struct commit_message *op = arg;
	struct vuc_error err = {0};
	const char *reason = reply->reason;
	int status = reply->status;

	op->commit->answered++;
	/* It is not there any more, as when an earlier answer was lost. */
	if (status == -ENOENT && !op->map)
		status = 0;
	else if (status == 0 && !op->map) {
		status = vuc_wire_dma_unmap_decode(reply->body, reply->len, &op->range, &err);
		reason = err.text;
	}
	if (status != 0)
		fail(op, status, reason);
	settle(op, status);
}

/* Sends what there is room for, and polls where there is none. */
static int
request(struct commit *c, const struct vuc_session_request *req)
{
	int rc;

	while ((rc = vuc_session_request(c->dev->session, req)) == -EAGAIN)
		vuc_poll_group_poll(c->dev->group);
	device_mark_dirty(c->dev);
	return rc;
}

static int
send_map(struct commit_message *op)
{
	const struct dma_table *t = &op->commit->dev->dma;
	const struct dma_entry *e = &t->entries.at[dma_table_lower_bound(t, op->range.addr)];
	uint8_t body[sizeof(struct vfio_user_dma_map)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_MAP,
		.body = body,
		.len = vuc_wire_dma_map_encode(body, &op->range, e->flags, e->offset),
		.fds = e->file != NULL ? &e->file->fd : NULL,
		.nr_fds = e->file != NULL,
		.timeout_ms = op->commit->dev->long_timeout_ms,
		.done = operation_done,
		.arg = op,
	};

	return request(op->commit, &req);
}

static int
send_unmap(struct commit_message *op)
{
	uint8_t body[sizeof(struct vfio_user_dma_unmap)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_UNMAP,
		.body = body,
		.len = vuc_wire_dma_unmap_encode(body, &op->range),
		.timeout_ms = op->commit->dev->long_timeout_ms,
		.done = operation_done,
		.arg = op,
	};

	return request(op->commit, &req);
}

static void
run(struct commit *c)
{
	for (size_t i = 0; i < c->nr; i++) {
		struct commit_message *op = &c->operations[i];
		int rc;

		op->commit = c;
		rc = op->map ? send_map(op) : send_unmap(op);
		if (rc != 0) {
			const char *reason = vuc_session_reason(c->dev->session);

			c->answered++;
			fail(op, rc, *reason ? reason : strerror(-rc));
			settle(op, rc);
		}
	}
	while (c->answered < c->nr)
		vuc_poll_group_poll(c->dev->group);
}

/*
 * The server forgets also what nobody here knows of. The specification does not have this, and
 * there are servers that refuse it, or say that they did it and have not: so each mapping was
 * unmapped before by a message of its own, and the answer to this one means nothing.
 */
static int
unmap_unknown(struct vuc_device *dev)
{
	uint8_t body[sizeof(struct vfio_user_dma_unmap)], answer[sizeof(body)];
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_UNMAP,
		.body = body,
		.len = vuc_wire_dma_unmap_all_encode(body),
		.reply_max = sizeof(answer),
		.timeout_ms = dev->long_timeout_ms,
	};
	struct device_reply reply = {.body = answer, .size = sizeof(answer)};
	struct vuc_error reason = dev->reason;
	int rc = device_ask(dev, &req, &reply);

	if (!vuc_device_connected(dev))
		return rc;
	dev->reason = reason;
	return 0;
}

/* Before anything is mapped again. */
static int
unmap_all(struct commit *c)
{
	c->dev->unmap_all = false;
	run(c);
	c->nr = 0;
	c->answered = 0;
	return unmap_unknown(c->dev);
}

VUC_EXPORT int
vuc_dma_commit(struct vuc_device *dev)
{
	struct commit c = {.dev = dev};
	int rc;

	if (dev->group->polling)
		return vuc_error_set(
			&dev->reason, -EDEADLK, "a synchronous call from a completion callback");
	rc = plan_unmaps(&c);
	if (rc == 0 && dev->unmap_all)
		rc = unmap_all(&c);
	if (rc == 0)
		rc = plan_maps(&c, true);
	if (rc == 0)
		rc = plan_maps(&c, false);
	if (rc == 0)
		run(&c);
	dma_entries_compact(&dev->dma.leaving);
	free(c.operations);
	return rc != 0 ? rc : c.status;
}
