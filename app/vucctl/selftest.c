/* SPDX-License-Identifier: BSD-3-Clause */
#include "selftest.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

#include <vuc/dma.h>

#include "../vuc-refdev/refdev_regs.h"
#include "clock.h"

#define PIECES VUCCTL_SELFTEST_PIECES
#define PASS   VUCCTL_SELFTEST_PASS

/* Where the first piece is, as the device sees it. */
#define IOVA UINT64_C(0x40000000)

#define READ_WRITE (VUC_DMA_READ | VUC_DMA_WRITE)

/* What memory has that nobody wrote to. */
#define UNTOUCHED 0xee

/* A step. It begins with nothing mapped, and leaves what it likes. */
struct step {
	const char *name;
	enum vucctl_selftest_result (*run)(struct vucctl_selftest *test, const struct step *step);
	/* Of steps that map pieces: each one or, for 2, every other one; the memory in order or
	 * backwards, so that none of them runs on; with these permissions in turn. */
	unsigned int stride;
	bool backwards;
	uint32_t flags[3];
	uint32_t mode; /* of the DMA */
	bool mapped;   /* what the DMA is to be refused is mapped, for reading */
};

/* ---- how a step ends ---- */

static enum vucctl_selftest_result step_end(
	struct vucctl_selftest *test, enum vucctl_selftest_result result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define step_fail(test, ...) step_end(test, VUCCTL_SELFTEST_FAIL, __VA_ARGS__)
#define step_skip(test, ...) step_end(test, VUCCTL_SELFTEST_SKIP, __VA_ARGS__)

static enum vucctl_selftest_result
step_end(struct vucctl_selftest *test, enum vucctl_selftest_result result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(test->why.text, sizeof(test->why.text), fmt, args);
	va_end(args);
	return result;
}

/* A call of the library has returned error. */
static enum vucctl_selftest_result
step_fail_call(struct vucctl_selftest *test, const char *what, int error)
{
	const char *reason = vuc_device_reason(test->dev);

	return step_fail(test, "%s: %s", what, reason[0] != '\0' ? reason : strerror(-error));
}

/* ---- mappings ---- */

static size_t
piece_size(const struct vucctl_selftest *test)
{
	return test->size / PIECES;
}

/* Queue the mapping of piece i of the memory as the piece number at of the device's addresses. */
static int
map_piece(struct vucctl_selftest *test, unsigned int at, unsigned int i, uint32_t flags)
{
	const struct vuc_dma_mapping mapping = {
		.iova = IOVA + at * piece_size(test),
		.size = piece_size(test),
		.flags = flags,
		.fd = test->fd,
		.offset = i * piece_size(test),
		.addr = test->memory + i * piece_size(test),
	};

	return vuc_dma_map(test->dev, &mapping);
}

static int
forget_all(struct vucctl_selftest *test)
{
	int ret = vuc_dma_unmap_all(test->dev);

	return ret == 0 ? vuc_dma_commit(test->dev) : ret;
}

/* Check that there are n mappings. A device that reports its own count must agree. */
static enum vucctl_selftest_result
check_count(struct vucctl_selftest *test, size_t n)
{
	size_t ours = vuc_dma_count(test->dev);
	size_t servers = vuc_dma_server_count(test->dev);
	uint32_t maps;
	int ret;

	if (ours != n || servers > n || (servers == 0) != (n == 0))
		return step_fail(test, "%zu mappings, %zu of the server, where there should be %zu",
			ours, servers, n);
	if (!test->refdev)
		return PASS;
	ret = vuc_device_read(
		test->dev, VFIO_PCI_BAR0_REGION_INDEX, REFDEV_REG_DMA_MAPS, &maps, sizeof(maps));
	if (ret != 0)
		return step_fail_call(test, "cannot read DMA_MAPS", ret);
	if (maps != servers)
		return step_fail(test, "the device counts %u mappings where the client counts %zu",
			maps, servers);
	return PASS;
}

static enum vucctl_selftest_result
commit_and_count(struct vucctl_selftest *test, size_t n)
{
	int ret = vuc_dma_commit(test->dev);

	return ret != 0 ? step_fail_call(test, "cannot commit", ret) : check_count(test, n);
}

static enum vucctl_selftest_result
map_whole(struct vucctl_selftest *test, const struct step *step)
{
	const struct vuc_dma_mapping mapping = {
		.iova = IOVA,
		.size = test->size,
		.flags = READ_WRITE,
		.fd = test->fd,
		.addr = test->memory,
	};
	int ret = vuc_dma_map(test->dev, &mapping);

	(void)step;
	return ret != 0 ? step_fail_call(test, "cannot map", ret) : commit_and_count(test, 1);
}

static enum vucctl_selftest_result
map_pieces(struct vucctl_selftest *test, const struct step *step)
{
	unsigned int at;

	for (at = 0; at < PIECES; at += step->stride) {
		unsigned int i = step->backwards ? PIECES - 1 - at : at;
		int ret = map_piece(test, at, i, step->flags[at % 3]);

		if (ret != 0)
			return step_fail_call(test, "cannot map", ret);
	}
	return commit_and_count(test, PIECES / step->stride);
}

/* A piece from the middle, so that what was coalesced has to be taken apart. */
static enum vucctl_selftest_result
remap_piece(struct vucctl_selftest *test, const struct step *step)
{
	const unsigned int i = PIECES / 2;
	enum vucctl_selftest_result result = map_pieces(test, step);
	int ret;

	if (result != PASS)
		return result;
	ret = vuc_dma_unmap(test->dev, IOVA + i * piece_size(test), piece_size(test));
	if (ret != 0)
		return step_fail_call(test, "cannot unmap", ret);
	result = commit_and_count(test, PIECES - 1);
	if (result != PASS)
		return result;
	ret = map_piece(test, i, i, READ_WRITE);
	if (ret != 0)
		return step_fail_call(test, "cannot map", ret);
	return commit_and_count(test, PIECES);
}

/* What the client refuses before any server sees it. */
static enum vucctl_selftest_result
refuse_overlap(struct vucctl_selftest *test, const struct step *step)
{
	enum vucctl_selftest_result result = map_whole(test, step);
	int ret;

	if (result != PASS)
		return result;
	ret = map_piece(test, 1, 1, READ_WRITE);
	if (ret != -EEXIST)
		return step_fail(test, "an overlapping mapping returned '%s'", strerror(-ret));
	ret = vuc_dma_unmap(test->dev, IOVA, piece_size(test));
	if (ret != -EINVAL)
		return step_fail(
			test, "unmapping a part of a mapping returned '%s'", strerror(-ret));
	return commit_and_count(test, 1);
}

static enum vucctl_selftest_result
unmap_all(struct vucctl_selftest *test, const struct step *step)
{
	enum vucctl_selftest_result result = map_pieces(test, step);
	int ret;

	if (result != PASS)
		return result;
	ret = forget_all(test);
	if (ret != 0)
		return step_fail_call(test, "cannot unmap", ret);
	ret = vuc_dma_unmap(test->dev, IOVA, test->size);
	if (ret != -ENOENT)
		return step_fail(test, "unmapping an unmapped range returned '%s'", strerror(-ret));
	return check_count(test, 0);
}

/* ---- DMA that a vuc-refdev performs when told: see docs/refdev.md for its registers ---- */

struct transfer {
	uint64_t src, dst;
	uint32_t len;
	uint32_t mode;
};

static int
transfer_start(struct vucctl_selftest *test, const struct transfer *transfer)
{
	const uint32_t start = 1;
	const struct {
		enum refdev_reg reg;
		const void *value;
		size_t size;
	} writes[] = {
		{REFDEV_REG_DMA_SRC, &transfer->src, sizeof(transfer->src)},
		{REFDEV_REG_DMA_DST, &transfer->dst, sizeof(transfer->dst)},
		{REFDEV_REG_DMA_LEN, &transfer->len, sizeof(transfer->len)},
		{REFDEV_REG_DMA_MODE, &transfer->mode, sizeof(transfer->mode)},
		{REFDEV_REG_DMA_START, &start, sizeof(start)},
	};
	int ret = 0;
	size_t i;

	for (i = 0; i < sizeof(writes) / sizeof(writes[0]) && ret == 0; i++)
		ret = vuc_device_write(test->dev, VFIO_PCI_BAR0_REGION_INDEX, writes[i].reg,
			writes[i].value, writes[i].size);
	return ret;
}

static int
get32(struct vucctl_selftest *test, enum refdev_reg reg, uint32_t *value)
{
	return vuc_device_read(test->dev, VFIO_PCI_BAR0_REGION_INDEX, reg, value, sizeof(*value));
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
			return step_fail(test,
				"byte %zu of %zu is 0x%02x where it should be 0x%02x", i, len,
				half[offset + i], expected[i]);
	}
	if (!is_untouched(half, offset) ||
		!is_untouched(half + offset + len, test->size / 2 - offset - len))
		return step_fail(test, "bytes outside of the transfer have changed");
	return PASS;
}

