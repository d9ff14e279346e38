/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

/* Whom a measurement measures, and from where: the server, the transport and the CPUs. */

#include "bench.h"
#include "daemon.h"
#include "path.h"
#include "server.h"

/* The struct of a measurement that uses the options begins with it. */
struct bench_target {
	const char *socket;    /* NULL: none was given */
	const char *transport; /* NULL: vuc's choice */
	enum bench_path path;
	bool block;      /* a server of ours sleeps while it has nothing to do, on our CPU */
	bool waits;      /* this thread sleeps while a poller has work, which may share its CPU */
	bool shares_cpu; /* once started: so it does, for want of another one */
	enum bench_server_kind kind;
	char socket_text[128]; /* for the reports */
	struct bench_server server;
	struct bench_daemon daemon; /* of BENCH_PATH_SHM, once started */
	int latency;                /* descriptor that keeps the CPUs awake, or a negative errno */
};

/* Parse --socket, --transport and --path. Each returns 0 or -EINVAL. */
int bench_target_parse_socket(void *target, const char *text, struct vuc_error *err);
int bench_target_parse_transport(void *target, const char *text, struct vuc_error *err);
int bench_target_parse_path(void *target, const char *text, struct vuc_error *err);

/* Look at all of them. Returns 0 or -EINVAL. */
int bench_target_check(struct bench_target *target, struct vuc_error *err);

/*
 * Settle the CPUs, start the server, move to our CPU and keep it awake; tell the environment.
 * Returns 0 or a negative errno; on failure nothing is left behind.
 */
int bench_target_start(struct bench_target *target, struct bench *bench, struct vuc_error *err);
void bench_target_stop(struct bench_target *target);

/* The CPU of the poller. Of a target that was started. */
unsigned int bench_target_poller_cpu(const struct bench_target *target, const struct bench *bench);

/* Tell a result who answers, and by which path. Of a target that was started. */
void bench_target_describe(
	struct bench_target *target, const struct bench *bench, struct bench_result *result);

#endif /* BENCH_TARGET_H */
