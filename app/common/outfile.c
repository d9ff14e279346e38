/* SPDX-License-Identifier: BSD-3-Clause */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A symbolic link is followed, to a file that is written in place. */
static bool
is_replaceable(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT;
	return S_ISREG(st.st_mode);
}

static int
open_temporary(struct app_outfile *file, const char *path, mode_t mode)
{
	int n = snprintf(
		file->temporary, sizeof(file->temporary), "%s.%ld.tmp", path, (long)getpid());

	if (n < 0 || (size_t)n >= sizeof(file->temporary)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
}

int
app_outfile_open(struct app_outfile *file, const char *path, mode_t mode)
{
	file->temporary[0] = '\0';
	if (strcmp(path, "-") == 0)
		file->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	else if (is_replaceable(path))
		file->fd = open_temporary(file, path, mode);
	else
		file->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
	file->path = file->fd >= 0 ? path : NULL;
	return file->fd >= 0 ? 0 : -errno;
}

/* Pipes and devices have no disk behind them. */
static bool
sync_file(int fd)
{
	return fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
}

int
app_outfile_commit(struct app_outfile *file)
{
	int ret = sync_file(file->fd) ? 0 : -errno;

	if (close(file->fd) != 0 && ret == 0)
		ret = -errno;
	if (file->temporary[0] != '\0') {
		if (ret == 0 && rename(file->temporary, file->path) != 0)
			ret = -errno;
		if (ret != 0)
			unlink(file->temporary);
	}
	file->path = NULL;
	return ret;
}

void
app_outfile_abort(struct app_outfile *file)
{
	if (file->path == NULL)
		return;
	close(file->fd);
	if (file->temporary[0] != '\0')
		unlink(file->temporary);
	file->path = NULL;
}
