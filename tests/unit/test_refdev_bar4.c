/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "refdev_peer.h"
#include "tap.h"

#define BAR2   VFIO_PCI_BAR2_REGION_INDEX
#define BAR4   VFIO_PCI_BAR4_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define MSIX   VFIO_PCI_MSIX_IRQ_INDEX

#define MESSAGE_CONTROL (REFDEV_CAP_MSIX + PCI_MSIX_FLAGS)

static uint32_t
vector_control(uint32_t vector)
{
	return REFDEV_BAR4_TABLE + 16 * vector + PCI_MSIX_ENTRY_VECTOR_CTRL;
}

static uint64_t
pending(struct refdev_peer *p)
{
	return refdev_peer_read(p, BAR4, REFDEV_BAR4_PBA, 8);
}

static void
trigger(struct refdev_peer *p, uint32_t value)
{
	refdev_peer_set_reg(p, REFDEV_REG_IRQ_TRIGGER, value);
}

/* Each vector signals its own eventfd, and nobody else's. */
static void
test_deliver(void)
{
	int fds[REFDEV_MSIX_VECTORS];
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t n = 0; n < REFDEV_MSIX_VECTORS; n++)
		fds[n] = refdev_peer_eventfd(&p, MSIX, n, VFIO_IRQ_SET_ACTION_TRIGGER);
	for (uint32_t n = 0; n < REFDEV_MSIX_VECTORS; n++) {
		trigger(&p, n);
		for (uint32_t other = 0; other < REFDEV_MSIX_VECTORS; other++)
			CU_ASSERT_EQUAL(refdev_peer_events(fds[other]), other == n);
	}
	CU_ASSERT_EQUAL(pending(&p), 0);
	for (uint32_t n = 0; n < REFDEV_MSIX_VECTORS; n++)
		close(fds[n]);
	refdev_peer_close(&p);
}

static void
test_no_such_vector(void)
{
	const uint32_t value = REFDEV_MSIX_VECTORS;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_try_write(
				&p, VFIO_PCI_BAR0_REGION_INDEX, REFDEV_REG_IRQ_TRIGGER, 4, &value),
		-EINVAL);
	refdev_peer_close(&p);
}

static void
test_vector_mask(void)
{
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	fd = refdev_peer_eventfd(&p, MSIX, 5, VFIO_IRQ_SET_ACTION_TRIGGER);
	refdev_peer_write(&p, BAR4, vector_control(5), 4, 1);
	trigger(&p, 5);
	trigger(&p, 5);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	CU_ASSERT_EQUAL(pending(&p), 1u << 5);
	refdev_peer_write(&p, BAR4, vector_control(5), 4, 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	CU_ASSERT_EQUAL(pending(&p), 0);
	trigger(&p, 5);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	close(fd);
	refdev_peer_close(&p);
}

static void
test_function_mask(void)
{
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	fd = refdev_peer_eventfd(&p, MSIX, 0, VFIO_IRQ_SET_ACTION_TRIGGER);
	refdev_peer_write(&p, CONFIG, MESSAGE_CONTROL, 2, PCI_MSIX_FLAGS_MASKALL);
	trigger(&p, 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	CU_ASSERT_EQUAL(pending(&p), 1);
	refdev_peer_write(&p, BAR4, vector_control(0), 4, 1);
	refdev_peer_write(&p, CONFIG, MESSAGE_CONTROL, 2, 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	refdev_peer_write(&p, BAR4, vector_control(0), 4, 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	close(fd);
	refdev_peer_close(&p);
}

/* A reset unmasks, and what was pending is gone. */
static void
test_reset(void)
{
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	fd = refdev_peer_eventfd(&p, MSIX, 1, VFIO_IRQ_SET_ACTION_TRIGGER);
	refdev_peer_write(&p, BAR4, vector_control(1), 4, 1);
	trigger(&p, 1);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	CU_ASSERT_EQUAL(pending(&p), 0);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR4, vector_control(1), 4), 0);
	trigger(&p, 1);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	close(fd);
	refdev_peer_close(&p);
}

static void
test_table_bits(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t n = 0; n < REFDEV_MSIX_VECTORS; n++) {
		refdev_peer_write(&p, BAR4, 16 * n, 8, UINT64_MAX);
		refdev_peer_write(&p, BAR4, 16 * n + 8, 8, UINT64_MAX);
		CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR4, 16 * n, 8), 0xfffffffffffffffc);
		CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR4, 16 * n + 8, 8), 0x1ffffffff);
	}
	refdev_peer_write(&p, BAR4, REFDEV_BAR4_PBA, 8, UINT64_MAX);
	CU_ASSERT_EQUAL(pending(&p), 0);
	refdev_peer_write(&p, BAR4, 16 * REFDEV_MSIX_VECTORS, 8, UINT64_MAX);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR4, 16 * REFDEV_MSIX_VECTORS, 8), 0);
	refdev_peer_close(&p);
}

