/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_TRACE_BODY_H
#define VUCCTL_TRACE_BODY_H

/* What stands in the body of a message. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vfio_user.h"

/* A command's name without "VFIO_USER_"; NULL for numbers that the specification does not assign.
 */
const char *vucctl_trace_command_name(uint16_t cmd);

/* Print the fields of a body of len bytes, each behind a blank. A body that is shorter than its
 * fields is said to be. */
void vucctl_trace_body_print(
	FILE *out, const struct vfio_user_header *header, const uint8_t *body, size_t len);

#endif /* VUCCTL_TRACE_BODY_H */
