/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/vfio.h>

#include "clock.h"
#include "fail.h"
#include "guest.h"
#include "pci.h"

#define EVENT_TIMEOUT_MS 10000

/* How often an access is repeated, in case it is what daemons crash on. */
#define MAX_REPEATS 3u

/* The line that libvuc-vmm has for an error. */
static int
fail_device(const struct device *device, int rc, const struct vuc_error *err)
{
	return vmm_fail(rc, "device %s: %s", device->name,
		err->text[0] != '\0' ? err->text : strerror(-rc));
}

/* A device that cannot be reset is taken as its last user has left it. */
static int
device_open(struct device *device, const struct device_opts *device_opts)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_error err = {0};
	int rc;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = device_opts->socket;
	opts.device = device->name;
	opts.name = "vuc-vmm";
	opts.reattach_wait_ms = device_opts->wait_ms;
	rc = vuc_vmm_attach(&opts, &device->vuc, &err);
	if (rc == 0)
		rc = vuc_vmm_open_queue(device->vuc, NULL, &device->queue, &err);
	if (rc == 0 && (vuc_vmm_info(device->vuc)->flags & VFIO_DEVICE_FLAGS_RESET) != 0)
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

/* In place of what place->bytes has already; NULL: anywhere. */
static int
map_area(struct device *device, struct device_area *place, const struct vuc_vmm_area *area)
{
	int fixed = place->bytes != NULL ? MAP_FIXED : 0;
	void *bytes = mmap(place->bytes, area->size,
		place->read_only ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED | fixed, area->fd,
		(off_t)area->file_offset);

	if (bytes == MAP_FAILED)
		return vmm_fail(-errno, "device %s: cannot map BAR%u at 0x%llx: %s", device->name,
			place->bar, (unsigned long long)area->offset, strerror(errno));
	place->bytes = bytes;
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
		return vmm_fail(
			-ENOMEM, "device %s: out of memory for its mapped areas", device->name);
	device->areas = areas;
	for (uint32_t i = 0; rc == 0 && i < region->nr_areas; i++) {
		struct device_area *place = &device->areas[device->nr_areas];

		*place = (struct device_area){
			.bar = bar,
			.offset = region->areas[i].offset,
			.size = region->areas[i].size,
			.read_only = (region->flags & VFIO_REGION_INFO_FLAG_WRITE) == 0,
		};
		rc = map_area(device, place, &region->areas[i]);
		if (rc == 0)
			device->nr_areas++;
	}
	return rc;
}

int
device_attach(struct device *device, const struct device_opts *opts)
{
	int rc;

	*device = (struct device){.name = opts->name};
	rc = device_open(device, opts);
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
		.argsz = sizeof(mapping),
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
device_on_reset(struct device *device, void (*was_reset)(void *arg), void *arg)
{
	device->was_reset = was_reset;
	device->arg = arg;
}

static const struct vuc_vmm_area *
find_area(const struct vuc_vmm_region *region, const struct device_area *place)
{
	for (uint32_t i = 0; i < region->nr_areas; i++) {
		if (region->areas[i].offset == place->offset &&
			region->areas[i].size == place->size)
			return &region->areas[i];
	}
	return NULL;
}

/* Map at the same address, so that the guest's memory slot needs no change. Returns -ECONNRESET,
 * without a message, if the daemon has ended: the caller then waits for another one. */
static int
remap_area(struct device *device, struct device_area *place)
{
	const struct vuc_vmm_region *region;
	const struct vuc_vmm_area *area;
	struct vuc_error err = {0};
	int rc = vuc_vmm_region(device->vuc, place->bar, &region, &err);

	if (rc == -ECONNRESET)
		return rc;
	if (rc != 0)
		return fail_device(device, rc, &err);
	area = find_area(region, place);
	if (area == NULL)
		return vmm_fail(-ENODEV, "device %s: BAR%u can no longer be mapped at 0x%llx",
			device->name, place->bar, (unsigned long long)place->offset);
	return map_area(device, place, area);
}

static int
remap_areas(struct device *device)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < device->nr_areas; i++)
		rc = remap_area(device, &device->areas[i]);
	if (rc == 0)
		device->remaps++;
	return rc;
}

/* The guest does not notice a reset, except for the program that asks for it. */
static int
follow_return(struct device *device, uint32_t events)
{
	int rc = (events & VUC_VMM_EVENT_REMAP) != 0 ? remap_areas(device) : 0;

	if (rc == -ECONNRESET)
		return 0;
	if (rc == 0 && (events & VUC_VMM_EVENT_RESET) != 0) {
		device->resets++;
		if (device->was_reset != NULL)
			device->was_reset(device->arg);
	}
	return rc;
}

static int
reattach(struct device *device)
{
	struct vuc_error err = {0};
	int rc = vuc_vmm_reattach(device->vuc, -1, &err);

	if (rc != 0)
		return vmm_fail(rc, "device %s: vucd has exited: %s", device->name, err.text);
	device->reattaches++;
	device->lost = false;
	device->awaited = false;
	return 0;
}

