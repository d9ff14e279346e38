/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_SELFTEST_H
#define VUCCTL_SELFTEST_H

/* What the steps of dma-selftest work with, and the steps. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/dma.h>

/* The memory is mapped in so many pieces of the same size. */
#define VUCCTL_SELFTEST_PIECES 8u

/* Where the first one is, as the device sees it. */
#define VUCCTL_SELFTEST_IOVA UINT64_C(0x40000000)

struct vucctl_selftest {
	struct vuc_device *dev;
	bool refdev; /* it is a vuc-refdev, which can perform DMA when told */
	bool shared; /* the server gets descriptors of memory */
	uint32_t timeout_ms;
	int fd; /* of the memory */
	uint8_t *memory;
	size_t size;
	size_t piece;
	struct vuc_error why; /* a step failed, or was skipped */
};

enum vucctl_selftest_result {
	VUCCTL_SELFTEST_PASS,
	VUCCTL_SELFTEST_FAIL,
	VUCCTL_SELFTEST_SKIP,
};

/* A step. It begins with nothing mapped, and leaves what it likes. */
struct vucctl_selftest_step {
	const char *name;
	enum vucctl_selftest_result (*run)(struct vucctl_selftest *test);
};

/* Steps that any device can be asked for, and those of vuc-refdev; each ends with a NULL name. */
extern const struct vucctl_selftest_step vucctl_selftest_map_steps[];
extern const struct vucctl_selftest_step vucctl_selftest_refdev_steps[];

/* Whether the device is a vuc-refdev. */
bool vucctl_selftest_is_refdev(struct vuc_device *dev);

/* How a step ends that has something to say. */
enum vucctl_selftest_result vucctl_selftest_end(
	struct vucctl_selftest *test, enum vucctl_selftest_result result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define vucctl_selftest_fail(test, ...) vucctl_selftest_end(test, VUCCTL_SELFTEST_FAIL, __VA_ARGS__)
#define vucctl_selftest_skip(test, ...) vucctl_selftest_end(test, VUCCTL_SELFTEST_SKIP, __VA_ARGS__)

/* How a step ends when a call of the library has returned error. */
enum vucctl_selftest_result vucctl_selftest_fail_call(
	struct vucctl_selftest *test, const char *what, int error);

/* Queue the mapping of piece i of the memory as the piece number at of the device's addresses. */
int vucctl_selftest_map(
	struct vucctl_selftest *test, unsigned int at, unsigned int i, uint32_t flags);

/* Map all pieces for reading and writing, and commit: in order, or the memory backwards, so that
 * none of them runs on. */
int vucctl_selftest_map_all(struct vucctl_selftest *test, bool backwards);

/* Forget all mappings. */
int vucctl_selftest_unmap_all(struct vucctl_selftest *test);

/* Check that there are n mappings, and that a device that can be asked has as many as we think. */
enum vucctl_selftest_result vucctl_selftest_check_count(struct vucctl_selftest *test, size_t n);

#endif /* VUCCTL_SELFTEST_H */
