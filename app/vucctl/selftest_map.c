/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "selftest.h"

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

static enum vucctl_selftest_result
map_adjacent(struct vucctl_selftest *test)
{
	int ret = vucctl_selftest_map_all(test, false);

	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot map", ret);
	return vucctl_selftest_check_count(test, VUCCTL_SELFTEST_PIECES);
}

static enum vucctl_selftest_result
map_backwards(struct vucctl_selftest *test)
{
	int ret = vucctl_selftest_map_all(test, true);

	if (ret != 0)
		return vucctl_selftest_fail_call(test, "cannot map", ret);
	return vucctl_selftest_check_count(test, VUCCTL_SELFTEST_PIECES);
}

static enum vucctl_selftest_result
map_gaps(struct vucctl_selftest *test)
{
	unsigned int i;

	for (i = 0; i < VUCCTL_SELFTEST_PIECES; i += 2) {
		int ret = vucctl_selftest_map(test, i, i, READ_WRITE);

		if (ret != 0)
			return vucctl_selftest_fail_call(test, "cannot map", ret);
	}
	return commit_and_count(test, VUCCTL_SELFTEST_PIECES / 2);
}

static enum vucctl_selftest_result
map_permissions(struct vucctl_selftest *test)
{
	static const uint32_t flags[] = {VUC_DMA_READ, VUC_DMA_WRITE, READ_WRITE};
	unsigned int i;

	for (i = 0; i < VUCCTL_SELFTEST_PIECES; i++) {
		int ret = vucctl_selftest_map(test, i, i, flags[i % 3]);

		if (ret != 0)
			return vucctl_selftest_fail_call(test, "cannot map", ret);
	}
	return commit_and_count(test, VUCCTL_SELFTEST_PIECES);
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
		return vucctl_selftest_fail(test, "an overlap is answered by '%s'", strerror(-ret));
	ret = vuc_dma_unmap(test->dev, VUCCTL_SELFTEST_IOVA, test->piece);
	if (ret != -EINVAL)
		return vucctl_selftest_fail(
			test, "the unmapping of a part is answered by '%s'", strerror(-ret));
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
			test, "an unmapping of nothing is answered by '%s'", strerror(-ret));
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
