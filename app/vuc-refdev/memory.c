/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "memfd.h"

int
refdev_memory_open(struct refdev_memory *mem, const char *name, size_t size)
{
	int fd = vuc_memfd_create(name, size, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	void *bytes;
	int rc;

	*mem = (struct refdev_memory){.fd = fd, .size = size};
	if (fd < 0)
		return fd;
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes != MAP_FAILED) {
		mem->bytes = bytes;
		return 0;
	}
	rc = -errno;
	close(fd);
	mem->fd = -1;
	return rc;
}

void
refdev_memory_close(struct refdev_memory *mem)
{
	if (mem->fd < 0)
		return;
	munmap(mem->bytes, mem->size);
	close(mem->fd);
	mem->fd = -1;
}
