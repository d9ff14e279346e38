/* SPDX-License-Identifier: BSD-3-Clause */
#include "selftest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

#include "../vuc-refdev/refdev_regs.h"

enum vucctl_selftest_result
vucctl_selftest_end(
	struct vucctl_selftest *test, enum vucctl_selftest_result result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(test->why.text, sizeof(test->why.text), fmt, args);
	va_end(args);
	return result;
}

enum vucctl_selftest_result
vucctl_selftest_fail_call(struct vucctl_selftest *test, const char *what, int error)
{
	const char *reason = vuc_device_reason(test->dev);

	return vucctl_selftest_fail(
		test, "%s: %s", what, reason[0] != '\0' ? reason : strerror(-error));
}

bool
vucctl_selftest_is_refdev(struct vuc_device *dev)
{
	static const uint8_t ids[] = {
		REFDEV_VENDOR_ID & 0xff,
		REFDEV_VENDOR_ID >> 8,
		REFDEV_DEVICE_ID & 0xff,
		REFDEV_DEVICE_ID >> 8,
	};
	const struct vuc_region *bar0 = vuc_device_region(dev, VFIO_PCI_BAR0_REGION_INDEX);
	const struct vuc_region *config = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);
	uint8_t seen[sizeof(ids)];

	if (bar0 == NULL || bar0->size != REFDEV_BAR0_SIZE || config == NULL ||
		config->size < sizeof(seen))
		return false;
	return vuc_device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, seen, sizeof(seen)) == 0 &&
		memcmp(seen, ids, sizeof(seen)) == 0;
}

int
vucctl_selftest_map(struct vucctl_selftest *test, unsigned int at, unsigned int i, uint32_t flags)
{
	const struct vuc_dma_mapping mapping = {
		.iova = VUCCTL_SELFTEST_IOVA + at * test->piece,
		.size = test->piece,
		.flags = flags,
		.fd = test->fd,
		.offset = i * test->piece,
		.addr = test->memory + i * test->piece,
	};

	return vuc_dma_map(test->dev, &mapping);
}

int
vucctl_selftest_map_all(struct vucctl_selftest *test, bool backwards)
{
	unsigned int at;

	for (at = 0; at < VUCCTL_SELFTEST_PIECES; at++) {
		unsigned int i = backwards ? VUCCTL_SELFTEST_PIECES - 1 - at : at;
		int ret = vucctl_selftest_map(test, at, i, VUC_DMA_READ | VUC_DMA_WRITE);

		if (ret != 0)
			return ret;
	}
	return vuc_dma_commit(test->dev);
}

int
vucctl_selftest_unmap_all(struct vucctl_selftest *test)
{
	int ret = vuc_dma_unmap_all(test->dev);

	return ret == 0 ? vuc_dma_commit(test->dev) : ret;
}

enum vucctl_selftest_result
vucctl_selftest_check_count(struct vucctl_selftest *test, size_t n)
{
	size_t ours = vuc_dma_count(test->dev);
	size_t servers = vuc_dma_server_count(test->dev);
	uint32_t maps;
	int ret;

	if (ours != n || servers > n || (servers == 0) != (n == 0))
		return vucctl_selftest_fail(test,
			"%zu mappings, %zu of the server, where there should be %zu", ours, servers,
			n);
	if (!test->refdev)
		return VUCCTL_SELFTEST_PASS;
	ret = vuc_device_read(
		test->dev, VFIO_PCI_BAR0_REGION_INDEX, REFDEV_REG_DMA_MAPS, &maps, sizeof(maps));
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot read DMA_MAPS", ret);
	if (maps != servers)
		return vucctl_selftest_fail(test,
			"the device counts %u mappings where the client counts %zu", maps, servers);
	return VUCCTL_SELFTEST_PASS;
}

/* ---- steps that any device can be asked for ---- */

#define READ_WRITE (VUC_DMA_READ | VUC_DMA_WRITE)

static enum vucctl_selftest_result
commit_and_count(struct vucctl_selftest *test, size_t n)
{
	int ret = vuc_dma_commit(test->dev);

	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot commit", ret);
	return vucctl_selftest_check_count(test, n);
}

static enum vucctl_selftest_result
map_whole(struct vucctl_selftest *test)
{
	const struct vuc_dma_mapping mapping = {
		.iova = VUCCTL_SELFTEST_IOVA,
		.size = test->size,
		.flags = READ_WRITE,
		.fd = test->fd,
		.addr = test->memory,
	};
	int ret = vuc_dma_map(test->dev, &mapping);

	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot map", ret);
	return commit_and_count(test, 1);
}

