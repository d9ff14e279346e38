/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus.h"

#include <errno.h>
#include <stdlib.h>

#include "fail.h"

/* The interrupt controllers' registers and what KVM has for itself: no BAR is mapped over these. */
#define RESERVED_BEGIN 0xfec00000ull
#define RESERVED_END   0x100000000ull

int
bus_init(struct bus *bus, struct vm *vm, struct device *device)
{
	*bus = (struct bus){.vm = vm, .device = device};
	bus->mapped = calloc(device->nr_areas + 1, sizeof(*bus->mapped));
	if (bus->mapped == NULL)
		return vmm_fail(-ENOMEM, "out of memory for %zu mapped areas", device->nr_areas);
	for (uint32_t i = 0; i < PCI_NR_BARS; i++)
		bus->bars[i].io_fds = device_io_fds(device, i);
	return 0;
}

static void
unmap_areas(struct bus *bus, uint32_t bar)
{
	for (uint32_t i = 0; i < bus->device->nr_areas; i++) {
		if (bus->device->areas[i].bar != bar || !bus->mapped[i])
			continue;
		vm_remove_memory(bus->vm, BUS_FIRST_SLOT + i);
		bus->mapped[i] = false;
	}
}

/* An area that finds no place is accessed by the queue, like the rest of the BAR. */
static void
map_areas(struct bus *bus, uint32_t bar)
{
	for (uint32_t i = 0; i < bus->device->nr_areas; i++) {
		const struct device_area *area = &bus->device->areas[i];
		uint64_t address = bus->bars[bar].address + area->offset;

		if (area->bar != bar)
			continue;
		if (address < RESERVED_END && address + area->size > RESERVED_BEGIN)
			continue;
		bus->mapped[i] = vm_add_memory(bus->vm, BUS_FIRST_SLOT + i, address, area->bytes,
					 area->size, area->read_only) == 0;
	}
}

static struct kvm_ioeventfd
ioeventfd_of(const struct bus_bar *bar, const struct vuc_vmm_io *io)
{
	return (struct kvm_ioeventfd){
		.datamatch = io->datamatch,
		.addr = bar->address + io->offset,
		.len = (uint32_t)io->size,
		.fd = io->fd,
		.flags = (io->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) |
			(bar->is_io ? KVM_IOEVENTFD_FLAG_PIO : 0),
	};
}

static void
disconnect_io(struct bus *bus, struct bus_bar *bar)
{
	for (uint32_t i = 0; bar->io_fds != NULL && i < bar->io_fds->nr; i++) {
		struct kvm_ioeventfd io = ioeventfd_of(bar, &bar->io_fds->io[i]);

		if (bar->io_fds->io[i].type == VUC_VMM_IO_EVENTFD)
			vm_disconnect_io(bus->vm, &io);
	}
	bar->nr_eventfds = 0;
}

/* A write that KVM does not take goes by the queue. */
static void
connect_io(struct bus *bus, struct bus_bar *bar)
{
	for (uint32_t i = 0; bar->io_fds != NULL && i < bar->io_fds->nr; i++) {
		const struct vuc_vmm_io *part = &bar->io_fds->io[i];
		struct kvm_ioeventfd io = ioeventfd_of(bar, part);

		if (part->type == VUC_VMM_IO_EVENTFD && part->fd >= 0 && part->size <= 8 &&
			vm_connect_io(bus->vm, &io) == 0)
			bar->nr_eventfds++;
	}
}

void
bus_renew_io(struct bus *bus)
{
	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		struct bus_bar *bar = &bus->bars[i];

		if (bar->on)
			disconnect_io(bus, bar);
		vuc_vmm_io_fds_free(bar->io_fds);
		bar->io_fds = device_io_fds(bus->device, i);
		if (bar->on)
			connect_io(bus, bar);
	}
}

static void
switch_off(struct bus *bus, uint32_t index)
{
	struct bus_bar *bar = &bus->bars[index];

	if (!bar->on)
		return;
	unmap_areas(bus, index);
	disconnect_io(bus, bar);
	bar->on = false;
}

static void
switch_on(struct bus *bus, uint32_t index, uint64_t address, const struct pci_bar *pci_bar)
{
	struct bus_bar *bar = &bus->bars[index];

	if (address + pci_bar->size < address) /* around the end of all addresses */
		return;
	bar->on = true;
	bar->is_io = pci_bar->is_io;
	bar->address = address;
	bar->size = pci_bar->size;
	connect_io(bus, bar);
	if (!bar->is_io)
		map_areas(bus, index);
}

/* All are switched off before any is switched on: they may change places. */
void
bus_update(struct bus *bus, const struct pci *pci)
{
	bool moved[PCI_NR_BARS];
	uint64_t address = 0;

	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		bool on = pci_bar_address(pci, i, &address);

		moved[i] = on != bus->bars[i].on || address != bus->bars[i].address;
		if (moved[i])
			switch_off(bus, i);
	}
	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		if (moved[i] && pci_bar_address(pci, i, &address))
			switch_on(bus, i, address, &pci->bars[i]);
	}
}

void
bus_destroy(struct bus *bus)
{
	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		switch_off(bus, i);
		vuc_vmm_io_fds_free(bus->bars[i].io_fds);
	}
	free(bus->mapped);
	*bus = (struct bus){0};
}

uint32_t
bus_count_mapped(const struct bus *bus)
{
	uint32_t nr = 0;

	for (size_t i = 0; i < bus->device->nr_areas; i++)
		nr += bus->mapped[i];
	return nr;
}

uint32_t
bus_count_eventfds(const struct bus *bus)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < PCI_NR_BARS; i++)
		nr += bus->bars[i].nr_eventfds;
	return nr;
}

bool
bus_find(const struct bus *bus, bool is_io, uint64_t address, uint32_t count, uint32_t *index,
	uint64_t *offset)
{
	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		const struct bus_bar *bar = &bus->bars[i];

		if (!bar->on || bar->is_io != is_io || address < bar->address)
			continue;
		if (address - bar->address >= bar->size)
			continue;
		*index = i;
		*offset = address - bar->address;
		return count <= bar->size - *offset;
	}
	return false;
}
