/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A small NVMe driver against SPDK's NVMe-oF target, and by test_refdev_nvme.py against vuc-refdev:
 * an admin queue and one other, one command at a time. What fails in it is a failed assertion of
 * the running test, and a fatal one when there is no going on.
 *
 * VUC_SPDK_NVMF_SOCKET names the socket of a VFIOUSER listener that has no other client: "cntrl" in
 * the folder that is the listener's address. Its subsystem has a namespace 1, whose first block is
 * written and then restored. VUC_SPDK_NVMF_SERIAL, if it is set, is the subsystem's serial number.
 */

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <vuc/device.h>
#include <vuc/dma.h>
#include <vuc/irq.h>
#include <vuc/region_map.h>

#include "nvme_driver.h"
#include "tap.h"

#define NVME_CLASS 0x010802u /* PCI class code of an NVMe I/O controller */

#define IDENTIFY_NAMESPACE  0u
#define IDENTIFY_CONTROLLER 1u

/* Pages of the memory. */
enum {
	IDENTITY = 4,
	BEFORE,  /* what the block had */
	PATTERN, /* what is written to it */
	AFTER,   /* what is read from it then */
};

static const char *path;
static const char *transport;

/* The controller of the running test. */
static struct nvme nvme;

static const uint8_t *
identify(uint32_t what, uint32_t nsid)
{
	memset(nvme_page(&nvme, IDENTITY), 0xff, NVME_PAGE);
	CU_ASSERT_FATAL(nvme_execute(&nvme, &nvme.admin,
		(struct nvme_command){
			.opcode = NVME_IDENTIFY,
			.nsid = nsid,
			.prp = {nvme_iova(IDENTITY)},
			.cdw10 = what,
		}));
	return nvme_page(&nvme, IDENTITY);
}

static uint32_t
field32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void
check_serial(const uint8_t *serial)
{
	const char *expected = getenv("VUC_SPDK_NVMF_SERIAL");
	char padded[21];

	for (unsigned int i = 0; i < 20; i++)
		CU_ASSERT(serial[i] >= ' ' && serial[i] <= '~');
	if (expected == NULL)
		return;
	snprintf(padded, sizeof(padded), "%-20s", expected);
	CU_ASSERT_EQUAL(memcmp(serial, padded, 20), 0);
}

/* What the controller puts into memory is what it says by its registers and in config space. */
static void
check_controller(void)
{
	const uint8_t *data = identify(IDENTIFY_CONTROLLER, 0);
	uint32_t vendor = nvme_get32(&nvme, CONFIG, PCI_VENDOR_ID) & 0xffff;
	uint32_t subsystem = nvme_get32(&nvme, CONFIG, PCI_SUBSYSTEM_VENDOR_ID) & 0xffff;

	CU_ASSERT_EQUAL(field32(data), subsystem << 16 | vendor);
	check_serial(data + 4);
	CU_ASSERT_EQUAL(field32(data + 80), nvme_get32(&nvme, BAR0, NVME_VS));
	CU_ASSERT(field32(data + 516) >= 1);
}

/* Bytes of a block of namespace 1. */
static size_t
block_size(void)
{
	const uint8_t *data = identify(IDENTIFY_NAMESPACE, 1);
	size_t format = data[26] & 0xf;
	uint32_t shift = field32(data + 128 + 4 * format) >> 16 & 0xff;

	CU_ASSERT(field32(data) > 0 || field32(data + 4) > 0);
	CU_ASSERT_FATAL(shift >= 9 && shift <= 12);
	return (size_t)1 << shift;
}

/* Read or write the first block. */
static void
transfer(uint8_t opcode, unsigned int page)
{
	CU_ASSERT_FATAL(nvme_execute(&nvme, &nvme.io,
		(struct nvme_command){.opcode = opcode, .nsid = 1, .prp = {nvme_iova(page)}}));
}

