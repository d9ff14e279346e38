/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_ACCESS_H
#define VUCCTL_ACCESS_H

/* The part of a region that is read or written, as named on the command line. */

#include <stddef.h>
#include <stdint.h>

#include "target.h"

struct vucctl_access {
	uint32_t region;
	uint64_t offset;
	size_t size; /* bytes; set by the commands */
};

/* Take REGION and OFFSET. Returns 0; VUCCTL_EXIT_USAGE, the error said. */
int vucctl_access_take(struct vucctl_access *access, const char *command, char *const argv[2]);

/* Check that the part lies within a region of the device. Returns 0; EXIT_FAILURE, the error
 * said. */
int vucctl_access_check(const struct vucctl_access *access, const struct vucctl_target *target,
	const struct vuc_device *dev);

/* Say that reading or writing has failed. Returns EXIT_FAILURE. */
int vucctl_access_fail(const struct vucctl_access *access, const struct vucctl_target *target,
	const struct vuc_device *dev, int error, const char *verb);

#endif /* VUCCTL_ACCESS_H */
