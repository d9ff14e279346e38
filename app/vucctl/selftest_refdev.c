/* SPDX-License-Identifier: BSD-3-Clause */

/* DMA that a vuc-refdev performs when told: see docs/refdev.md for its registers. */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

#include "../vuc-refdev/refdev_regs.h"
#include "clock.h"
#include "selftest.h"

#define FIRST VUCCTL_SELFTEST_IOVA

/* What memory has that nobody wrote to. */
#define UNTOUCHED 0xee

struct transfer {
	uint64_t src, dst;
	uint32_t len;
	uint32_t mode;
};

static int
set64(struct vucctl_selftest *test, enum refdev_reg reg, uint64_t value)
{
	return vuc_device_write(test->dev, VFIO_PCI_BAR0_REGION_INDEX, reg, &value, sizeof(value));
}

static int
set32(struct vucctl_selftest *test, enum refdev_reg reg, uint32_t value)
{
	return vuc_device_write(test->dev, VFIO_PCI_BAR0_REGION_INDEX, reg, &value, sizeof(value));
}

static int
get32(struct vucctl_selftest *test, enum refdev_reg reg, uint32_t *value)
{
	return vuc_device_read(test->dev, VFIO_PCI_BAR0_REGION_INDEX, reg, value, sizeof(*value));
}

static int
transfer_start(struct vucctl_selftest *test, const struct transfer *transfer)
{
	int ret = set64(test, REFDEV_REG_DMA_SRC, transfer->src);

	if (ret == 0)
		ret = set64(test, REFDEV_REG_DMA_DST, transfer->dst);
	if (ret == 0)
		ret = set32(test, REFDEV_REG_DMA_LEN, transfer->len);
	if (ret == 0)
		ret = set32(test, REFDEV_REG_DMA_MODE, transfer->mode);
	if (ret == 0)
		ret = set32(test, REFDEV_REG_DMA_START, 1);
	return ret;
}

/* Perform a transfer. Sets error to the errno that it ended with, 0 if well. Returns 0; -errno. */
static int
transfer_perform(struct vucctl_selftest *test, const struct transfer *transfer, uint32_t *error)
{
	uint64_t deadline_ns = vuc_clock_ns() + (uint64_t)test->timeout_ms * 1000000;
	uint32_t status = REFDEV_DMA_STATUS_BUSY;
	int ret = transfer_start(test, transfer);

	/* Asking for the status polls the device, so that its own requests are answered. */
	while (ret == 0 && status == REFDEV_DMA_STATUS_BUSY) {
		if (vuc_clock_ns() > deadline_ns)
			return -ETIMEDOUT;
		sched_yield();
		ret = get32(test, REFDEV_REG_DMA_STATUS, &status);
	}
	*error = 0;
	if (ret == 0 && status != REFDEV_DMA_STATUS_DONE)
		ret = get32(test, REFDEV_REG_DMA_ERRNO, error);
	if (ret == 0 && status != REFDEV_DMA_STATUS_DONE && *error == 0)
		return -EPROTO;
	return ret;
}

static uint32_t
transfer_len(size_t wanted)
{
	return wanted < REFDEV_DMA_MAX_LEN ? (uint32_t)wanted : REFDEV_DMA_MAX_LEN;
}

/* Bytes that differ from those of other places. */
static void
memory_fill(struct vucctl_selftest *test)
{
	uint32_t state = 1;
	size_t i;

	for (i = 0; i < test->size / 2; i++) {
		state = state * 1664525 + 1013904223;
		test->memory[i] = (uint8_t)(state >> 24);
	}
	memset(test->memory + test->size / 2, UNTOUCHED, test->size - test->size / 2);
}

static bool
is_untouched(const uint8_t *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (bytes[i] != UNTOUCHED)
			return false;
	}
	return true;
}

/* What the transfer should have written to the second half of memory, and nothing else there. */
static enum vucctl_selftest_result
check_bytes(struct vucctl_selftest *test, const uint8_t *expected, size_t offset, size_t len)
{
	const uint8_t *half = test->memory + test->size / 2;
	size_t i;

	for (i = 0; i < len; i++) {
		if (half[offset + i] != expected[i])
			return vucctl_selftest_fail(test,
				"byte %zu of %zu is 0x%02x where it should be 0x%02x", i, len,
				half[offset + i], expected[i]);
	}
	if (!is_untouched(half, offset) ||
		!is_untouched(half + offset + len, test->size / 2 - offset - len))
		return vucctl_selftest_fail(test, "bytes outside of the transfer have changed");
	return VUCCTL_SELFTEST_PASS;
}

static enum vucctl_selftest_result
fail_transfer(struct vucctl_selftest *test, uint32_t error)
{
	return vucctl_selftest_fail(
		test, "the device answers error %u (%s)", error, strerror((int)error));
}

