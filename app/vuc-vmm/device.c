/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/vfio.h>

#include "fail.h"
#include "guest.h"
#include "pci.h"

#define EVENT_TIMEOUT_MS 1000

/* The line that libvuc-vmm has for an error. */
static int
fail_device(const struct device *device, int rc, const struct vuc_error *err)
{
	return vmm_fail(rc, "device %s: %s", device->name,
		err->text[0] != '\0' ? err->text : strerror(-rc));
}

static int
attach(struct device *device, const char *socket)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_error err = {0};
	int rc;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = socket;
	opts.device = device->name;
	opts.name = "vuc-vmm";
	rc = vuc_vmm_attach(&opts, &device->vuc, &err);
	return rc != 0 ? fail_device(device, rc, &err) : 0;
}

static int
open_queue(struct device *device)
{
	struct vuc_error err = {0};
	int rc = vuc_vmm_open_queue(device->vuc, NULL, &device->queue, &err);

	return rc != 0 ? fail_device(device, rc, &err) : 0;
}

/* Begin with a device that nobody has used. One that cannot be reset has to be taken as it is. */
static int
device_reset(struct device *device)
{
	struct vuc_error err = {0};
	int rc;

	if ((vuc_vmm_info(device->vuc)->flags & VFIO_DEVICE_FLAGS_RESET) == 0)
		return 0;
	rc = vuc_vmm_reset(device->vuc, &err);
	return rc != 0 ? fail_device(device, rc, &err) : 0;
}

/* *region becomes NULL when there is no such BAR. */
static int
find_bar(struct device *device, uint32_t bar, const struct vuc_vmm_region **region)
{
	struct vuc_error err = {0};
	int rc;

	*region = NULL;
	if (bar >= vuc_vmm_info(device->vuc)->num_regions)
		return 0;
	rc = vuc_vmm_region(device->vuc, bar, region, &err);
	return rc != 0 ? fail_device(device, rc, &err) : 0;
}

static int
map_area(
	struct device *device, const struct vuc_vmm_region *region, const struct vuc_vmm_area *area)
{
	bool read_only = (region->flags & VFIO_REGION_INFO_FLAG_WRITE) == 0;
	void *bytes = mmap(NULL, area->size, read_only ? PROT_READ : PROT_READ | PROT_WRITE,
		MAP_SHARED, area->fd, (off_t)area->file_offset);

	if (bytes == MAP_FAILED)
		return vmm_fail(-errno, "device %s: mmap of BAR%u at 0x%llx: %s", device->name,
			region->index, (unsigned long long)area->offset, strerror(errno));
	device->areas[device->nr_areas++] = (struct device_area){
		.bar = region->index,
		.offset = area->offset,
		.size = area->size,
		.bytes = bytes,
		.read_only = read_only,
	};
	return 0;
}

static int
map_bar(struct device *device, uint32_t bar)
{
	const struct vuc_vmm_region *region;
	struct device_area *areas;
	int rc = find_bar(device, bar, &region);

	if (region == NULL || region->nr_areas == 0)
		return rc;
	areas = realloc(
		device->areas, (device->nr_areas + region->nr_areas) * sizeof(*device->areas));
	if (areas == NULL)
		return vmm_fail(-ENOMEM, "device %s: no memory for its mappings", device->name);
	device->areas = areas;
	for (uint32_t i = 0; rc == 0 && i < region->nr_areas; i++)
		rc = map_area(device, region, &region->areas[i]);
	return rc;
}

int
device_attach(struct device *device, const char *socket, const char *name)
{
	int rc;

	*device = (struct device){.name = name};
	rc = attach(device, socket);
	if (rc == 0)
		rc = open_queue(device);
	if (rc == 0)
		rc = device_reset(device);
	for (uint32_t bar = 0; rc == 0 && bar < PCI_NR_BARS; bar++)
		rc = map_bar(device, bar);
	if (rc != 0)
		device_detach(device);
	return rc;
}

/* What interrupts and memory the device still has from us, the daemon takes from it. */
void
device_detach(struct device *device)
{
	for (size_t i = 0; i < device->nr_areas; i++)
		munmap(device->areas[i].bytes, device->areas[i].size);
	free(device->areas);
	vuc_vmm_close_queue(device->vuc, device->queue);
	vuc_vmm_detach(device->vuc);
	*device = (struct device){0};
}

int
device_share_memory(struct device *device, const struct memory *memory)
{
	struct vuc_vmm_dma mapping = {
		.iova = 0,
		.size = memory->size,
		.offset = 0,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
		.fd = memory->fd,
	};
	struct vuc_error err = {0};
	int rc = vuc_vmm_dma_map(device->vuc, &mapping, 1, &err);

	if (rc == 0)
		rc = vuc_vmm_dma_commit(device->vuc, &err);
	return rc != 0 ? fail_device(device, rc, &err) : 0;
}