/* Map each piece but those that step leaves out, with these permissions in turn, and commit. */
static enum vucctl_selftest_result
map_pieces(struct vucctl_selftest *test, unsigned int step, bool backwards, const uint32_t flags[3])
{
	unsigned int at;

	for (at = 0; at < VUCCTL_SELFTEST_PIECES; at += step) {
		unsigned int i = backwards ? VUCCTL_SELFTEST_PIECES - 1 - at : at;
		int ret = vucctl_selftest_map(test, at, i, flags[at % 3]);

		if (ret != 0)
			return vucctl_selftest_fail_call(test, "cannot map", ret);
	}
	return commit_and_count(test, VUCCTL_SELFTEST_PIECES / step);
}

static const uint32_t read_write[3] = {READ_WRITE, READ_WRITE, READ_WRITE};

static enum vucctl_selftest_result
map_adjacent(struct vucctl_selftest *test)
{
	return map_pieces(test, 1, false, read_write);
}

static enum vucctl_selftest_result
map_backwards(struct vucctl_selftest *test)
{
	return map_pieces(test, 1, true, read_write);
}

static enum vucctl_selftest_result
map_gaps(struct vucctl_selftest *test)
{
	return map_pieces(test, 2, false, read_write);
}

static enum vucctl_selftest_result
map_permissions(struct vucctl_selftest *test)
{
	static const uint32_t flags[3] = {VUC_DMA_READ, VUC_DMA_WRITE, READ_WRITE};

	return map_pieces(test, 1, false, flags);
}

/* A piece from the middle, so that what was coalesced has to be taken apart. */
static enum vucctl_selftest_result
remap_piece(struct vucctl_selftest *test)
{
	const unsigned int i = VUCCTL_SELFTEST_PIECES / 2;
	enum vucctl_selftest_result result = map_adjacent(test);
	int ret;

	if (result != VUCCTL_SELFTEST_PASS)
		return result;
	ret = vuc_dma_unmap(test->dev, VUCCTL_SELFTEST_IOVA + i * test->piece, test->piece);
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot unmap", ret);
	result = commit_and_count(test, VUCCTL_SELFTEST_PIECES - 1);
	if (result != VUCCTL_SELFTEST_PASS)
		return result;
	ret = vucctl_selftest_map(test, i, i, READ_WRITE);
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot map", ret);
	return commit_and_count(test, VUCCTL_SELFTEST_PIECES);
}

/* What the client refuses before any server sees it. */
static enum vucctl_selftest_result
refuse_overlap(struct vucctl_selftest *test)
{
	enum vucctl_selftest_result result = map_whole(test);
	int ret;

	if (result != VUCCTL_SELFTEST_PASS)
		return result;
	ret = vucctl_selftest_map(test, 1, 1, READ_WRITE);
	if (ret != -EEXIST)
		return vucctl_selftest_fail(
			test, "an overlapping mapping returned '%s'", strerror(-ret));
	ret = vuc_dma_unmap(test->dev, VUCCTL_SELFTEST_IOVA, test->piece);
	if (ret != -EINVAL)
		return vucctl_selftest_fail(
			test, "unmapping a part of a mapping returned '%s'", strerror(-ret));
	return commit_and_count(test, 1);
}

static enum vucctl_selftest_result
unmap_all(struct vucctl_selftest *test)
{
	enum vucctl_selftest_result result = map_gaps(test);
	int ret;

	if (result != VUCCTL_SELFTEST_PASS)
		return result;
	ret = vucctl_selftest_unmap_all(test);
	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot unmap", ret);
	ret = vuc_dma_unmap(test->dev, VUCCTL_SELFTEST_IOVA, test->size);
	if (ret != -ENOENT)
		return vucctl_selftest_fail(
			test, "unmapping an unmapped range returned '%s'", strerror(-ret));
	return vucctl_selftest_check_count(test, 0);
}

const struct vucctl_selftest_step vucctl_selftest_map_steps[] = {
	{"one mapping", map_whole},
	{"adjacent mappings", map_adjacent},
	{"adjacent mappings of scattered memory", map_backwards},
	{"mappings with gaps", map_gaps},
	{"mappings of different permissions", map_permissions},
	{"remap of a piece", remap_piece},
	{"overlap and partial unmap are refused", refuse_overlap},
	{"unmap all", unmap_all},
	{NULL, NULL},
};
