/* SPDX-License-Identifier: BSD-3-Clause */
#include "thread.h"

#include <signal.h>

static int
thread_create_with_stack(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	int rc = pthread_attr_init(&attr);

	if (rc != 0)
		return -rc;
	if (stack > 0)
		rc = pthread_attr_setstacksize(&attr, stack);
	if (rc == 0)
		rc = pthread_create(thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	return -rc;
}

int
vuc_thread_create(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
	sigset_t signals, before;
	int rc;

	sigfillset(&signals);
	sigdelset(&signals, SIGSEGV);
	sigdelset(&signals, SIGBUS);
	sigdelset(&signals, SIGFPE);
	sigdelset(&signals, SIGILL);
	sigdelset(&signals, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &signals, &before);
	rc = thread_create_with_stack(thread, stack, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}
