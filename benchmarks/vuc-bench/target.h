/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

/* Whom a measurement measures, and from where: the server, the transport and the CPUs. */

#include "bench.h"
#include "server.h"

/* The struct of a measurement that uses the two options begins with it. */
struct bench_target {
	const char *socket;    /* NULL: none was given */
	const char *transport; /* NULL: vuc's choice */
	bool block;            /* a server of ours sleeps while it has nothing to do, on our CPU */
	bool poller;           /* there is a poller, which needs a CPU of its own */
	enum bench_server_kind kind;
	char socket_text[128]; /* for the reports */
	struct bench_server server;
	int latency; /* descriptor that keeps the CPUs awake, or a negative errno */
};

/* Parse --socket and --transport. Each returns 0 or -EINVAL. */
int bench_target_parse_socket(void *target, const char *text, struct vuc_error *err);
int bench_target_parse_transport(void *target, const char *text, struct vuc_error *err);

/* Look at both options. Returns 0 or -EINVAL. */
int bench_target_check(struct bench_target *target, struct vuc_error *err);

/*
 * Settle the CPUs, start the server, move to our CPU and keep it awake; tell the environment.
 * Returns 0 or a negative errno; on failure nothing is left behind.
 */
int bench_target_start(struct bench_target *target, struct bench *bench, struct vuc_error *err);
void bench_target_stop(struct bench_target *target);

/* The CPU of the poller. Of a target that was started. */
unsigned int bench_target_poller_cpu(const struct bench_target *target, const struct bench *bench);

/* Tell a result who answers. Of a target that was started. */
void bench_target_describe(
	struct bench_target *target, const struct bench *bench, struct bench_result *result);

#endif /* BENCH_TARGET_H */
