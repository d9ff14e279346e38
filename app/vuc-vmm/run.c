/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"

/*
 * The end of a guest's time. A guest that hangs, or sleeps for an interrupt that never comes, does
 * not leave KVM by itself: a signal makes it, or keeps it from going back.
 */

/* For the handler, which gets nothing else. */
static volatile uint8_t *volatile stop_byte;
static volatile sig_atomic_t passed;

static void
on_alarm(int signal_number)
{
	(void)signal_number;
	passed = 1;
	if (stop_byte != NULL)
		*stop_byte = 1;
}

/* When the time is over, *stop becomes 1, which is a kvm_run's immediate_exit. Without SA_RESTART:
 * whoever is in the kernel comes out. */
static int
deadline_set(uint32_t seconds, volatile uint8_t *stop)
{
	struct sigaction action = {.sa_handler = on_alarm};

	passed = 0;
	stop_byte = stop;
	if (sigaction(SIGALRM, &action, NULL) < 0)
		return vmm_fail(-errno, "sigaction: %s", strerror(errno));
	alarm(seconds);
	return 0;
}

static void
deadline_clear(void)
{
	alarm(0);
	stop_byte = NULL;
}

static bool
deadline_passed(void)
{
	return passed != 0;
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
port_read(struct machine *machine, uint16_t port, void *data, uint32_t count)
{
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
		return vmm_fail(-EFAULT, "the guest has crashed: a triple fault");
	case KVM_EXIT_FAIL_ENTRY:
		return vmm_fail(-EIO, "KVM cannot run the guest: hardware says 0x%llx",
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTERNAL_ERROR:
		return vmm_fail(-EIO, "KVM cannot run the guest: internal error %u",
			run->internal.suberror);
	default:
		return vmm_fail(-EIO, "KVM has left the guest for reason %u, which is not expected",
			run->exit_reason);
	}
}

/* What the guest has come to, for a line of an error. */
static const char *
current_step(const struct guest *guest)
{
	return guest->nr_steps > 0 ? guest_step_name(guest->steps[guest->nr_steps - 1]) : "begin";
}

static int
run_interrupted(const struct machine *machine, uint32_t timeout_s)
{
	if (!deadline_passed())
		return 0;
	return vmm_fail(-ETIMEDOUT, "the guest has not finished within %u s; it was to %s",
		timeout_s, current_step(&machine->guest));
}

static int
run_loop(struct machine *machine, uint32_t timeout_s)
{
	int rc = 0;

	while (rc == 0 && machine->guest.result == 0) {
		rc = vcpu_run(&machine->vcpu);
		if (rc == 0)
			rc = handle_exit(machine);
		else if (rc == -EINTR)
			rc = run_interrupted(machine, timeout_s);
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

	if (machine->guest.program != GUEST_DRIVE || failed == 0)
		return 0;
	machine->guest.result = 0;
	return vmm_fail(-EIO, "device %s: %llu accesses have failed", machine->device->name,
		(unsigned long long)failed);
}

int
run_guest(struct machine *machine, uint32_t timeout_s)
{
	int rc = deadline_set(timeout_s, &machine->vcpu.run->immediate_exit);

	if (rc == 0)
		rc = run_loop(machine, timeout_s);
	if (rc == 0)
		rc = check_accesses(machine);
	deadline_clear();
	return rc;
}
