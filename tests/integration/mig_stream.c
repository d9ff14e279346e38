/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mig_server.h"
#include "mig_stream.h"
#include "tap.h"

int
mig_memory_file(void)
{
	int fd = memfd_create("migration", MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

int
mig_data_file(size_t size)
{
	int fd = mig_memory_file();
	uint8_t *bytes = malloc(size);

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = mig_byte(i);
	CU_ASSERT_EQUAL_FATAL(write(fd, bytes, size), (ssize_t)size);
	CU_ASSERT_EQUAL_FATAL(lseek(fd, 0, SEEK_SET), 0);
	free(bytes);
	return fd;
}

bool
mig_file_has_data(int fd, size_t size)
{
	size_t n = 0, wrong = 0;
	uint8_t bytes[4096];
	ssize_t got;

	CU_ASSERT_EQUAL_FATAL(lseek(fd, 0, SEEK_SET), 0);
	while ((got = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < got; i++)
			wrong += bytes[i] != mig_byte(n++);
	}
	return n == size && wrong == 0;
}

int
mig_record_progress(void *arg, const struct vuc_migration_progress *progress)
{
	struct mig_record *r = arg;

	r->last = *progress;
	return ++r->calls == r->answer_at ? r->answer : 0;
}

/* Never returns. */
static void
move_all(int from, int to)
{
	uint8_t bytes[977];
	size_t size = 1;
	ssize_t n;

	while ((n = read(from, bytes, size)) > 0) {
		for (ssize_t done = 0; done < n;) {
			ssize_t out = write(to, bytes + done, (size_t)(n - done));

			if (out < 0)
				_exit(1);
			done += out;
		}
		size = size % sizeof(bytes) + 1;
	}
	_exit(n == 0 ? 0 : 1);
}

pid_t
mig_start_mover(int from, int to, int not_its_own)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		close(not_its_own);
		move_all(from, to);
	}
	return pid;
}

bool
mig_has_ended_well(pid_t pid)
{
	int status = -1;

	return waitpid(pid, &status, 0) == pid && status == 0;
}
