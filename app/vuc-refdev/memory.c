/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "memory.h"

static int
memory_map(struct refdev_memory *mem, size_t size)
{
	void *bytes;

	if (ftruncate(mem->fd, (off_t)size) != 0)
		return -errno;
	if (fcntl(mem->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		return -errno;
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	mem->bytes = bytes;
	mem->size = size;
	return 0;
}

int
refdev_memory_open(struct refdev_memory *mem, const char *name, size_t size)
{
	int rc;

	*mem = (struct refdev_memory){.fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	if (mem->fd < 0)
		return -errno;
	rc = memory_map(mem, size);
	if (rc != 0) {
		close(mem->fd);
		mem->fd = -1;
	}
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
