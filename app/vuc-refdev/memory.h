/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_MEMORY_H
#define REFDEV_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* Memory with a descriptor, for instance to be mapped by clients. */
struct refdev_memory {
	int fd; /* sealed against resizing, so that no client can make an access to it fault */
	uint8_t *bytes;
	size_t size;
};

int refdev_memory_open(struct refdev_memory *mem, const char *name, size_t size);
void refdev_memory_close(struct refdev_memory *mem);

#endif /* REFDEV_MEMORY_H */
