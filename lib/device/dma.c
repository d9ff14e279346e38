/* SPDX-License-Identifier: BSD-3-Clause */

/* Queueing what is to be mapped and unmapped; dma_commit.c makes it so. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include <vuc/dma.h>

#include "error.h"
#include "internal.h"
#include "recorded.h"

#define KNOWN_FLAGS (VUC_DMA_READ | VUC_DMA_WRITE | VUC_DMA_MMAP | VUC_DMA_FILE_IO)
#define FILE_FLAGS  (VUC_DMA_MMAP | VUC_DMA_FILE_IO)

static int
dma_refuse(struct vuc_error *err, uint64_t iova, uint64_t size, int rc, const char *why)
{
	return vuc_error_set(
		err, rc, "DMA memory 0x%" PRIx64 " + 0x%" PRIx64 ": %s", iova, size, why);
}

static const char *
dma_check_flags(const struct vuc_dma_mapping *m)
{
	if ((m->flags & ~KNOWN_FLAGS) != 0)
		return "unknown flags";
	if ((m->flags & (VUC_DMA_READ | VUC_DMA_WRITE)) == 0)
		return "neither readable nor writable";
	if (m->fd < 0 && m->addr == NULL)
		return "no file descriptor and no address";
	if (m->fd < 0 && ((m->flags & FILE_FLAGS) != 0 || m->offset != 0))
		return "flags or an offset without a file descriptor";
	return NULL;
}

/* The server's smallest page is what everything is aligned to. */
static const char *
dma_check_range(const struct vuc_device *dev, const struct vuc_dma_mapping *m)
{
	uint64_t pgsizes = dev->version.pgsizes;
	uint64_t page = pgsizes & -pgsizes;
	uint64_t end;

	if (m->size == 0)
		return "empty";
	if (__builtin_add_overflow(m->iova, m->size, &end) ||
		__builtin_add_overflow(m->offset, m->size, &end))
		return "beyond the end of the address space or the file";
	if (((m->iova | m->size | m->offset) & (page - 1)) != 0)
		return "not aligned to the server's page size";
	return NULL;
}

static int
dma_check_mapping(
	const struct vuc_device *dev, const struct vuc_dma_mapping *m, struct vuc_error *err)
{
	const struct dma_table *t = &dev->dma;
	const char *why = dma_check_flags(m);

	if (why == NULL)
		why = dma_check_range(dev, m);
	if (why != NULL)
		return dma_refuse(err, m->iova, m->size, -EINVAL, why);
	if (dma_table_overlap(t, m->iova, m->size) != NULL)
		return dma_refuse(err, m->iova, m->size, -EEXIST, "overlaps another mapping");
	if (t->entries.nr >= dev->version.max_dma_maps)
		return dma_refuse(err, m->iova, m->size, -ENOSPC,
			"no room for another mapping (max_dma_maps)");
	if (vuc_device_is_away(dev) && t->entries.nr >= dev->record->maps_taken &&
		dma_table_windows(t) >= dev->record->maps_taken)
		return dma_refuse(err, m->iova, m->size, -ENOSPC,
			"more mappings than the server had taken before it went away");
	return 0;
}

/* Whether the server gets the descriptor. One that takes none can still ask for each access. */
static bool
dma_is_shared(struct vuc_device *dev, const struct vuc_dma_mapping *m)
{
	if (m->fd < 0 || dev->dma_policy != VUC_DMA_SHARED)
		return false;
	if (dev->version.max_msg_fds > 0)
		return true;
	if (m->addr != NULL)
		device_warn(dev, DEVICE_FAULT_NO_FDS,
			"max_msg_fds is 0: the server cannot map memory, and sends a message for each "
			"access");
	return false;
}

/* Why memory that is not shared cannot be accessed at all. */
static const char *
dma_no_address(const struct vuc_device *dev)
{
	if (dev->dma_policy == VUC_DMA_SHARED)
		return "no address, and the server accepts no file descriptors (max_msg_fds 0)";
	return "no address, and file descriptors are not shared";
}

VUC_EXPORT int
vuc_dma_map(struct vuc_device *dev, const struct vuc_dma_mapping *m)
{
	struct dma_entry entry = {
		.iova = m->iova,
		.size = m->size,
		.flags = m->flags,
		.addr = m->addr,
		.commit = dev->dma.next_commit,
		.queued = true,
	};
	struct vuc_error *err = &dev->reason;
	int rc = dma_check_mapping(dev, m, err);

	if (rc != 0)
		return rc;
	if (dma_is_shared(dev, m)) {
		entry.file = dma_file_get(&dev->dma, m->fd);
		entry.offset = m->offset;
		if (entry.file == NULL)
			return dma_refuse(err, m->iova, m->size, -errno, strerror(errno));
	} else if (m->addr == NULL) {
		return dma_refuse(err, m->iova, m->size, -EINVAL, dma_no_address(dev));
	} else {
		entry.flags &= ~FILE_FLAGS;
	}
	rc = dma_table_insert(&dev->dma, &entry);
	if (rc != 0) {
		dma_entry_release(&dev->dma, &entry);
		return dma_refuse(err, m->iova, m->size, rc, "no memory");
	}
	return 0;
}