/* Two commands a round, so that the queue wraps. */
static void
check_transfers(void)
{
	size_t size = block_size();
	uint8_t *pattern = nvme_page(&nvme, PATTERN), *after = nvme_page(&nvme, AFTER);

	CU_ASSERT_FATAL(nvme_create_io_queue(&nvme));
	transfer(NVME_READ, BEFORE);
	for (unsigned int round = 0; round < NVME_ENTRIES; round++) {
		for (size_t i = 0; i < size; i++)
			pattern[i] = (uint8_t)(i * 7 + i / 256 + round);
		memset(after, 0, size);
		transfer(NVME_WRITE, PATTERN);
		transfer(NVME_READ, AFTER);
		CU_ASSERT_EQUAL(memcmp(after, pattern, size), 0);
	}
	transfer(NVME_WRITE, BEFORE);
}

/* Twice, since a controller can be enabled again after it was disabled. */
static void
use_controller(void)
{
	nvme_set_up(&nvme);
	for (unsigned int round = 0; round < 2; round++) {
		CU_ASSERT_FATAL(nvme_enable(&nvme));
		check_controller();
		check_transfers();
		CU_ASSERT_FATAL(nvme_disable(&nvme));
	}
	nvme_tear_down(&nvme);
}

static void
test_registers(void)
{
	uint8_t byte;
	uint32_t value;

	CU_ASSERT_PTR_NOT_NULL_FATAL(nvme.dev);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, CONFIG, PCI_CLASS_REVISION) >> 8, NVME_CLASS);
	CU_ASSERT(vuc_device_region(nvme.dev, BAR0)->size > NVME_DOORBELLS);
	CU_ASSERT(vuc_device_irq(nvme.dev, VFIO_PCI_MSIX_IRQ_INDEX)->count >= 2);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CAP), (uint32_t)nvme.cap);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CAP + 4), nvme.cap >> 32);
	CU_ASSERT(nvme_get32(&nvme, BAR0, NVME_VS) >= 0x10000);
	nvme_set32(&nvme, NVME_AQA, 0x00070003);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_AQA), 0x00070003);
	/* What the target refuses is an error of that access and of no other. */
	CU_ASSERT_EQUAL(vuc_device_read(nvme.dev, BAR0, NVME_CC, &byte, sizeof(byte)), -EINVAL);
	CU_ASSERT_EQUAL(
		vuc_device_read(nvme.dev, BAR0, NVME_DOORBELLS, &value, sizeof(value)), -EPERM);
	CU_ASSERT_EQUAL(vuc_device_reset(nvme.dev), 0);
	CU_ASSERT_EQUAL(nvme_get32(&nvme, BAR0, NVME_CSTS) & NVME_CSTS_RDY, 0);
}

static void
test_doorbells_by_message(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(nvme.dev);
	use_controller();
}

static void
test_doorbells_mapped(void)
{
	const struct vuc_region_mapping *m;
	int n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(nvme.dev);
	n = vuc_region_map(nvme.dev, BAR0, &m);
	if (n == -EOPNOTSUPP) {
		vuc_tap_skip("the target does not offer to map BAR0");
		return;
	}
	CU_ASSERT_FATAL(n >= 1);
	CU_ASSERT_EQUAL(m[0].offset, NVME_DOORBELLS);
	use_controller();
}

/* A client of its own for each test: the target takes it when it is done with the one before. */
static void
set_up(void)
{
	nvme_open(&nvme, path, transport);
}

static void
tear_down(void)
{
	nvme_close(&nvme);
}

static const char *
nvme_begin(const char *arg)
{
	transport = strcmp(arg, "uring") == 0 ? arg : "posix";
	path = getenv("VUC_SPDK_NVMF_SOCKET");
	return path != NULL ? NULL : "VUC_SPDK_NVMF_SOCKET does not name a socket of SPDK's target";
}

const struct tap_suite tap_suite = {
	"nvme",
	set_up,
	tear_down,
	{
		{"registers", test_registers},
		{"doorbells by message", test_doorbells_by_message},
		{"doorbells mapped", test_doorbells_mapped},
	},
	.begin = nvme_begin,
};