/* Map the pieces, and have the device copy some of them. */
static enum vucctl_selftest_result
transfer_copy(
	struct vucctl_selftest *test, const struct step *step, const struct transfer *transfer)
{
	enum vucctl_selftest_result result;
	uint32_t error;
	int ret;

	memory_fill(test);
	result = map_pieces(test, step);
	if (result != PASS)
		return result;
	ret = transfer_perform(test, transfer, &error);
	if (ret != 0)
		return step_fail_call(test, "cannot make the device copy memory", ret);
	if (error != 0)
		return step_fail(
			test, "the device answers error %u (%s)", error, strerror((int)error));
	return PASS;
}

/* From the middle of the first half to another place in the second, over borders of pieces. */
static enum vucctl_selftest_result
copy(struct vucctl_selftest *test, const struct step *step)
{
	const size_t from = piece_size(test) / 2 + 3, to = piece_size(test) / 2 + 8;
	const struct transfer transfer = {
		.src = IOVA + from,
		.dst = IOVA + test->size / 2 + to,
		.len = transfer_len(piece_size(test) * 2),
		.mode = step->mode,
	};
	enum vucctl_selftest_result result;

	if (step->mode != REFDEV_DMA_BY_MESSAGE && !test->shared)
		return step_skip(test, "the server gets no descriptors");
	result = transfer_copy(test, step, &transfer);
	return result == PASS ? check_bytes(test, test->memory + from, to, transfer.len) : result;
}