int
device_unshare_memory(struct device *device)
{
	struct vuc_error err = {0};
	int rc = vuc_vmm_dma_unmap_all(device->vuc, &err);

	if (rc == 0)
		rc = vuc_vmm_dma_commit(device->vuc, &err);
	return rc != 0 ? fail_device(device, rc, &err) : 0;
}

int
device_bar_size(struct device *device, uint32_t bar, uint64_t *size)
{
	const struct vuc_vmm_region *region;
	int rc = find_bar(device, bar, &region);

	*size = region != NULL ? region->size : 0;
	return rc;
}

void
device_check(struct device *device)
{
	uint32_t events = vuc_vmm_events(device->vuc);
	const char *reason = NULL;

	/* Accesses have waited for the server, and the device goes on. */
	if (events & VUC_VMM_EVENT_BACK)
		events &= ~(VUC_VMM_EVENT_LOST | VUC_VMM_EVENT_RESET);
	if (events & VUC_VMM_EVENT_GONE)
		reason = "the daemon has ended";
	else if (events & VUC_VMM_EVENT_REMOVED)
		reason = "the operator has taken it away";
	else if (events & (VUC_VMM_EVENT_LOST | VUC_VMM_EVENT_STALE))
		reason = "its server has ended";
	else if (events & VUC_VMM_EVENT_RESET)
		reason = "it has to be reset";
	if (reason == NULL || device->gone)
		return;
	device->gone = true;
	vmm_fail(-ECONNRESET, "device %s: %s", device->name, reason);
}

/* An access fails as soon as the connection does; the news of it may take a little longer. */
static void
await_event(struct device *device)
{
	struct pollfd pollfd = {.fd = vuc_vmm_event_fd(device->vuc), .events = POLLIN};

	if (!device->awaited)
		poll(&pollfd, 1, EVENT_TIMEOUT_MS);
	device->awaited = true;
}

static int
access_account(struct device *device, int rc)
{
	if (rc == 0)
		return 0;
	device->failed_accesses++;
	if (rc == -ECONNRESET || rc == -EPROTO)
		await_event(device);
	device_check(device);
	return rc;
}

int
device_read(struct device *device, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	return access_account(device, vuc_queue_read(device->queue, region, offset, data, count));
}

int
device_write(
	struct device *device, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	return access_account(device, vuc_queue_write(device->queue, region, offset, data, count));
}

int
device_post(
	struct device *device, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	return access_account(
		device, vuc_queue_write_pci(device->queue, region, offset, data, count));
}

/* A device may have fewer interrupts than its capability says. */
static int
count_msix(struct device *device, uint32_t *count, struct vuc_error *err)
{
	struct vuc_vmm_irq irq = {0};
	int rc = 0;

	if (vuc_vmm_info(device->vuc)->num_irqs > VFIO_PCI_MSIX_IRQ_INDEX)
		rc = vuc_vmm_irq(device->vuc, VFIO_PCI_MSIX_IRQ_INDEX, &irq, err);
	*count = irq.count;
	return rc;
}

/* A guest can switch interrupts on and off for ever: what goes wrong is said once. */
static int
fail_irqs(struct device *device, int rc, const struct vuc_error *err)
{
	if (!device->irqs_failed)
		fail_device(device, rc, err);
	device->irqs_failed = true;
	return rc;
}

int
device_enable_msix(struct device *device, const int *eventfds, uint32_t nr_vectors)
{
	struct vuc_vmm_irq_range range = {.index = VFIO_PCI_MSIX_IRQ_INDEX};
	struct vuc_error err = {0};
	int rc = count_msix(device, &range.count, &err);

	if (range.count > nr_vectors)
		range.count = nr_vectors;
	if (rc == 0 && range.count > 0)
		rc = vuc_vmm_irq_assign(device->vuc, &range, VUC_VMM_IRQ_TRIGGER, eventfds, &err);
	return rc != 0 ? fail_irqs(device, rc, &err) : 0;
}

void
device_disable_msix(struct device *device)
{
	struct vuc_error err = {0};
	int rc = vuc_vmm_irq_disable(device->vuc, VFIO_PCI_MSIX_IRQ_INDEX, &err);

	if (rc != 0)
		fail_irqs(device, rc, &err);
}

struct vuc_vmm_io_fds *
device_io_fds(struct device *device, uint32_t bar)
{
	struct vuc_vmm_io_fds *fds = NULL;

	if (bar < vuc_vmm_info(device->vuc)->num_regions)
		vuc_vmm_io_fds(device->vuc, bar, &fds, NULL);
	return fds;
}
