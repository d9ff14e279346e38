/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

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
fill_pollfds(const struct refdev_endpoint *eps, unsigned int nr_eps, struct pollfd *pfds)
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
	if (refdev_endpoint_has_client(ep))
		refdev_endpoint_turn(ep, true);
	else
		refdev_endpoint_accept(ep);
}

int
refdev_loop_block(struct refdev_endpoint *eps, unsigned int nr_eps, int signal_fd)
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

int
refdev_loop_poll(struct refdev_endpoint *eps, unsigned int nr_eps, int signal_fd)
{
	for (unsigned int turn = 0; turn % LOOK_TURNS != 0 || !all_finished(eps, nr_eps); turn++) {
		if (turn % SIGNAL_TURNS == 0 && is_signalled(signal_fd))
			break;
		bool look = turn % LOOK_TURNS == 0;

		for (unsigned int i = 0; i < nr_eps; i++) {
			if (refdev_endpoint_has_client(&eps[i]))
				refdev_endpoint_turn(&eps[i], look);
			else if (look)
				endpoint_serve(&eps[i]);
		}
	}
	return 0;
}
