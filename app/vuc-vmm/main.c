/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A VMM with the least that there can be, for a look at how one uses libvuc-vmm. Where to begin:
 *
 *	device.c   all calls of libvuc-vmm
 *	machine.c  what the machine is made of, and how the parts of it need each other
 *	run.c      what is done with an access that has left the guest
 *	bus.c      BARs in the guest's address space: mapped parts and ioeventfds
 *	pci.c      config space
 *	msix.c     interrupts
 *	kvm.c      KVM, and memory.c the guest's memory
 *	guest/     the program that the guest runs
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"
#include "fail.h"
#include "machine.h"
#include "options.h"
#include "report.h"

#define EXIT_SKIPPED 77 /* as test harnesses have it */

/* What the guest has found out, as an exit status. */
static int
result_judge(const struct machine *machine)
{
	const struct guest *guest = &machine->guest;
	uint32_t ids = pci_ids(&machine->pci);

	switch (guest->result) {
	case GUEST_PASS:
		return EXIT_SUCCESS;
	case GUEST_NO_DRIVER:
		return vmm_fail(EXIT_SKIPPED,
			"device %s: the guest has no driver for %04x:%04x; nothing was tested",
			machine->device->name, ids & 0xffff, ids >> 16);
	default:
		return vmm_fail(EXIT_FAILURE,
			"device %s: the guest was to %s, saw 0x%x and expected 0x%x",
			machine->device->name,
			guest_step_name(
				guest->nr_steps > 0 ? guest->steps[guest->nr_steps - 1] : 0),
			guest->seen, guest->expected);
	}
}

static int
run_machine(struct machine *machine, const struct options *options)
{
	int ran = run_guest(machine, options->timeout_s);
	int rc = options->json ? report_json(machine) : report_text(machine);

	fflush(stdout);
	return ran != 0 || rc != 0 ? EXIT_FAILURE : result_judge(machine);
}

static int
run_device(struct vm *vm, struct device *device, const struct options *options)
{
	struct guest guest = {.program = options->program, .rounds = options->rounds};
	struct machine machine;
	int status;

	if (machine_create(&machine, vm, device, &guest) != 0)
		return EXIT_FAILURE;
	status = run_machine(&machine, options);
	machine_destroy(&machine);
	return status;
}

static int
run_vm(struct vm *vm, const struct options *options)
{
	struct device device;
	int status;

	if (device_attach(&device, options->socket, options->device) != 0)
		return EXIT_FAILURE;
	status = run_device(vm, &device, options);
	device_detach(&device);
	return status;
}

static int
vmm_run(const struct options *options)
{
	const char *reason = NULL;
	struct vm vm;
	int status;
	int rc = vm_create(&vm, &reason);

	if (rc == -ENODEV && reason != NULL)
		return vmm_fail(EXIT_SKIPPED, "skipped: no use of /dev/kvm here: %s", reason);
	if (rc != 0)
		return EXIT_FAILURE;
	status = run_vm(&vm, options);
	vm_destroy(&vm);
	return status;
}

int
main(int argc, char *argv[])
{
	struct options options;

	options_parse(&options, argc, argv);
	return vmm_run(&options);
}
