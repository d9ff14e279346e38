/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SAMPLE_H
#define VUC_TESTS_SAMPLE_H

/*
 * A sample server of libvfio-user as a process of its own, from the build folder that
 * VUC_LIBVFIO_USER_BUILD names, and its device.
 */

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

/* A row of a test suite: what is done with the device of a sample. */
struct sample_test {
	const char *name;
	const char *sample;
	void (*check)(struct vuc_device *dev);
};

void sample_test_run(const void *row);

/* Of struct tap_suite; the argument is the transport. Skips all without a build folder. */
const char *sample_begin(const char *arg);

#endif /* VUC_TESTS_SAMPLE_H */
