/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Inside of a guest: test_guest_vfio FUNCTION drives vuc-refdev's device by VFIO. It has a large
 * mapping of 2 MiB all the time. Commands come by standard input, a line each, and each is answered
 * by a line: either "wrong=0" and counters, or "failed" and what was wrong.
 *
 * map N       map N pages of 4 KiB, each by itself
 * dma HOW     transfers in all modes, to and from all that is mapped and BAR2; HOW is "shared" or
 *             "message", as vucd's dma
 * unmap       unmap the pages, each by itself, and try to reach them afterwards
 * irqs N      raise each MSI-X vector N times
 * restored    wait until each MSI-X vector has been raised, which vucd does when a server is back
 * intx N      have INTx N times instead, and then MSI-X again
 * reset       reset the function
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "refdev_regs.h"

#define PAGE_SIZE  4096u
#define LARGE_SIZE (2u << 20)
#define LARGE_IOVA (1ull << 32)
#define PAGES_IOVA (2ull << 32)
#define MAX_PAGES  16384u
#define TIMEOUT_MS 60000

/* Of those that the device can map itself, vucd serves a number by message. */
#define PAGES_BY_MESSAGE 128u

#define NR_METHODS 3u

static int container, device;
static uint8_t *large, *pages, *bar0, *bar2;
static unsigned int nr_pages;
static int vectors[REFDEV_MSIX_VECTORS];
static const char *failure;
static unsigned int seed = 1;

/* Keeps the first of what was wrong. */
static bool
expect(bool right, const char *what)
{
	if (!right && !failure)
		failure = what;
	return right;
}

/* At the start nothing works without any of it. */
static void
need(bool right, const char *what)
{
	if (right)
		return;
	perror(what);
	exit(1);
}

static uint32_t
reg_read(unsigned int offset)
{
	return *(volatile uint32_t *)(bar0 + offset);
}

static void
reg_write(unsigned int offset, uint32_t value)
{
	*(volatile uint32_t *)(bar0 + offset) = value;
}

static void
reg_write_64(unsigned int offset, uint64_t value)
{
	reg_write(offset, (uint32_t)value);
	reg_write(offset + 4, (uint32_t)(value >> 32));
}

static bool
dma_map(void *memory, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0;
}

static bool
dma_unmap(uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == size;
}

/* Assign eventfds to the interrupts 0 ... count - 1 of an index; none: free the index. */
static bool
irqs_assign(unsigned int index, const int *fds, unsigned int count)
{
	struct {
		struct vfio_irq_set set;
		int fds[REFDEV_MSIX_VECTORS];
	} irqs = {.set = {
			  .argsz = (uint32_t)(sizeof(struct vfio_irq_set) + count * sizeof(int)),
			  .flags = VFIO_IRQ_SET_ACTION_TRIGGER |
				  (count > 0 ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
			  .index = index,
			  .count = count,
		  }};

	for (unsigned int i = 0; i < count; i++)
		irqs.fds[i] = fds[i];
	return ioctl(device, VFIO_DEVICE_SET_IRQS, &irqs) == 0;
}

static bool
intx_unmask(void)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_NONE,
		.index = VFIO_PCI_INTX_IRQ_INDEX,
		.count = 1,
	};

	return ioctl(device, VFIO_DEVICE_SET_IRQS, &set) == 0;
}

