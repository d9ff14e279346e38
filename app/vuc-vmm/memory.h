/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_MEMORY_H
#define VMM_MEMORY_H

/*
 * The guest's memory: a file without a name, so that it can be given to others. The guest has it
 * at address 0.
 */

#include <stdint.h>

struct memory {
	int fd;
	uint8_t *bytes;
	uint64_t size;
};

/* Returns 0, or a negative errno, having said why. size: a multiple of the page size. */
int memory_create(struct memory *memory, uint64_t size);
void memory_destroy(struct memory *memory);

#endif /* VMM_MEMORY_H */
