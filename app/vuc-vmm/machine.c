/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <errno.h>
#include <string.h>

#include <linux/vfio.h>

#include "fail.h"

#define MEMORY_SLOT 0u

/* What config space needs of the rest. */

static int
config_read(void *arg, uint32_t offset, void *data, uint32_t count)
{
	struct machine *machine = arg;

	return device_read(machine->device, VFIO_PCI_CONFIG_REGION_INDEX, offset, data, count);
}

static int
config_write(void *arg, uint32_t offset, const void *data, uint32_t count)
{
	struct machine *machine = arg;

	return device_write(machine->device, VFIO_PCI_CONFIG_REGION_INDEX, offset, data, count);
}

static void
bars_changed(void *arg)
{
	struct machine *machine = arg;

	bus_update(&machine->bus, &machine->pci);
}

static void
msix_control(void *arg, uint16_t control)
{
	struct machine *machine = arg;

	msix_set_control(&machine->msix, control);
}

static const struct pci_ops pci_ops = {config_read, config_write, bars_changed, msix_control};

/* What MSI-X needs. */

static int
enable_msix(void *arg, const int *eventfds, uint32_t nr_vectors)
{
	struct machine *machine = arg;

	return device_enable_msix(machine->device, eventfds, nr_vectors);
}

static void
disable_msix(void *arg)
{
	struct machine *machine = arg;

	device_disable_msix(machine->device);
}

static int
connect_vector(void *arg, uint32_t vector, int eventfd, uint64_t address, uint32_t data)
{
	struct machine *machine = arg;
	int rc = vm_route_msi(machine->vm, vector, address, data);

	return rc != 0 ? rc : vm_connect_msi(machine->vm, vector, eventfd);
}

static void
disconnect_vector(void *arg, uint32_t vector, int eventfd)
{
	struct machine *machine = arg;

	vm_disconnect_msi(machine->vm, vector, eventfd);
}

static const struct msix_ops msix_ops = {
	enable_msix, disable_msix, connect_vector, disconnect_vector};

/* Putting it together. */

static int
init_memory(struct machine *machine)
{
	struct memory *memory = &machine->memory;
	int rc = memory_create(memory, GUEST_RAM_SIZE);

	if (rc != 0)
		return rc;
	rc = vm_add_memory(machine->vm, MEMORY_SLOT, 0, memory->bytes, memory->size, false);
	if (rc != 0)
		return vmm_fail(rc, "KVM_SET_USER_MEMORY_REGION: %s", strerror(-rc));
	guest_load(memory);
	return device_share_memory(machine->device, memory);
}

static int
init_pci(struct machine *machine)
{
	uint64_t sizes[PCI_NR_BARS];
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < PCI_NR_BARS; i++)
		rc = device_bar_size(machine->device, i, &sizes[i]);
	if (rc == 0)
		rc = pci_init(&machine->pci, sizes, &pci_ops, machine);
	if (rc == 0 && machine->pci.msix != 0)
		rc = msix_init(&machine->msix, machine->pci.initial + machine->pci.msix, &msix_ops,
			machine);
	return rc;
}

int
machine_create(
	struct machine *machine, struct vm *vm, struct device *device, const struct guest *guest)
{
	int rc;

	*machine = (struct machine){
		.vm = vm,
		.vcpu = {.fd = -1},
		.memory = {.fd = -1},
		.device = device,
		.guest = *guest,
	};
	rc = init_memory(machine);
	if (rc == 0)
		rc = init_pci(machine);
	if (rc == 0)
		rc = bus_init(&machine->bus, vm, device);
	if (rc == 0)
		rc = vcpu_create(&machine->vcpu, vm, GUEST_IMAGE);
	if (rc != 0)
		machine_destroy(machine);
	return rc;
}

void
machine_destroy(struct machine *machine)
{
	vcpu_destroy(&machine->vcpu);
	bus_destroy(&machine->bus);
	msix_destroy(&machine->msix);
	if (!machine->device->gone)
		device_unshare_memory(machine->device);
	vm_remove_memory(machine->vm, MEMORY_SLOT);
	memory_destroy(&machine->memory);
}
