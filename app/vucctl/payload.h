/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PAYLOAD_H
#define VUCCTL_PAYLOAD_H

/* What is to be written, as named on the command line. */

#include <stddef.h>
#include <stdint.h>

struct vucctl_payload {
	uint8_t *bytes;
	size_t len; /* at least 1 */
};

/*
 * Each sets payload, to be freed by vucctl_payload_free(), and returns 0; or says what is wrong and
 * returns the exit status.
 */

/* A number of so many bytes, 1 to 8, little-endian. */
int vucctl_payload_number(
	struct vucctl_payload *payload, const char *command, const char *size, const char *value);

/* Hexadecimal digits. */
int vucctl_payload_digits(struct vucctl_payload *payload, const char *command, const char *text);

/* All of a file, "-" for standard input. */
int vucctl_payload_file(struct vucctl_payload *payload, const char *path);

void vucctl_payload_free(struct vucctl_payload *payload);

#endif /* VUCCTL_PAYLOAD_H */
