/* SPDX-License-Identifier: BSD-3-Clause */
#include "selftest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

#include "../vuc-refdev/refdev_regs.h"

static void set_why(struct vucctl_selftest *test, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

static void
set_why(struct vucctl_selftest *test, const char *fmt, va_list args)
{
	vsnprintf(test->why.text, sizeof(test->why.text), fmt, args);
}

enum vucctl_selftest_result
vucctl_selftest_fail(struct vucctl_selftest *test, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_why(test, fmt, args);
	va_end(args);
	return VUCCTL_SELFTEST_FAIL;
}

enum vucctl_selftest_result
vucctl_selftest_skip(struct vucctl_selftest *test, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_why(test, fmt, args);
	va_end(args);
	return VUCCTL_SELFTEST_SKIP;
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
