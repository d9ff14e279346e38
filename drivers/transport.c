/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "transport.h"

const struct vuc_transport_ops *const vuc_transports[] = {
	&vuc_transport_uring,
	&vuc_transport_posix,
	&vuc_transport_loopback,
	NULL,
};

const struct vuc_transport_ops *
vuc_transport_find(const char *name)
{
	for (unsigned int i = 0; vuc_transports[i] != NULL; i++) {
		if (strcmp(vuc_transports[i]->name, name) == 0)
			return vuc_transports[i];
	}
	return NULL;
}
