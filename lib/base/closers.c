/* SPDX-License-Identifier: BSD-3-Clause */
#include "closers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "thread.h"

#define STACK_SIZE (256u * 1024u)
#define IDLE_MS    100u /* until a thread that finds nothing to close ends */
#define HELD_UP_MS 20u  /* until what is being closed counts as held up, and the next is begun */

struct job {
	STAILQ_ENTRY(job) link;
	void *addr;
	size_t size; /* of the mapping; 0: there is none */
	unsigned int nr_fds;
	int fds[];
};

struct vuc_closer {
	TAILQ_ENTRY(vuc_closer) link; /* of those that are ready */
	struct vuc_closers *closers;
	STAILQ_HEAD(, job) jobs;
	unsigned int nr_jobs;
	unsigned int nr_closing; /* threads */
	unsigned int max_threads;
	bool ready;
	unsigned int holds; /* freed without them, and with its last job */
};

/*
 * One thread does all as long as nothing is held up, and another one stands by while something
 * waits: it begins with that when what is being closed takes long.
 */
struct vuc_closers {
	cpu_set_t cpus;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	TAILQ_HEAD(, vuc_closer) ready; /* have something to close, and a thread may do it */
	unsigned int nr_left;           /* jobs that are not done */
	unsigned int nr_threads;
	unsigned int nr_waiting;  /* of them */
	const struct job *latest; /* that was begun; NULL: it is done */
	uint64_t latest_ms;       /* when */
	bool destroyed;           /* no thread stays idle, */
	bool abandoned;           /* and the last one frees it */
};

struct vuc_closers *
vuc_closers_create(void)
{
	struct vuc_closers *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (c == NULL)
		return NULL;
	pthread_getaffinity_np(pthread_self(), sizeof(c->cpus), &c->cpus);
	TAILQ_INIT(&c->ready);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	return c;
}

static void
job_do(const struct job *job)
{
	if (job->size > 0)
		munmap(job->addr, job->size);
	for (unsigned int i = 0; i < job->nr_fds; i++) {
		if (job->fds[i] >= 0)
			close(job->fds[i]);
	}
}

static struct job *
job_alloc(const int *fds, unsigned int nr_fds)
{
	struct job *job = malloc(sizeof(*job) + nr_fds * sizeof(job->fds[0]));

	if (job == NULL)
		return NULL;
	*job = (struct job){.nr_fds = nr_fds};
	if (nr_fds > 0)
		memcpy(job->fds, fds, nr_fds * sizeof(job->fds[0]));
	return job;
}

/* ---- with the lock held ---- */

static void
closer_update(struct vuc_closer *o)
{
	bool ready = o->nr_jobs > 0 && o->nr_closing < o->max_threads;

	if (ready && !o->ready)
		TAILQ_INSERT_TAIL(&o->closers->ready, o, link);
	else if (!ready && o->ready)
		TAILQ_REMOVE(&o->closers->ready, o, link);
	o->ready = ready;
}

static void
closer_free_if_done(struct vuc_closer *o)
{
	if (o->holds == 0 && o->nr_jobs == 0 && o->nr_closing == 0)
		free(o);
}

static struct job *
closer_take_job(struct vuc_closer *o)
{
	struct vuc_closers *c = o->closers;
	struct job *job = STAILQ_FIRST(&o->jobs);

	STAILQ_REMOVE_HEAD(&o->jobs, link);
	o->nr_jobs--;
	o->nr_closing++;
	/* Behind the others. */
	TAILQ_REMOVE(&c->ready, o, link);
	o->ready = false;
	closer_update(o);
	c->latest = job;
	c->latest_ms = vuc_clock_ms();
	return job;
}

static void
closer_end_job(struct vuc_closer *o, const struct job *job)
{
	struct vuc_closers *c = o->closers;

	if (c->latest == job)
		c->latest = NULL;
	c->nr_left--;
	o->nr_closing--;
	closer_update(o);
	closer_free_if_done(o);
	pthread_cond_broadcast(&c->changed);
}

/* But for the time in which it waits. Returns whether it may go on. */
static bool
closers_await(struct vuc_closers *c, uint64_t end_ms)
{
	const struct timespec end = {
		.tv_sec = (time_t)(end_ms / 1000),
		.tv_nsec = (long)(end_ms % 1000) * 1000000,
	};

	return pthread_cond_timedwait(&c->changed, &c->lock, &end) == 0;
}

