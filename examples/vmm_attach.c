/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a VMM does with a device that vucd owns, in the order in which docs/integrating.md explains
 * it: attach, look at the device, map what can be mapped, access registers from a vCPU's thread,
 * give it memory, take an interrupt, watch for events, detach. The guest is left out: see
 * app/vuc-vmm for one.
 *
 *	cc vmm_attach.c $(pkg-config --cflags --libs libvuc-vmm) -o vmm_attach
 *	./vmm_attach /run/vucd/vmm.sock NAME
 */

#define _GNU_SOURCE 1 /* memfd_create */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

/* The reference device and its DMA engine in BAR0; docs/refdev.md has all of it. */
#define REFDEV_IDS 0x76637675u /* device and vendor, as config space begins */
#define SCRATCH    0x008u      /* 8 bytes: keeps what is written */
#define DMA_SRC    0x050u      /* 8 bytes: where it reads */
#define DMA_DST    0x058u      /* 8 bytes: where it writes */
#define DMA_LEN    0x060u      /* 4 bytes */
#define DMA_MODE   0x064u      /* 4 bytes: BY_MESSAGE or BY_MMAP */
#define DMA_VECTOR 0x078u      /* 4 bytes: 1 + the vector that it raises at the end */
#define DMA_START  0x07cu      /* 4 bytes: any value */
#define BY_MESSAGE 0u
#define BY_MMAP    2u

#define MEMORY_SIZE (UINT64_C(2) << 20)
#define HALF        (MEMORY_SIZE / 2)
#define VECTOR      3u
#define TIMEOUT_MS  5000

/* Guest memory: a file that others can map, and that cannot shrink under them. */
struct guest_memory {
	int fd;
	uint8_t *addr;
};

static int
make_memory(struct guest_memory *m)
{
	m->fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->fd < 0 || ftruncate(m->fd, (off_t)MEMORY_SIZE) != 0 ||
		fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
		return -errno;
	m->addr = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	return m->addr != MAP_FAILED ? 0 : -errno;
}

static int
attach(const char *socket, const char *name, struct vuc_vmm_device **dev, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = socket;
	opts.device = name;
	return vuc_vmm_attach(&opts, dev, err);
}

/* What of a BAR the guest may reach without an exit; a VMM makes memory slots of it. */
static int
map_bar(struct vuc_vmm_device *dev, uint32_t bar, struct vuc_error *err)
{
	const struct vuc_vmm_region *region;
	int rc = vuc_vmm_region(dev, bar, &region, err);

	for (uint32_t i = 0; rc == 0 && i < region->nr_areas; i++) {
		const struct vuc_vmm_area *area = &region->areas[i];
		void *addr = mmap(NULL, area->size, PROT_READ | PROT_WRITE, MAP_SHARED, area->fd,
			(off_t)area->file_offset);

		if (addr == MAP_FAILED)
			return -errno;
		printf("BAR%u: 0x%llx bytes at 0x%llx are memory\n", bar,
			(unsigned long long)area->size, (unsigned long long)area->offset);
		munmap(addr, area->size);
	}
	return rc;
}

/* A vCPU's thread: each has a queue of its own, and its exits end in calls like these. */
struct vcpu {
	pthread_t thread;
	struct vuc_queue *queue;
	int result;
};

static void *
run_vcpu(void *arg)
{
	struct vcpu *vcpu = arg;
	uint64_t value = htole64(0x1122334455667788), back = 0;
	uint32_t ids = 0;
	int rc;

	rc = vuc_queue_read(vcpu->queue, VFIO_PCI_CONFIG_REGION_INDEX, 0, &ids, sizeof(ids));
	if (rc == 0 && le32toh(ids) != REFDEV_IDS)
		rc = -ENODEV;
	if (rc == 0) /* the guest's store to a memory BAR: posted if the daemon posts it */
		rc = vuc_queue_write_pci(vcpu->queue, 0, SCRATCH, &value, sizeof(value));
	if (rc == 0) /* ordered after the write */
		rc = vuc_queue_read(vcpu->queue, 0, SCRATCH, &back, sizeof(back));
	vcpu->result = rc != 0 ? rc : back == value ? 0 : -EIO;
	return NULL;
}

static int
access_registers(struct vuc_vmm_device *dev, struct vuc_error *err)
{
	struct vcpu vcpu = {0};
	int rc = vuc_vmm_open_queue(dev, NULL, &vcpu.queue, err);

	if (rc != 0)
		return rc;
	rc = -pthread_create(&vcpu.thread, NULL, run_vcpu, &vcpu);
	if (rc == 0) {
		pthread_join(vcpu.thread, NULL);
		rc = vcpu.result;
	}
	if (rc == -ENODEV)
		snprintf(err->text, sizeof(err->text),
			"the device is not a vuc-refdev, whose registers this example uses");
	vuc_vmm_close_queue(dev, vcpu.queue);
	return rc;
}

