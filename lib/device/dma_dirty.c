/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/dma.h>

#include "bitmap.h"
#include "dma.h"
#include "dma_dirty.h"
#include "error.h"
#include "internal.h"
#include "message.h"
#include "vfio_user.h"

static uint64_t
pages_of(const struct dma_entry *e)
{
	return e->size / DMA_DIRTY_PAGE + (e->size % DMA_DIRTY_PAGE != 0);
}

void
dma_dirty_mark(struct dma_table *t, uint64_t iova, uint64_t len)
{
	struct dma_entry *e = dma_table_find(t, iova);

	if (e == NULL || e->all_dirty)
		return;
	if (e->dirty == NULL)
		e->dirty = calloc(vuc_bitmap_words(pages_of(e)), sizeof(uint64_t));
	/* Without memory to say which, all of them. */
	if (e->dirty == NULL)
		e->all_dirty = true;
	else
		vuc_bitmap_set_range(e->dirty, e->iova, DMA_DIRTY_PAGE, iova, len);
}

/* Whether a page was written. It is forgotten if all of it is reported now. */
static bool
take_page(struct dma_entry *e, uint64_t page, bool whole)
{
	uint64_t mask = 1ull << (page % 64);

	if (e->all_dirty)
		return true;
	if ((e->dirty[page / 64] & mask) == 0)
		return false;
	if (whole)
		e->dirty[page / 64] &= ~mask;
	return true;
}

/* The part of [iova, iova + size) that lies in the entry, page by page. */
static void
collect_entry(struct dma_entry *e, uint64_t iova, uint64_t size, uint64_t pgsize, uint64_t *bitmap)
{
	uint64_t start = iova > e->iova ? iova - e->iova : 0;
	uint64_t end = e->size;

	if (e->dirty == NULL && !e->all_dirty)
		return;
	if (iova + (size - 1) < e->iova + (e->size - 1))
		end = iova + size - e->iova;
	for (uint64_t page = start / DMA_DIRTY_PAGE; page * DMA_DIRTY_PAGE < end; page++) {
		uint64_t first = page * DMA_DIRTY_PAGE;
		uint64_t behind =
			e->size - first > DMA_DIRTY_PAGE ? first + DMA_DIRTY_PAGE : e->size;
		uint64_t from = first > start ? first : start;
		uint64_t to = behind < end ? behind : end;

		if (take_page(e, page, from == first && to == behind))
			vuc_bitmap_set_range(bitmap, iova, pgsize, e->iova + from, to - from);
	}
}

void
dma_dirty_collect(
	struct dma_table *t, uint64_t iova, uint64_t size, uint64_t pgsize, uint64_t *bitmap)
{
	for (size_t i = dma_table_lower_bound(t, iova); i < t->entries.nr; i++) {
		struct dma_entry *e = &t->entries.at[i];

		if (e->iova > iova + (size - 1))
			break;
		collect_entry(e, iova, size, pgsize, bitmap);
	}
}

void
dma_dirty_forget(struct dma_table *t)
{
	for (size_t i = 0; i < t->entries.nr; i++) {
		struct dma_entry *e = &t->entries.at[i];

		free(e->dirty);
		e->dirty = NULL;
		e->all_dirty = false;
	}
}

static int
unmap_refuse(struct vuc_error *err, const struct vuc_wire_dma_range *r, int rc, const char *why)
{
	return vuc_error_set(
		err, rc, "DMA memory 0x%" PRIx64 " + 0x%" PRIx64 ": %s", r->addr, r->size, why);
}

/* Whether the range is one mapping of the server, and nothing is queued that would change it. */
static int
unmap_check(const struct vuc_device *dev, const struct vuc_wire_dma_range *r, struct vuc_error *err)
{
	const struct dma_table *t = &dev->dma;
	size_t i = dma_table_lower_bound(t, r->addr);

	if (t->leaving.nr > 0 || t->commits_left > 0)
		return unmap_refuse(err, r, -EBUSY, "there are changes to be committed");
	if (i == t->entries.nr || !t->entries.at[i].on_server ||
		t->entries.at[i].window_iova != r->addr || t->entries.at[i].window_size != r->size)
		return unmap_refuse(err, r, -ENOENT, "is not one mapping of the server");
	if (t->entries.at[i].unmapping)
		return unmap_refuse(err, r, -EBUSY, "is being unmapped");
	return 0;
}

static bool
is_in_range(const struct dma_table *t, size_t i, const struct vuc_wire_dma_range *r)
{
	return i < t->entries.nr && t->entries.at[i].iova - r->addr < r->size;
}

