/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server.h"

/* SIGTERM and SIGINT are read; writing to a client's pipe that is closed must not end the program.
 */
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
		refdev_report("cannot create a signalfd: %s", strerror(errno));
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
	cpu_set_t sets[REFDEV_MAX_CPU / CPU_SETSIZE + 1] = {0};

	if (cpu < 0)
		return 0;
	CPU_SET_S((size_t)cpu, sizeof(sets), sets);
	if (sched_setaffinity(0, sizeof(sets), sets) == 0)
		return 0;
	refdev_report("cannot run on CPU %d: %s", cpu, strerror(errno));
	return -EINVAL;
}

static int
tell_ready(int fd)
{
	if (fd < 0)
		return 0;
	if (write(fd, "\n", 1) != 1) {
		refdev_report("--ready-fd: cannot write to %d: %s", fd, strerror(errno));
		return -EIO;
	}
	close(fd);
	return 0;
}

/* ---- Serving, until all endpoints are finished or there is a signal ---- */

struct server {
	struct refdev_endpoint *eps;
	unsigned int nr_eps;
	int signal_fd;
};

static bool
all_finished(const struct server *s)
{
	for (unsigned int i = 0; i < s->nr_eps; i++)
		if (!s->eps[i].finished)
			return false;
	return true;
}

/* Serve all endpoints once. look: for what is rare, too: new clients and events. */
static void
server_turn(struct server *s, bool look)
{
	for (unsigned int i = 0; i < s->nr_eps; i++) {
		if (refdev_channel_is_open(&s->eps[i].main))
			refdev_endpoint_turn(&s->eps[i], look);
		else if (look && !s->eps[i].finished)
			refdev_endpoint_accept(&s->eps[i]);
	}
}

/* Wait until an endpoint has something to do. Returns 0, 1 for a signal, or a negative errno. */
static int
server_wait(struct server *s, struct pollfd *pfds)
{
	nfds_t nr_pfds = 0;
	struct timespec ts;
	int64_t shortest = -1;

	for (unsigned int i = 0; i < s->nr_eps; i++) {
		int64_t ns = refdev_endpoint_wait(&s->eps[i], &pfds[nr_pfds]);

		if (ns >= 0 && (shortest < 0 || ns < shortest))
			shortest = ns;
		nr_pfds += REFDEV_ENDPOINT_FDS;
	}
	pfds[nr_pfds] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
	ts = (struct timespec){.tv_sec = shortest / 1000000000, .tv_nsec = shortest % 1000000000};
	if (ppoll(pfds, nr_pfds + 1, shortest >= 0 ? &ts : NULL, NULL) < 0 && errno != EINTR)
		return -errno;
	return pfds[nr_pfds].revents != 0;
}

/* Sleep in poll(2) while there is nothing to do. */
static int
loop_block(struct server *s)
{
	struct pollfd *pfds = calloc((size_t)s->nr_eps * REFDEV_ENDPOINT_FDS + 1, sizeof(*pfds));
	int rc = pfds != NULL ? 0 : -ENOMEM;

	while (rc == 0 && !all_finished(s)) {
		rc = server_wait(s, pfds);
		if (rc == 0)
			server_turn(s, true);
	}
	free(pfds);
	return rc < 0 ? rc : 0;
}

/* Turns between two looks at what is rare, and at signals. */
#define LOOK_TURNS   64u
#define SIGNAL_TURNS 1024u

/* Never sleep: receive from each client in turn. */
static int
loop_poll(struct server *s)
{
	struct signalfd_siginfo info;

	for (unsigned int turn = 0; turn % LOOK_TURNS != 0 || !all_finished(s); turn++) {
		if (turn % SIGNAL_TURNS == 0 && read(s->signal_fd, &info, sizeof(info)) > 0)
			break;
		server_turn(s, turn % LOOK_TURNS == 0);
	}
	return 0;
}

/* A device with its socket. */
static int
endpoint_open(struct refdev_endpoint *ep, const struct refdev_options *options, unsigned int i)
{
	int rc = refdev_endpoint_init(ep, options, i + 1);

	if (rc != 0)
		return rc;
	rc = options->fd >= 0 ? refdev_endpoint_adopt(ep, options->fd)
			      : refdev_endpoint_listen(ep, options->paths[i]);
	if (rc != 0)
		refdev_endpoint_destroy(ep);
	return rc;
}

static int
server_run(const struct refdev_options *options, int signal_fd)
{
	unsigned int wanted = options->fd >= 0 ? 1 : options->nr_paths;
	struct server s = {.eps = calloc(wanted, sizeof(s.eps[0])), .signal_fd = signal_fd};
	int rc = 0;

	if (s.eps == NULL) {
		refdev_report("out of memory for %u devices", wanted);
		return -ENOMEM;
	}
	while (rc == 0 && s.nr_eps < wanted) {
		rc = endpoint_open(&s.eps[s.nr_eps], options, s.nr_eps);
		s.nr_eps += rc == 0;
	}
	if (rc == 0)
		rc = tell_ready(options->ready_fd);
	if (rc == 0)
		rc = options->poll ? loop_poll(&s) : loop_block(&s);
	for (unsigned int i = 0; i < s.nr_eps; i++)
		refdev_endpoint_destroy(&s.eps[i]);
	free(s.eps);
	return rc;
}

int
main(int argc, char *argv[])
{
	struct refdev_options options;
	int signal_fd, rc = -EIO;

	refdev_options_parse(&options, argc, argv);
	signal_fd = signals_open();
	fd_limit_raise();
	if (signal_fd >= 0)
		rc = cpu_pin(options.cpu);
	if (rc == 0)
		rc = server_run(&options, signal_fd);
	if (signal_fd >= 0)
		close(signal_fd);
	refdev_options_free(&options);
	return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
