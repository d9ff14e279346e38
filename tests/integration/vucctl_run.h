/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_VUCCTL_RUN_H
#define VUC_TESTS_VUCCTL_RUN_H

/* Runs of vucctl, and devices for it to look at. All of this asserts that it works. */

#include <stdbool.h>

#include "spawn.h"
#include "tempdir.h"

/* A program that has run to its end; the texts are NUL-terminated. */
struct vucctl_run {
	int exit; /* as vuc_spawn_status() */
	char *out;
	char *err;
};

/* Run a program, or the vucctl that $VUCCTL names. args end with NULL. */
void vucctl_run_program(struct vucctl_run *run, const char *program, const char *const *args);
void vucctl_run(struct vucctl_run *run, const char *const *args);

void vucctl_run_free(struct vucctl_run *run);

/* Run the vucctl that $VUCCTL names, and assert that it ends with status; prints out, or nothing
 * when that is NULL; and complains with err, or says nothing when that is NULL. */
void vucctl_run_expect(const char *const *args, int status, const char *out, const char *err);

/* Whether stderr is exactly one line, begins with "vucctl: " and contains text. */
bool vucctl_run_complains(const struct vucctl_run *run, const char *text);

/* The reference device that $VUC_REFDEV names, in a folder of its own. */
struct vucctl_device {
	char folder[VUC_TEMPDIR_SIZE];
	char socket[VUC_TEMPDIR_SIZE + 8];
	struct vuc_spawn server;
};

/* fault: as for vuc-refdev's option, or NULL. */
void vucctl_device_start(struct vucctl_device *device, const char *fault);

/* Asserts also that the server has ended well. */
void vucctl_device_stop(struct vucctl_device *device);

#endif /* VUC_TESTS_VUCCTL_RUN_H */
