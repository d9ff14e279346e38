/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "endpoint.h"
#include "loop.h"
#include "options.h"
#include "report.h"

#define EXIT_USAGE 2

/* SIGTERM and SIGINT arrive as reads; a client that leaves while it is signalled is no reason to
 * die. */
static int
open_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		refdev_report("no signalfd: %s", strerror(errno));
	return fd;
}

/* Each DMA map may hold a descriptor. */
static void
raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int
cpu_pin(int cpu)
{
	cpu_set_t *set;
	size_t size;
	int rc;

	if (cpu < 0)
		return 0;
	set = CPU_ALLOC((size_t)cpu + 1);
	if (set == NULL)
		return -ENOMEM;
	size = CPU_ALLOC_SIZE((size_t)cpu + 1);
	CPU_ZERO_S(size, set);
	CPU_SET_S((size_t)cpu, size, set);
	rc = sched_setaffinity(0, size, set) == 0 ? 0 : -errno;
	CPU_FREE(set);
	if (rc != 0)
		refdev_report("can't run on CPU %d: %s", cpu, strerror(-rc));
	return rc;
}

static int
tell_ready(int fd)
{
	ssize_t n;

	if (fd < 0)
		return 0;
	n = write(fd, "\n", 1);
	if (n != 1) {
		refdev_report("--ready-fd: can't write to %d: %s", fd, strerror(errno));
		return -EIO;
	}
	close(fd);
	return 0;
}

/* Devices with their sockets; returns how many of them there are, fewer than wanted on failure. */
static unsigned int
open_endpoints(
	struct refdev_endpoint *eps, unsigned int nr_eps, const struct refdev_options *options)
{
	struct refdev_endpoint_config config = {
		.device = options->device,
		.faults = &options->faults,
		.verbose = options->verbose,
		.once = options->once,
	};

	for (unsigned int i = 0; i < nr_eps; i++) {
		int rc;

		config.device.serial = i + 1;
		if (refdev_endpoint_init(&eps[i], &config) != 0)
			return i;
		if (options->fd >= 0)
			rc = refdev_endpoint_adopt(&eps[i], options->fd);
		else
			rc = refdev_endpoint_listen(&eps[i], options->paths[i]);
		if (rc != 0) {
			refdev_endpoint_destroy(&eps[i]);
			return i;
		}
	}
	return nr_eps;
}

static int
endpoints_serve(const struct refdev_options *options, int signal_fd)
{
	refdev_loop_fn loop = options->poll ? refdev_loop_poll : refdev_loop_block;
	unsigned int wanted = options->fd >= 0 ? 1 : options->nr_paths;
	struct refdev_endpoint *eps = calloc(wanted, sizeof(*eps));
	unsigned int nr_eps;
	int rc = -EIO;

	if (eps == NULL) {
		refdev_report("out of memory for %u devices", wanted);
		return -ENOMEM;
	}
	nr_eps = open_endpoints(eps, wanted, options);
	if (nr_eps == wanted)
		rc = tell_ready(options->ready_fd);
	if (nr_eps == wanted && rc == 0)
		rc = loop(eps, nr_eps, signal_fd);
	for (unsigned int i = 0; i < nr_eps; i++)
		refdev_endpoint_destroy(&eps[i]);
	free(eps);
	return rc;
}

static int
refdev_run(const struct refdev_options *options)
{
	int signal_fd = open_signals();
	int rc;

	if (signal_fd < 0)
		return EXIT_FAILURE;
	raise_fd_limit();
	rc = cpu_pin(options->cpu);
	if (rc == 0)
		rc = endpoints_serve(options, signal_fd);
	close(signal_fd);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char *argv[])
{
	struct refdev_options options;
	int status;

	switch (refdev_options_parse(&options, argc, argv)) {
	case REFDEV_OPTIONS_RUN:
		status = refdev_run(&options);
		break;
	case REFDEV_OPTIONS_DONE:
		status = fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
		break;
	default:
		status = EXIT_USAGE;
		break;
	}
	refdev_options_free(&options);
	return status;
}
