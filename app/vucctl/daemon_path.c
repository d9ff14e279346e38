/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
vucctl_daemon_path(char path[VUCCTL_DAEMON_PATH_SIZE])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int len;

	if (runtime != NULL && runtime[0] == '/') {
		len = snprintf(path, VUCCTL_DAEMON_PATH_SIZE, "%s/vucd/management.sock", runtime);
		if (len < VUCCTL_DAEMON_PATH_SIZE && access(path, F_OK) == 0)
			return;
	}
	snprintf(path, VUCCTL_DAEMON_PATH_SIZE, "/run/vucd/management.sock");
}
