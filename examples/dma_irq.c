/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * DMA and an interrupt: memory that a guest could have is mapped for the device, the device copies
 * one half of it to the other, and raises an MSI-X vector when it is done.
 *
 *	cc dma_irq.c $(pkg-config --cflags --libs libvuc) -o dma_irq
 *	vuc-refdev /tmp/dev.sock &
 *	./dma_irq /tmp/dev.sock
 *	./dma_irq -m /tmp/dev.sock
 *
 * With -m the server gets no descriptor of the memory: it sends a request for each access, which
 *vuc executes.
 */

#define _GNU_SOURCE 1 /* memfd_create */

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/device.h>
#include <vuc/dma.h>
#include <vuc/irq.h>

/* The reference device and its DMA engine in BAR0; docs/refdev.md has all of it. */
#define REFDEV_IDS 0x76637675u /* device and vendor, as config space begins */
#define DMA_SRC    0x050u      /* 8 bytes: where it reads */
#define DMA_DST    0x058u      /* 8 bytes: where it writes */
#define DMA_LEN    0x060u      /* 4 bytes */
#define DMA_MODE   0x064u      /* 4 bytes: BY_MESSAGE or BY_MMAP */
#define DMA_VECTOR 0x078u      /* 4 bytes: 1 + the vector that it raises at the end */
#define DMA_START  0x07cu      /* 4 bytes: any value */
#define DMA_STATUS 0x080u      /* 4 bytes */
#define BY_MESSAGE 0u
#define BY_MMAP    2u
#define DONE       2u

/* Guest memory: 2 MiB are a multiple of what any server here asks for as its page size. */
#define MEMORY_SIZE (UINT64_C(2) << 20)
#define HALF        (MEMORY_SIZE / 2)
#define IOVA        UINT64_C(0x100000000) /* where the device sees it */
#define VECTOR      3u
#define TIMEOUT_MS  5000

/* What a VMM would have anyway: guest memory, and an eventfd that KVM knows as an irqfd. */
struct guest {
	int memory_fd;
	uint8_t *memory;
	int irq_fd;
};

/* A memfd, so that another process can map the same memory. */
static int
make_guest(struct guest *g)
{
	g->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	if (g->irq_fd < 0 || g->memory_fd < 0 || ftruncate(g->memory_fd, (off_t)MEMORY_SIZE) != 0)
		return -errno;
	g->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->memory_fd, 0);
	if (g->memory == MAP_FAILED)
		return -errno;
	for (size_t i = 0; i < HALF; i++)
		g->memory[i] = (uint8_t)(i ^ i >> 8);
	return 0;
}

static void
free_guest(struct guest *g)
{
	if (g->memory != MAP_FAILED)
		munmap(g->memory, MEMORY_SIZE);
	if (g->memory_fd >= 0)
		close(g->memory_fd);
	if (g->irq_fd >= 0)
		close(g->irq_fd);
}

/*
 * Mappings are queued, and the commit sends all of them before it waits for the first answer: map
 * everything that a guest has, and commit once. The server signals the eventfd by itself.
 */
static int
connect_guest(struct vuc_device *dev, const struct guest *g)
{
	const struct vuc_dma_mapping mapping = {
		.iova = IOVA,
		.size = MEMORY_SIZE,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
		.fd = g->memory_fd, /* a server maps it; with VUC_DMA_MESSAGE it stays here */
		.addr = g->memory,  /* where vuc answers a server that does not */
	};
	const struct vuc_irq_range range = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = VECTOR,
		.count = 1,
	};
	int rc = vuc_dma_map(dev, &mapping);

	if (rc == 0)
		rc = vuc_dma_commit(dev);
	return rc == 0 ? vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, &g->irq_fd, NULL) : rc;
}

