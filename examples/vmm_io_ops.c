/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A device of vucd behind an interface like the one that a VMM with VFIO code has already: a table
 * of functions for regions, interrupts and DMA. docs/integrating.md says how each of them maps to
 * libvuc-vmm.
 *
 *	cc vmm_io_ops.c $(pkg-config --cflags --libs libvuc-vmm) -o vmm_io_ops
 *	./vmm_io_ops /run/vucd/vmm.sock NAME
 */

#define _GNU_SOURCE 1 /* memfd_create */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

/* The reference device; docs/refdev.md has all of it. */
#define REFDEV_IDS  0x76637675u /* device and vendor, as config space begins */
#define SCRATCH     0x008u      /* 8 bytes: keeps what is written */
#define MEMORY_SIZE (UINT64_C(2) << 20)
#define ROM         (UINT64_C(1) << 32) /* where memory without a file is */
#define ROM_SIZE    UINT64_C(0x10000)
#define TIMEOUT_MS  5000

/* What the VMM's VFIO code calls. All return 0 or more, or a negative errno. */
struct io_ops {
	int (*region_read)(void *dev, uint32_t region, uint64_t offset, void *data, uint32_t size);
	int (*region_write)(void *dev, uint32_t region, uint64_t offset, const void *data,
		uint32_t size, bool posted);
	int (*get_irq_info)(void *dev, struct vfio_irq_info *info);
	int (*set_irqs)(void *dev, const struct vfio_irq_set *set);
	int (*dma_map)(void *dev, const struct vuc_vmm_dma *mapping);
	int (*dma_unmap)(void *dev, uint64_t iova, uint64_t size);
	int (*dma_commit)(void *dev);
};

/* The function that failed, and why. */
static struct vuc_error why;

/* Any thread; all use the library's own queue. Returns the bytes read. */
static int
io_region_read(void *dev, uint32_t region, uint64_t offset, void *data, uint32_t size)
{
	int rc = vuc_vmm_read(dev, region, offset, data, size, &why);

	return rc != 0 ? rc : (int)size;
}

static int
io_region_write(
	void *dev, uint32_t region, uint64_t offset, const void *data, uint32_t size, bool posted)
{
	int rc = posted ? vuc_vmm_write_pci(dev, region, offset, data, size, &why)
			: vuc_vmm_write(dev, region, offset, data, size, &why);

	return rc != 0 ? rc : (int)size;
}

static int
io_get_irq_info(void *dev, struct vfio_irq_info *info)
{
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};
	int rc = vuc_vmm_irq(dev, info->index, &irq, &why);

	if (rc != 0)
		return rc;
	info->flags = irq.flags;
	info->count = irq.count;
	return 0;
}

static int
io_set_irqs(void *dev, const struct vfio_irq_set *set)
{
	return vuc_vmm_irq_set(dev, set, &why);
}

/* One by one between the begin and the commit of a transaction. Memory without a file has an fd of
 * -1 and is accepted: the device has no access to it. */
static int
io_dma_map(void *dev, const struct vuc_vmm_dma *mapping)
{
	int rc = vuc_vmm_dma_map(dev, mapping, 1, &why);

	if (rc > 0)
		printf("memory at 0x%llx has no file: the device cannot access it\n",
			(unsigned long long)mapping->iova);
	return rc < 0 ? rc : 0;
}

/* Whatever was mapped there. */
static int
io_dma_unmap(void *dev, uint64_t iova, uint64_t size)
{
	return vuc_vmm_dma_unmap_if_mapped(dev, iova, size, &why);
}

/* A VMM with a main loop calls vuc_vmm_dma_commit_start(). */
static int
io_dma_commit(void *dev)
{
	return vuc_vmm_dma_commit(dev, &why);
}

static const struct io_ops io_ops = {
	.region_read = io_region_read,
	.region_write = io_region_write,
	.get_irq_info = io_get_irq_info,
	.set_irqs = io_set_irqs,
	.dma_map = io_dma_map,
	.dma_unmap = io_dma_unmap,
	.dma_commit = io_dma_commit,
};

/* ---- the VMM's side, which knows the table only ---- */

