/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_SHARED_MEMORY_H
#define VUC_LIB_CONTROL_SHARED_MEMORY_H

/* Memory that the daemon makes and shares with a VMM: of a size that nobody can change. */

#include <stddef.h>

enum memory_writer {
	MEMORY_OURS,   /* the VMM can only read it */
	MEMORY_THEIRS, /* we only read it */
	MEMORY_BOTH,
};

struct memory {
	int fd; /* to be given to the VMM */
	void *addr;
	size_t size;
};

/* Zeroed memory, there at once, of a NUMA node (-1: any). Returns 0 or a negative errno; then there
 * is nothing to free. */
int memory_create(struct memory *m, size_t size, enum memory_writer writer, int node);

/* The VMM has its own by now. */
void memory_close(struct memory *m);

/* Unmap and close what there is; one that is zeroed but for an fd of -1 has nothing. */
void memory_free(struct memory *m);

/* Up to whole pages. */
size_t memory_pages(size_t size);

#endif /* VUC_LIB_CONTROL_SHARED_MEMORY_H */
