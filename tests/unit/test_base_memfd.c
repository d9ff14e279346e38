/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sys/stat.h>

#include "memfd.h"
#include "tap.h"

/* F_SEAL_EXEC comes with memory that is never executed. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static void
test_size_and_seals(void)
{
	int fd = vuc_memfd_create("sealed", 8192, F_SEAL_SHRINK | F_SEAL_GROW);
	struct stat st = {0};

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 8192);
	CU_ASSERT_EQUAL(fcntl(fd, F_GET_SEALS) & SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	CU_ASSERT_EQUAL(ftruncate(fd, 4096), -1);
	CU_ASSERT_EQUAL(ftruncate(fd, 16384), -1);
	CU_ASSERT_EQUAL(vuc_memfd_seal(fd, F_SEAL_SEAL), 0);
	CU_ASSERT_EQUAL(vuc_memfd_seal(fd, F_SEAL_WRITE), -EPERM);
	close(fd);
}

static void
test_unsealed(void)
{
	int fd = vuc_memfd_create("unsealed", 0, 0);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(fcntl(fd, F_GET_SEALS) & SEALS, 0);
	CU_ASSERT_EQUAL(ftruncate(fd, 4096), 0);
	close(fd);
}

static void
test_errors(void)
{
	CU_ASSERT_EQUAL(vuc_memfd_create("too large", UINT64_MAX, 0), -EINVAL);
	CU_ASSERT_EQUAL(vuc_memfd_create("no seal", 4096, 1 << 30), -EINVAL);
}

const struct tap_suite tap_suite = {"memfd", NULL, NULL,
	{
		{"it has its size and its seals, and takes more until the last one",
			test_size_and_seals},
		{"without seals it can be resized", test_unsealed},
		{"what fails leaves no descriptor", test_errors},
	}};
