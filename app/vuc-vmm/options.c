/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <string.h>

#include "args.h"
#include "guest/abi.h"

#define DEFAULT_ROUNDS    1000
#define DEFAULT_TIMEOUT_S 60
#define MAX_TIMEOUT_S     3600

static const struct argp_option option_table[] = {
	{"device", 'd', "NAME", 0, "The device, by its name in vucd's configuration"},
	{"guest", 'g', "PROGRAM", 0,
		"'drive': use the device as a driver does, the default; 'torment': do what no "
		"driver does"},
	{"json", 'j', NULL, 0, "Print the report as one JSON object"},
	{"rounds", 'r', "N", 0,
		"Times that each access is timed, or that something is done at random, 1 to 65536; "
		"1000 by default"},
	{"socket", 's', "PATH", 0,
		"The socket of vucd for VMMs; by default $VUCD_SOCKET, or where vucd has it by "
		"default"},
	{"timeout", 't', "S", 0, "Seconds that the guest may take, 1 to 3600; 60 by default"},
	{0},
};

static uint32_t
program_parse(const struct argp_state *state, const char *text)
{
	if (strcmp(text, "drive") == 0)
		return GUEST_DRIVE;
	if (strcmp(text, "torment") == 0)
		return GUEST_TORMENT;
	app_args_error(state, "--guest: drive or torment, not '%s'", text);
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
	case ARGP_KEY_ARG:
		app_args_error(state, "unexpected argument '%s'", value);
	case ARGP_KEY_END:
		if (options->device == NULL)
			app_args_error(state, "no --device given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_table,
	.parser = option_take,
	.args_doc = "--device=NAME",
	.doc = "Runs a small guest under KVM that has a device of vucd on its PCI bus, and tests it. "
	       "The guest has drivers for vuc-refdev and for gpio-pci-idio-16, a sample of "
	       "libvfio-user; with other devices it looks at the bus only.\v"
	       "Exit status: 0 when all has passed, 1 when something has failed, 2 for wrong "
	       "options, 77 when nothing was tested: there is no KVM, or no driver.",
	.children = app_args_children,
};

void
options_parse(struct options *options, int argc, char *argv[])
{
	*options = (struct options){.rounds = DEFAULT_ROUNDS, .timeout_s = DEFAULT_TIMEOUT_S};
	app_args_parse(&argp, argc, argv, options);
}
