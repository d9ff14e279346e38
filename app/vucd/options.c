/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <getopt.h>
#include <stdio.h>

#include "config.h"

static const char help[] =
	"Usage: vucd [OPTION]...\n"
	"Serve vfio-user devices to VMMs through shared memory, in the foreground.\n"
	"\n"
	"  -c, --config FILE  configuration, by default " VUCD_DEFAULT_CONFIG "\n"
	"      --check        say what is wrong with the configuration, or OK, and exit\n"
	"      --help-config  print what the configuration may have, and exit\n"
	"  -h, --help         print this and exit\n"
	"  -V, --version      print the version and exit\n";

enum option_key {
	OPT_CHECK = 256,
	OPT_HELP_CONFIG,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, OPT_CHECK},
	{"help-config", no_argument, NULL, OPT_HELP_CONFIG},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static enum vucd_options_result
option_refuse(const char *before, const char *arg, const char *after)
{
	fprintf(stderr, "vucd: %s '%s'%s; see 'vucd --help'\n", before, arg, after);
	return VUCD_OPTIONS_WRONG;
}

/* Take one option. */
static enum vucd_options_result
option_take(struct vucd_options *options, int key, char *const argv[])
{
	switch (key) {
	case 'c':
		options->config = optarg;
		return VUCD_OPTIONS_RUN;
	case OPT_CHECK:
		options->check = true;
		return VUCD_OPTIONS_RUN;
	case OPT_HELP_CONFIG:
		vucd_config_help(stdout);
		return VUCD_OPTIONS_DONE;
	case 'h':
		fputs(help, stdout);
		return VUCD_OPTIONS_DONE;
	case 'V':
		puts("vucd " VUC_VERSION);
		return VUCD_OPTIONS_DONE;
	case ':':
		return option_refuse("option", argv[optind - 1], " requires an argument");
	default:
		return option_refuse("unknown option", argv[optind - 1], "");
	}
}

enum vucd_options_result
vucd_options_parse(struct vucd_options *options, int argc, char *argv[])
{
	enum vucd_options_result result;
	int key;

	*options = (struct vucd_options){.config = VUCD_DEFAULT_CONFIG};
	opterr = 0;
	while ((key = getopt_long(argc, argv, ":c:hV", long_options, NULL)) != -1) {
		result = option_take(options, key, argv);
		if (result != VUCD_OPTIONS_RUN)
			return result;
	}
	if (optind < argc)
		return option_refuse("unexpected argument", argv[optind], "");
	return VUCD_OPTIONS_RUN;
}