/* Adjacent addresses of memory that is not: what is read runs backwards, piece by piece. */
static enum vucctl_selftest_result
copy_scattered(struct vucctl_selftest *test, const struct step *step)
{
	const unsigned int last = PIECES - 1;
	const size_t half = transfer_len(piece_size(test)) / 2;
	const struct transfer transfer = {
		.src = IOVA + (last - 1) * piece_size(test) - half,
		.dst = IOVA,
		.len = (uint32_t)(2 * half),
		.mode = step->mode,
	};
	const uint8_t *written = test->memory + last * piece_size(test);
	enum vucctl_selftest_result result = transfer_copy(test, step, &transfer);

	if (result == PASS &&
		(memcmp(written, test->memory + 3 * piece_size(test) - half, half) != 0 ||
			memcmp(written + half, test->memory + piece_size(test), half) != 0))
		return step_fail(test, "the device read other data than the memory contains");
	return result;
}

/* The second half of memory is mapped for reading, or not at all: the device has to be refused, and
 * nothing may have been written there. */
static enum vucctl_selftest_result
refuse_write(struct vucctl_selftest *test, const struct step *step)
{
	const struct transfer transfer = {
		.src = IOVA,
		.dst = IOVA + test->size / 2,
		.len = 64,
		.mode = step->mode,
	};
	uint32_t error;
	int ret;

	memory_fill(test);
	ret = map_piece(test, 0, 0, READ_WRITE);
	if (ret == 0 && step->mapped)
		ret = map_piece(test, PIECES / 2, PIECES / 2, VUC_DMA_READ);
	if (ret == 0)
		ret = vuc_dma_commit(test->dev);
	if (ret != 0)
		return step_fail_call(test, "cannot map", ret);
	ret = transfer_perform(test, &transfer, &error);
	if (ret != 0)
		return step_fail_call(test, "cannot start the forbidden access", ret);
	if (error == 0)
		return step_fail(test, "the device reports success");
	if (!is_untouched(test->memory + test->size / 2, test->size / 2))
		return step_fail(test, "memory has changed despite the error");
	return PASS;
}

