/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config.h"
#include "daemon.h"
#include "log.h"
#include "options.h"

#define EXIT_USAGE 2

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

/* A descriptor that the process was not given must not become a socket's number. */
static bool
occupy_standard_fds(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	}
	return true;
}

/* A help that could not be written is a failure, too. */
static int
finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "vucd: cannot write the output: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

/* Errors have been printed by then. */
static int
config_check(const struct vucd_config *config, struct vucd_report *report)
{
	vucd_config_check_machine(config, report);
	if (report->count > 0)
		return EXIT_FAILURE;
	printf("OK: %u poller%s, %u device%s\n", config->nr_pollers,
		config->nr_pollers == 1 ? "" : "s", config->nr_devices,
		config->nr_devices == 1 ? "" : "s");
	return finish_output();
}

int
main(int argc, char *argv[])
{
	struct vucd_options options;
	struct vucd_config config;
	struct vucd_report report = {.fn = print_report};
	enum vucd_options_result result;
	int status;

	if (!occupy_standard_fds())
		return EXIT_FAILURE;
	signal(SIGPIPE, SIG_IGN);
	result = vucd_options_parse(&options, argc, argv);
	if (result != VUCD_OPTIONS_RUN)
		return result == VUCD_OPTIONS_DONE ? finish_output() : EXIT_USAGE;
	report.arg = (void *)(uintptr_t)options.config;
	if (vucd_config_load(&config, options.config, &report) != 0)
		status = EXIT_FAILURE;
	else
		status = options.check ? config_check(&config, &report)
				       : vucd_run(options.config, &config);
	vucd_config_free(&config);
	return status;
}
