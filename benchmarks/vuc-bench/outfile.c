/* SPDX-License-Identifier: BSD-3-Clause */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static bool
can_be_replaced(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT;
	return S_ISREG(st.st_mode);
}

static int
open_temporary(struct bench_outfile *file, const char *path)
{
	int n = snprintf(
		file->temporary, sizeof(file->temporary), "%s.%ld.tmp", path, (long)getpid());

	if (n < 0 || (size_t)n >= sizeof(file->temporary)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

int
bench_outfile_open(struct bench_outfile *file, const char *path, struct vuc_error *err)
{
	*file = (struct bench_outfile){.fd = -1};
	if (can_be_replaced(path))
		file->fd = open_temporary(file, path);
	else
		file->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (file->fd < 0)
		return bench_fail(err, -errno, "%s: %s", path, strerror(errno));
	file->path = path;
	return 0;
}

static void
outfile_forget(struct bench_outfile *file)
{
	*file = (struct bench_outfile){.fd = -1};
}

int
bench_outfile_commit(struct bench_outfile *file, struct vuc_error *err)
{
	int ret = 0;

	if (close(file->fd) != 0)
		ret = -errno;
	if (file->temporary[0] != '\0') {
		if (ret == 0 && rename(file->temporary, file->path) != 0)
			ret = -errno;
		if (ret != 0)
			unlink(file->temporary);
	}
	if (ret != 0)
		bench_fail(err, ret, "%s: %s", file->path, strerror(-ret));
	outfile_forget(file);
	return ret;
}

void
bench_outfile_abort(struct bench_outfile *file)
{
	if (file->path == NULL)
		return;
	close(file->fd);
	if (file->temporary[0] != '\0')
		unlink(file->temporary);
	outfile_forget(file);
}
