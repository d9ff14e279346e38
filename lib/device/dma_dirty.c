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
refuse(struct vuc_device *dev, const struct vuc_wire_dma_range *r, int rc, const char *why)
{
	return vuc_error_set(&dev->reason, rc, "DMA memory 0x%" PRIx64 " + 0x%" PRIx64 ": %s",
		r->addr, r->size, why);
}

/* Whether the range is one mapping of the server, and nothing is queued that would change it. */
static int
check_unmap(struct vuc_device *dev, const struct vuc_wire_dma_range *r)
{
	const struct dma_table *t = &dev->dma;
	size_t i = dma_table_lower_bound(t, r->addr);

	if (t->leaving.nr > 0 || t->commits_left > 0)
		return refuse(dev, r, -EBUSY, "there are changes to be committed");
	if (i == t->entries.nr || !t->entries.at[i].on_server ||
		t->entries.at[i].window_iova != r->addr || t->entries.at[i].window_size != r->size)
		return refuse(dev, r, -ENOENT, "is not one mapping of the server");
	return 0;
}

static void
remove_range(struct dma_table *t, const struct vuc_wire_dma_range *r)
{
	size_t i = dma_table_lower_bound(t, r->addr);

	while (i < t->entries.nr && t->entries.at[i].iova - r->addr < r->size)
		dma_table_remove(t, i);
}

static int
ask_server(struct vuc_device *dev, const struct vuc_wire_dma_range *r, uint64_t pgsize,
	uint32_t map_size, uint64_t *bitmap)
{
	uint8_t body[sizeof(struct vfio_user_dma_unmap) + sizeof(struct vfio_user_bitmap)];
	int len = vuc_wire_dma_unmap_dirty_encode(body, r, pgsize);
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_UNMAP,
		.body = body,
		.timeout_ms = dev->long_timeout_ms,
	};
	struct device_reply reply = {.size = sizeof(body) + map_size};
	const uint8_t *map;
	int rc;

	if (len < 0)
		return refuse(dev, r, len, strerror(-len));
	req.len = (size_t)len;
	req.reply_max = (uint32_t)reply.size;
	reply.body = malloc(reply.size);
	if (reply.body == NULL)
		return refuse(dev, r, -ENOMEM, "no memory for its dirty pages");
	rc = device_ask(dev, &req, &reply);
	if (rc == 0)
		rc = vuc_wire_dma_unmap_dirty_decode(
			reply.body, reply.len, r, pgsize, &map, &dev->reason);
	if (rc == 0)
		vuc_bitmap_or(bitmap, 0, map, r->size / pgsize + (r->size % pgsize != 0));
	free(reply.body);
	return rc;
}

VUC_EXPORT int
vuc_dma_unmap_dirty(struct vuc_device *dev, uint64_t iova, uint64_t size, uint64_t pgsize,
	uint64_t *bitmap, size_t words)
{
	struct vuc_device *held DEVICE_HELD = device_hold(dev);
	const struct vuc_wire_dma_range range = {.addr = iova, .size = size};
	uint32_t map_size;
	int rc = vuc_wire_bitmap_size(size, pgsize, &map_size);

	if (rc != 0)
		return refuse(dev, &range, rc, "no bitmap can have that page size");
	if (words < map_size / sizeof(uint64_t))
		return refuse(dev, &range, -EINVAL, "the bitmap is too small");
	rc = check_unmap(dev, &range);
	if (rc == 0)
		rc = ask_server(dev, &range, pgsize, map_size, bitmap);
	if (rc != 0)
		return rc;
	dma_dirty_collect(&dev->dma, iova, size, pgsize, bitmap);
	remove_range(&dev->dma, &range);
	return 0;
}