/* Returns how often the interrupt came; waits for the first time. */
static uint64_t
irq_await(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint64_t count = 0;

	if (poll(&wait, 1, TIMEOUT_MS) == 1 && read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}

/* Run one transfer; its end is the next vector's interrupt. Returns its errno. */
static unsigned int
dma_run(uint32_t mode, uint64_t src, uint64_t dst, uint32_t len)
{
	static unsigned int vector;

	vector = (vector + 1) % REFDEV_MSIX_VECTORS;
	reg_write_64(REFDEV_REG_DMA_SRC, src);
	reg_write_64(REFDEV_REG_DMA_DST, dst);
	reg_write(REFDEV_REG_DMA_LEN, len);
	reg_write(REFDEV_REG_DMA_MODE, mode);
	reg_write(REFDEV_REG_DMA_VECTOR, 1 + vector);
	reg_write(REFDEV_REG_DMA_START, 1);
	expect(irq_await(vectors[vector]) == 1, "the interrupt of a transfer");
	return reg_read(REFDEV_REG_DMA_ERRNO);
}

static void
memory_fill(uint8_t *memory, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		memory[i] = (uint8_t)rand_r(&seed);
}

/*
 * A transfer between two places, each the memory that is written and its address for the device.
 * Nothing beside the destination changes.
 */
struct place {
	uint8_t *memory;
	uint64_t address;
	uint32_t size;
	uint32_t src_flag, dst_flag; /* for BAR2 */
	uint32_t errnos[NR_METHODS]; /* of transfers */
};

static void
transfer_check(uint32_t method, const struct place *src, const struct place *dst)
{
	unsigned int expected_errno = src->errnos[method];
	uint32_t size = src->size < dst->size ? src->size : dst->size;
	uint32_t len = 1 + (uint32_t)rand_r(&seed) % (size / 2);
	uint32_t from = (uint32_t)rand_r(&seed) % (src->size - len);
	uint32_t to = (uint32_t)rand_r(&seed) % (dst->size - len);
	uint8_t *before = malloc(len), *expected = malloc(dst->size);
	unsigned int error;

	if (expected_errno == 0)
		expected_errno = dst->errnos[method];
	memory_fill(src->memory + from, len);
	memcpy(before, src->memory + from, len);
	memcpy(expected, dst->memory, dst->size);
	if (expected_errno == 0)
		memcpy(expected + to, before, len);
	error = dma_run(method | src->src_flag | dst->dst_flag, src->address + from,
		dst->address + to, len);
	expect(error == expected_errno, "the errno of a transfer");
	expect(memcmp(dst->memory, expected, dst->size) == 0, "the memory after a transfer");
	free(before);
	free(expected);
}

static void
fill_check(uint32_t method, const struct place *dst)
{
	static const uint64_t pattern = 0x0123456789abcdef;
	uint32_t size = dst->size < REFDEV_DMA_MAX_LEN ? dst->size : REFDEV_DMA_MAX_LEN;
	uint32_t len = 8 * (1 + (uint32_t)rand_r(&seed) % (size / 16));
	unsigned int error;

	memory_fill(dst->memory, len + 1);
	reg_write_64(REFDEV_REG_DMA_PATTERN, pattern);
	error = dma_run(method | REFDEV_DMA_FILL | dst->dst_flag, 0, dst->address, len);
	expect(error == dst->errnos[method], "the errno of a fill");
	for (uint32_t i = 0; error == 0 && i < len; i += 8)
		expect(memcmp(dst->memory + i, &pattern, 8) == 0, "the memory after a fill");
}

static void
command_dma(bool shared)
{
	const uint32_t no_fd = shared ? 0 : EOPNOTSUPP;
	struct place places[] = {
		{large, LARGE_IOVA, LARGE_SIZE, .errnos = {0, no_fd, no_fd}},
		{bar2, 0, REFDEV_BAR2_SIZE, REFDEV_DMA_SRC_BAR2, REFDEV_DMA_DST_BAR2, {0}},
		{pages, PAGES_IOVA, 0, .errnos = {0, no_fd, no_fd}},
	};
	unsigned int nr_places = nr_pages > 0 ? 3 : 2, transfers = 0;

	for (uint32_t method = 0; method < NR_METHODS; method++) {
		places[2].size = nr_pages * PAGE_SIZE;
		if (shared && method == REFDEV_DMA_BY_MESSAGE && nr_pages > PAGES_BY_MESSAGE)
			places[2].size = PAGES_BY_MESSAGE * PAGE_SIZE;
		for (unsigned int i = 0; i < nr_places * nr_places; i++, transfers++) {
			const struct place *src = &places[i / nr_places];
			const struct place *dst = &places[i % nr_places];

			if (src == dst)
				fill_check(method, dst);
			else
				transfer_check(method, src, dst);
		}
	}
	printf("transfers=%u ", transfers);
}

static void
command_map(unsigned int count)
{
	uint32_t before = reg_read(REFDEV_REG_DMA_MAPS);

	for (; count > 0 && nr_pages < MAX_PAGES; count--, nr_pages++) {
		if (!expect(dma_map(pages + nr_pages * PAGE_SIZE, PAGES_IOVA + nr_pages * PAGE_SIZE,
				    PAGE_SIZE),
			    "a map"))
			return;
	}
	printf("maps=%u ", reg_read(REFDEV_REG_DMA_MAPS) - before);
}

/* Last page first, so that a transfer of two pages begins in one that is mapped. */
static void
command_unmap(void)
{
	uint32_t before = reg_read(REFDEV_REG_DMA_MAPS), method = 0;
	unsigned int faults = 0;

	while (nr_pages > 0) {
		uint64_t iova = PAGES_IOVA + --nr_pages * PAGE_SIZE;

		if (!expect(dma_unmap(iova, PAGE_SIZE), "an unmap"))
			return;
		if (nr_pages % 64 != 0)
			continue;
		method = (method + 1) % NR_METHODS;
		memset(pages + nr_pages * PAGE_SIZE, 0x5a, PAGE_SIZE);
		expect(dma_run(method | REFDEV_DMA_FILL, 0, iova, PAGE_SIZE) == EFAULT,
			"the errno where nothing is mapped");
		expect(dma_run(method | REFDEV_DMA_DST_BAR2, iova, 0, 8) == EFAULT,
			"the errno of a read where nothing is mapped");
		for (unsigned int i = 0; i < PAGE_SIZE; i++)
			expect(pages[nr_pages * PAGE_SIZE + i] == 0x5a, "an unmapped page");
		faults += 2;
	}
	printf("unmaps=%u faults=%u ", before - reg_read(REFDEV_REG_DMA_MAPS), faults);
}

/* Each comes as often as it is raised, and no other. */
static void
command_irqs(unsigned int count)
{
	unsigned int came = 0;

	for (unsigned int i = 0; i < count * REFDEV_MSIX_VECTORS; i++) {
		unsigned int vector = i % REFDEV_MSIX_VECTORS;

		reg_write(REFDEV_REG_IRQ_TRIGGER, vector);
		came += (unsigned int)irq_await(vectors[vector]);
	}
	for (unsigned int vector = 0; vector < REFDEV_MSIX_VECTORS; vector++) {
		struct pollfd wait = {.fd = vectors[vector], .events = POLLIN};

		expect(poll(&wait, 1, 0) == 0, "a vector that was not raised");
	}
	printf("interrupts=%u ", came);
}

static void
command_restored(void)
{
	unsigned int came = 0;

	for (unsigned int vector = 0; vector < REFDEV_MSIX_VECTORS; vector++)
		came += irq_await(vectors[vector]) > 0;
	printf("vectors=%u ", came);
}

static void
command_intx(unsigned int count)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	unsigned int came = 0;

	expect(irqs_assign(VFIO_PCI_MSIX_IRQ_INDEX, NULL, 0), "switching MSI-X off");
	expect(irqs_assign(VFIO_PCI_INTX_IRQ_INDEX, &fd, 1), "an eventfd of INTx");
	for (unsigned int i = 0; i < count; i++) {
		reg_write(REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_INTX);
		came += (unsigned int)irq_await(fd);
		expect(reg_read(REFDEV_REG_INTX) == 1, "the level of INTx");
		reg_write(REFDEV_REG_INTX, 0);
		expect(intx_unmask(), "unmasking INTx");
	}
	expect(irqs_assign(VFIO_PCI_INTX_IRQ_INDEX, NULL, 0), "switching INTx off");
	close(fd);
	expect(irqs_assign(VFIO_PCI_MSIX_IRQ_INDEX, vectors, REFDEV_MSIX_VECTORS),
		"eventfds of MSI-X");
	printf("interrupts=%u ", came);
}