/* Returns false if there was nothing to do: the device can be used, or is gone. */
static bool
follow_events(struct device *device)
{
	uint32_t events = vuc_vmm_events(device->vuc);
	int rc;

	if (events & VUC_VMM_EVENT_LOST)
		device->lost = true;
	if (events & VUC_VMM_EVENT_BACK)
		device->lost = false;
	if (events & VUC_VMM_EVENT_REMOVED)
		rc = vmm_fail(-ECONNRESET, "device %s: removed by the operator", device->name);
	else if (events & VUC_VMM_EVENT_RELEASE)
		rc = vmm_fail(
			-ECANCELED, "device %s: released at the operator's request", device->name);
	else if (events & VUC_VMM_EVENT_STALE)
		rc = vmm_fail(
			-ECONNRESET, "device %s: lost the connection to its server", device->name);
	else if (events & VUC_VMM_EVENT_GONE)
		rc = reattach(device);
	else if (events & (VUC_VMM_EVENT_RESET | VUC_VMM_EVENT_REMAP))
		rc = follow_return(device, events);
	else
		return false;
	device->gone = rc != 0;
	return !device->gone;
}

/* The function for a reset also accesses the device, which may be lost again meanwhile. */
void
device_check(struct device *device)
{
	if (device->checking || device->gone)
		return;
	device->checking = true;
	while (follow_events(device))
		;
	device->checking = false;
}

static void
await_events(struct device *device, uint64_t deadline_ms)
{
	struct pollfd pollfd = {.fd = vuc_vmm_event_fd(device->vuc), .events = POLLIN};
	uint64_t now_ms;

	/* Signals arrive all the time. */
	do
		now_ms = vuc_clock_ms();
	while (now_ms < deadline_ms && poll(&pollfd, 1, (int)(deadline_ms - now_ms)) < 0);
}

void
device_await_reset(struct device *device, uint32_t resets)
{
	uint64_t deadline_ms = vuc_clock_ms() + EVENT_TIMEOUT_MS;

	device_check(device);
	while (device->resets == resets && !device->gone && vuc_clock_ms() < deadline_ms) {
		await_events(device, deadline_ms);
		device_check(device);
	}
}

static bool
is_loss(int rc)
{
	return rc == -ECONNRESET || rc == -EPROTO || rc == -ECANCELED;
}

/* Accesses fail as soon as the connection to the daemon ends; the event may arrive a little later.
 * Returns whether another daemon has the device now. */
static bool
has_returned(struct device *device, int rc)
{
	uint32_t reattaches = device->reattaches;

	if (is_loss(rc)) {
		if (!device->awaited)
			await_events(device, vuc_clock_ms() + EVENT_TIMEOUT_MS);
		device->awaited = true;
	}
	device_check(device);
	return device->reattaches != reattaches;
}

/* Writes after a reset are repeated after the next one. */
static int
access_fail(struct device *device, int rc)
{
	if (device->checking && is_loss(rc))
		return rc;
	device->failed_accesses++;
	if (device->lost && !device->gone) {
		device->gone = true;
		vmm_fail(rc, "device %s: lost the connection to its server", device->name);
	}
	return rc;
}

int
device_read(struct device *device, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	unsigned int left = MAX_REPEATS;
	int rc;

	do
		rc = vuc_queue_read(device->queue, region, offset, data, count);
	while (rc != 0 && has_returned(device, rc) && left-- > 0);
	return rc == 0 ? 0 : access_fail(device, rc);
}

static int
drop_write(struct device *device)
{
	device->dropped_writes++;
	return 0;
}

int
device_write(
	struct device *device, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	unsigned int left = region == VFIO_PCI_CONFIG_REGION_INDEX ? MAX_REPEATS : 0;
	int rc;

	do {
		rc = vuc_queue_write(device->queue, region, offset, data, count);
		if (rc == 0)
			return 0;
		if (!has_returned(device, rc))
			return access_fail(device, rc);
	} while (left-- > 0);
	return drop_write(device);
}

int
device_post(
	struct device *device, uint32_t region, uint64_t offset, const void *data, uint32_t count)
{
	int rc = vuc_queue_write_pci(device->queue, region, offset, data, count);

	if (rc == 0)
		return 0;
	return has_returned(device, rc) ? drop_write(device) : access_fail(device, rc);
}

/* A device may have fewer interrupts than its capability says. */
static int
count_msix(struct device *device, uint32_t *count, struct vuc_error *err)
{
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};
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

static int
assign_msix(struct device *device, const int *eventfds, uint32_t nr_vectors, struct vuc_error *err)
{
	struct vuc_vmm_irq_range range = {.index = VFIO_PCI_MSIX_IRQ_INDEX};
	int rc = count_msix(device, &range.count, err);

	if (range.count > nr_vectors)
		range.count = nr_vectors;
	if (rc == 0 && range.count > 0)
		rc = vuc_vmm_irq_assign(device->vuc, &range, VUC_VMM_IRQ_TRIGGER, eventfds, err);
	return rc;
}

int
device_enable_msix(struct device *device, const int *eventfds, uint32_t nr_vectors)
{
	unsigned int left = MAX_REPEATS;
	struct vuc_error err = {0};
	int rc;

	do
		rc = assign_msix(device, eventfds, nr_vectors, &err);
	while (rc != 0 && has_returned(device, rc) && left-- > 0);
	return rc != 0 ? fail_irqs(device, rc, &err) : 0;
}

void
device_disable_msix(struct device *device)
{
	unsigned int left = MAX_REPEATS;
	struct vuc_error err = {0};
	int rc;

	do
		rc = vuc_vmm_irq_disable(device->vuc, VFIO_PCI_MSIX_IRQ_INDEX, &err);
	while (rc != 0 && has_returned(device, rc) && left-- > 0);
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
