/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "guest/abi.h"
#include "number.h"

#define DEFAULT_ROUNDS    1000
#define DEFAULT_TIMEOUT_S 60
#define MAX_TIMEOUT_S     3600

static void
print_help(void)
{
	printf("Usage: vuc-vmm [OPTION]... --device NAME\n"
	       "\n"
	       "Runs a small guest under KVM that has a device of vucd on its PCI bus, and tries it\n"
	       "out. The guest has drivers for vuc-refdev and for the sample gpio-pci-idio-16 of\n"
	       "libvfio-user; with other devices it looks at the bus only.\n"
	       "\n"
	       "Options:\n"
	       "  -s, --socket=PATH    the socket of vucd for VMMs; without it, $VUCD_SOCKET or\n"
	       "                       where vucd has it by default\n"
	       "  -d, --device=NAME    the device, by its name in vucd's configuration\n"
	       "  -g, --guest=PROGRAM  drive: use the device as a driver does (default)\n"
	       "                       torment: do what no driver does\n"
	       "  -r, --rounds=N       times that each access is timed, or that something is done at\n"
	       "                       random, 1 to %d (default: %d)\n"
	       "  -t, --timeout=S      seconds that the guest may take (default: %d)\n"
	       "  -j, --json           print the report as JSON\n"
	       "  -h, --help           print this help and exit\n"
	       "  -V, --version        print the version and exit\n"
	       "\n"
	       "Exit status: 0 when all has passed, 1 when something has failed, 2 for wrong\n"
	       "options, 77 when nothing was tested: there is no KVM, or no driver.\n",
		GUEST_MAX_ROUNDS, DEFAULT_ROUNDS, DEFAULT_TIMEOUT_S);
}

static bool
parse_number(const char *option, const char *text, uint32_t max, uint32_t *value)
{
	uint64_t number;

	if (vuc_number_parse(text, 10, 1, max, &number) != 0) {
		vmm_fail(0, "--%s %s: expected a number from 1 to %u", option, text, max);
		return false;
	}
	*value = (uint32_t)number;
	return true;
}

static bool
parse_program(const char *text, uint32_t *program)
{
	if (strcmp(text, "drive") == 0) {
		*program = GUEST_DRIVE;
	} else if (strcmp(text, "torment") == 0) {
		*program = GUEST_TORMENT;
	} else {
		vmm_fail(0, "--guest %s: expected drive or torment", text);
		return false;
	}
	return true;
}

/* getopt_long() has the letter of an option, or 0 when it knows none of the long ones. */
static void
fail_option(int opt, const char *argument)
{
	char letter[] = {'-', (char)optopt, '\0'};

	vmm_fail(0, "%s: %s; see --help", optopt != 0 ? letter : argument,
		opt == ':' ? "an argument is missing" : "unknown option");
}

static bool
parse_option(struct options *options, int opt, const char *argument)
{
	switch (opt) {
	case 's':
		options->socket = optarg;
		return true;
	case 'd':
		options->device = optarg;
		return true;
	case 'g':
		return parse_program(optarg, &options->program);
	case 'r':
		return parse_number("rounds", optarg, GUEST_MAX_ROUNDS, &options->rounds);
	case 't':
		return parse_number("timeout", optarg, MAX_TIMEOUT_S, &options->timeout_s);
	case 'j':
		options->json = true;
		return true;
	default:
		fail_option(opt, argument);
		return false;
	}
}

static enum options_result
options_check(const struct options *options, int argc, char *argv[])
{
	if (optind < argc) {
		vmm_fail(0, "%s: unexpected argument", argv[optind]);
		return OPTIONS_WRONG;
	}
	if (options->device == NULL) {
		vmm_fail(0, "--device is missing; see --help");
		return OPTIONS_WRONG;
	}
	return OPTIONS_RUN;
}

enum options_result
options_parse(struct options *options, int argc, char *argv[])
{
	static const struct option known[] = {
		{"device", required_argument, NULL, 'd'},
		{"guest", required_argument, NULL, 'g'},
		{"help", no_argument, NULL, 'h'},
		{"json", no_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'},
		{"socket", required_argument, NULL, 's'},
		{"timeout", required_argument, NULL, 't'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int opt;

	*options = (struct options){.rounds = DEFAULT_ROUNDS, .timeout_s = DEFAULT_TIMEOUT_S};
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":d:g:hjr:s:t:V", known, NULL)) != -1) {
		if (opt == 'h') {
			print_help();
			return OPTIONS_SHOWN;
		}
		if (opt == 'V') {
			printf("vuc-vmm %s\n", VUC_VERSION);
			return OPTIONS_SHOWN;
		}
		if (!parse_option(options, opt, argv[optind - 1]))
			return OPTIONS_WRONG;
	}
	return options_check(options, argc, argv);
}
