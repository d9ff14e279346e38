/* SPDX-License-Identifier: BSD-3-Clause */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t interrupted;

static void
signal_handle(int signo)
{
	interrupted = signo;
}

void
bench_interrupt_install(void)
{
	/* No SA_RESTART: what blocks is to return. */
	struct sigaction ask = {.sa_handler = signal_handle};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigemptyset(&ask.sa_mask);
	sigaction(SIGINT, &ask, NULL);
	sigaction(SIGTERM, &ask, NULL);
	sigaction(SIGHUP, &ask, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

bool
bench_interrupted(void)
{
	return interrupted != 0;
}

void
bench_interrupt_raise(void)
{
	if (interrupted == 0)
		return;
	signal(interrupted, SIG_DFL);
	raise(interrupted);
}