/* Whether the range holds mappings, all of them as a whole. */
static int
dma_check_unmap(const struct vuc_device *dev, uint64_t iova, uint64_t size, struct vuc_error *err)
{
	const struct dma_entries *list = &dev->dma.entries;
	uint64_t end;
	size_t i = dma_table_lower_bound(&dev->dma, iova);

	if (size == 0 || __builtin_add_overflow(iova, size, &end))
		return dma_refuse(
			err, iova, size, -EINVAL, "empty, or beyond the end of the address space");
	if (i == list->nr || list->at[i].iova >= end)
		return dma_refuse(err, iova, size, -ENOENT, "is not mapped");
	for (; i < list->nr && list->at[i].iova < end; i++) {
		const struct dma_entry *e = &list->at[i];

		if (e->iova < iova || e->iova + e->size > end)
			return dma_refuse(
				err, iova, size, -EINVAL, "covers only a part of a mapping");
	}
	return 0;
}

/* What a restore is about to map was mapped before, and whoever unmaps it need not know of that: it
 * leaves with the next commit. */
static bool
dma_has_to_be_unmapped(const struct dma_table *t, const struct dma_entry *e)
{
	return e->on_server ||
		(t->replays && e->window_size != 0 && dma_entry_is_being_mapped(t, e));
}

/* What the server does not know of is forgotten, the rest waits for the commit. */
static int
dma_take_leave(struct dma_table *t, size_t i, size_t n, struct vuc_error *err)
{
	size_t before = t->leaving.nr;

	for (size_t k = i; k < i + n; k++) {
		struct dma_entry *e = &t->entries.at[k];

		if (e->unmapping || (!t->replays && dma_entry_is_being_mapped(t, e)))
			return dma_refuse(err, e->iova, e->size, -EBUSY,
				e->unmapping ? "is being unmapped" : "is being mapped");
	}
	for (size_t k = i; k < i + n; k++) {
		struct dma_entry *e = &t->entries.at[k];

		if (dma_has_to_be_unmapped(t, e) && dma_entries_push(&t->leaving, e) != 0) {
			t->leaving.nr = before;
			return dma_refuse(err, e->iova, e->size, -ENOMEM, "no memory to unmap it");
		}
	}
	for (size_t k = before; k < t->leaving.nr; k++) {
		t->leaving.at[k].on_server = true;
		t->leaving.at[k].commit = t->next_commit;
	}
	for (size_t k = i; k < i + n; k++) {
		if (!dma_has_to_be_unmapped(t, &t->entries.at[k]))
			dma_entry_release(t, &t->entries.at[k]);
	}
	dma_table_cut(t, i, n);
	return 0;
}

VUC_EXPORT int
vuc_dma_unmap(struct vuc_device *dev, uint64_t iova, uint64_t size)
{
	const struct dma_entries *list = &dev->dma.entries;
	size_t i = dma_table_lower_bound(&dev->dma, iova), end = i;
	int rc = dma_check_unmap(dev, iova, size, &dev->reason);

	if (rc != 0)
		return rc;
	while (end < list->nr && list->at[end].iova - iova < size)
		end++;
	return dma_take_leave(&dev->dma, i, end - i, &dev->reason);
}

VUC_EXPORT int
vuc_dma_unmap_all(struct vuc_device *dev)
{
	int rc = dma_take_leave(&dev->dma, 0, dev->dma.entries.nr, &dev->reason);

	dev->unmap_all = dev->unmap_all || rc == 0;
	return rc;
}

VUC_EXPORT size_t
vuc_dma_count(const struct vuc_device *dev)
{
	return dev->dma.entries.nr;
}

VUC_PRIVATE void
vuc_dma_set_apart(struct vuc_device *dev, bool apart)
{
	dev->dma.apart = apart;
}

VUC_PRIVATE size_t
vuc_dma_files(const struct vuc_device *dev)
{
	size_t n = 0;

	for (const struct dma_file *file = dev->dma.files; file != NULL; file = file->next)
		n++;
	return n;
}

VUC_PRIVATE unsigned int
vuc_dma_hold_files(const struct vuc_device *dev, int *fds, unsigned int max)
{
	unsigned int n = 0;

	for (const struct dma_file *file = dev->dma.files; file != NULL && n < max;
		file = file->next) {
		fds[n] = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
		n += fds[n] >= 0;
	}
	return n;
}

VUC_PRIVATE bool
vuc_dma_holds(const struct vuc_device *dev, uint64_t iova, const void *addr)
{
	const struct dma_table *t = &dev->dma;
	size_t i = dma_table_lower_bound(t, iova);

	if (i < t->entries.nr && t->entries.at[i].iova == iova && t->entries.at[i].addr == addr)
		return true;
	for (i = 0; i < t->leaving.nr; i++) {
		const struct dma_entry *e = &t->leaving.at[i];

		if (!e->left && e->iova == iova && e->addr == addr)
			return true;
	}
	return false;
}

VUC_PRIVATE bool
vuc_dma_overlaps(const struct vuc_device *dev, uint64_t iova, uint64_t size)
{
	return dma_table_overlap(&dev->dma, iova, size) != NULL;
}

VUC_EXPORT size_t
vuc_dma_server_count(const struct vuc_device *dev)
{
	const struct dma_entries *list = &dev->dma.entries;
	size_t n = 0;

	for (size_t i = 0; i < list->nr; i++) {
		bool first = i == 0 || !list->at[i - 1].on_server ||
			list->at[i - 1].window_iova != list->at[i].window_iova;

		n += list->at[i].on_server && first;
	}
	return n;
}
