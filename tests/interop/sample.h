/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SAMPLE_H
#define VUC_TESTS_SAMPLE_H

/*
 * A sample server of libvfio-user as a process of its own, from the build folder that
 * VUC_LIBVFIO_USER_BUILD names.
 */

#include <stdbool.h>

#include <vuc/device.h>

#include "spawn.h"
#include "tap.h"
#include "tempdir.h"

struct sample {
	struct vuc_spawn process;
	char dir[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 16];
};

/* Start a sample by name. Returns false, with the test marked as skipped, when it is not there. */
bool sample_start(struct sample *s, const char *name);

void sample_stop(struct sample *s);

/* Open its device. Returns NULL when the sample has ended instead of listening. */
struct vuc_device *sample_open(struct sample *s);

/* Whether the sample has ended by itself; the test is marked as skipped for that reason then, with
 * the exit status and the last line of what it said. */
bool sample_skip_if_ended(struct sample *s, const char *reason);

/* main() of a test program whose argument is the transport: skips all without a build folder. */
int sample_main(int argc, char **argv, CU_TestInfo *tests);

#endif /* VUC_TESTS_SAMPLE_H */
