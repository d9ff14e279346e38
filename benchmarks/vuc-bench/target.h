/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

/* What a measurement measures, and from where: the server, the transport and the CPUs. */

#include <stdbool.h>

#include <vuc/loopback.h>

#include "bench.h"
#include "daemon.h"
#include "process.h"

enum bench_server_kind {
	BENCH_SERVER_OWN,      /* a vuc-refdev that is started for the run */
	BENCH_SERVER_FOREIGN,  /* one that listens already */
	BENCH_SERVER_LOOPBACK, /* the reference device inside this process */
};

/* For a measurement with a server that spins, and nothing else that does. */
#define BENCH_SERVER_NEEDS_CPU                                                                  \
	"the server needs one of its own: use --transport loopback, or --socket with a server " \
	"elsewhere"

struct bench_target {
	/* The measurement's to set before bench_target_start(). */
	bool block; /* a server of ours sleeps while it has nothing to do, on our CPU */
	bool waits; /* this thread sleeps while a poller has work, which may share its CPU */
	/* Once started. */
	enum bench_server_kind kind;
	bool shares_cpu;         /* the poller shares this thread's CPU for want of another one */
	unsigned int poller_cpu; /* where there is a poller */
	const char *path;        /* of the server's socket; NULL: it has none */
	struct bench_refdev refdev;
	struct refdev *dev;
	struct vuc_loopback_server loopback;
	struct bench_daemon daemon; /* of BENCH_PATH_SHM */
	char socket_text[128];      /* for the reports */
};

/* Look at --socket and --transport. Returns 0 or -EINVAL. */
int bench_target_check(
	struct bench_target *target, const struct bench_options *options, struct vuc_error *err);

/* Settle the CPUs, start the server, move to our CPU and keep it awake. Returns 0 or a negative
 * errno; on failure nothing is left behind. */
int bench_target_start(struct bench_target *target, struct bench *bench, struct vuc_error *err);
void bench_target_stop(struct bench_target *target, struct bench *bench);

/* Tell a result who answers, and by which path. */
void bench_target_describe(
	struct bench_target *target, const struct bench *bench, struct bench_result *result);

#endif /* BENCH_TARGET_H */
