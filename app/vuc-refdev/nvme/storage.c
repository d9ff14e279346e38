/* SPDX-License-Identifier: BSD-3-Clause */

/* The namespace's blocks are those of a regular file. What was written to it is the kernel's, and
 * so outlives the process. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "nvme.h"

/* The identifier depends on the file only: every server of it shows the same namespace. */
static void
id_make(uint8_t *id, const struct stat *st)
{
	const uint64_t parts[] = {st->st_dev, st->st_ino};

	_Static_assert(sizeof(parts) == NVME_NGUID_SIZE, "they are the id");
	memcpy(id, parts, sizeof(parts));
}

/* size is what is wanted; 0: whatever the file has. */
int
refdev_nvme_storage_open(
	struct nvme_namespace *ns, const char *path, uint64_t size, struct vuc_error *err)
{
	struct stat st;

	ns->fd = refdev_file_open(path, size != 0 ? O_CREAT : 0, &st, err);
	if (ns->fd < 0)
		return ns->fd;
	if (flock(ns->fd, LOCK_EX | LOCK_NB) != 0)
		return vuc_error_set_utf8(err, -errno, "%s: in use by another process", path);
	if (size != 0 && (uint64_t)st.st_size > size)
		return vuc_error_set_utf8(err, -EINVAL, "%s: has %lld bytes, expected at most %llu",
			path, (long long)st.st_size, (unsigned long long)size);
	if (size != 0 && ftruncate(ns->fd, (off_t)size) != 0)
		return vuc_error_set_utf8(err, -errno, "%s: %s", path, strerror(errno));
	ns->blocks = (size != 0 ? size : (uint64_t)st.st_size) >> NVME_BLOCK_SHIFT;
	if (ns->blocks == 0)
		return vuc_error_set_utf8(
			err, -EINVAL, "%s: smaller than a block of %u bytes", path, NVME_BLOCK);
	id_make(ns->id, &st);
	return 0;
}

void
refdev_nvme_storage_close(struct nvme_namespace *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	ns->fd = -1;
}

int
refdev_nvme_storage_read(
	const struct nvme_namespace *ns, uint64_t lba, uint8_t *bytes, uint32_t len)
{
	off_t offset = (off_t)(lba << NVME_BLOCK_SHIFT);

	for (uint32_t done = 0; done < len;) {
		ssize_t n = pread(ns->fd, bytes + done, len - done, offset + done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO; /* somebody has made the file shorter */
		if (n > 0)
			done += (uint32_t)n;
	}
	return 0;
}

int
refdev_nvme_storage_write(
	const struct nvme_namespace *ns, uint64_t lba, const uint8_t *bytes, uint32_t len)
{
	off_t offset = (off_t)(lba << NVME_BLOCK_SHIFT);

	for (uint32_t done = 0; done < len;) {
		ssize_t n = pwrite(ns->fd, bytes + done, len - done, offset + done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (uint32_t)n;
	}
	return 0;
}

/* For file systems that can't make holes. */
static int
zeros_write(const struct nvme_namespace *ns, uint64_t lba, uint32_t blocks)
{
	static const uint8_t zeros[128 * NVME_BLOCK];
	int rc = 0;

	while (blocks > 0 && rc == 0) {
		uint32_t n = blocks < 128 ? blocks : 128;

		rc = refdev_nvme_storage_write(ns, lba, zeros, n << NVME_BLOCK_SHIFT);
		lba += n;
		blocks -= n;
	}
	return rc;
}

static int
hole_make(const struct nvme_namespace *ns, uint64_t lba, uint32_t blocks)
{
	off_t offset = (off_t)(lba << NVME_BLOCK_SHIFT);
	off_t len = (off_t)blocks << NVME_BLOCK_SHIFT;

	if (blocks == 0 ||
		fallocate(ns->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len) == 0)
		return 0;
	return -errno;
}

int
refdev_nvme_storage_zero(const struct nvme_namespace *ns, uint64_t lba, uint32_t blocks)
{
	int rc = hole_make(ns, lba, blocks);

	return rc == -EOPNOTSUPP ? zeros_write(ns, lba, blocks) : rc;
}

int
refdev_nvme_storage_discard(const struct nvme_namespace *ns, uint64_t lba, uint32_t blocks)
{
	int rc = hole_make(ns, lba, blocks);

	return rc == -EOPNOTSUPP ? 0 : rc;
}

int
refdev_nvme_storage_flush(const struct nvme_namespace *ns)
{
	return fdatasync(ns->fd) == 0 ? 0 : -errno;
}