static int
start_copy(struct vuc_device *dev, uint64_t mode)
{
	const struct {
		uint64_t reg, value;
		size_t size;
	} writes[] = {
		{DMA_SRC, IOVA, 8},
		{DMA_DST, IOVA + HALF, 8},
		{DMA_LEN, HALF, 4},
		{DMA_MODE, mode, 4},
		{DMA_VECTOR, 1 + VECTOR, 4},
		{DMA_START, 1, 4},
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(writes) / sizeof(writes[0]); i++) {
		uint64_t raw = htole64(writes[i].value);

		rc = vuc_device_write(
			dev, VFIO_PCI_BAR0_REGION_INDEX, writes[i].reg, &raw, writes[i].size);
	}
	return rc;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Poll while waiting: a server that has no memory of its own sends its DMA requests over the
 * socket, and nobody else answers them. The wait sleeps until there is something of either kind.
 */
static int
wait_for_interrupt(struct vuc_device *dev, int irq_fd)
{
	struct vuc_poll_group *group = vuc_device_poll_group(dev);
	int64_t deadline_ms = now_ms() + TIMEOUT_MS;
	uint64_t count;

	while (read(irq_fd, &count, sizeof(count)) != sizeof(count)) {
		int64_t left_ms = deadline_ms - now_ms();
		int rc = left_ms > 0 ? 0 : -ETIMEDOUT;

		if (rc == 0)
			rc = vuc_poll_group_wait(group, irq_fd, (unsigned int)left_ms);
		if (rc < 0)
			return rc;
		vuc_poll_group_poll(group);
		if (!vuc_device_connected(dev))
			return -ECONNRESET;
	}
	return 0;
}

static int
check_copy(struct vuc_device *dev, const struct guest *g)
{
	uint32_t status = 0;
	int rc = vuc_device_read(
		dev, VFIO_PCI_BAR0_REGION_INDEX, DMA_STATUS, &status, sizeof(status));

	if (rc != 0)
		return rc;
	if (le32toh(status) != DONE || memcmp(g->memory, g->memory + HALF, HALF) != 0)
		return -EIO;
	printf("interrupt %u was received, and %u bytes were copied\n", VECTOR, (unsigned int)HALF);
	return 0;
}

/* The server may use the memory until the commit has returned 0. */
static int
disconnect_guest(struct vuc_device *dev)
{
	int rc = vuc_irq_disable(dev, VFIO_PCI_MSIX_IRQ_INDEX);

	if (rc == 0)
		rc = vuc_dma_unmap(dev, IOVA, MEMORY_SIZE);
	return rc == 0 ? vuc_dma_commit(dev) : rc;
}

static int
check_ids(struct vuc_device *dev)
{
	uint32_t ids = 0;
	int rc = vuc_device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids));

	return rc == 0 && le32toh(ids) != REFDEV_IDS ? -ENODEV : rc;
}

static int
use(struct vuc_device *dev, const struct guest *g, uint64_t mode)
{
	int rc = check_ids(dev);

	if (rc == 0)
		rc = connect_guest(dev, g);
	if (rc == 0)
		rc = start_copy(dev, mode);
	if (rc == 0)
		rc = wait_for_interrupt(dev, g->irq_fd);
	if (rc == 0)
		rc = check_copy(dev, g);
	if (rc == 0)
		rc = disconnect_guest(dev);
	if (rc == 0)
		return 0;
	/* vuc_device_reason() says more than the errno. */
	fprintf(stderr, "dma_irq: %s\n",
		vuc_device_reason(dev)[0] != '\0' ? vuc_device_reason(dev) : strerror(-rc));
	return rc;
}

int
main(int argc, char **argv)
{
	bool by_message = argc == 3 && strcmp(argv[1], "-m") == 0;
	struct guest guest = {.memory_fd = -1, .memory = MAP_FAILED, .irq_fd = -1};
	struct vuc_device_opts opts;
	struct vuc_device *dev = NULL;
	struct vuc_error err = {0};
	int rc;

	if (argc != 2 && !by_message) {
		fprintf(stderr, "usage: %s [-m] SOCKET\n", argv[0]);
		return 2;
	}
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = argv[argc - 1];
	opts.dma = by_message ? VUC_DMA_MESSAGE : VUC_DMA_SHARED;
	rc = make_guest(&guest);
	if (rc != 0)
		fprintf(stderr, "dma_irq: cannot create guest memory: %s\n", strerror(-rc));
	else if ((rc = vuc_device_open(&opts, &dev, &err)) != 0)
		fprintf(stderr, "dma_irq: %s\n", err.text);
	else
		rc = use(dev, &guest, by_message ? BY_MESSAGE : BY_MMAP);
	vuc_device_close(dev); /* which may use the memory and the eventfd until then */
	free_guest(&guest);
	return rc == 0 ? 0 : 1;
}