/* ---- the steps ---- */

#define ALL_READ_WRITE                             \
	{                                          \
		READ_WRITE, READ_WRITE, READ_WRITE \
	}

/* Those that any device can be asked for. */
static const struct step map_steps[] = {
	{"one mapping", map_whole},
	{"adjacent mappings", map_pieces, 1, false, ALL_READ_WRITE},
	{"adjacent mappings of scattered memory", map_pieces, 1, true, ALL_READ_WRITE},
	{"mappings with gaps", map_pieces, 2, false, ALL_READ_WRITE},
	{"mappings of different permissions", map_pieces, 1, false,
		{VUC_DMA_READ, VUC_DMA_WRITE, READ_WRITE}},
	{"remap of a piece", remap_piece, 1, false, ALL_READ_WRITE},
	{"overlap and partial unmap are refused", refuse_overlap},
	{"unmap all", unmap_all, 2, false, ALL_READ_WRITE},
	{NULL},
};

static const struct step refdev_steps[] = {
	{"DMA by message", copy, 1, false, ALL_READ_WRITE, REFDEV_DMA_BY_MESSAGE},
	{"DMA by the mapping's file", copy, 1, false, ALL_READ_WRITE, REFDEV_DMA_BY_FILE},
	{"DMA by mapped memory", copy, 1, false, ALL_READ_WRITE, REFDEV_DMA_BY_MMAP},
	{"DMA from scattered memory", copy_scattered, 1, true, ALL_READ_WRITE,
		REFDEV_DMA_BY_MESSAGE},
	{"DMA to unmapped addresses is refused", refuse_write, .mode = REFDEV_DMA_BY_MESSAGE},
	{"DMA to read-only memory is refused", refuse_write, .mode = REFDEV_DMA_BY_MESSAGE,
		.mapped = true},
	{NULL},
};

/* ---- all of them ---- */

/* A connection that has ended fails the step that sees it; those behind it are not tried. skipped:
 * why none of them is run; NULL: they are. */
static void
run_steps(struct vucctl_selftest *test, const struct step *step, const char *skipped)
{
	for (; step->name != NULL && vuc_device_connected(test->dev); step++) {
		int ret = skipped == NULL ? forget_all(test) : 0;
		enum vucctl_selftest_result result;

		test->why.text[0] = '\0';
		if (skipped != NULL)
			result = step_skip(test, "%s", skipped);
		else if (ret != 0)
			result = step_fail_call(test, "cannot unmap", ret);
		else
			result = step->run(test, step);
		test->report(test->arg, step->name, result, result == PASS ? "" : test->why.text);
	}
}

void
vucctl_selftest_look(struct vucctl_selftest *test)
{
	static const uint8_t ids[] = {
		REFDEV_VENDOR_ID & 0xff,
		REFDEV_VENDOR_ID >> 8,
		REFDEV_DEVICE_ID & 0xff,
		REFDEV_DEVICE_ID >> 8,
	};
	struct vuc_device *dev = test->dev;
	const struct vuc_region *bar0 = vuc_device_region(dev, VFIO_PCI_BAR0_REGION_INDEX);
	const struct vuc_region *config = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);
	uint8_t seen[sizeof(ids)];

	test->refdev = bar0 != NULL && bar0->size == REFDEV_BAR0_SIZE && config != NULL &&
		config->size >= sizeof(seen) &&
		vuc_device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, seen, sizeof(seen)) == 0 &&
		memcmp(seen, ids, sizeof(seen)) == 0;
}

void
vucctl_selftest_run(struct vucctl_selftest *test)
{
	run_steps(test, map_steps, NULL);
	/* That mappings are taken does not say that the device reaches the memory. */
	run_steps(test, refdev_steps,
		test->refdev ? NULL : "only vuc-refdev can be told to perform DMA");
	if (vuc_device_connected(test->dev))
		forget_all(test);
}
