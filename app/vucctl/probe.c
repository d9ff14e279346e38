/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/device.h>

#include "command.h"
#include "device_command.h"
#include "message.h"
#include "report.h"

#define COMMAND "probe"

enum output {
	OUTPUT_TEXT,
	OUTPUT_JSON,
	OUTPUT_LSPCI,
};

struct probe {
	struct vucctl_target target;
	enum output output;
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
take_option(void *arg, int opt, const char *value)
{
	struct probe *probe = arg;

	(void)value;
	switch (opt) {
	case 'j':
		return set_output(probe, OUTPUT_JSON);
	case 'l':
		return set_output(probe, OUTPUT_LSPCI);
	case 'n':
		probe->numeric = true;
		return 0;
	default:
		probe->verbose = true;
		return 0;
	}
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
probe_command_run(void *arg, struct vuc_device *dev)
{
	const struct probe *probe = arg;
	struct vucctl_report *report;
	int ret = vucctl_report_create(dev, probe->target.path, probe->numeric, &report);

	if (ret < 0)
		return vucctl_target_fail(&probe->target, dev, ret, "cannot look at the device");
	ret = print_report(probe, report);
	vucctl_report_destroy(report);
	return ret;
}

int
vucctl_probe_command(int argc, char *argv[])
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
	static const struct vucctl_device_command command = {
		.name = COMMAND,
		.short_options = ":" VUCCTL_TARGET_SHORT_OPTIONS "jlnvxh",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.run = probe_command_run,
	};
	struct probe probe = {.output = OUTPUT_TEXT};

	vucctl_target_init(&probe.target);
	return vucctl_device_command_run(&command, &probe.target, &probe, argc, argv);
}