/* From the middle of the first half to another place in the second, over borders of pieces. */
static enum vucctl_selftest_result
memory_copy(struct vucctl_selftest *test, uint32_t mode)
{
	const size_t from = test->piece / 2 + 3, to = test->piece / 2 + 8;
	const struct transfer transfer = {
		.src = FIRST + from,
		.dst = FIRST + test->size / 2 + to,
		.len = transfer_len(test->piece * 2),
		.mode = mode,
	};
	uint32_t error;
	int ret;

	memory_fill(test);
	ret = vucctl_selftest_map_all(test, false);
	if (ret == 0)
		ret = transfer_perform(test, &transfer, &error);
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot make the device copy memory", ret);
	if (error != 0)
		return fail_transfer(test, error);
	return check_bytes(test, test->memory + from, to, transfer.len);
}

static enum vucctl_selftest_result
copy_by_message(struct vucctl_selftest *test)
{
	return memory_copy(test, REFDEV_DMA_BY_MESSAGE);
}

static enum vucctl_selftest_result
copy_by_file(struct vucctl_selftest *test)
{
	if (!test->shared)
		return vucctl_selftest_skip(test, "the server gets no descriptors");
	return memory_copy(test, REFDEV_DMA_BY_FILE);
}

static enum vucctl_selftest_result
copy_by_mmap(struct vucctl_selftest *test)
{
	if (!test->shared)
		return vucctl_selftest_skip(test, "the server gets no descriptors");
	return memory_copy(test, REFDEV_DMA_BY_MMAP);
}

/* Adjacent addresses of memory that is not: what is read runs backwards, piece by piece. */
static enum vucctl_selftest_result
copy_scattered(struct vucctl_selftest *test)
{
	const unsigned int last = VUCCTL_SELFTEST_PIECES - 1;
	const size_t half = transfer_len(test->piece) / 2;
	const struct transfer transfer = {
		.src = FIRST + (last - 1) * test->piece - half,
		.dst = FIRST,
		.len = (uint32_t)(2 * half),
		.mode = REFDEV_DMA_BY_MESSAGE,
	};
	const uint8_t *written = test->memory + last * test->piece;
	uint32_t error = 0;
	int ret;

	memory_fill(test);
	ret = vucctl_selftest_map_all(test, true);
	if (ret == 0)
		ret = transfer_perform(test, &transfer, &error);
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot make the device copy memory", ret);
	if (error != 0)
		return fail_transfer(test, error);
	if (memcmp(written, test->memory + 3 * test->piece - half, half) != 0 ||
		memcmp(written + half, test->memory + test->piece, half) != 0)
		return vucctl_selftest_fail(
			test, "the device read other data than the memory contains");
	return VUCCTL_SELFTEST_PASS;
}

/* The second half of memory is mapped for reading, or not at all: the device has to be refused, and
 * nothing may have been written there. */
static enum vucctl_selftest_result
refuse_write(struct vucctl_selftest *test, bool is_mapped)
{
	const unsigned int middle = VUCCTL_SELFTEST_PIECES / 2;
	const struct transfer transfer = {
		.src = FIRST,
		.dst = FIRST + test->size / 2,
		.len = 64,
		.mode = REFDEV_DMA_BY_MESSAGE,
	};
	uint32_t error;
	int ret;

	memory_fill(test);
	ret = vucctl_selftest_map(test, 0, 0, VUC_DMA_READ | VUC_DMA_WRITE);
	if (ret == 0 && is_mapped)
		ret = vucctl_selftest_map(test, middle, middle, VUC_DMA_READ);
	if (ret == 0)
		ret = vuc_dma_commit(test->dev);
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot map", ret);
	ret = transfer_perform(test, &transfer, &error);
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot start the forbidden access", ret);
	if (error == 0)
		return vucctl_selftest_fail(test, "the device reports success");
	if (!is_untouched(test->memory + test->size / 2, test->size / 2))
		return vucctl_selftest_fail(test, "memory has changed despite the error");
	return VUCCTL_SELFTEST_PASS;
}

static enum vucctl_selftest_result
refuse_unmapped(struct vucctl_selftest *test)
{
	return refuse_write(test, false);
}

static enum vucctl_selftest_result
refuse_read_only(struct vucctl_selftest *test)
{
	return refuse_write(test, true);
}

const struct vucctl_selftest_step vucctl_selftest_refdev_steps[] = {
	{"DMA by message", copy_by_message},
	{"DMA by the mapping's file", copy_by_file},
	{"DMA by mapped memory", copy_by_mmap},
	{"DMA from scattered memory", copy_scattered},
	{"DMA to unmapped addresses is refused", refuse_unmapped},
	{"DMA to read-only memory is refused", refuse_read_only},
	{NULL, NULL},
};
