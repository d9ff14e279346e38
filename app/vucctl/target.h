/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_TARGET_H
#define VUCCTL_TARGET_H

/* The device that a command is about, as named on the command line. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/device.h>

#include "trace.h"

/* What commands that open a device add to their options, and what to say of it in their help. */
#define VUCCTL_TARGET_SHORT_OPTIONS "t:T"
/* clang-format off */
#define VUCCTL_TARGET_LONG_OPTIONS \
	{"transport", required_argument, NULL, 'P'}, \
	{"timeout", required_argument, NULL, 't'}, \
	{"trace", no_argument, NULL, 'T'}
/* clang-format on */
#define VUCCTL_TARGET_HELP       VUCCTL_TARGET_HELP_OF("")
#define VUCCTL_TARGET_HELP_RESET VUCCTL_TARGET_HELP_OF(VUCCTL_TARGET_60000 "for the reset")
#define VUCCTL_TARGET_HELP_MIGRATE \
	VUCCTL_TARGET_HELP_OF(VUCCTL_TARGET_60000 "for a change of state")

/* more stands behind the default of --timeout. */
#define VUCCTL_TARGET_60000 ",\n                        60000 "
#define VUCCTL_TARGET_HELP_OF(more)                                                                  \
	"      --transport NAME  'uring' or 'posix'; the best that the kernel allows by default\n"   \
	"  -t, --timeout MS      how long the server may take for each answer, 5000 by default" more \
	"\n"                                                                                         \
	"  -T, --trace           print each message to stderr\n"

struct vucctl_target {
	const char *path;        /* of the server's socket */
	const char *transport;   /* NULL: the library's choice */
	uint32_t timeout_ms;     /* 0: the library's choice */
	enum vuc_dma_policy dma; /* set by commands that map memory */
	bool trace;
	struct vucctl_trace tracer; /* in use as long as the device is open */
};

void vucctl_target_init(struct vucctl_target *target);

/* Take an option of VUCCTL_TARGET_SHORT_OPTIONS. Returns 0; VUCCTL_EXIT_USAGE, the error said. */
int vucctl_target_option(
	struct vucctl_target *target, const char *command, int opt, const char *value);

/* Take what is left of the command line: SOCKET. Returns 0; VUCCTL_EXIT_USAGE, the error said. */
int vucctl_target_arguments(
	struct vucctl_target *target, const char *command, int argc, char *const argv[]);

/* Open the device, which uses target until it is closed. Returns it, to be closed by the caller, or
 * NULL, the error said. */
struct vuc_device *vucctl_target_open(struct vucctl_target *target);

/* Say that a call on the device returned error, a negative errno: what was tried, and the device's
 * reason. Returns EXIT_FAILURE. */
int vucctl_target_fail(const struct vucctl_target *target, const struct vuc_device *dev, int error,
	const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif /* VUCCTL_TARGET_H */