/* Nobody takes these away meanwhile. */
static void
mark_range(struct dma_table *t, const struct vuc_wire_dma_range *r, bool unmapping)
{
	for (size_t i = dma_table_lower_bound(t, r->addr); is_in_range(t, i, r); i++)
		t->entries.at[i].unmapping = unmapping;
}

static void
remove_range(struct dma_table *t, const struct vuc_wire_dma_range *r)
{
	size_t i = dma_table_lower_bound(t, r->addr);

	while (is_in_range(t, i, r))
		dma_table_remove(t, i);
}

struct unmap_dirty {
	struct message_operation m;
	struct vuc_wire_dma_range range;
	uint64_t pgsize;
	uint64_t *bitmap;
	vuc_done_fn done;
	void *arg;
};

static int
unmap_dirty_take(
	struct message_operation *m, const struct vuc_session_reply *reply, struct vuc_error *err)
{
	const struct unmap_dirty *u = (struct unmap_dirty *)m;
	uint64_t size = u->range.size, pgsize = u->pgsize;
	struct dma_table *t = &m->op.dev->dma;
	const uint8_t *map;
	int rc;

	if (reply->status != 0)
		return 0;
	rc = vuc_wire_dma_unmap_dirty_decode(reply->body, reply->len, &u->range, pgsize, &map, err);
	if (rc != 0)
		return rc;
	vuc_bitmap_or(u->bitmap, 0, map, size / pgsize + (size % pgsize != 0));
	dma_dirty_collect(t, u->range.addr, size, pgsize, u->bitmap);
	remove_range(t, &u->range);
	return 0;
}

/* A vuc_done_fn. A mapping that is still there may be used again. */
static void
unmap_dirty_done(void *arg, int status, const struct vuc_error *err)
{
	struct unmap_dirty *u = arg;

	if (status != 0)
		mark_range(&u->m.op.dev->dma, &u->range, false);
	u->done(u->arg, status, err);
}

static int
unmap_dirty_begin(struct vuc_device *dev, const struct unmap_dirty *what, uint32_t map_size)
{
	uint8_t body[sizeof(struct vfio_user_dma_unmap) + sizeof(struct vfio_user_bitmap)];
	int len = vuc_wire_dma_unmap_dirty_encode(body, &what->range, what->pgsize);
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_UNMAP,
		.body = body,
		.len = len > 0 ? (size_t)len : 0,
		.reply_max = (uint32_t)sizeof(body) + map_size,
		.timeout_ms = dev->long_timeout_ms,
	};
	struct message_operation *m;
	struct unmap_dirty *u;
	int rc;

	if (len < 0)
		return unmap_refuse(&dev->reason, &what->range, len, strerror(-len));
	m = message_operation_create(dev, sizeof(*u), &req, unmap_dirty_take, &rc, &dev->reason);
	if (m == NULL)
		return rc;
	u = (struct unmap_dirty *)m;
	u->range = what->range;
	u->pgsize = what->pgsize;
	u->bitmap = what->bitmap;
	u->done = what->done;
	u->arg = what->arg;
	rc = operation_start(&m->op, unmap_dirty_done, u, &dev->reason);
	if (rc == 0)
		mark_range(&dev->dma, &what->range, true);
	return rc;
}

VUC_EXPORT int
vuc_dma_unmap_dirty_start(struct vuc_device *dev, uint64_t iova, uint64_t size, uint64_t pgsize,
	uint64_t *bitmap, size_t words, vuc_done_fn done, void *arg)
{
	const struct unmap_dirty what = {
		.range = {.addr = iova, .size = size},
		.pgsize = pgsize,
		.bitmap = bitmap,
		.done = done,
		.arg = arg,
	};
	struct vuc_error *err = &dev->reason;
	uint32_t map_size;
	int rc;

	if (bitmap == NULL)
		return vuc_error_set(err, -EINVAL, "bitmap is NULL");
	rc = vuc_wire_bitmap_size(size, pgsize, &map_size);
	if (rc != 0)
		return unmap_refuse(err, &what.range, rc, "no bitmap can have that page size");
	if (words < map_size / sizeof(uint64_t))
		return unmap_refuse(err, &what.range, -EINVAL, "the bitmap is too small");
	rc = unmap_check(dev, &what.range, err);
	return rc == 0 ? unmap_dirty_begin(dev, &what, map_size) : rc;
}

VUC_EXPORT int
vuc_dma_unmap_dirty(struct vuc_device *dev, uint64_t iova, uint64_t size, uint64_t pgsize,
	uint64_t *bitmap, size_t words)
{
	struct operation_waiter w = {.dev = dev};
	int rc = operation_may_wait(dev);

	if (rc != 0)
		return rc;
	return operation_wait(&w,
		vuc_dma_unmap_dirty_start(
			dev, iova, size, pgsize, bitmap, words, operation_wake, &w));
}
