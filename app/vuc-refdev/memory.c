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

static int
system_error(struct vuc_error *err, const char *path, int rc)
{
	return vuc_error_set_utf8(err, rc, "%s: %s", path, strerror(-rc));
}

/* O_NONBLOCK: a FIFO must not keep us waiting. */
int
refdev_file_open(const char *path, int flags, struct stat *st, struct vuc_error *err)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | flags, 0600);
	int rc = fd >= 0 && fstat(fd, st) == 0 ? 0 : -errno;

	if (rc != 0)
		system_error(err, path, rc);
	else if (!S_ISREG(st->st_mode))
		rc = vuc_error_set_utf8(err, -EINVAL, "%s: not a regular file", path);
	if (rc == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return rc;
}

/* What the file contains is what the region contains. One that is empty, as a new one is, gets the
 * size of the region. */
static int
bar_file_open(struct refdev_memory *mem, const char *path, size_t size, struct vuc_error *err)
{
	struct stat st;
	int rc = 0, fd = refdev_file_open(path, O_CREAT | O_NOFOLLOW, &st, err);

	if (fd < 0)
		return fd;
	if (st.st_uid != geteuid())
		rc = vuc_error_set_utf8(err, -EPERM, "%s: owned by user %u", path, st.st_uid);
	else if (st.st_size != 0 && (size_t)st.st_size != size)
		rc = vuc_error_set_utf8(err, -EINVAL, "%s: has %lld bytes, expected %zu", path,
			(long long)st.st_size, size);
	else if (st.st_size == 0 && ftruncate(fd, (off_t)size) != 0)
		rc = system_error(err, path, -errno);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	rc = memory_map(mem, fd, size);
	return rc == 0 ? 0 : system_error(err, path, rc);
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
