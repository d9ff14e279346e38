/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SAMPLE_H
#define VUC_TESTS_SAMPLE_H

/*
 * A sample server of libvfio-user as a process of its own, from the build folder that
 * VUC_LIBVFIO_USER_BUILD names, and its device.
 */

#include <stdbool.h>

#include <vuc/device.h>

#include "process.h"
#include "tap.h"
#include "tempdir.h"

struct sample {
	struct vuc_device *dev;
	struct process process;
	char dir[VUC_TEMPDIR_SIZE];
	char path[VUC_TEMPDIR_SIZE + 16];
};

/*
 * Start a sample by name and open its device. Returns false, with the test marked as skipped, when
 * it is not there, or has ended for a reason that is known of some versions.
 */
bool sample_start(struct sample *s, const char *name);
void sample_stop(struct sample *s);

/* Open its device again, after it was closed. */
void sample_open(struct sample *s);

/* Do something with the device of a sample. */
void sample_run(const char *name, void (*check)(struct vuc_device *dev));

/* main() of a test program whose argument is the transport: skips all without a build folder. */
int sample_main(int argc, char **argv);

#endif /* VUC_TESTS_SAMPLE_H */
