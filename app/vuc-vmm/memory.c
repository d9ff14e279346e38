/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fail.h"
#include "memfd.h"

/* Whoever maps the file needs to know that it never shrinks beneath them. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int
create_file(struct memory *memory)
{
	memory->fd = vuc_memfd_create("guest", memory->size, SEALS);
	if (memory->fd < 0)
		return vmm_fail(memory->fd, "guest memory: a memfd of %zu bytes: %s", memory->size,
			strerror(-memory->fd));
	return 0;
}

static int
map_file(struct memory *memory)
{
	void *bytes = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);

	if (bytes == MAP_FAILED)
		return vmm_fail(-errno, "guest memory: mmap: %s", strerror(errno));
	memory->bytes = bytes;
	return 0;
}

int
memory_create(struct memory *memory, uint64_t size)
{
	int rc;

	*memory = (struct memory){.fd = -1, .size = size};
	rc = create_file(memory);
	if (rc == 0)
		rc = map_file(memory);
	if (rc != 0)
		memory_destroy(memory);
	return rc;
}

void
memory_destroy(struct memory *memory)
{
	if (memory->bytes != NULL)
		munmap(memory->bytes, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	*memory = (struct memory){.fd = -1};
}
