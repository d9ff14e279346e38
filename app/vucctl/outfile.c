/* SPDX-License-Identifier: BSD-3-Clause */
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "message.h"

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
open_temporary(struct vucctl_outfile *file)
{
	int n = snprintf(file->temporary, sizeof(file->temporary), "%s.XXXXXX", file->path);

	if (n < 0 || (size_t)n >= sizeof(file->temporary)) {
		file->temporary[0] = '\0';
		errno = ENAMETOOLONG;
		return -1;
	}
	return mkostemp(file->temporary, O_CLOEXEC);
}

int
vucctl_outfile_open(struct vucctl_outfile *file, const char *path)
{
	file->path = path;
	file->temporary[0] = '\0';
	if (strcmp(path, "-") == 0)
		file->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	else if (is_replaceable(path))
		file->fd = open_temporary(file);
	else
		file->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
	if (file->fd >= 0)
		return 0;
	return vucctl_fail("cannot write %s: %s", path, strerror(errno));
}

/* Pipes and devices have no disk behind them. */
static bool
sync_file(int fd)
{
	return fsync(fd) == 0 || errno == EINVAL || errno == EROFS || errno == ENOTSUP;
}

int
vucctl_outfile_commit(struct vucctl_outfile *file)
{
	bool ok = sync_file(file->fd);

	if (close(file->fd) != 0)
		ok = false;
	file->fd = -1;
	if (ok && file->temporary[0] != '\0')
		ok = rename(file->temporary, file->path) == 0;
	if (ok)
		return 0;
	vucctl_fail("cannot write %s: %s", file->path, strerror(errno));
	if (file->temporary[0] != '\0')
		unlink(file->temporary);
	return EXIT_FAILURE;
}

void
vucctl_outfile_abort(struct vucctl_outfile *file)
{
	if (file->fd < 0)
		return;
	close(file->fd);
	file->fd = -1;
	if (file->temporary[0] != '\0')
		unlink(file->temporary);
}
