/* SPDX-License-Identifier: BSD-3-Clause */
#include "shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <numaif.h>

#include "memfd.h"

#define NODE_BITS (8 * sizeof(unsigned long))

static int
memory_map(struct memory *m, int prot)
{
	m->addr = mmap(NULL, m->size, prot, MAP_SHARED, m->fd, 0);
	if (m->addr != MAP_FAILED)
		return 0;
	m->addr = NULL;
	return -errno;
}

/* Best effort: what does not come from the node comes from another one. */
static void
memory_prefer(const struct memory *m, int node)
{
	unsigned long mask;

	if (node < 0 || (size_t)node >= NODE_BITS)
		return;
	mask = 1ul << node;
	(void)mbind(m->addr, m->size, MPOL_PREFERRED, &mask, NODE_BITS + 1, 0);
}

/* All pages, now: whoever accesses them cannot be told that there are none left. */
static int
memory_fill(const struct memory *m, int prot)
{
	if (fallocate(m->fd, 0, 0, (off_t)m->size) != 0)
		return -errno;
	/* Only so that the poller meets no page that it has to map first. */
	(void)madvise(m->addr, m->size,
		(prot & PROT_WRITE) != 0 ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	return 0;
}

/* Our own mapping stays writable. */
static int
memory_seal(const struct memory *m, enum memory_writer writer)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (writer == MEMORY_OURS)
		seals |= F_SEAL_FUTURE_WRITE;
	return vuc_memfd_seal(m->fd, seals);
}

int
memory_create(struct memory *m, size_t size, enum memory_writer writer, int node)
{
	int prot = writer == MEMORY_THEIRS ? PROT_READ : PROT_READ | PROT_WRITE;
	int rc;

	*m = (struct memory){.size = size};
	m->fd = vuc_memfd_create("vuc", size, 0);
	if (m->fd < 0)
		return m->fd;
	rc = memory_map(m, prot);
	if (rc == 0) {
		memory_prefer(m, node);
		rc = memory_fill(m, prot);
	}
	if (rc == 0)
		rc = memory_seal(m, writer);
	if (rc != 0)
		memory_free(m);
	return rc;
}

void
memory_close(struct memory *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

void
memory_free(struct memory *m)
{
	if (m->addr != NULL)
		munmap(m->addr, m->size);
	memory_close(m);
	m->addr = NULL;
	m->size = 0;
}

size_t
memory_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) & ~(page - 1);
}