static int
use_registers(const struct io_ops *ops, void *dev)
{
	uint64_t value = htole64(0x1122334455667788), back = 0;
	uint32_t ids = 0;
	int rc = ops->region_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids));

	if (rc >= 0 && le32toh(ids) != REFDEV_IDS) {
		snprintf(why.text, sizeof(why.text), "the device is not a vuc-refdev");
		return -ENODEV;
	}
	if (rc >= 0)
		rc = ops->region_write(dev, 0, SCRATCH, &value, sizeof(value), true);
	if (rc >= 0)
		rc = ops->region_read(dev, 0, SCRATCH, &back, sizeof(back));
	if (rc < 0)
		return rc;
	return back == value ? 0 : -EIO;
}

/* RAM, and a ROM that has no file; then a hole that nothing was mapped in. */
static int
use_memory(const struct io_ops *ops, void *dev, int fd)
{
	const struct vuc_vmm_dma ram = {
		.argsz = sizeof(ram),
		.size = MEMORY_SIZE,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
		.fd = fd,
	};
	const struct vuc_vmm_dma rom = {.argsz = sizeof(rom),
		.iova = ROM,
		.size = ROM_SIZE,
		.flags = VUC_VMM_DMA_READ,
		.fd = -1};
	int rc = ops->dma_map(dev, &ram);

	if (rc == 0)
		rc = ops->dma_map(dev, &rom);
	if (rc == 0)
		rc = ops->dma_unmap(dev, 2 * ROM, ROM_SIZE);
	return rc == 0 ? ops->dma_commit(dev) : rc;
}

/* Eventfds for the first two vectors, the second one raised, and the index switched off. */
static int
use_interrupts(const struct io_ops *ops, void *dev, int eventfd)
{
	const uint8_t second[2] = {0, 1};
	const int32_t eventfds[2] = {-1, eventfd};
	union {
		struct vfio_irq_set set;
		uint8_t bytes[sizeof(struct vfio_irq_set) + sizeof(eventfds)];
	} u = {.set = {.argsz = sizeof(u), .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 2}};
	struct vfio_irq_info info = {.argsz = sizeof(info), .index = VFIO_PCI_MSIX_IRQ_INDEX};
	struct pollfd raised = {.fd = eventfd, .events = POLLIN};
	int rc = ops->get_irq_info(dev, &info);

	if (rc == 0 && info.count < 2)
		return -ENODEV;
	if (rc == 0) {
		u.set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
		memcpy(u.set.data, eventfds, sizeof(eventfds));
		rc = ops->set_irqs(dev, &u.set);
	}
	if (rc == 0) {
		u.set.flags = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER;
		memcpy(u.set.data, second, sizeof(second));
		rc = ops->set_irqs(dev, &u.set);
	}
	if (rc == 0 && poll(&raised, 1, TIMEOUT_MS) != 1)
		rc = -ETIMEDOUT;
	if (rc == 0) {
		u.set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
		u.set.count = 0;
		rc = ops->set_irqs(dev, &u.set);
	}
	return rc;
}

static int
use_device(const struct io_ops *ops, void *dev)
{
	int memory = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = use_registers(ops, dev);

	if (rc == 0 &&
		(memory < 0 || irq_fd < 0 || ftruncate(memory, (off_t)MEMORY_SIZE) != 0 ||
			fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) != 0))
		rc = -errno;
	if (rc == 0)
		rc = use_memory(ops, dev, memory);
	if (rc == 0)
		rc = use_interrupts(ops, dev, irq_fd);
	if (rc == 0)
		rc = ops->dma_unmap(dev, ROM, ROM_SIZE);
	if (rc == 0)
		rc = ops->dma_commit(dev);
	if (memory >= 0)
		close(memory);
	if (irq_fd >= 0)
		close(irq_fd);
	return rc;
}

int
main(int argc, char *argv[])
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_device *dev;
	int rc;

	if (argc != 3) {
		fprintf(stderr, "usage: %s SOCKET DEVICE\n", argv[0]);
		return 2;
	}
	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = argv[1];
	opts.device = argv[2];
	rc = vuc_vmm_attach(&opts, &dev, &why);
	if (rc == 0) {
		rc = use_device(&io_ops, dev);
		vuc_vmm_detach(dev);
	}
	if (rc != 0) {
		fprintf(stderr, "%s: %s\n", argv[2],
			why.text[0] != '\0' ? why.text : strerror(-rc));
		return 1;
	}
	printf("registers, memory and interrupts as VFIO has them\n");
	return 0;
}
