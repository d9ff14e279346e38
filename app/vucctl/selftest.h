/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_SELFTEST_H
#define VUCCTL_SELFTEST_H

/* The steps of dma-selftest. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

/* The memory is mapped in so many pieces of the same size. */
#define VUCCTL_SELFTEST_PIECES 8u

enum vucctl_selftest_result {
	VUCCTL_SELFTEST_PASS,
	VUCCTL_SELFTEST_FAIL,
	VUCCTL_SELFTEST_SKIP,
};

struct vucctl_selftest {
	struct vuc_device *dev;
	bool shared; /* the server gets descriptors of memory */
	uint32_t timeout_ms;
	int fd; /* of the memory */
	uint8_t *memory;
	uint64_t size;
	/* Called with how each step has ended, and why; "": it passed. */
	void (*report)(
		void *arg, const char *name, enum vucctl_selftest_result result, const char *why);
	void *arg;
	struct vuc_error why; /* of the step that runs */
	bool refdev;          /* it is a vuc-refdev, which can perform DMA when told */
};

/* Find out whether the device is a vuc-refdev. */
void vucctl_selftest_look(struct vucctl_selftest *test);

/* Run all steps, until the connection ends. */
void vucctl_selftest_run(struct vucctl_selftest *test);

#endif /* VUCCTL_SELFTEST_H */
