/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A minimal VMM that shows how to use libvuc-vmm. docs/vuc-vmm.md says where to begin.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "fail.h"
#include "machine.h"

#define EXIT_SKIPPED 77 /* as test harnesses have it */

/* ---- the command line ---- */

#define DEFAULT_ROUNDS    1000
#define DEFAULT_TIMEOUT_S 60
#define DEFAULT_WAIT_S    10u
#define MAX_TIMEOUT_S     3600

struct options {
	const char *socket; /* NULL: the library's default */
	const char *device;
	uint32_t program; /* GUEST_DRIVE, GUEST_TORMENT or GUEST_RECOVER */
	uint32_t rounds;
	uint32_t timeout_s;
	uint32_t wait_s;
	bool json;
};

static const struct argp_option option_table[] = {
	{"device", 'd', "NAME", 0, "Name of the device in vucd's configuration"},
	{"guest", 'g', "PROGRAM", 0,
		"What the guest does: 'drive', the default: use the device as a driver does; 'torment': "
		"make invalid accesses; 'recover': use the device until N outages are over"},
	{"json", 'j', NULL, 0, "Print the report as one JSON object"},
	{"rounds", 'r', "N", 0,
		"Number of measurements of each kind of access, of random actions, or of outages, 1 to "
		"65536; 1000 by default"},
	{"socket", 's', "PATH", 0,
		"The socket of vucd for VMMs; by default $VUCD_SOCKET, else vucd's default path"},
	{"timeout", 't', "S", 0, "Timeout for the guest in seconds, 1 to 3600; 60 by default"},
	{"wait", 'w', "S", 0,
		"How long to wait for vucd to be started again after it has exited, in seconds, 0 "
		"to 3600; 10 by default"},
	{0},
};

static uint32_t
program_parse(const struct argp_state *state, const char *text)
{
	if (strcmp(text, "drive") == 0)
		return GUEST_DRIVE;
	if (strcmp(text, "torment") == 0)
		return GUEST_TORMENT;
	if (strcmp(text, "recover") == 0)
		return GUEST_RECOVER;
	app_args_error(state, "--guest: '%s' is not drive, torment or recover", text);
}

static error_t
option_take(int key, char *value, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'd':
		options->device = value;
		return 0;
	case 'g':
		options->program = program_parse(state, value);
		return 0;
	case 'j':
		options->json = true;
		return 0;
	case 'r':
		options->rounds = (uint32_t)app_args_number(state, key, value, 1, GUEST_MAX_ROUNDS);
		return 0;
	case 's':
		options->socket = value;
		return 0;
	case 't':
		options->timeout_s = (uint32_t)app_args_number(state, key, value, 1, MAX_TIMEOUT_S);
		return 0;
	case 'w':
		options->wait_s = (uint32_t)app_args_number(state, key, value, 0, MAX_TIMEOUT_S);
		return 0;
	case ARGP_KEY_ARG:
		app_args_error(state, "unexpected argument '%s'", value);
	case ARGP_KEY_END:
		if (options->device == NULL)
			app_args_error(state, "option '--device' is required");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_table,
	.parser = option_take,
	.args_doc = "--device=NAME",
	.doc = "Runs a small guest under KVM that tests a device of vucd on its PCI bus. "
	       "The guest has drivers for vuc-refdev and for gpio-pci-idio-16, a sample of "
	       "libvfio-user; for other devices, it only enumerates the bus.\v"
	       "Exit status: 0 if all steps have passed, 1 on failure, 2 for invalid usage, 77 if "
	       "nothing was tested because KVM or a driver is missing.",
	.children = app_args_children,
};

/* ---- the run ---- */

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
			"device %s: guest step failed: %s: got 0x%x, expected 0x%x",
			machine->device->name,
			guest_step_name(
				guest->nr_steps > 0 ? guest->steps[guest->nr_steps - 1] : 0),
			guest->seen, guest->expected);
	}
}

/* Run the guest and report what came of it. Returns the exit status. */
static int
machine_run(struct machine *machine, const struct options *options)
{
	int ran = run_guest(machine, options->timeout_s);
	int rc = options->json ? report_json(machine) : report_text(machine);

	if (app_args_finish_output() != EXIT_SUCCESS || ran != 0 || rc != 0)
		return EXIT_FAILURE;
	return result_judge(machine);
}

static int
vmm_run(const struct options *options)
{
	const struct guest guest = {.program = options->program, .rounds = options->rounds};
	const struct device_opts opts = {
		.socket = options->socket,
		.name = options->device,
		.wait_ms = options->wait_s * 1000,
	};
	const char *reason = NULL;
	int status = EXIT_FAILURE;
	struct machine machine;
	struct device device;
	struct vm vm;
	int rc = vm_create(&vm, &reason);

	if (rc == -ENODEV && reason != NULL)
		return vmm_fail(EXIT_SKIPPED, "skipped: cannot use /dev/kvm: %s", reason);
	if (rc != 0)
		return EXIT_FAILURE;
	if (device_attach(&device, &opts) == 0) {
		if (machine_create(&machine, &vm, &device, &guest) == 0) {
			status = machine_run(&machine, options);
			machine_destroy(&machine);
		}
		device_detach(&device);
	}
	vm_destroy(&vm);
	return status;
}

int
main(int argc, char *argv[])
{
	struct options options = {
		.rounds = DEFAULT_ROUNDS,
		.timeout_s = DEFAULT_TIMEOUT_S,
		.wait_s = DEFAULT_WAIT_S,
	};

	app_args_parse(&argp, argc, argv, &options);
	return vmm_run(&options);
}
