/* SPDX-License-Identifier: BSD-3-Clause */
#include "blocked_path.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t blocked_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *blocked_path; /* opening it waits; NULL: none */
sem_t blocked_path_wait;

void
block_path(const char *path)
{
	pthread_mutex_lock(&blocked_lock);
	blocked_path = path;
	pthread_mutex_unlock(&blocked_lock);
}

static bool
is_blocked(const char *path)
{
	bool is;

	pthread_mutex_lock(&blocked_lock);
	is = blocked_path != NULL && strcmp(path, blocked_path) == 0;
	pthread_mutex_unlock(&blocked_lock);
	return is;
}

/* The library looks in the kernel's cache of paths by this: nothing is there of one that blocks. */
long
syscall(long number, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list args;

	va_start(args, number);
	for (unsigned int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && is_blocked((const char *)a[1])) {
		errno = EAGAIN;
		return -1;
	}
	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The library looks paths up by this. */
int
open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(args, mode_t);
	va_end(args);
	if (is_blocked(path)) {
		while (sem_wait(&blocked_path_wait) != 0)
			;
	}
	return openat(AT_FDCWD, path, flags, mode);
}