/* One access over all four pages: table, memory, PBA, memory. */
static void
test_across_pages(void)
{
	static uint8_t data[REFDEV_BAR4_SIZE];
	static uint8_t body[sizeof(struct vfio_user_region_access) + REFDEV_BAR4_SIZE];
	const uint8_t *read = body + sizeof(struct vfio_user_region_access);
	struct refdev_peer p;

	memset(data, 0xa5, sizeof(data));
	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, BAR4, 0, sizeof(data), data), 0);
	trigger(&p, 2);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR4, 0, sizeof(data)), 0);
	refdev_peer_body(&p, body, sizeof(body));
	CU_ASSERT_EQUAL(read[0], 0xa4);
	CU_ASSERT_EQUAL(read[0xfff], 0);
	CU_ASSERT_EQUAL(memcmp(read + REFDEV_BAR4_AREA_0, data, REFDEV_PAGE_SIZE), 0);
	CU_ASSERT_EQUAL(read[REFDEV_BAR4_PBA], 1 << 2);
	CU_ASSERT_EQUAL(memcmp(read + REFDEV_BAR4_AREA_1, data, REFDEV_PAGE_SIZE), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR4, 1, REFDEV_BAR4_SIZE), -EINVAL);
	refdev_peer_close(&p);
}

static uint8_t *
map_region(struct refdev_peer *p, uint32_t index, uint64_t offset, size_t size)
{
	const struct vfio_user_region_info ask = {.argsz = 4096, .index = index};
	struct vfio_user_region_info info;
	void *bytes;

	CU_ASSERT_EQUAL_FATAL(
		refdev_peer_ask(p, VFIO_USER_DEVICE_GET_REGION_INFO, &ask, sizeof(ask)), 0);
	memcpy(&info, p->reply.bytes + sizeof(struct vfio_user_header), sizeof(info));
	CU_ASSERT_EQUAL_FATAL(p->reply.nr_fds, 1);
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p->reply.fds[0],
		(off_t)(info.offset + offset));
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(bytes, MAP_FAILED);
	CU_ASSERT_NOT_EQUAL(ftruncate(p->reply.fds[0], 0), 0);
	close(p->reply.fds[0]);
	return bytes;
}

/* What is mapped and what messages access is the same memory. */
static void
test_mapped(void)
{
	struct refdev_peer p;
	uint8_t *bar2;
	uint8_t *area;

	refdev_peer_open(&p);
	bar2 = map_region(&p, BAR2, 0, REFDEV_BAR2_SIZE);
	area = map_region(&p, BAR4, REFDEV_BAR4_AREA_1, REFDEV_PAGE_SIZE);
	bar2[REFDEV_BAR2_SIZE - 1] = 0x5a;
	area[16] = 0xc3;
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR2, REFDEV_BAR2_SIZE - 1, 1), 0x5a);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR4, REFDEV_BAR4_AREA_1 + 16, 1), 0xc3);
	refdev_peer_write(&p, BAR2, 8, 4, 0x11223344);
	CU_ASSERT_EQUAL(memcmp(bar2 + 8, "\x44\x33\x22\x11", 4), 0);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(bar2[8], 0);
	CU_ASSERT_EQUAL(area[16], 0);
	munmap(bar2, REFDEV_BAR2_SIZE);
	munmap(area, REFDEV_PAGE_SIZE);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"vectors signal their eventfds", test_deliver},
		{"no such vector", test_no_such_vector},
		{"a masked vector is pending", test_vector_mask},
		{"the function mask", test_function_mask},
		{"reset", test_reset},
		{"bits of the table", test_table_bits},
		{"access across pages", test_across_pages},
		{"mapped memory", test_mapped},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev BAR4", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
