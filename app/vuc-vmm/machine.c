/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "clock.h"
#include "fail.h"

#define MEMORY_SLOT 0u

/* What the guest has written to config space. */

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

/* The device has returned from an outage. */
static void
was_reset(void *arg)
{
	struct machine *machine = arg;

	bus_renew_io(&machine->bus);
	pci_restore(&machine->pci);
}

static const struct pci_ops pci_ops = {bars_changed, msix_control};

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
		rc = pci_init(&machine->pci, machine->device, sizes, &pci_ops, machine);
	if (rc == 0 && machine->pci.msix != 0)
		rc = msix_init(&machine->msix, machine->pci.initial + machine->pci.msix,
			machine->device, machine->vm);
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
	else
		device_on_reset(device, was_reset, machine);
	return rc;
}

void
machine_destroy(struct machine *machine)
{
	device_on_reset(machine->device, NULL, NULL);
	vcpu_destroy(&machine->vcpu);
	bus_destroy(&machine->bus);
	msix_destroy(&machine->msix);
	if (!machine->device->gone)
		device_unshare_memory(machine->device);
	vm_remove_memory(machine->vm, MEMORY_SLOT);
	memory_destroy(&machine->memory);
}

/* Running it. */

/*
 * A guest that hangs, or sleeps for an interrupt that never comes, does not leave KVM by itself,
 * however long it has to live and whatever becomes of the device: from time to time, a signal makes
 * it, or keeps it from going back.
 */

#define TICK_US 100000

/* The immediate_exit of kvm_run, for the signal handler. */
static volatile uint8_t *volatile stop_byte;

static void
on_tick(int signal_number)
{
	(void)signal_number;
	if (stop_byte != NULL)
		*stop_byte = 1;
}

/* Without SA_RESTART, so that a system call under way returns. */
static int
ticks_begin(volatile uint8_t *stop)
{
	struct sigaction action = {.sa_handler = on_tick};
	const struct timeval tick = {.tv_usec = TICK_US};

	stop_byte = stop;
	if (sigaction(SIGALRM, &action, NULL) < 0)
		return vmm_fail(-errno, "sigaction: %s", strerror(errno));
	setitimer(ITIMER_REAL, &(const struct itimerval){tick, tick}, NULL);
	return 0;
}

static void
ticks_end(void)
{
	setitimer(ITIMER_REAL, &(const struct itimerval){0}, NULL);
	stop_byte = NULL;
}

/* Reads bring all bits set where nothing is, and when the device fails. */
static void
bar_read(struct machine *machine, uint32_t bar, uint64_t offset, void *data, uint32_t count)
{
	if (!msix_read(&machine->msix, bar, offset, data, count) &&
		device_read(machine->device, bar, offset, data, count) != 0)
		memset(data, 0xff, count);
}

/* As on a bus, writes to memory are posted and writes to I/O ports are not. */
static void
bar_write(struct machine *machine, bool is_io, uint32_t bar, uint64_t offset, const void *data,
	uint32_t count)
{
	if (msix_write(&machine->msix, bar, offset, data, count))
		return;
	if (is_io)
		device_write(machine->device, bar, offset, data, count);
	else
		device_post(machine->device, bar, offset, data, count);
}

static void
space_read(struct machine *machine, bool is_io, uint64_t address, void *data, uint32_t count)
{
	uint64_t offset;
	uint32_t bar;

	if (bus_find(&machine->bus, is_io, address, count, &bar, &offset))
		bar_read(machine, bar, offset, data, count);
	else
		memset(data, 0xff, count);
}

static void
space_write(struct machine *machine, bool is_io, uint64_t address, const void *data, uint32_t count)
{
	uint64_t offset;
	uint32_t bar;

	if (bus_find(&machine->bus, is_io, address, count, &bar, &offset))
		bar_write(machine, is_io, bar, offset, data, count);
}

static void
update_resets(struct machine *machine, bool awaits)
{
	if (awaits)
		device_await_reset(machine->device, machine->guest.resets);
	else
		device_check(machine->device);
	machine->guest.resets = machine->device->resets;
}

