/* SPDX-License-Identifier: BSD-3-Clause */

/* Descriptors of the device: memory, events, and what replies carry. */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"
#include "fds.h"
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

int
refdev_body_attach(struct refdev_body *out, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return -errno;
	out->fds[out->nr_fds++] = copy;
	return 0;
}

void
refdev_event_add(struct refdev *dev, unsigned int event, int fd)
{
	dev->events.fds[event] = fd;
	dev->events.nr++;
}

void
refdev_events_close(struct refdev *dev)
{
	vuc_fds_close(dev->events.fds, REFDEV_MAX_EVENT_FDS);
	memset(dev->events.fds, -1, sizeof(dev->events.fds));
	dev->events.nr = 0;
}

void
refdev_take_events(struct refdev *dev)
{
	for (unsigned int i = 0; i < REFDEV_MAX_EVENT_FDS; i++) {
		uint64_t times;

		if (dev->events.fds[i] >= 0 &&
			read(dev->events.fds[i], &times, sizeof(times)) == (ssize_t)sizeof(times))
			dev->model->take_event(dev, i);
	}
}

unsigned int
refdev_event_fds(const struct refdev *dev, int *fds)
{
	if (dev->events.nr > 0)
		memcpy(fds, dev->events.fds, sizeof(dev->events.fds));
	return dev->events.nr;
}
