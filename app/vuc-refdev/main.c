/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "endpoint.h"

/* SIGTERM and SIGINT arrive as reads; a client that leaves while it is signalled is no reason to
 * die. */
static int
signals_open(void)
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
fd_limit_raise(void)
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
		refdev_report("cannot run on CPU %d: %s", cpu, strerror(-rc));
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
		refdev_report("--ready-fd: cannot write to %d: %s", fd, strerror(errno));
		return -EIO;
	}
	close(fd);
	return 0;
}

/* ---- Serving, until all endpoints are finished or signal_fd has a signal: 0 or a negative errno
 * ---- */

static bool
all_finished(const struct refdev_endpoint *eps, unsigned int nr_eps)
{
	for (unsigned int i = 0; i < nr_eps; i++)
		if (!eps[i].finished)
			return false;
	return true;
}

static bool
is_signalled(int signal_fd)
{
	struct signalfd_siginfo info;

	return read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

/* Fill the entries of each endpoint; returns the shortest time that one of them can wait. */
static int64_t
fill_pollfds(struct refdev_endpoint *eps, unsigned int nr_eps, struct pollfd *pfds)
{
	int64_t shortest = -1;

	for (unsigned int i = 0; i < nr_eps; i++) {
		int64_t ns = refdev_endpoint_wait(&eps[i], &pfds[i * REFDEV_ENDPOINT_FDS]);

		if (ns >= 0 && (shortest < 0 || ns < shortest))
			shortest = ns;
	}
	return shortest;
}

static int
wait_for_work(struct pollfd *pfds, nfds_t nr_pfds, int64_t ns)
{
	struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	if (ppoll(pfds, nr_pfds, ns >= 0 ? &ts : NULL, NULL) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static void
endpoint_serve(struct refdev_endpoint *ep)
{
	if (ep->finished)
		return;
	if (refdev_channel_is_open(&ep->main))
		refdev_endpoint_turn(ep, true);
	else
		refdev_endpoint_accept(ep);
}

/* Sleep in poll(2) while there is nothing to do. */
static int
loop_block(struct refdev_endpoint *eps, unsigned int nr_eps, int signal_fd)
{
	size_t nr_pfds = (size_t)nr_eps * REFDEV_ENDPOINT_FDS;
	struct pollfd *pfds = calloc(nr_pfds + 1, sizeof(*pfds));
	int rc = 0;

	if (pfds == NULL)
		return -ENOMEM;
	while (rc == 0 && !all_finished(eps, nr_eps)) {
		int64_t ns = fill_pollfds(eps, nr_eps, pfds);

		pfds[nr_pfds] = (struct pollfd){.fd = signal_fd, .events = POLLIN};
		rc = wait_for_work(pfds, nr_pfds + 1, ns);
		if (pfds[nr_pfds].revents != 0)
			break;
		for (unsigned int i = 0; i < nr_eps; i++)
			endpoint_serve(&eps[i]);
	}
	free(pfds);
	return rc;
}

/* Turns between two looks at what happens rarely: new clients and events, and signals. */
#define LOOK_TURNS   64u
#define SIGNAL_TURNS 1024u

/* Never sleep: receive from each client in turn. */
static int
loop_poll(struct refdev_endpoint *eps, unsigned int nr_eps, int signal_fd)
{
	for (unsigned int turn = 0; turn % LOOK_TURNS != 0 || !all_finished(eps, nr_eps); turn++) {
		if (turn % SIGNAL_TURNS == 0 && is_signalled(signal_fd))
			break;
		bool look = turn % LOOK_TURNS == 0;

		for (unsigned int i = 0; i < nr_eps; i++) {
			if (refdev_channel_is_open(&eps[i].main))
				refdev_endpoint_turn(&eps[i], look);
			else if (look)
				endpoint_serve(&eps[i]);
		}
	}
	return 0;
}

/* Devices with their sockets; returns how many of them there are, fewer than wanted on failure. */
static unsigned int
endpoints_open(
	struct refdev_endpoint *eps, unsigned int nr_eps, const struct refdev_options *options)
{
	for (unsigned int i = 0; i < nr_eps; i++) {
		int rc;

		if (refdev_endpoint_init(&eps[i], options, i + 1) != 0)
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
	int (*loop)(struct refdev_endpoint *, unsigned int, int) =
		options->poll ? loop_poll : loop_block;
	unsigned int wanted = options->fd >= 0 ? 1 : options->nr_paths;
	struct refdev_endpoint *eps = calloc(wanted, sizeof(*eps));
	unsigned int nr_eps;
	int rc = -EIO;

	if (eps == NULL) {
		refdev_report("out of memory for %u devices", wanted);
		return -ENOMEM;
	}
	nr_eps = endpoints_open(eps, wanted, options);
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
	int signal_fd = signals_open();
	int rc;

	if (signal_fd < 0)
		return EXIT_FAILURE;
	fd_limit_raise();
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

	refdev_options_parse(&options, argc, argv);
	status = refdev_run(&options);
	refdev_options_free(&options);
	return status;
}
