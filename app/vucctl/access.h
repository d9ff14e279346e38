/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_ACCESS_H
#define VUCCTL_ACCESS_H

/* The part of a region that is read or written. */

#include "command.h"

struct vucctl_access {
	uint32_t region;
	uint64_t offset;
	size_t size; /* bytes; set by the commands */
};

/* Take the arguments REGION and OFFSET behind SOCKET; what is wrong ends the program. */
void vucctl_access_take(const struct vucctl *ctl, struct vucctl_access *access);

/* Check that the part lies within a region of the device. Returns 0; EXIT_FAILURE, the error
 * said. */
int vucctl_access_check(const struct vucctl *ctl, const struct vucctl_access *access);

/* Say that reading or writing has failed. Returns EXIT_FAILURE. */
int vucctl_access_fail(
	const struct vucctl *ctl, const struct vucctl_access *access, int error, const char *verb);

#endif /* VUCCTL_ACCESS_H */
