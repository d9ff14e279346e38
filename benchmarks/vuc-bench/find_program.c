/* SPDX-License-Identifier: BSD-3-Clause */
#include "find_program.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

static bool
is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* folder/name in path, which has room for PATH_MAX bytes; whether that is a program. */
static bool
is_program_in(const char *folder, size_t folder_len, const char *name, char *path)
{
	int n;

	if (folder_len >= PATH_MAX)
		return false;
	n = snprintf(path, PATH_MAX, "%.*s/%s", (int)folder_len, folder, name);
	return n > 0 && n < PATH_MAX && is_program(path);
}

static bool
find_near(const char *name, const char *relative, char *path)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;
	size_t folder_len;

	if (len <= 0)
		return false;
	self[len] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return false;
	folder_len = (size_t)(slash - self);
	if (relative != NULL && is_program_in(self, folder_len, relative, path))
		return true;
	return is_program_in(self, folder_len, name, path);
}

static bool
find_in_path(const char *name, char *path)
{
	const char *dir = getenv("PATH");

	while (dir != NULL && *dir != '\0') {
		size_t len = strcspn(dir, ":");

		/* An empty entry would be the current folder: not here. */
		if (len > 0 && is_program_in(dir, len, name, path))
			return true;
		dir += len;
		dir += *dir == ':';
	}
	return false;
}

int
bench_find_program(const char *name, const char *variable, const char *relative, char **path,
	struct vuc_error *err)
{
	const char *override = variable != NULL ? getenv(variable) : NULL;
	char found[PATH_MAX];

	if (override != NULL && override[0] != '\0') {
		if (!is_program(override))
			return bench_fail(
				err, -EACCES, "%s: not a program: %s", variable, override);
		*path = strdup(override);
	} else if (find_near(name, relative, found) || find_in_path(name, found)) {
		*path = strdup(found);
	} else {
		return bench_fail(err, -ENOENT, "%s: not found in $PATH", name);
	}
	return *path != NULL ? 0 : bench_fail(err, -ENOMEM, "out of memory");
}
