/* SPDX-License-Identifier: BSD-3-Clause */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "args.h"
#include "config.h"
#include "daemon.h"
#include "log.h"

/* The command line. */
struct options {
	const char *config;
	bool check; /* only */
	bool help_config;
};

enum {
	OPT_CHECK = 256,
	OPT_HELP_CONFIG,
};

static const struct argp_option option_table[] = {
	{"config", 'c', "FILE", 0, "Configuration file; default: " VUCD_DEFAULT_CONFIG},
	{"check", OPT_CHECK, NULL, 0, "Check the configuration and exit"},
	{"help-config", OPT_HELP_CONFIG, NULL, 0, "Print all keys of the configuration and exit"},
	{0},
};

static error_t
option_take(int key, char *value, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'c':
		options->config = value;
		return 0;
	case OPT_CHECK:
		options->check = true;
		return 0;
	case OPT_HELP_CONFIG:
		options->help_config = true;
		return 0;
	case ARGP_KEY_ARG:
		app_args_error(state, "unexpected argument '%s'", value);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = option_table,
	.parser = option_take,
	.doc = "Offers vfio-user devices to VMMs, through shared memory or as a vfio-user server. "
	       "Runs in the foreground.",
	.children = app_args_children,
};

/* As a compiler does: FILE:LINE: what is wrong. */
static void
print_report(void *path, unsigned int line, const char *text)
{
	if (line > 0)
		fprintf(stderr, "%s:%u: %s\n", (const char *)path, line, text);
	else
		fprintf(stderr, "%s: %s\n", (const char *)path, text);
}

/* As many descriptors as may be: devices and VMMs have a good many. */
static void
raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
vucd_run(const char *path, const struct vucd_config *config)
{
	struct vuc_error err = {""};
	struct vucd_log log;
	int rc;

	raise_fd_limit();
	vucd_log_init(&log, STDERR_FILENO);
	rc = vucd_daemon_run(path, config, &log, &err);
	if (rc != 0)
		vucd_log(&log, VUC_LOG_ERROR, "%s", err.text);
	vucd_log_fini(&log);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
print_ok(const struct vucd_config *config)
{
	printf("OK: %u poller%s, %u device%s\n", config->nr_pollers,
		config->nr_pollers == 1 ? "" : "s", config->nr_devices,
		config->nr_devices == 1 ? "" : "s");
	return app_args_finish_output();
}

int
main(int argc, char *argv[])
{
	struct options options = {.config = VUCD_DEFAULT_CONFIG};
	struct vucd_config config;
	struct vucd_report report = {.fn = print_report};
	int status;

	if (!app_args_occupy_standard_fds())
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	app_args_parse(&argp, argc, argv, &options);
	if (options.help_config) {
		vucd_config_help(stdout);
		return app_args_finish_output();
	}
	report.arg = (void *)(uintptr_t)options.config;
	report.check = options.check ? vucd_config_check_machine : NULL;
	if (vucd_config_load(&config, options.config, &report) != 0)
		status = EXIT_FAILURE;
	else
		status = options.check ? print_ok(&config) : vucd_run(options.config, &config);
	vucd_config_free(&config);
	return status;
}