/* What the VMM's memory listener does: guest physical addresses are what the device sees. */
static int
share_memory(struct vuc_vmm_device *dev, const struct guest_memory *m, struct vuc_error *err)
{
	const struct vuc_vmm_dma mapping = {
		.argsz = sizeof(mapping),
		.iova = 0,
		.size = MEMORY_SIZE,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
		.fd = m->fd,
	};
	int rc = vuc_vmm_dma_map(dev, &mapping, 1, err);

	return rc == 0 ? vuc_vmm_dma_commit(dev, err) : rc;
}

/* The eventfd would be an irqfd of KVM: the device's server signals it, and nobody is in between.
 */
static int
assign_vector(struct vuc_vmm_device *dev, int irq_fd, struct vuc_error *err)
{
	const struct vuc_vmm_irq_range range = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = VECTOR,
		.count = 1,
	};

	return vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, &irq_fd, err);
}

static int
post32(struct vuc_queue *queue, uint64_t reg, uint32_t value)
{
	value = htole32(value);
	return vuc_queue_post(queue, 0, reg, &value, sizeof(value));
}

static int
post64(struct vuc_queue *queue, uint64_t reg, uint64_t value)
{
	value = htole64(value);
	return vuc_queue_post(queue, 0, reg, &value, sizeof(value));
}

/* What a guest's driver would do: the device copies one half of the memory to the other. */
static int
start_copy(struct vuc_queue *queue, uint32_t mode)
{
	int rc = post64(queue, DMA_SRC, 0);

	if (rc == 0)
		rc = post64(queue, DMA_DST, HALF);
	if (rc == 0)
		rc = post32(queue, DMA_LEN, (uint32_t)HALF);
	if (rc == 0)
		rc = post32(queue, DMA_MODE, mode);
	if (rc == 0)
		rc = post32(queue, DMA_VECTOR, 1 + VECTOR);
	if (rc == 0)
		rc = post32(queue, DMA_START, 1);
	return rc;
}

static int
wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, TIMEOUT_MS) == 1 ? 0 : -ETIMEDOUT;
}

static int
copy_by_dma(
	struct vuc_vmm_device *dev, const struct guest_memory *m, int irq_fd, struct vuc_error *err)
{
	struct vuc_queue *queue;
	int rc = vuc_vmm_open_queue(dev, NULL, &queue, err);

	if (rc != 0)
		return rc;
	memset(m->addr, 0xa5, HALF);
	rc = start_copy(queue, vuc_vmm_info(dev)->dma_message ? BY_MESSAGE : BY_MMAP);
	if (rc == 0)
		rc = wait_readable(irq_fd);
	if (rc == 0 && memcmp(m->addr, m->addr + HALF, HALF) != 0)
		rc = -EIO;
	if (rc == 0)
		printf("%llu bytes were copied\n", (unsigned long long)HALF);
	vuc_vmm_close_queue(dev, queue);
	return rc;
}

/* In the VMM's main loop, when vuc_vmm_event_fd() can be read. */
static int
handle_events(struct vuc_vmm_device *dev)
{
	uint32_t events = vuc_vmm_events(dev);

	if (events & (VUC_VMM_EVENT_GONE | VUC_VMM_EVENT_REMOVED))
		return -ENODEV; /* unplug the device from the guest, and detach */
	if (events & VUC_VMM_EVENT_LOST)
		return -ENOTCONN; /* with outage = fail, accesses fail until it is back */
	return 0;
}

static int
use(struct vuc_vmm_device *dev, const struct guest_memory *m, int irq_fd, struct vuc_error *err)
{
	int rc = map_bar(dev, 0, err);

	if (rc == 0)
		rc = access_registers(dev, err);
	if (rc == 0)
		rc = share_memory(dev, m, err);
	if (rc == 0)
		rc = assign_vector(dev, irq_fd, err);
	if (rc == 0)
		rc = copy_by_dma(dev, m, irq_fd, err);
	return rc == 0 ? handle_events(dev) : rc;
}

int
main(int argc, char **argv)
{
	struct guest_memory memory = {.fd = -1};
	struct vuc_error err = {0};
	struct vuc_vmm_device *dev;
	int irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc;

	if (argc != 3) {
		fprintf(stderr, "usage: %s SOCKET DEVICE\n", argv[0]);
		return 2;
	}
	rc = irq_fd >= 0 ? make_memory(&memory) : -errno;
	if (rc == 0)
		rc = attach(argv[1], argv[2], &dev, &err);
	if (rc == 0) {
		rc = use(dev, &memory, irq_fd, &err);
		vuc_vmm_detach(dev); /* from here on the device does not touch the memory */
	}
	if (rc != 0)
		fprintf(stderr, "%s: %s\n", argv[2], err.text[0] ? err.text : strerror(-rc));
	return rc != 0;
}
