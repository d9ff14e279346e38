/* SPDX-License-Identifier: BSD-3-Clause */
#include "path.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a program with privileges of its own finds in the environment is not its own. */
static const char *
environment_path(const char *name)
{
	const char *value = secure_getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

void
vmm_path_default(char path[VMM_PATH_SIZE])
{
	const char *socket = environment_path("VUCD_SOCKET");
	const char *runtime = environment_path("XDG_RUNTIME_DIR");

	if (socket != NULL) {
		snprintf(path, VMM_PATH_SIZE, "%s", socket);
		return;
	}
	if (runtime != NULL) {
		snprintf(path, VMM_PATH_SIZE, "%s/vucd/vmm.sock", runtime);
		if (access(path, F_OK) == 0)
			return;
	}
	snprintf(path, VMM_PATH_SIZE, "/run/vucd/vmm.sock");
}
