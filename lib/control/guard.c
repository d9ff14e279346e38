/* SPDX-License-Identifier: BSD-3-Clause */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_GUARDS 4096u

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* Linux 5.11 */
#endif

struct range {
	_Atomic uintptr_t start; /* 0: not in use */
	_Atomic size_t size;
};

struct guard {
	int wake_fd;
	int watcher;        /* a userfaultfd; -1 where there is none */
	unsigned int place; /* in guards */
	size_t max;
	_Atomic uint64_t left; /* of the budget */
	_Atomic bool broken;
	_Atomic bool spent;
	_Atomic size_t used; /* ranges that have been in use */
	struct range ranges[];
};

/* The handler has no argument, so these are one for the process. It takes no lock: guards that are
 * taken away are freed when no handler looks at them any more. */
static _Atomic(struct guard *) guards[MAX_GUARDS];
static _Atomic unsigned int looking;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of changes to guards, and of: */
static bool installed;
static struct sigaction before;
static size_t page_size;

/*
 * The range of a guard that holds an address. A range that is being replaced by another one must
 * not be taken for a mixture of both: its start is looked at again behind its size, which was
 * stored first.
 */
static bool
range_find(const struct guard *g, uintptr_t addr, uintptr_t *start, size_t *size)
{
	size_t used = atomic_load_explicit(&g->used, memory_order_acquire);

	for (size_t i = 0; i < used; i++) {
		const struct range *r = &g->ranges[i];

		/* Pairs with guard_add(). */
		*start = atomic_load_explicit(&r->start, memory_order_acquire);
		*size = atomic_load_explicit(&r->size, memory_order_acquire);
		if (*start == 0 || addr < *start || addr - *start >= *size)
			continue;
		if (atomic_load_explicit(&r->start, memory_order_relaxed) == *start)
			return true;
	}
	return false;
}

