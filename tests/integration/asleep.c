/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "asleep.h"

/* The state is the field behind the name, which is in parentheses. */
static bool
is_asleep(int stat_fd)
{
	char text[512];
	ssize_t n = pread(stat_fd, text, sizeof(text) - 1, 0);
	const char *name_end;

	if (n <= 0)
		return true; /* there is no such thread to wait for */
	text[n] = '\0';
	name_end = strrchr(text, ')');
	return name_end == NULL || strncmp(name_end, ") S", 3) == 0;
}

void
asleep_await(pid_t tid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (!is_asleep(fd))
		sched_yield();
	if (fd >= 0)
		close(fd);
}

static void *
run(void *arg)
{
	struct asleep_act *a = arg;

	asleep_await(a->sleeper);
	a->act(a->arg);
	return NULL;
}

void
asleep_start(struct asleep_act *a, void (*act)(void *arg), void *arg)
{
	a->sleeper = gettid();
	a->act = act;
	a->arg = arg;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&a->thread, NULL, run, a), 0);
}

void
asleep_join(struct asleep_act *a)
{
	pthread_join(a->thread, NULL);
}
