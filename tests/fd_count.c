/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <stddef.h>

#include "fd_count.h"

unsigned int
fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}