bool
guard_take(struct guard *g, uint64_t bytes)
{
	uint64_t left = atomic_load_explicit(&g->left, memory_order_relaxed);

	do {
		if (left < bytes)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&g->left, &left, left - bytes, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void
guard_give(struct guard *g, uint64_t bytes)
{
	atomic_fetch_add_explicit(&g->left, bytes, memory_order_relaxed);
}

/* Make the page at an address where the file has a hole. Returns false when that is not what is
 * missing, or must not be. */
static bool
range_fill_hole(struct guard *g, uintptr_t addr)
{
	struct uffdio_zeropage zero = {
		.range = {.start = addr & ~(uintptr_t)(page_size - 1), .len = page_size},
	};

	if (g->watcher < 0)
		return false;
	if (!guard_take(g, page_size)) {
		atomic_store_explicit(&g->spent, true, memory_order_release);
		return false;
	}
	if (ioctl(g->watcher, UFFDIO_ZEROPAGE, &zero) == 0)
		return true;
	guard_give(g, page_size);
	/* Somebody was faster; or other memory is being unmapped right now: access it again. */
	return errno == EEXIST || errno == EAGAIN;
}

/* The access that has failed is being made by this thread, so the range stays where it is. */
static bool
range_mend(struct guard *g, uintptr_t addr, bool missing)
{
	const uint64_t one = 1;
	uintptr_t start;
	size_t size;
	ssize_t n;

	if (!range_find(g, addr, &start, &size))
		return false;
	if (missing && range_fill_hole(g, addr))
		return true;
	if (mmap((void *)start, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	atomic_store_explicit(&g->broken, true, memory_order_release);
	n = write(g->wake_fd, &one, sizeof(one));
	(void)n;
	return true;
}

static bool
guard_mend(uintptr_t addr, bool missing)
{
	bool done = false;

	/* Pairs with guard_destroy(): either it waits, or the guard is not seen here. */
	atomic_fetch_add_explicit(&looking, 1, memory_order_seq_cst);
	for (unsigned int i = 0; !done && i < MAX_GUARDS; i++) {
		struct guard *g = atomic_load_explicit(&guards[i], memory_order_seq_cst);

		done = g != NULL && range_mend(g, addr, missing);
	}
	atomic_fetch_sub_explicit(&looking, 1, memory_order_release);
	return done;
}

/* What would have happened without us. */
static void
fault_pass_on(int signal, siginfo_t *info, void *context)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};

	if ((before.sa_flags & SA_SIGINFO) != 0) {
		before.sa_sigaction(signal, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(signal);
	} else if (before.sa_handler == SIG_DFL || info->si_code > 0) {
		/* The access is made again; a signal that somebody has sent has to be, too. */
		sigaction(signal, &standard, NULL);
		if (info->si_code <= 0)
			raise(signal);
	}
}

static void
fault_handle(int signal, siginfo_t *info, void *context)
{
	int error = errno;

	/* Only a fault has an address; and a page with a memory error is there: it is no hole. */
	if (info->si_code <= 0 ||
		!guard_mend((uintptr_t)info->si_addr, info->si_code == BUS_ADRERR))
		fault_pass_on(signal, info, context);
	errno = error;
}

int
guard_install(void)
{
	struct sigaction action = {
		.sa_sigaction = fault_handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	int rc = 0;

	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&lock);
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	/* First who is asked afterwards: the handler may run at once. */
	if (!installed && sigaction(SIGBUS, NULL, &before) != 0)
		rc = -errno;
	if (!installed && rc == 0 && sigaction(SIGBUS, &action, NULL) != 0)
		rc = -errno;
	installed = installed || rc == 0;
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
guard_enter(struct guard *g)
{
	int rc = -ENOSPC;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; rc != 0 && i < MAX_GUARDS; i++) {
		if (atomic_load_explicit(&guards[i], memory_order_relaxed) != NULL)
			continue;
		g->place = i;
		atomic_store_explicit(&guards[i], g, memory_order_seq_cst);
		rc = 0;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static int
guard_open_watcher(void)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

struct guard *
guard_create(size_t max, uint64_t budget, int wake_fd)
{
	struct guard *g = calloc(1, sizeof(*g) + max * sizeof(g->ranges[0]));

	if (g == NULL)
		return NULL;
	g->wake_fd = wake_fd;
	g->max = max;
	g->watcher = guard_open_watcher();
	atomic_init(&g->left, budget);
	if (guard_enter(g) != 0) {
		if (g->watcher >= 0)
			close(g->watcher);
		free(g);
		errno = ENOSPC;
		return NULL;
	}
	return g;
}

void
guard_destroy(struct guard *g)
{
	if (g == NULL)
		return;
	pthread_mutex_lock(&lock);
	atomic_store_explicit(&guards[g->place], NULL, memory_order_seq_cst);
	pthread_mutex_unlock(&lock);
	while (atomic_load_explicit(&looking, memory_order_seq_cst) > 0)
		sched_yield();
	if (g->watcher >= 0)
		close(g->watcher);
	free(g);
}

int
guard_add(struct guard *g, void *start, size_t size)
{
	size_t used = atomic_load_explicit(&g->used, memory_order_relaxed);
	size_t i = 0;

	while (i < used && atomic_load_explicit(&g->ranges[i].start, memory_order_relaxed) != 0)
		i++;
	if (i == g->max)
		return -ENOSPC;
	/* Pairs with range_find(). */
	atomic_store_explicit(&g->ranges[i].size, size, memory_order_release);
	atomic_store_explicit(&g->ranges[i].start, (uintptr_t)start, memory_order_release);
	if (i == used)
		atomic_store_explicit(&g->used, used + 1, memory_order_release);
	return 0;
}

void
guard_remove(struct guard *g, void *start)
{
	size_t used = atomic_load_explicit(&g->used, memory_order_relaxed);

	for (size_t i = 0; i < used; i++) {
		struct range *r = &g->ranges[i];

		if (atomic_load_explicit(&r->start, memory_order_relaxed) != (uintptr_t)start)
			continue;
		atomic_store_explicit(&r->start, 0, memory_order_release);
		return;
	}
}

bool
guard_watch(const struct guard *g, void *start, size_t size)
{
	struct uffdio_register range = {
		.range = {.start = (uintptr_t)start, .len = size},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return g->watcher >= 0 && ioctl(g->watcher, UFFDIO_REGISTER, &range) == 0;
}

bool
guard_is_broken(const struct guard *g)
{
	return atomic_load_explicit(&g->broken, memory_order_acquire);
}

const _Atomic bool *
guard_broken(const struct guard *g)
{
	return &g->broken;
}

bool
guard_is_spent(const struct guard *g)
{
	return atomic_load_explicit(&g->spent, memory_order_acquire);
}
