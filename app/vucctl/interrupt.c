/* SPDX-License-Identifier: BSD-3-Clause */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t interrupted;

/* The second one is not asked for. */
static void
take_signal(int number)
{
	interrupted = 1;
	signal(number, SIG_DFL);
}

void
vucctl_interrupt_install(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	/* Without SA_RESTART: a read from a terminal or pipe shall end. */
	struct sigaction action = {.sa_handler = take_signal};
	struct sigaction before;
	size_t i;

	sigemptyset(&action.sa_mask);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		/* nohup and shells that start something in the background ignore them. */
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}

bool
vucctl_interrupted(void)
{
	return interrupted != 0;
}
