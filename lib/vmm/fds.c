/* SPDX-License-Identifier: BSD-3-Clause */
#include <unistd.h>

#include "packet.h"

void
vmm_fds_close(struct vmm_fds *fds)
{
	while (fds->nr > 0)
		close(fds->fd[--fds->nr]);
}
