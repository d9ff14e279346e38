/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include <vuc/export.h>

#include "error.h"
#include "message.h"

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
	int rc;

	for (size_t i = 0; i < nr; i++) {
		rc = dma_check(dev, &mappings[i], i, err);
		if (rc != 0)
			return rc;
	}
	pthread_mutex_lock(&dev->lock);
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

static int
dma_ask(struct vuc_vmm_device *dev, union vmm_packet *packet, struct vmm_fds *fds,
	struct vuc_error *err)
{
	const struct vuc_shm_dma *r = &packet->dma;
	const struct vuc_shm_dma_reply *reply = &packet->dma_reply;
	int rc = vmm_ask_with(
		dev, VUC_SHM_DMA, packet, sizeof(*r) + r->nr * sizeof(r->entries[0]), fds, err);

	if (rc == 0)
		rc = vmm_reply_is(dev, packet, sizeof(*reply), fds, 0, err);
	if (rc != 0)
		return rc;
	if (reply->reserved != 0)
		return vmm_reply_wrong(dev, packet, err, "reserved", reply->reserved);
	return 0;
}

/* Send what is queued, with the commit in the last message. */
static int
send_queue(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	const struct vmm_dma_queue *q = &dev->dma;
	size_t done = 0;

	while (done < q->nr) {
		union vmm_packet packet = {.dma = {.flags = 0}};
		struct vmm_fds fds = {.nr = 0};
		int rc;

		put_entries(&packet.dma, &fds, &q->entries[done], q->nr - done);
		done += packet.dma.nr;
		if (done == q->nr)
			packet.dma.flags = VUC_SHM_DMA_COMMIT;
		rc = dma_ask(dev, &packet, &fds, err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* After an entry was refused: those before it are to be done all the same. */
static void
commit_rest(struct vuc_vmm_device *dev)
{
	union vmm_packet packet = {.dma = {.flags = VUC_SHM_DMA_COMMIT}};
	struct vmm_fds fds = {.nr = 0};

	dma_ask(dev, &packet, &fds, NULL);
}

VUC_EXPORT int
vuc_vmm_dma_commit(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = send_queue(dev, err);
	if (rc != 0)
		commit_rest(dev);
	dev->dma.nr = 0;
	pthread_mutex_unlock(&dev->lock);
	return rc;
}
