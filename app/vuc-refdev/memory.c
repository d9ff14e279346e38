/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "memfd.h"
#include "memory.h"

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

int
refdev_bar2_read(struct refdev *dev, uint32_t offset, uint8_t *data, uint32_t count)
{
	memcpy(data, dev->bar2.bytes + offset, count);
	return 0;
}

int
refdev_bar2_write(struct refdev *dev, uint32_t offset, const uint8_t *data, uint32_t count)
{
	memcpy(dev->bar2.bytes + offset, data, count);
	return 0;
}
