/* SPDX-License-Identifier: BSD-3-Clause */
#include "descriptor.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "error.h"

int
vmm_memory_map(
	void **memory, int fd, size_t size, int prot, const char *what, struct vuc_error *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) != 0)
		return vuc_error_set(err, -errno, "%s: %s", what, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return vuc_error_set(err, -EPROTO,
			"%s: the daemon's descriptor is not of memory (mode 0%o)", what,
			st.st_mode);
	if (st.st_size < 0 || (uint64_t)st.st_size < size)
		return vuc_error_set(err, -EPROTO,
			"%s: the daemon's memory has %lld bytes, not %zu", what,
			(long long)st.st_size, size);
	p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return vuc_error_set(err, errno == ENOMEM ? -ENOMEM : -EPROTO,
			"%s: the daemon's memory cannot be mapped: %s", what, strerror(errno));
	*memory = p;
	return 0;
}

int
vmm_eventfd_check(int fd, const char *what, struct vuc_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return vuc_error_set(err, -errno, "%s: %s", what, strerror(errno));
	if ((st.st_mode & S_IFMT) == 0)
		return 0;
	return vuc_error_set(err, -EPROTO, "%s: the daemon's descriptor is no eventfd (mode 0%o)",
		what, st.st_mode);
}
