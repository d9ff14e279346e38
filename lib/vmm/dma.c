/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/export.h>

#include "error.h"
#include "operation.h"
#include "opts.h"

_Static_assert(
	VUC_VMM_DMA_READ == VUC_SHM_DMA_READ && VUC_VMM_DMA_WRITE == VUC_SHM_DMA_WRITE, "flags");

/* Make room for nr more elements of this size in an array that has room for some. */
static int
array_reserve(
	void **array, size_t *room, size_t have, size_t nr, size_t size, struct vuc_error *err)
{
	size_t need, more = *room > 0 ? *room : 16;
	void *grown;

	if (__builtin_add_overflow(have, nr, &need) || need > SIZE_MAX / 2 / size)
		return vuc_error_set(err, -ENOMEM, "no memory for %zu DMA mappings", nr);
	if (need <= *room)
		return 0;
	while (more < need)
		more *= 2;
	grown = realloc(*array, more * size);
	if (grown == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %zu DMA mappings", nr);
	*array = grown;
	*room = more;
	return 0;
}

static int
table_reserve(struct vmm_dma_queue *q, size_t nr, struct vuc_error *err)
{
	void *entries = q->entries;
	int rc = array_reserve(&entries, &q->room, q->nr, nr, sizeof(*q->entries), err);

	q->entries = entries;
	return rc;
}

static int
unshared_reserve(struct vmm_unshared *u, size_t nr, struct vuc_error *err)
{
	void *ranges = u->ranges;
	int rc = array_reserve(&ranges, &u->room, u->nr, nr, sizeof(*u->ranges), err);

	u->ranges = ranges;
	return rc;
}

/* Forget what lies in [iova, last]. Returns whether there was something. */
static bool
unshared_remove(struct vmm_unshared *u, uint64_t iova, uint64_t last)
{
	size_t left = 0;
	bool found;

	for (size_t i = 0; i < u->nr; i++) {
		const struct vmm_range *r = &u->ranges[i];

		if (r->iova < iova || r->iova + (r->size - 1) > last)
			u->ranges[left++] = *r;
	}
	found = left < u->nr;
	u->nr = left;
	return found;
}

/* An unmapping. Where the VMM has mapped memory without a descriptor, the daemon may have nothing.
 */
static int
entry_enqueue(struct vuc_vmm_device *dev, struct vmm_dma_entry *entry, struct vuc_error *err)
{
	uint64_t last = entry->size > 0 ? entry->iova + (entry->size - 1) : UINT64_MAX;
	struct vmm_dma_queue *q = &dev->dma;
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = vmm_check_attached(dev, err);
	if (rc == 0)
		rc = table_reserve(q, 1, err);
	if (rc == 0) {
		if (unshared_remove(&dev->unshared, entry->iova, last) &&
			entry->op == VUC_SHM_DMA_UNMAP)
			entry->flags |= VUC_SHM_DMA_IF_MAPPED;
		q->entries[q->nr++] = *entry;
	}
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

/* Whether there are such addresses. The last byte may be the last one that there is. */
static bool
is_range(const struct vuc_vmm_device *dev, uint64_t iova, uint64_t size)
{
	uint64_t mask = (dev->info.pgsizes & -dev->info.pgsizes) - 1;

	return size > 0 && ((iova | size) & mask) == 0 && iova <= UINT64_MAX - (size - 1);
}

/* Mapping i of a caller that may know more or fewer fields: mappings are argsz bytes apart. */
static int
mapping_read(
	const struct vuc_vmm_dma *mappings, size_t i, struct vuc_vmm_dma *m, struct vuc_error *err)
{
	size_t argsz = mappings->argsz;
	const void *given = (const uint8_t *)mappings + i * argsz;

	if (memcmp(given, &argsz, sizeof(argsz)) != 0)
		return vuc_error_set(err, -EINVAL,
			"DMA mapping %zu: argsz differs from that of the first one, %zu", i, argsz);
	return vuc_argsz_read(
		m, sizeof(*m), given, VUC_OPTS_LEAST(struct vuc_vmm_dma, fd), "vuc_vmm_dma", err);
}

static int
dma_check(const struct vuc_vmm_device *dev, const struct vuc_vmm_dma *m, size_t i,
	struct vuc_error *err)
{
	uint64_t mask = (dev->info.pgsizes & -dev->info.pgsizes) - 1;

	if (!is_range(dev, m->iova, m->size))
		return vuc_error_set(err, -EINVAL,
			"DMA mapping %zu: invalid range: 0x%" PRIx64 " bytes at 0x%" PRIx64
			", pages of 0x%" PRIx64,
			i, m->size, m->iova, mask + 1);
	if ((m->offset & mask) != 0 || m->offset > INT64_MAX || m->size > INT64_MAX - m->offset)
		return vuc_error_set(err, -EINVAL,
			"DMA mapping %zu: invalid range of its file: 0x%" PRIx64
			" bytes at offset 0x%" PRIx64 ", pages of 0x%" PRIx64,
			i, m->size, m->offset, mask + 1);
	if (m->flags == 0 || (m->flags & ~(VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE)) != 0)
		return vuc_error_set(
			err, -EINVAL, "DMA mapping %zu: invalid flags 0x%" PRIx32, i, m->flags);
	if (m->fd != -1 && fcntl(m->fd, F_GETFD) < 0)
		return vuc_error_set(
			err, -EINVAL, "DMA mapping %zu: descriptor %d is not open", i, m->fd);
	return 0;
}

static void
mapping_enqueue(struct vuc_vmm_device *dev, const struct vuc_vmm_dma *m)
{
	if (m->fd < 0) {
		dev->unshared.ranges[dev->unshared.nr++] =
			(struct vmm_range){.iova = m->iova, .size = m->size};
		return;
	}
	dev->dma.entries[dev->dma.nr++] = (struct vmm_dma_entry){
		.op = VUC_SHM_DMA_MAP,
		.flags = m->flags,
		.iova = m->iova,
		.size = m->size,
		.offset = m->offset,
		.fd = m->fd,
	};
}

/* With the lock held. */
static int
mappings_enqueue(struct vuc_vmm_device *dev, const struct vuc_vmm_dma *mappings, size_t nr,
	size_t nr_unshared, struct vuc_error *err)
{
	int rc = vmm_check_attached(dev, err);

	if (rc == 0)
		rc = table_reserve(&dev->dma, nr - nr_unshared, err);
	if (rc == 0)
		rc = unshared_reserve(&dev->unshared, nr_unshared, err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < nr; i++) {
		struct vuc_vmm_dma m;

		if (mapping_read(mappings, i, &m, NULL) == 0)
			mapping_enqueue(dev, &m);
	}
	return nr_unshared < INT_MAX ? (int)nr_unshared : INT_MAX;
}

VUC_EXPORT int
vuc_vmm_dma_map(struct vuc_vmm_device *dev, const struct vuc_vmm_dma *mappings, size_t nr,
	struct vuc_error *err)
{
	size_t nr_unshared = 0;
	int rc = vmm_attached_check(dev, err);

	for (size_t i = 0; rc == 0 && i < nr; i++) {
		struct vuc_vmm_dma m;

		rc = mapping_read(mappings, i, &m, err);
		if (rc == 0)
			rc = dma_check(dev, &m, i, err);
		nr_unshared += rc == 0 && m.fd < 0;
	}
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&dev->lock);
	rc = mappings_enqueue(dev, mappings, nr, nr_unshared, err);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

static int
unmap_enqueue(struct vuc_vmm_device *dev, uint64_t iova, uint64_t size, uint32_t flags,
	struct vuc_error *err)
{
	struct vmm_dma_entry entry = {
		.op = VUC_SHM_DMA_UNMAP,
		.flags = flags,
		.iova = iova,
		.size = size,
		.fd = -1,
	};
	int rc = vmm_attached_check(dev, err);

	if (rc != 0)
		return rc;
	if (!is_range(dev, iova, size))
		return vuc_error_set(err, -EINVAL,
			"DMA unmapping: invalid range: 0x%" PRIx64 " bytes at 0x%" PRIx64
			", pages of 0x%" PRIx64,
			size, iova, dev->info.pgsizes & -dev->info.pgsizes);
	return entry_enqueue(dev, &entry, err);
}

VUC_EXPORT int
vuc_vmm_dma_unmap(struct vuc_vmm_device *dev, uint64_t iova, uint64_t size, struct vuc_error *err)
{
	return unmap_enqueue(dev, iova, size, 0, err);
}

VUC_EXPORT int
vuc_vmm_dma_unmap_if_mapped(
	struct vuc_vmm_device *dev, uint64_t iova, uint64_t size, struct vuc_error *err)
{
	return unmap_enqueue(dev, iova, size, VUC_SHM_DMA_IF_MAPPED, err);
}

VUC_EXPORT int
vuc_vmm_dma_unmap_all(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	struct vmm_dma_entry entry = {.op = VUC_SHM_DMA_UNMAP_ALL, .fd = -1};

	return entry_enqueue(dev, &entry, err);
}

/* The index of a descriptor in a message, where it goes once; -1 when there is no room. */
static int
put_fd(struct vmm_fds *fds, int fd)
{
	for (unsigned int i = 0; i < fds->nr; i++) {
		if (fds->fd[i] == fd)
			return (int)i;
	}
	if (fds->nr == VUC_SHM_MAX_FDS)
		return -1;
	fds->fd[fds->nr] = fd;
	return (int)fds->nr++;
}

void
vmm_dma_put_entries(
	struct vuc_shm_dma *r, struct vmm_fds *fds, const struct vmm_dma_entry *entries, size_t nr)
{
	for (r->nr = 0; r->nr < nr && r->nr < VUC_SHM_MAX_DMA; r->nr++) {
		const struct vmm_dma_entry *e = &entries[r->nr];
		int fd_index = e->file != NULL ? put_fd(fds, e->file->fd) : -1;

		if (e->file != NULL && fd_index < 0)
			break;
		r->entries[r->nr] = (struct vuc_shm_dma_entry){
			.op = e->op,
			.flags = e->flags,
			.iova = e->iova,
			.size = e->size,
			.offset = e->offset,
			.fd_index = fd_index,
		};
	}
	r->nr_fds = fds->nr;
}

/* What was queued, in as many requests as it takes, the commit in the last one. */
struct commit_operation {
	struct vmm_operation op;
	struct vmm_dma_queue q;
	size_t nr_maps; /* that there is room for in the record */
	size_t done;
	size_t asked;   /* entries of the request */
	size_t unclear; /* entries behind those that are done, some of which may be done */
	bool committed; /* by the request */
};

/* After an entry was refused: those before it are to be done all the same. */
static bool
commit_ask(struct vmm_operation *op, union vmm_packet *request, struct vmm_fds *fds)
{
	struct commit_operation *c = (struct commit_operation *)op;
	struct vuc_shm_dma *r = &request->dma;
	size_t left = op->status == 0 ? c->q.nr - c->done : 0;

	if (c->q.nr == 0)
		return false;
	vmm_dma_put_entries(r, fds, &c->q.entries[c->done], left);
	c->asked = r->nr;
	c->committed = c->asked == left;
	r->flags = c->committed ? VUC_SHM_DMA_COMMIT : 0;
	vmm_request_set(request, VUC_SHM_DMA, sizeof(*r) + r->nr * sizeof(r->entries[0]));
	return true;
}

static void
entry_record(struct vmm_record *record, struct vmm_dma_entry *e)
{
	if (e->op == VUC_SHM_DMA_UNMAP)
		vmm_record_unmap(record, e->iova, e->iova + (e->size - 1));
	else if (e->op == VUC_SHM_DMA_UNMAP_ALL)
		vmm_record_unmap(record, 0, UINT64_MAX);
	if (e->op != VUC_SHM_DMA_MAP)
		return;
	vmm_record_map(record,
		&(const struct vmm_mapping){
			.iova = e->iova,
			.size = e->size,
			.offset = e->offset,
			.flags = e->flags,
			.file = e->file,
		});
	e->file = NULL;
}

/* Where it is unclear what was done, memory that the VMM has wanted to take away is not handed out
 * again. */
static void
commit_record(struct commit_operation *c)
{
	for (size_t i = 0; i < c->done + c->unclear; i++) {
		if (i < c->done || c->q.entries[i].op != VUC_SHM_DMA_MAP)
			entry_record(&c->op.dev->record, &c->q.entries[i]);
	}
}

static int
commit_take(struct vmm_operation *op, const union vmm_packet *reply, struct vmm_fds *fds,
	struct vuc_error *err)
{
	struct commit_operation *c = (struct commit_operation *)op;
	const struct vuc_shm_dma_reply *r = &reply->dma_reply;
	int rc = vmm_reply_is(op->dev, reply, sizeof(*r), fds, 0, err);

	if (rc != 0)
		return rc;
	if (r->reserved != 0)
		return vmm_reply_wrong(op->dev, reply, err, "reserved", r->reserved);
	c->done += c->asked;
	if (!c->committed)
		return VMM_MORE;
	commit_record(c);
	return 0;
}

/* The commit behind a refusal has nothing but the commit: another refusal is the end. */
static int
commit_refused(struct vmm_operation *op)
{
	struct commit_operation *c = (struct commit_operation *)op;

	c->unclear += c->asked;
	/* A commit that fails does not say at which of the entries before it. */
	if (c->committed) {
		c->unclear += c->done;
		c->done = 0;
	}
	if (op->dev->link.ended)
		return 0;
	if (c->asked > 0)
		return VMM_MORE;
	commit_record(c);
	return 0;
}

static void
commit_cut(struct vmm_operation *op)
{
	struct commit_operation *c = (struct commit_operation *)op;

	c->done = 0;
	c->unclear = c->q.nr;
	commit_record(c);
}

/* What the record did not take. */
static void
commit_free(struct vmm_operation *op)
{
	struct commit_operation *c = (struct commit_operation *)op;

	for (size_t i = 0; i < c->q.nr; i++)
		vmm_file_put(c->q.entries[i].file);
	op->dev->record.reserved -= c->nr_maps;
	free(c->q.entries);
}

static const struct vmm_operation_ops commit_ops = {
	.ask = commit_ask,
	.take = commit_take,
	.refused = commit_refused,
	.cut = commit_cut,
	.free = commit_free,
};

static void
files_put(struct vmm_dma_queue *q)
{
	for (size_t i = 0; i < q->nr; i++) {
		vmm_file_put(q->entries[i].file);
		q->entries[i].file = NULL;
	}
}

/* Hold what entries need, whose callers may close their descriptors. Returns 0; -EMFILE, -ENFILE or
 * -ENOMEM: the queue is as it was; another negative errno: it is empty. */
static int
commit_hold(struct commit_operation *c, struct vmm_dma_queue *q, struct vuc_error *err)
{
	struct vmm_record *record = &c->op.dev->record;
	size_t nr_maps = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < q->nr; i++) {
		struct vmm_dma_entry *e = &q->entries[i];

		if (e->op != VUC_SHM_DMA_MAP)
			continue;
		nr_maps++;
		rc = vmm_file_get(record, e->fd, &e->file);
		if (rc != 0)
			vuc_error_set(err, rc, "DMA mapping at 0x%" PRIx64 ": %s", e->iova,
				strerror(-rc));
	}
	if (rc == 0 && vmm_record_reserve_maps(record, nr_maps) != 0)
		rc = vuc_error_set(err, -ENOMEM, "no memory for %zu DMA mappings", nr_maps);
	if (rc != 0) {
		files_put(q);
		/* An entry that can never be committed is not kept. */
		if (rc != -EMFILE && rc != -ENFILE && rc != -ENOMEM)
			q->nr = 0;
		return rc;
	}
	c->nr_maps = nr_maps;
	c->q = *q;
	*q = (struct vmm_dma_queue){0};
	return 0;
}

/* The order of commits is that of their entries, so both are taken under one lock. */
static int
commit_begin(
	struct vuc_vmm_device *dev, const struct vmm_completion *completion, struct vuc_error *err)
{
	struct commit_operation *c = vmm_operation_create(dev, &commit_ops, sizeof(*c), err);
	int rc;

	if (c == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&dev->lock);
	rc = vmm_operation_check(dev, completion, err);
	if (rc == 0 || rc == -ECONNRESET)
		rc = commit_hold(c, &dev->dma, err);
	if (rc == 0)
		rc = vmm_operation_begin_locked(&c->op, completion, err);
	else
		vmm_operation_free(&c->op);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

VUC_EXPORT int
vuc_vmm_dma_commit(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	return commit_begin(dev, NULL, err);
}

VUC_EXPORT int
vuc_vmm_dma_commit_start(
	struct vuc_vmm_device *dev, vuc_vmm_done_fn done, void *arg, struct vuc_error *err)
{
	return commit_begin(dev, &(const struct vmm_completion){done, arg}, err);
}
