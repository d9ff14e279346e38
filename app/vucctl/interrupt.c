/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

static volatile sig_atomic_t interrupted;

/* What a descriptor becomes, and that descriptor; -1: none. */
static volatile sig_atomic_t cut_end = -1;
static volatile sig_atomic_t cut_fd = -1;

/* The second one is not asked for. */
static void
take_signal(int number)
{
	int error = errno;

	interrupted = 1;
	if (cut_fd >= 0)
		dup2(cut_end, cut_fd);
	signal(number, SIG_DFL);
	errno = error;
}

void
vucctl_interrupt_install(int flags)
{
	struct sigaction action = {.sa_handler = take_signal, .sa_flags = flags};
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

/* Keep the signals away; before is set to what there was. */
static void
signals_block(sigset_t *before)
{
	sigset_t set;
	size_t i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	sigprocmask(SIG_BLOCK, &set, before);
}

int
vucctl_interrupt_poll(struct pollfd *fds, nfds_t nr_fds, int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	sigset_t before;
	int n;

	signals_block(&before);
	if (interrupted)
		n = -EINTR;
	else
		n = ppoll(fds, nr_fds, timeout_ms < 0 ? NULL : &timeout, &before);
	if (n == -1)
		n = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return n;
}

int
vucctl_interrupt_cut(int fd)
{
	/* Such a descriptor can be neither read nor written. */
	int end = open("/", O_PATH | O_CLOEXEC);
	sigset_t before;

	if (end < 0)
		return -errno;
	signals_block(&before);
	cut_end = end;
	cut_fd = fd;
	if (interrupted)
		dup2(end, fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return 0;
}

void
vucctl_interrupt_spare(void)
{
	sigset_t before;

	if (cut_fd < 0)
		return;
	signals_block(&before);
	cut_fd = -1;
	close(cut_end);
	cut_end = -1;
	sigprocmask(SIG_SETMASK, &before, NULL);
}