static void
command_reset(void)
{
	uint32_t before = reg_read(REFDEV_REG_RESETS), maps = reg_read(REFDEV_REG_DMA_MAPS);

	reg_write(REFDEV_REG_SCRATCH, 1);
	expect(ioctl(device, VFIO_DEVICE_RESET) == 0, "a reset");
	expect(reg_read(REFDEV_REG_SCRATCH) == 0, "a register after the reset");
	expect(reg_read(REFDEV_REG_DMA_MAPS) == maps, "the mappings after the reset");
	printf("resets=%u ", reg_read(REFDEV_REG_RESETS) - before);
}

static void
line_carry_out(char *line)
{
	char *name = strtok(line, " \n"), *arg = strtok(NULL, " \n");
	unsigned int count = arg ? (unsigned int)strtoul(arg, NULL, 10) : 0;

	failure = NULL;
	if (!name)
		failure = "an empty line";
	else if (strcmp(name, "map") == 0)
		command_map(count);
	else if (strcmp(name, "dma") == 0 && arg)
		command_dma(strcmp(arg, "shared") == 0);
	else if (strcmp(name, "unmap") == 0)
		command_unmap();
	else if (strcmp(name, "irqs") == 0)
		command_irqs(count);
	else if (strcmp(name, "restored") == 0)
		command_restored();
	else if (strcmp(name, "intx") == 0)
		command_intx(count);
	else if (strcmp(name, "reset") == 0)
		command_reset();
	else
		failure = "an unknown command";
	if (failure)
		printf("failed: %s\n", failure);
	else
		printf("wrong=0\n");
	fflush(stdout);
}

