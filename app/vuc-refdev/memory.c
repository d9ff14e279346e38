/* SPDX-License-Identifier: BSD-3-Clause */

/* Memory with a descriptor: sealed, or in a file of --bar-file. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "error.h"
#include "memfd.h"

/* Map the file fd, which it takes; a negative fd is an errno and returned. */
static int
memory_map(struct refdev_memory *mem, int fd, size_t size)
{
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

int
refdev_memory_open(struct refdev_memory *mem, const char *name, size_t size)
{
	return memory_map(
		mem, vuc_memfd_create(name, size, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), size);
}

/* Whether a file can be the memory of a region; one that is empty, as a new one is, becomes it. */
static int
bar_file_check(int fd, size_t size, const char *path, struct vuc_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return vuc_error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return vuc_error_set(err, -EINVAL, "%s: not a regular file", path);
	if (st.st_uid != geteuid())
		return vuc_error_set(err, -EPERM, "%s: owned by user %u", path, st.st_uid);
	if (st.st_size != 0 && (size_t)st.st_size != size)
		return vuc_error_set(err, -EINVAL, "%s: has %lld bytes, expected %zu", path,
			(long long)st.st_size, size);
	if (st.st_size == 0 && ftruncate(fd, (off_t)size) != 0)
		return vuc_error_set(err, -errno, "%s: %s", path, strerror(errno));
	return 0;
}

/* What it had last is what the region has now. O_NONBLOCK: a FIFO must not keep us waiting. */
static int
bar_file_open(struct refdev_memory *mem, const char *path, size_t size, struct vuc_error *err)
{
	const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags, 0600);
	int rc;

	if (fd < 0)
		return vuc_error_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = bar_file_check(fd, size, path, err);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	rc = memory_map(mem, fd, size);
	return rc == 0 ? 0 : vuc_error_set(err, rc, "%s: %s", path, strerror(-rc));
}

int
refdev_memory_open_region(
	const struct refdev *dev, struct refdev_memory *mem, uint32_t region, size_t size)
{
	const struct refdev_config *config = &dev->config;
	char name[32], *path;
	int rc;

	if (config->bar_folder == NULL) {
		snprintf(name, sizeof(name), "refdev-bar%u", region);
		return refdev_memory_open(mem, name, size);
	}
	mem->fd = -1;
	if (asprintf(&path, "%s/device%" PRIu64 "-bar%u", config->bar_folder, config->serial,
		    region) < 0)
		return -ENOMEM;
	rc = bar_file_open(mem, path, size, config->err);
	free(path);
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
