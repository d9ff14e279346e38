/* SPDX-License-Identifier: BSD-3-Clause */
#include "deadline.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"

/* For the handler, which gets nothing else. */
static volatile uint8_t *volatile stop_byte;
static volatile sig_atomic_t passed;

static void
on_alarm(int signal_number)
{
	(void)signal_number;
	passed = 1;
	if (stop_byte != NULL)
		*stop_byte = 1;
}

/* Without SA_RESTART: whoever is in the kernel comes out. */
int
deadline_set(uint32_t seconds, volatile uint8_t *stop)
{
	struct sigaction action = {.sa_handler = on_alarm};

	passed = 0;
	stop_byte = stop;
	if (sigaction(SIGALRM, &action, NULL) < 0)
		return vmm_fail(-errno, "sigaction: %s", strerror(errno));
	alarm(seconds);
	return 0;
}

void
deadline_clear(void)
{
	alarm(0);
	stop_byte = NULL;
}

bool
deadline_passed(void)
{
	return passed != 0;
}
