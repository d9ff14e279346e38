/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_ASLEEP_H
#define VUC_TESTS_ASLEEP_H

/* Tests of what wakes a thread act when it sleeps in the kernel, and need not guess when it does.
 */

#include <pthread.h>
#include <sys/types.h>

/* Returns when that thread of this process sleeps. */
void asleep_await(pid_t tid);

/* A thread that calls act(arg) once the one that has started it sleeps. */
struct asleep_act {
	pid_t sleeper;
	void (*act)(void *arg);
	void *arg;
	pthread_t thread;
};

void asleep_start(struct asleep_act *a, void (*act)(void *arg), void *arg);
void asleep_join(struct asleep_act *a);

#endif /* VUC_TESTS_ASLEEP_H */