static void
port_read(struct machine *machine, uint16_t port, void *data, uint32_t count)
{
	if (port == GUEST_PORT_RESETS || port == GUEST_PORT_AMISS)
		update_resets(machine, port == GUEST_PORT_AMISS);
	else if (port == GUEST_PORT_AREAS)
		machine->guest.areas = bus_count_mapped(&machine->bus);
	if (guest_port_read(&machine->guest, port, data, count))
		return;
	machine->guest.exits++;
	if (!pci_port_read(&machine->pci, port, data, count))
		space_read(machine, true, port, data, count);
}

static void
port_write(struct machine *machine, uint16_t port, const void *data, uint32_t count)
{
	if (guest_port_write(&machine->guest, port, data, count))
		return;
	machine->guest.exits++;
	if (!pci_port_write(&machine->pci, port, data, count))
		space_write(machine, true, port, data, count);
}

/* One instruction may make many accesses to a port. */
static void
handle_io(struct machine *machine)
{
	struct kvm_run *run = machine->vcpu.run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			port_write(machine, run->io.port, data, run->io.size);
		else
			port_read(machine, run->io.port, data, run->io.size);
	}
}

static void
handle_mmio(struct machine *machine)
{
	struct kvm_run *run = machine->vcpu.run;

	machine->guest.exits++;
	if (run->mmio.is_write)
		space_write(machine, false, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		space_read(machine, false, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

static int
handle_exit(struct machine *machine)
{
	const struct kvm_run *run = machine->vcpu.run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(machine);
		return 0;
	case KVM_EXIT_MMIO:
		handle_mmio(machine);
		return 0;
	case KVM_EXIT_SHUTDOWN:
		return vmm_fail(-EFAULT, "the guest has crashed with a triple fault");
	case KVM_EXIT_FAIL_ENTRY:
		return vmm_fail(-EIO, "KVM cannot run the guest: hardware entry failure 0x%llx",
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return vmm_fail(-EIO, "KVM cannot run the guest: internal error %u",
			run->internal.suberror);
	default:
		return vmm_fail(-EIO, "unexpected KVM exit reason %u", run->exit_reason);
	}
}

/* What the guest has come to, for a line of an error. */
static const char *
current_step(const struct guest *guest)
{
	return guest->nr_steps > 0 ? guest_step_name(guest->steps[guest->nr_steps - 1]) : "none";
}

static int
run_tick(struct machine *machine, uint64_t deadline_ms, uint32_t timeout_s)
{
	machine->vcpu.run->immediate_exit = 0;
	device_check(machine->device);
	if (vuc_clock_ms() < deadline_ms)
		return 0;
	return vmm_fail(-ETIMEDOUT, "the guest did not finish within %u s; last step: %s",
		timeout_s, current_step(&machine->guest));
}

static int
run_loop(struct machine *machine, uint32_t timeout_s)
{
	uint64_t deadline_ms = vuc_clock_ms() + (uint64_t)timeout_s * 1000;
	int rc = 0;

	while (rc == 0 && machine->guest.result == 0) {
		rc = vcpu_run(&machine->vcpu);
		if (rc == 0)
			rc = handle_exit(machine);
		else if (rc == -EINTR)
			rc = run_tick(machine, deadline_ms, timeout_s);
		if (rc == 0 && machine->device->gone)
			rc = -ECONNRESET;
	}
	return rc;
}

/* What a driver does, a device does not refuse. Of what is timed the guest does not look at the
 * values. */
static int
check_accesses(struct machine *machine)
{
	uint64_t failed = machine->device->failed_accesses;

	if (machine->guest.program == GUEST_TORMENT || failed == 0)
		return 0;
	machine->guest.result = 0;
	return vmm_fail(-EIO, "device %s: %llu accesses failed", machine->device->name,
		(unsigned long long)failed);
}

int
run_guest(struct machine *machine, uint32_t timeout_s)
{
	int rc = ticks_begin(&machine->vcpu.run->immediate_exit);

	if (rc == 0)
		rc = run_loop(machine, timeout_s);
	if (rc == 0)
		rc = check_accesses(machine);
	ticks_end();
	return rc;
}
