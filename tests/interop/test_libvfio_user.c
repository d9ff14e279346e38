/* SPDX-License-Identifier: BSD-3-Clause */

/* libvuc against servers that others wrote: the samples of libvfio-user. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/vfio.h>

#include "sample.h"

#define BAR0   VFIO_PCI_BAR0_REGION_INDEX
#define BAR1   VFIO_PCI_BAR1_REGION_INDEX
#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

#define BAR1_REFUSED "this version of the sample refuses its own BAR1 and ends"

static void
test_gpio(void)
{
	struct sample s;
	struct vuc_device *dev;
	uint32_t id = 0;
	uint8_t port = 0;

	if (!sample_start(&s, "gpio-pci-idio-16"))
		return;
	dev = sample_open(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	CU_ASSERT_EQUAL(vuc_device_version(dev)->max_msg_fds, 8);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR2)->size, 0x100);
	CU_ASSERT_EQUAL(vuc_device_region(dev, BAR2)->nr_fds, 0);
	CU_ASSERT_EQUAL(vuc_device_irq(dev, VFIO_PCI_INTX_IRQ_INDEX)->count, 1);
	CU_ASSERT_EQUAL(vuc_device_read(dev, CONFIG, 0, &id, sizeof(id)), 0);
	CU_ASSERT_EQUAL(id, 0x0dc8494f);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, &port, sizeof(port)), 0);
	port = 0xff;
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR2, 0, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR2, 4, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR2, 0, &port, sizeof(port)), 0);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
	vuc_device_close(dev);
	sample_stop(&s);
}

/* It serves one client after another. */
static void
test_gpio_again(void)
{
	struct sample s;

	if (!sample_start(&s, "gpio-pci-idio-16"))
		return;
	for (unsigned int i = 0; i < 5; i++) {
		struct vuc_device *dev = sample_open(&s);
		uint32_t id = 0;

		CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
		CU_ASSERT_EQUAL(vuc_device_read(dev, CONFIG, 0, &id, sizeof(id)), 0);
		CU_ASSERT_EQUAL(id, 0x0dc8494f);
		vuc_device_close(dev);
	}
	sample_stop(&s);
}

/* Its BAR1 has pages to be mapped, two areas of one file, and the rest goes by message. */
static void
check_server(struct vuc_device *dev)
{
	const struct vuc_region *r = vuc_device_region(dev, BAR1);
	uint64_t now = 0;
	uint32_t value = 0xdeadbeef, got = 0;
	uint8_t *map;

	CU_ASSERT_EQUAL(r->flags & VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_MMAP);
	CU_ASSERT_FATAL(r->nr_areas > 0 && r->nr_fds > 0);
	map = mmap(NULL, r->areas[0].size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fds[0],
		(off_t)(r->offset + r->areas[0].offset));
	CU_ASSERT_FATAL(map != MAP_FAILED);
	munmap(map, r->areas[0].size);

	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &now, sizeof(now)), 0);
	CU_ASSERT(now > 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR0, 0, &got, 1), -EINVAL);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR1, 0, &value, sizeof(value)), 0);
	CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, &got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(got, value);
	CU_ASSERT_EQUAL(vuc_device_reset(dev), 0);
}

static void
test_server(void)
{
	struct vuc_device *dev;
	struct sample s;

	if (!sample_start(&s, "server"))
		return;
	dev = sample_open(&s);
	if (dev != NULL || !sample_skip_if_ended(&s, BAR1_REFUSED)) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
		check_server(dev);
		vuc_device_close(dev);
	}
	sample_stop(&s);
}

/* Longer than the server's single receive of a body would take in two pieces. */
static void
test_server_large_writes(void)
{
	static uint8_t out[0x3000], in[0x3000];
	struct vuc_device *dev;
	struct sample s;

	if (!sample_start(&s, "server"))
		return;
	dev = sample_open(&s);
	if (dev != NULL || !sample_skip_if_ended(&s, BAR1_REFUSED)) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
		for (unsigned int round = 0; round < 50; round++) {
			memset(out, (int)round, sizeof(out));
			CU_ASSERT_EQUAL(vuc_device_write_posted(dev, BAR1, 0, out, sizeof(out)), 0);
			CU_ASSERT_EQUAL(vuc_device_write(dev, BAR1, 0, out, sizeof(out)), 0);
			CU_ASSERT_EQUAL(vuc_device_read(dev, BAR1, 0, in, sizeof(in)), 0);
			CU_ASSERT_EQUAL(memcmp(in, out, sizeof(in)), 0);
		}
		vuc_device_close(dev);
	}
	sample_stop(&s);
}

static CU_TestInfo tests[] = {
	{"gpio-pci-idio-16", test_gpio},
	{"gpio-pci-idio-16, five clients", test_gpio_again},
	{"server", test_server},
	{"server, large writes", test_server_large_writes},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return sample_main(argc, argv, tests);
}
