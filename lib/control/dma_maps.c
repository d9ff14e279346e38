/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "source.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22 /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* Page tables take eight bytes a page. */
#define TABLES(size) ((size) / 512)

/* Populated at once: other threads that change mappings wait meanwhile. */
#define POPULATE_BYTES ((off_t)64 << 20)

int
dma_maps_init(struct dma_maps *m, const struct dma_maps_opts *opts)
{
	*m = (struct dma_maps){.max = opts->max, .max_bytes = opts->max_bytes};
	m->at = calloc(m->max, sizeof(*m->at));
	if (m->at == NULL)
		return -ENOMEM;
	m->guard = guard_create(m->max, opts->budget, opts->wake_fd);
	if (m->guard != NULL)
		return 0;
	free(m->at);
	*m = (struct dma_maps){0};
	return -errno;
}

static void
dma_map_unmap(struct dma_maps *m, const struct dma_map *map)
{
	guard_remove(m->guard, map->base);
	munmap(map->base, map->size);
	guard_give(m->guard, map->cost);
	m->bytes -= map->size;
}

void
dma_maps_undo(struct dma_maps *m, size_t nr)
{
	while (m->nr > nr)
		dma_map_unmap(m, &m->at[--m->nr]);
}

void
dma_maps_fini(struct dma_maps *m)
{
	dma_maps_undo(m, 0);
	guard_destroy(m->guard);
	free(m->at);
	*m = (struct dma_maps){0};
}

/*
 * What accesses may cost the daemon: page tables, and the pages that they make in holes of the
 * file. These are counted as they come; where they cannot be watched, as if the file had nothing
 * else. Huge pages come out of a pool of their own. Returns 0 or -EDQUOT.
 */
static int
dma_map_take_cost(struct dma_maps *m, struct dma_map *map, uint64_t page)
{
	if (page != (uint64_t)sysconf(_SC_PAGESIZE))
		return 0;
	map->cost = TABLES(map->size);
	if (!guard_watch(m->guard, map->base, map->size))
		map->cost += map->size;
	return guard_take(m->guard, map->cost) ? 0 : -EDQUOT;
}

int
dma_maps_add(struct dma_maps *m, const struct vuc_shm_dma_entry *entry, int fd, uint64_t page,
	void **addr)
{
	bool writable = (entry->flags & VUC_SHM_DMA_WRITE) != 0;
	int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	uint64_t skip = entry->offset & (page - 1);
	struct dma_map map = {.iova = entry->iova, .length = entry->size, .writable = writable};
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
	rc = dma_map_take_cost(m, &map, page);
	if (rc == 0 && (rc = guard_add(m->guard, map.base, map.size)) != 0)
		guard_give(m->guard, map.cost);
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

/* The kernel stops where the file has lost a page by now, which is all right. */
static void
dma_map_populate(uint8_t *from, uint64_t size, bool writable)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (madvise(from, size, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) == 0 ||
		errno != EINVAL)
		return;
	for (uint64_t at = 0; at < size; at += page)
		(void)*(volatile uint8_t *)(from + at);
}

void
dma_maps_populate(const struct dma_maps *m, const struct vuc_shm_dma_entry *entry, int fd,
	void (*look)(void *arg), void *arg)
{
	const struct dma_map *map = &m->at[m->nr - 1];
	off_t start = (off_t)entry->offset - (map->addr - (uint8_t *)map->base);
	off_t end = start + (off_t)map->size;
	char path[32];
	off_t hole;
	int own;

	/* Looking for holes moves the offset of an open file: not of the VMM's. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return;
	for (off_t data = start; (data = lseek(own, data, SEEK_DATA)) >= 0 && data < end;
		data = hole) {
		hole = lseek(own, data, SEEK_HOLE);
		if (hole <= data)
			break;
		if (hole > end)
			hole = end;
		if (hole - data > POPULATE_BYTES)
			hole = data + POPULATE_BYTES;
		dma_map_populate((uint8_t *)map->base + (data - start), (uint64_t)(hole - data),
			(entry->flags & VUC_SHM_DMA_WRITE) != 0);
		look(arg);
	}
	close(own);
}

uint8_t *
dma_maps_find(const struct dma_maps *m, uint64_t iova, uint64_t size, bool writes)
{
	for (size_t i = 0; i < m->nr; i++) {
		const struct dma_map *map = &m->at[i];

		if (!map->leaves && iova >= map->iova && size <= map->length &&
			iova - map->iova <= map->length - size && (map->writable || !writes))
			return map->addr + (iova - map->iova);
	}
	return NULL;
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
			dma_map_unmap(m, &m->at[i]);
		else
			m->at[kept++] = m->at[i];
	}
	m->nr = kept;
}

const char *
dma_maps_problem(const struct dma_maps *m)
{
	if (m->guard == NULL)
		return NULL;
	if (guard_is_spent(m->guard))
		return "its device has accessed more unallocated memory than max-dma-message-mb "
		       "allows";
	if (guard_is_broken(m->guard))
		return "memory that it has mapped for the device has lost pages";
	return NULL;
}
