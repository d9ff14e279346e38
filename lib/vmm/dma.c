/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/export.h>

#include "error.h"
#include "fds.h"
#include "operation.h"

_Static_assert(
	VUC_VMM_DMA_READ == VUC_SHM_DMA_READ && VUC_VMM_DMA_WRITE == VUC_SHM_DMA_WRITE, "flags");

/* Make room for nr more entries. */
static int
table_reserve(struct vmm_dma_queue *q, size_t nr, struct vuc_error *err)
{
	struct vmm_dma_entry *entries;
	size_t need, room = q->room > 0 ? q->room : 16;

	if (__builtin_add_overflow(q->nr, nr, &need) || need > SIZE_MAX / 2 / sizeof(*entries))
		return vuc_error_set(err, -ENOMEM, "no memory for %zu DMA mappings", nr);
	if (need <= q->room)
		return 0;
	while (room < need)
		room *= 2;
	entries = realloc(q->entries, room * sizeof(*entries));
	if (entries == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for %zu DMA mappings", nr);
	q->entries = entries;
	q->room = room;
	return 0;
}

static int
entry_enqueue(struct vuc_vmm_device *dev, const struct vmm_dma_entry *entry, struct vuc_error *err)
{
	struct vmm_dma_queue *q = &dev->dma;
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = vmm_check_attached(dev, err);
	if (rc == 0)
		rc = table_reserve(q, 1, err);
	if (rc == 0)
		q->entries[q->nr++] = *entry;
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

static int
dma_check(const struct vuc_vmm_device *dev, const struct vuc_vmm_dma *m, size_t i,
	struct vuc_error *err)
{
	uint64_t mask = (dev->info.pgsizes & -dev->info.pgsizes) - 1;

	if (!is_range(dev, m->iova, m->size))
		return vuc_error_set(err, -EINVAL,
			"DMA mapping %zu: 0x%" PRIx64 " bytes at 0x%" PRIx64
			" cannot be in pages of 0x%" PRIx64,
			i, m->size, m->iova, mask + 1);
	if ((m->offset & mask) != 0 || m->offset > INT64_MAX || m->size > INT64_MAX - m->offset)
		return vuc_error_set(err, -EINVAL,
			"DMA mapping %zu: 0x%" PRIx64 " bytes at offset 0x%" PRIx64
			" of a file cannot be in pages of 0x%" PRIx64,
			i, m->size, m->offset, mask + 1);
	if (m->flags == 0 || (m->flags & ~(VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE)) != 0)
		return vuc_error_set(err, -EINVAL, "DMA mapping %zu: flags 0x%" PRIx32 " cannot be",
			i, m->flags);
	if (fcntl(m->fd, F_GETFD) < 0)
		return vuc_error_set(
			err, -EINVAL, "DMA mapping %zu: descriptor %d is not open", i, m->fd);
	return 0;
}

static void
entries_append(struct vmm_dma_queue *q, const struct vuc_vmm_dma *m)
{
	q->entries[q->nr++] = (struct vmm_dma_entry){
		.op = VUC_SHM_DMA_MAP,
		.flags = m->flags,
		.iova = m->iova,
		.size = m->size,
		.offset = m->offset,
		.fd = m->fd,
	};
}

VUC_EXPORT int
vuc_vmm_dma_map(struct vuc_vmm_device *dev, const struct vuc_vmm_dma *mappings, size_t nr,
	struct vuc_error *err)
{
	int rc = vmm_attached_check(dev, err);

	for (size_t i = 0; rc == 0 && i < nr; i++)
		rc = dma_check(dev, &mappings[i], i, err);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&dev->lock);
	rc = vmm_check_attached(dev, err);
	if (rc == 0)
		rc = table_reserve(&dev->dma, nr, err);
	for (size_t i = 0; rc == 0 && i < nr; i++)
		entries_append(&dev->dma, &mappings[i]);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

VUC_EXPORT int
vuc_vmm_dma_unmap(struct vuc_vmm_device *dev, uint64_t iova, uint64_t size, struct vuc_error *err)
{
	const struct vmm_dma_entry entry = {
		.op = VUC_SHM_DMA_UNMAP,
		.iova = iova,
		.size = size,
		.fd = -1,
	};
	int rc = vmm_attached_check(dev, err);

	if (rc != 0)
		return rc;
	if (!is_range(dev, iova, size))
		return vuc_error_set(err, -EINVAL,
			"DMA unmapping: 0x%" PRIx64 " bytes at 0x%" PRIx64
			" cannot be in pages of 0x%" PRIx64,
			size, iova, dev->info.pgsizes & -dev->info.pgsizes);
	return entry_enqueue(dev, &entry, err);
}

VUC_EXPORT int
vuc_vmm_dma_unmap_all(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	const struct vmm_dma_entry entry = {.op = VUC_SHM_DMA_UNMAP_ALL, .fd = -1};

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

/* Write as many entries into a message as it takes. */
static void
put_entries(
	struct vuc_shm_dma *r, struct vmm_fds *fds, const struct vmm_dma_entry *entries, size_t nr)
{
	for (r->nr = 0; r->nr < nr && r->nr < VUC_SHM_MAX_DMA; r->nr++) {
		const struct vmm_dma_entry *e = &entries[r->nr];
		int fd_index = e->fd >= 0 ? put_fd(fds, e->fd) : -1;

		if (e->fd >= 0 && fd_index < 0)
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
	size_t done;
	size_t asked;   /* entries of the request */
	bool committed; /* by the request */
	int *held;      /* duplicates of the descriptors, each once; NULL when a thread waits */
	unsigned int nr_held;
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
	put_entries(r, fds, &c->q.entries[c->done], left);
	c->asked = r->nr;
	c->committed = c->asked == left;
	r->flags = c->committed ? VUC_SHM_DMA_COMMIT : 0;
	vmm_request_set(request, VUC_SHM_DMA, sizeof(*r) + r->nr * sizeof(r->entries[0]));
	return true;
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
	return c->committed ? 0 : VMM_MORE;
}

/* The commit behind a refusal has nothing but the commit: another refusal is the end. */
static int
commit_refused(struct vmm_operation *op)
{
	return ((struct commit_operation *)op)->asked > 0 && !op->dev->link.ended ? VMM_MORE : 0;
}

static void
commit_free(struct vmm_operation *op)
{
	struct commit_operation *c = (struct commit_operation *)op;

	vuc_fds_close(c->held, c->nr_held);
	free(c->held);
	free(c->q.entries);
}

static const struct vmm_operation_ops commit_ops = {
	.ask = commit_ask,
	.take = commit_take,
	.refused = commit_refused,
	.free = commit_free,
};

/* The duplicate of a descriptor of the caller's, who may close it; one that was made for an entry
 * before this one serves as well. Returns it, or a negative errno. */
static int
fd_hold(struct commit_operation *c, const int *from, int fd)
{
	int held;

	for (unsigned int i = c->nr_held; i > 0; i--) {
		if (from[i - 1] == fd)
			return c->held[i - 1];
	}
	held = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (held < 0)
		return -errno;
	c->held[c->nr_held++] = held;
	return held;
}

/* Entries of the queue get descriptors of the operation's own. Returns 0 or a negative errno: the
 * queue is as it was. */
static int
fds_hold(struct commit_operation *c, struct vmm_dma_queue *q, struct vuc_error *err)
{
	int *from = malloc((q->nr + 1) * sizeof(*from));
	int rc = 0;

	c->held = malloc((q->nr + 1) * sizeof(*c->held));
	c->q.entries = malloc((q->nr + 1) * sizeof(*q->entries));
	if (from == NULL || c->held == NULL || c->q.entries == NULL)
		rc = vuc_error_set(err, -ENOMEM, "no memory for a commit of %zu entries", q->nr);
	for (size_t i = 0; rc == 0 && i < q->nr; i++) {
		struct vmm_dma_entry *e = &c->q.entries[i];

		*e = q->entries[i];
		if (e->fd < 0)
			continue;
		from[c->nr_held] = e->fd;
		e->fd = fd_hold(c, from, e->fd);
		if (e->fd < 0)
			rc = vuc_error_set(err, e->fd, "DMA mapping at 0x%" PRIx64 ": %s", e->iova,
				strerror(-e->fd));
	}
	free(from);
	if (rc != 0)
		return rc;
	c->q.nr = q->nr;
	q->nr = 0;
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
	if (rc == 0 && completion != NULL) {
		rc = fds_hold(c, &dev->dma, err);
	} else if (rc == 0) {
		c->q = dev->dma;
		dev->dma = (struct vmm_dma_queue){0};
	}
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
