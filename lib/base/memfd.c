/* SPDX-License-Identifier: BSD-3-Clause */
#include "memfd.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008u /* Linux 6.3 */
#endif

int
vuc_memfd_seal(int fd, int seals)
{
	return fcntl(fd, F_ADD_SEALS, seals) == 0 ? 0 : -errno;
}

int
vuc_memfd_create(const char *name, uint64_t size, int seals)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
	int rc;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	if (fd < 0)
		return -errno;
	rc = ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
	if (rc == 0 && seals != 0)
		rc = vuc_memfd_seal(fd, seals);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

uint64_t
vuc_memfd_page_size(int fd)
{
	struct statfs fs;

	if (fcntl(fd, F_GET_SEALS) >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}
