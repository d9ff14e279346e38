/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/device.h>

#include "command.h"
#include "message.h"
#include "report.h"
#include "target.h"

#define COMMAND "probe"

enum output {
	OUTPUT_TEXT,
	OUTPUT_JSON,
	OUTPUT_LSPCI,
};

struct probe {
	struct vucctl_target target;
	enum output output;
	bool help;
	bool numeric;
	bool verbose;
};

static void
print_help(void)
{
	printf("Usage: vucctl probe [OPTION...] SOCKET\n"
	       "\n"
	       "Shows what the vfio-user device behind SOCKET is. Reads from the device, never\n"
	       "writes to it.\n"
	       "\n"
	       "Options:\n" VUCCTL_TARGET_HELP "  -j, --json            print one JSON object\n"
	       "  -l, --lspci           print config space for 'lspci -F FILE'\n"
	       "  -n, --numeric         print numbers where the PCI id database has names\n"
	       "  -x, -v, --verbose     print all of config space and of the areas of regions\n"
	       "  -h, --help            print this help and exit\n");
}

static int
set_output(struct probe *probe, enum output output)
{
	if (probe->output != OUTPUT_TEXT && probe->output != output)
		return vucctl_fail_usage(COMMAND, "--json and --lspci exclude each other");
	probe->output = output;
	return 0;
}

static int
take_option(struct probe *probe, int opt)
{
	switch (opt) {
	case 'h':
		probe->help = true;
		return 0;
	case 'j':
		return set_output(probe, OUTPUT_JSON);
	case 'l':
		return set_output(probe, OUTPUT_LSPCI);
	case 'n':
		probe->numeric = true;
		return 0;
	case 'v':
	case 'x':
		probe->verbose = true;
		return 0;
	default:
		return vucctl_target_option(&probe->target, COMMAND, opt, optarg);
	}
}

static int
parse_command_line(struct probe *probe, int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_TARGET_LONG_OPTIONS,
		{"json", no_argument, NULL, 'j'},
		{"lspci", no_argument, NULL, 'l'},
		{"numeric", no_argument, NULL, 'n'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static const char short_options[] = ":" VUCCTL_TARGET_SHORT_OPTIONS "jlnvxh";
	int opt, ret;

	while ((opt = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
		if (opt == '?' || opt == ':')
			return vucctl_fail_option(COMMAND, short_options, opt, argv);
		ret = take_option(probe, opt);
		if (ret != 0 || probe->help)
			return ret;
	}
	return vucctl_target_arguments(&probe->target, COMMAND, argc - optind, argv + optind);
}

static int
fail_lspci(const struct vucctl_report *report)
{
	const struct vucctl_config *config = &report->config;

	if (!config->present)
		return vucctl_fail("%s: the device has no config space", report->socket);
	if (config->error[0] != '\0')
		return vucctl_fail(
			"%s: cannot read config space: %s", report->socket, config->error);
	return vucctl_fail("%s: config space of %zu bytes is too short for lspci", report->socket,
		config->len);
}

static int
print_report(const struct probe *probe, const struct vucctl_report *report)
{
	switch (probe->output) {
	case OUTPUT_JSON:
		if (vucctl_report_print_json(stdout, report) < 0)
			return vucctl_fail("%s", strerror(ENOMEM));
		return EXIT_SUCCESS;
	case OUTPUT_LSPCI:
		if (vucctl_report_print_lspci(stdout, report) < 0)
			return fail_lspci(report);
		return EXIT_SUCCESS;
	default:
		vucctl_report_print_text(stdout, report, probe->verbose);
		return EXIT_SUCCESS;
	}
}

static int
probe_device(const struct probe *probe, struct vuc_device *dev)
{
	struct vucctl_report *report;
	const char *reason;
	int ret = vucctl_report_create(dev, probe->target.path, probe->numeric, &report);

	if (ret < 0) {
		reason = vuc_device_reason(dev);
		return vucctl_fail(
			"%s: %s", probe->target.path, reason[0] != '\0' ? reason : strerror(-ret));
	}
	ret = print_report(probe, report);
	vucctl_report_destroy(report);
	return ret;
}

int
vucctl_probe_command(int argc, char *argv[])
{
	struct probe probe = {.output = OUTPUT_TEXT};
	struct vuc_device *dev;
	int ret;

	vucctl_target_init(&probe.target);
	ret = parse_command_line(&probe, argc, argv);
	if (ret != 0)
		return ret;
	if (probe.help) {
		print_help();
		return EXIT_SUCCESS;
	}
	dev = vucctl_target_open(&probe.target);
	if (dev == NULL)
		return EXIT_FAILURE;
	ret = probe_device(&probe, dev);
	vuc_device_close(dev);
	return ret;
}