static void *
region_map(unsigned int index, size_t size)
{
	struct vfio_region_info info = {.argsz = sizeof(info), .index = index};
	void *memory;

	need(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0 && info.size == size,
		"the size of a region");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
	need(memory != MAP_FAILED, "mmap of a region");
	return memory;
}

static void *
memory_make(size_t size, int flags)
{
	void *memory = mmap(
		NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	need(memory != MAP_FAILED, "memory");
	return memory;
}

static void
device_open(const char *function)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	char path[128], target[128];
	ssize_t len;
	int group;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", function);
	len = readlink(path, target, sizeof(target) - 1);
	need(len > 0, path);
	target[len] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(target, '/'));
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	group = open(path, O_RDWR | O_CLOEXEC);
	need(container >= 0 && group >= 0, path);
	need(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0, "a container");
	need(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, function);
	need(device >= 0, function);
	need(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0, "the configuration space");
	need(pwrite(device, &command, sizeof(command), (off_t)info.offset + PCI_COMMAND) ==
			sizeof(command),
		"the command register");
	bar0 = region_map(VFIO_PCI_BAR0_REGION_INDEX, REFDEV_BAR0_SIZE);
	bar2 = region_map(VFIO_PCI_BAR2_REGION_INDEX, REFDEV_BAR2_SIZE);
}

int
main(int argc, char *argv[])
{
	char line[64];

	if (argc != 2)
		return 2;
	device_open(argv[1]);
	large = memory_make(LARGE_SIZE, MAP_HUGETLB);
	pages = memory_make(MAX_PAGES * PAGE_SIZE, 0);
	need(dma_map(large, LARGE_IOVA, LARGE_SIZE), "the large mapping");
	for (unsigned int i = 0; i < REFDEV_MSIX_VECTORS; i++)
		vectors[i] = eventfd(0, EFD_CLOEXEC);
	need(irqs_assign(VFIO_PCI_MSIX_IRQ_INDEX, vectors, REFDEV_MSIX_VECTORS), "MSI-X");
	while (fgets(line, sizeof(line), stdin))
		line_carry_out(line);
	return 0;
}
