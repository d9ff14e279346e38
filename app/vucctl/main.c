/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "message.h"

static const struct vucctl_command commands[] = {
	{"probe", "show what a vfio-user server offers", vucctl_probe_command},
	{"read", "read from a region", vucctl_read_command},
	{"write", "write to a region", vucctl_write_command},
	{"reset", "reset a device", vucctl_reset_command},
	{"irq", "wait for, mask, unmask or trigger interrupts", vucctl_irq_command},
	{"dma-selftest", "test DMA with mappings of memory", vucctl_dma_selftest_command},
	{"migrate", "save or load the state of a device", vucctl_migrate_command},
	{"status", "show the status of the daemon vucd", vucctl_status_command},
	{"devices", "list the daemon's devices", vucctl_devices_command},
	{"stats", "show the daemon's statistics", vucctl_stats_command},
	{"add", "add a device to the daemon", vucctl_add_command},
	{"remove", "remove a device from the daemon", vucctl_remove_command},
	{"detach", "take a device away from a VMM", vucctl_detach_command},
	{"reload", "reload the daemon's configuration", vucctl_reload_command},
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
print_help(void)
{
	printf("Usage: vucctl [--help|--version] COMMAND [ARGUMENT...]\n"
	       "\n"
	       "Inspects vfio-user devices, and controls the daemon vucd, which offers them to VMMs.\n"
	       "\n"
	       "Commands:\n");
	vucctl_commands_print(commands, NR_COMMANDS);
	printf("\n"
	       "Options:\n"
	       "  -h, --help     print this help and exit\n"
	       "  -V, --version  print the version and exit\n"
	       "\n"
	       "'vucctl COMMAND --help' describes a command.\n");
}

static int
vucctl_run(int argc, char *argv[])
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	static const char short_options[] = "+:hV";
	int opt = getopt_long(argc, argv, short_options, options, NULL);

	switch (opt) {
	case -1:
		return vucctl_commands_run(
			NULL, commands, NR_COMMANDS, argc - optind, argv + optind);
	case 'h':
		print_help();
		return EXIT_SUCCESS;
	case 'V':
		printf("vucctl %s\n", VUC_VERSION);
		return EXIT_SUCCESS;
	default:
		return vucctl_fail_option(NULL, short_options, opt, argv);
	}
}

/*
 * Started with a closed stdin, stdout or stderr, the next socket would get its number, and output
 * would go to a device's server. Descriptors that can't be written take their places.
 */
static bool
occupy_standard_fds(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
			return false;
	}
	return true;
}

/* Errors of a write may show only when the file is closed. Returns the exit status. */
static int
finish_output(int status)
{
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fclose(stdout) == 0 && !failed)
		return status;
	if (status != EXIT_SUCCESS) /* what went wrong first has been said */
		return status;
	if (errno == 0) /* an earlier write has failed, and its reason is gone */
		return vucctl_fail("cannot write the output");
	return vucctl_fail("cannot write the output: %s", strerror(errno));
}

int
main(int argc, char *argv[])
{
	if (!occupy_standard_fds())
		return EXIT_FAILURE;
	/* A reader that goes away shows as an error of the write, like a full disk. */
	signal(SIGPIPE, SIG_IGN);
	opterr = 0;
	return finish_output(vucctl_run(argc, argv));
}