/* One that has something to close, or NULL after a while. */
static struct vuc_closer *
closers_await_job(struct vuc_closers *c)
{
	uint64_t now_ms = vuc_clock_ms(), idle_ms = now_ms + IDLE_MS;

	for (;; now_ms = vuc_clock_ms()) {
		bool any = !TAILQ_EMPTY(&c->ready);
		uint64_t end_ms = any ? c->latest_ms + HELD_UP_MS : idle_ms;

		if (any && (c->latest == NULL || now_ms >= end_ms))
			return TAILQ_FIRST(&c->ready);
		if (!any && (c->destroyed || now_ms >= end_ms))
			return NULL;
		closers_await(c, end_ms);
	}
}

static void *closers_run(void *arg);

/* A thread waits for what is ready. Where there can be none, those that are there do it later, or
 * one that is started with the next job. */
static void
closers_stand_by(struct vuc_closers *c)
{
	pthread_t thread;

	if (TAILQ_EMPTY(&c->ready) || c->nr_waiting > 0 ||
		vuc_thread_create(&thread, STACK_SIZE, closers_run, c) != 0)
		return;
	pthread_detach(thread);
	c->nr_threads++;
	c->nr_waiting++;
}

/* ---- */

static void
closers_free(struct vuc_closers *c)
{
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* With the lock held, by a thread that is counted as one that waits: close what is ready. */
static void
closers_close_ready(struct vuc_closers *c)
{
	struct vuc_closer *o;

	while ((o = closers_await_job(c)) != NULL) {
		struct job *job = closer_take_job(o);

		c->nr_waiting--;
		closers_stand_by(c);
		pthread_mutex_unlock(&c->lock);
		job_do(job);
		pthread_mutex_lock(&c->lock);
		closer_end_job(o, job);
		free(job);
		c->nr_waiting++;
	}
	c->nr_waiting--;
	c->nr_threads--;
}

static void *
closers_run(void *arg)
{
	struct vuc_closers *c = arg;
	bool last;

	pthread_setname_np(pthread_self(), "vuc-closer");
	pthread_setaffinity_np(pthread_self(), sizeof(c->cpus), &c->cpus);
	pthread_mutex_lock(&c->lock);
	closers_close_ready(c);
	last = c->nr_threads == 0 && c->abandoned;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	if (last)
		closers_free(c);
	return NULL;
}

/* Descriptors and mappings stay. */
static void
closer_forget(struct vuc_closer *o)
{
	struct job *job;

	while ((job = STAILQ_FIRST(&o->jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(&o->jobs, link);
		o->nr_jobs--;
		free(job);
	}
	closer_free_if_done(o);
}

/* The caller holds no lock of the heir but that of c, which has no threads: nobody else uses it. */
static void
closers_bequeath(struct vuc_closers *c, struct vuc_closers *heir)
{
	struct vuc_closer *o;

	if (heir == NULL) {
		while ((o = TAILQ_FIRST(&c->ready)) != NULL) {
			TAILQ_REMOVE(&c->ready, o, link);
			closer_forget(o);
		}
		return;
	}
	pthread_mutex_lock(&heir->lock);
	while ((o = TAILQ_FIRST(&c->ready)) != NULL) {
		TAILQ_REMOVE(&c->ready, o, link);
		TAILQ_INSERT_TAIL(&heir->ready, o, link);
		o->closers = heir;
	}
	heir->nr_left += c->nr_left;
	c->nr_left = 0;
	pthread_mutex_unlock(&heir->lock);
}

bool
vuc_closers_retry(struct vuc_closers *c)
{
	bool stuck;

	pthread_mutex_lock(&c->lock);
	closers_stand_by(c);
	stuck = c->nr_threads == 0 && !TAILQ_EMPTY(&c->ready);
	pthread_mutex_unlock(&c->lock);
	return stuck;
}

unsigned int
vuc_closers_destroy(struct vuc_closers *c, uint32_t timeout_ms, struct vuc_closers *heir)
{
	uint64_t end_ms = vuc_clock_ms() + timeout_ms;
	unsigned int left;
	bool last;

	if (c == NULL)
		return 0;
	pthread_mutex_lock(&c->lock);
	c->destroyed = true;
	closers_stand_by(c);
	pthread_cond_broadcast(&c->changed);
	while (c->nr_threads > 0 && closers_await(c, end_ms))
		continue;
	last = c->nr_threads == 0;
	/* No thread could be started: nobody comes later. */
	if (last)
		closers_bequeath(c, heir);
	left = c->nr_left;
	c->abandoned = true;
	pthread_mutex_unlock(&c->lock);
	if (last)
		closers_free(c);
	return left;
}

struct vuc_closer *
vuc_closer_create(struct vuc_closers *c, unsigned int max_threads)
{
	struct vuc_closer *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->closers = c;
	o->max_threads = max_threads;
	o->holds = 1;
	STAILQ_INIT(&o->jobs);
	return o;
}

struct vuc_closer *
vuc_closer_hold(struct vuc_closer *o)
{
	if (o == NULL)
		return NULL;
	pthread_mutex_lock(&o->closers->lock);
	o->holds++;
	pthread_mutex_unlock(&o->closers->lock);
	return o;
}

void
vuc_closer_let_go(struct vuc_closer *o)
{
	struct vuc_closers *c = o != NULL ? o->closers : NULL;

	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	o->holds--;
	closer_free_if_done(o);
	pthread_mutex_unlock(&c->lock);
}

/* Returns false when there was no memory for it. */
static bool
closer_put(struct vuc_closer *o, struct job *job)
{
	struct vuc_closers *c;

	if (job == NULL)
		return false;
	c = o->closers;
	pthread_mutex_lock(&c->lock);
	STAILQ_INSERT_TAIL(&o->jobs, job, link);
	o->nr_jobs++;
	c->nr_left++;
	closer_update(o);
	closers_stand_by(c);
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	return true;
}

/* Behind those that are none. */
static unsigned int
skip_closed(const int *fds, unsigned int nr_fds)
{
	unsigned int i = 0;

	while (i < nr_fds && fds[i] < 0)
		i++;
	return i;
}

void
vuc_closer_close(struct vuc_closer *o, const int *fds, unsigned int nr_fds)
{
	unsigned int none = skip_closed(fds, nr_fds);

	/* Most messages have had theirs taken: that is worth no thread. */
	if (none == nr_fds || (o != NULL && closer_put(o, job_alloc(fds + none, nr_fds - none))))
		return;
	for (unsigned int i = 0; i < nr_fds; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
}

/* Bytes out of band count as well, which a look at the next ones would leave out. */
static bool
is_stream_empty(int sock)
{
	int len = -1;

	return ioctl(sock, FIONREAD, &len) == 0 && len == 0;
}

/* A packet without a byte has its sender's credentials, so that it is not taken for the end. There
 * is no room for descriptors, else they would be received. */
static bool
is_empty(int sock)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
	int type = 0, on = 1;
	socklen_t len = sizeof(type);
	ssize_t n;

	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
		return false;
	if (type == SOCK_STREAM)
		return is_stream_empty(sock);
	if (setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
		return false;
	/* A reset is told once, before what lies there. */
	do {
		msg.msg_controllen = sizeof(control);
		n = recvmsg(sock, &msg, MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == ECONNRESET);
	return n == 0 && msg.msg_controllen == 0;
}

void
vuc_closer_close_socket(struct vuc_closer *o, int sock)
{
	/* Nothing comes from now on, so that it stays empty. Without the shutdown it was never
	 * connected. */
	if (o != NULL && shutdown(sock, SHUT_RDWR) == 0 && !is_empty(sock))
		vuc_closer_close(o, &sock, 1);
	else
		close(sock);
}

void
vuc_closer_unmap(struct vuc_closer *o, void *addr, size_t size)
{
	struct job *job = o != NULL ? job_alloc(NULL, 0) : NULL;

	if (job != NULL) {
		job->addr = addr;
		job->size = size;
	}
	if (!closer_put(o, job))
		munmap(addr, size);
}

unsigned int
vuc_closer_waiting(struct vuc_closer *o)
{
	unsigned int n;

	if (o == NULL)
		return 0;
	pthread_mutex_lock(&o->closers->lock);
	n = o->nr_jobs;
	pthread_mutex_unlock(&o->closers->lock);
	return n;
}

bool
vuc_closer_busy(struct vuc_closer *o)
{
	bool busy;

	pthread_mutex_lock(&o->closers->lock);
	busy = o->nr_closing >= o->max_threads;
	pthread_mutex_unlock(&o->closers->lock);
	return busy;
}

bool
vuc_closer_wait(struct vuc_closer *o, uint32_t timeout_ms)
{
	uint64_t end_ms = vuc_clock_ms() + timeout_ms;
	bool closed;

	pthread_mutex_lock(&o->closers->lock);
	/* There may have been no thread for it before. */
	closers_stand_by(o->closers);
	while (o->nr_jobs + o->nr_closing > 0 && closers_await(o->closers, end_ms))
		continue;
	closed = o->nr_jobs + o->nr_closing == 0;
	pthread_mutex_unlock(&o->closers->lock);
	return closed;
}
