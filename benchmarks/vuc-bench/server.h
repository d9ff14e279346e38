/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

/* Who answers the accesses. */

#include <vuc/loopback.h>

#include "refdev_proc.h"

struct refdev;

enum bench_server_kind {
	BENCH_SERVER_OWN,      /* a vuc-refdev that is started for the run */
	BENCH_SERVER_FOREIGN,  /* one that listens already */
	BENCH_SERVER_LOOPBACK, /* the reference device inside this process */
};

struct bench_server {
	enum bench_server_kind kind;
	const char *path; /* of its socket; NULL: it has none */
	struct bench_refdev_proc proc;
	struct refdev *dev;
	struct vuc_loopback_server loopback;
};

/*
 * @param path  of the socket of BENCH_SERVER_FOREIGN; must live as long as the server
 * @param own   how to start BENCH_SERVER_OWN; else not used
 * @return 0 or a negative errno; on failure nothing is left behind
 */
int bench_server_start(struct bench_server *server, enum bench_server_kind kind, const char *path,
	const struct bench_refdev_opts *own, struct vuc_error *err);

/* Nothing happens when it was not started. */
void bench_server_stop(struct bench_server *server);

#endif /* BENCH_SERVER_H */
