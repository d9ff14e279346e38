/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

/* What is measured: devices by vuc, inline, by a poller, or by a poller of the daemon. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <vuc/device.h>
#include <vuc/loopback.h>
#include <vuc/poller.h>
#include <vuc/queue.h>
#include <vuc/vmm.h>

#include "bench.h"

/*
 * Counts the system calls of a thread, all of them: a process of its own watches it by ptrace(2),
 * which needs no privileges. A thread that makes none runs as fast as ever; one that does pays
 * dearly for each.
 */

struct bench_tracer_shared;

struct bench_tracer {
	pid_t pid; /* 0: nothing is counted */
	struct bench_tracer_shared *shared;
};

/* What both processes see. */
struct bench_tracer_shared {
	_Atomic int status; /* 0: not yet; 1: counting; else a negative errno */
	_Atomic int stop;
	_Atomic uint64_t syscalls;
	_Atomic uint64_t futexes; /* of these: to sleep, or to wake somebody */
};

struct bench_tracer_counts {
	uint64_t syscalls;
	uint64_t futexes;
};

/* Count those of the calling thread from now on. Returns 0, or a negative errno where that is not
 * allowed: nothing is counted then. */
int bench_tracer_begin(struct bench_tracer *tracer);

/* Called by the same thread. Nothing happens when nothing is counted. */
void bench_tracer_end(struct bench_tracer *tracer);

/* How many there have been, for differences; a look makes none itself. The tracer counts while the
 * thread is stopped. */
static inline struct bench_tracer_counts
bench_tracer_count(const struct bench_tracer *tracer)
{
	struct bench_tracer_counts counts = {0};

	if (tracer->pid == 0)
		return counts;
	counts.syscalls = atomic_load_explicit(&tracer->shared->syscalls, memory_order_relaxed);
	counts.futexes = atomic_load_explicit(&tracer->shared->futexes, memory_order_relaxed);
	return counts;
}

/* Bytes of a request, the least that a queue can have: every access is shorter. */
#define BENCH_QUEUE_DATA 64

/* Accesses by a queue: the side of the thread that submits. A struct of an implementation begins
 * with it; its open() sets the queue, its close() takes it. */
struct bench_queue_way {
	struct bench_way way;
	const struct bench_clock *clock;
	const struct bench_access *access; /* together: as many are outstanding at a time */
	struct vuc_queue *queue;
	uint8_t data[BENCH_ACCESS_MAX];
	struct vuc_queue_request requests[BENCH_MAX_BURST]; /* all alike */
};

/* The access must live as long as the way, whose ops have these two. */
void bench_queue_way_init(struct bench_queue_way *queue, const struct bench_way_ops *ops,
	const struct bench_clock *clock, const struct bench_access *access);
int bench_queue_way_burst(
	struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err);
int bench_queue_way_settle(struct bench_way *way, struct vuc_error *err);

#define BENCH_MAX_DEVICES BENCH_REFDEV_MAX_SOCKETS

struct bench_subject;

/* One of its devices, and the request that it is busy with. */
struct bench_device {
	struct bench_subject *subject;
	struct vuc_device *dev;     /* by a poller of the daemon: */
	struct vuc_vmm_device *vmm; /* this one */
	struct vuc_queue *queue;    /* by a poller */
	struct vuc_request request;
	uint8_t data[BENCH_ACCESS_MAX];
};

/* Accesses by its way are those of the first device. */
struct bench_subject {
	struct bench_queue_way queue;
	/* The measurement's to set. Device i is loopback[i]; or it is the one at fd; or its socket
	 * is path or, for i > 0, socket i - 1 of `others`. */
	enum bench_path path;
	const struct vuc_loopback_server *loopback; /* NULL: none in this process */
	int fd;
	const char *socket; /* with neither: a device of the daemon's own */
	const struct bench_refdev *others;
	struct vuc_poller_opts poller_opts; /* CPU, transport and idle policy */
	struct bench_daemon *daemon;
	unsigned int nr;     /* devices to open */
	bool queues;         /* by a poller, each has one */
	unsigned int depth;  /* of queues; 0: by the access */
	uint32_t spins;      /* looks at a queue before the thread sleeps; 0: as the queue has it */
	bool trace;          /* in the daemon: count the system calls of this thread */
	bool dma_by_message; /* the server accesses memory by messages */
	bool keeps_group;    /* inline: the poll group stays from turn to turn */
	/* Once open. */
	char transport[BENCH_DAEMON_NAME_MAX]; /* in use; stays */
	int untraced;                          /* a negative errno: system calls were not counted */
	struct vuc_poll_group *group;
	struct vuc_poller *poller;
	struct bench_tracer tracer;
	unsigned int nr_open;
	struct bench_device devices[BENCH_MAX_DEVICES];
};

/* Set everything to defaults: one device with a queue, that of the target, by the transport that
 * was asked for, and no tracing. */
void bench_subject_init(struct bench_subject *subject, struct bench *bench, enum bench_path path,
	const struct bench_access *access);

/* Close what is open, the poll group included. Nothing happens when nothing is. */
void bench_subject_fini(struct bench_subject *subject);

/* Open poller and devices, or close them: those of the way. */
int bench_subject_open(struct bench_subject *subject, struct vuc_error *err);
void bench_subject_close(struct bench_subject *subject);

/* System calls of the poll group so far. */
uint64_t bench_subject_syscalls(struct bench_subject *subject);

/* bench_fail() with what a device has to say. */
int bench_subject_fail(const struct bench_subject *subject, int ret, struct vuc_error *err);

/* Tell a result whether the system calls of this thread were counted. */
void bench_subject_tell_traced(const struct bench_subject *subject, struct bench_result *result,
	struct bench_series *series);

/* Accesses of a sample when all devices are busy: of the most devices one each. */
#define BENCH_BUSY_TOGETHER BENCH_MAX_DEVICES

/* The depth of queues by which nearly so many are outstanding, however many devices share them. */
unsigned int bench_busy_depth(unsigned int nr_devices);

/* Read from all devices, each again as soon as it has answered, and time samples of
 * BENCH_BUSY_TOGETHER reads. A series of NULL: nothing is recorded. */
int bench_busy_run(struct bench_subject *subject, struct bench_series *series, unsigned int samples,
	uint64_t *ticks, struct vuc_error *err);

#endif /* BENCH_SUBJECT_H */
