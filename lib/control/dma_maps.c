/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "source.h"

int
dma_maps_init(struct dma_maps *m, size_t max, uint64_t max_bytes, int wake_fd)
{
	*m = (struct dma_maps){.max = max, .max_bytes = max_bytes};
	m->at = calloc(max, sizeof(*m->at));
	if (m->at == NULL)
		return -ENOMEM;
	m->guard = guard_create(max, wake_fd);
	if (m->guard != NULL)
		return 0;
	free(m->at);
	*m = (struct dma_maps){0};
	return -errno;
}

static void
unmap(struct dma_maps *m, const struct dma_map *map)
{
	guard_remove(m->guard, map->base);
	munmap(map->base, map->size);
	m->bytes -= map->size;
}

void
dma_maps_undo(struct dma_maps *m, size_t nr)
{
	while (m->nr > nr)
		unmap(m, &m->at[--m->nr]);
}

void
dma_maps_fini(struct dma_maps *m)
{
	dma_maps_undo(m, 0);
	guard_destroy(m->guard);
	free(m->at);
	*m = (struct dma_maps){0};
}

int
dma_maps_add(struct dma_maps *m, const struct vuc_shm_dma_entry *entry, int fd, uint64_t page,
	void **addr)
{
	int prot = (entry->flags & VUC_SHM_DMA_WRITE) != 0 ? PROT_READ | PROT_WRITE : PROT_READ;
	uint64_t skip = entry->offset & (page - 1);
	struct dma_map map = {.iova = entry->iova};
	int rc;

	if (m->nr == m->max)
		return -ENOSPC;
	map.size = (skip + entry->size + page - 1) & ~(page - 1);
	if (map.size > m->max_bytes - m->bytes)
		return -EFBIG;
	map.base = mmap(NULL, map.size, prot, MAP_SHARED | MAP_NORESERVE, fd,
		(off_t)(entry->offset - skip));
	if (map.base == MAP_FAILED)
		return -errno;
	rc = guard_add(m->guard, map.base, map.size);
	if (rc != 0) {
		munmap(map.base, map.size);
		return rc;
	}
	/* Guest memory is no part of the daemon's core dumps, nor of its children. */
	(void)madvise(map.base, map.size, MADV_DONTDUMP);
	(void)madvise(map.base, map.size, MADV_DONTFORK);
	map.addr = (uint8_t *)map.base + skip;
	m->at[m->nr++] = map;
	m->bytes += map.size;
	*addr = map.addr;
	return 0;
}

void
dma_maps_leave(struct dma_maps *m, size_t nr, uint64_t iova, uint64_t size)
{
	for (size_t i = 0; i < nr; i++) {
		if (m->at[i].iova >= iova && m->at[i].iova - iova < size)
			m->at[i].leaves = true;
	}
}

void
dma_maps_find_unused(struct dma_maps *m, const struct vuc_device *dev)
{
	for (size_t i = 0; i < m->nr; i++)
		m->at[i].leaves = !vuc_dma_holds(dev, m->at[i].iova, m->at[i].addr);
}

void
dma_maps_sweep(struct dma_maps *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->nr; i++) {
		if (m->at[i].leaves)
			unmap(m, &m->at[i]);
		else
			m->at[kept++] = m->at[i];
	}
	m->nr = kept;
}

bool
dma_maps_broken(const struct dma_maps *m)
{
	return m->guard != NULL && guard_is_broken(m->guard);
}
