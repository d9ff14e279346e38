/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SHM_H
#define BENCH_SHM_H

/* Devices of another process by shared memory, as a VMM has them. */

#include <vuc/vmm.h>

#include "daemon.h"
#include "queue_way.h"
#include "report.h"
#include "tracer.h"

/* Attach to a device of the daemon's. Returns 0 or a negative errno. */
int bench_shm_attach(const struct bench_daemon *daemon, const char *name,
	struct vuc_vmm_device **dev, struct vuc_error *err);

/* Accesses by a queue to a poller in the daemon; poller and device are there while the way is open
 * only. Its system calls are those of the thread that measures or, when that is not traced, those
 * of the poller. */
struct bench_shm_subject {
	struct bench_queue_way queue;
	struct bench_daemon *daemon;
	const char *path;                   /* of the server's socket; NULL: one in the daemon */
	struct vuc_poller_opts poller_opts; /* idle policy is the caller's to change */
	struct vuc_vmm_device *dev;
	bool trace;
	struct bench_tracer tracer;
	int untraced; /* a negative errno: the system calls could not be counted */
	char transport[BENCH_DAEMON_NAME_MAX]; /* in use, once it was open */
};

/*
 * @param transport  by name; NULL: vuc's choice
 * @param cpu        of the poller
 */
void bench_shm_subject_init(struct bench_shm_subject *subject, const struct bench_clock *clock,
	const struct bench_access *access, struct bench_daemon *daemon, const char *transport,
	unsigned int cpu);

/* Tell a result whether the system calls of this thread were counted. */
void bench_shm_tell(int untraced, struct bench_result *result, struct bench_series *series);

#endif /* BENCH_SHM_H */
