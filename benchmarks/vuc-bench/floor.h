/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

/*
 * The least that an access can cost, next to which vuc is held: a loop written by hand for this
 * one message.
 */

#include <vuc/loopback.h>

#include "clock.h"
#include "message.h"
#include "spin.h"
#include "way.h"

/* Over a socket: a send(2) for each message, and spinning on recv(2). */
struct bench_floor_socket {
	struct bench_way way;
	const char *path; /* where to connect; NULL: fd is there already, and stays the caller's */
	uint16_t id;      /* of the last message */
	uint32_t together;
	struct bench_message access;
	struct bench_message settle;
	struct bench_spin spin;
};

void bench_floor_socket_init(struct bench_floor_socket *floor, const struct bench_clock *clock,
	const struct bench_access *access, const char *path, int fd);

/* Without a socket: a call of the server's handler. */
struct bench_floor_call {
	struct bench_way way;
	const struct bench_clock *clock;
	const struct vuc_loopback_server *server;
	uint16_t id;
	uint32_t together;
	struct bench_message access;
	struct bench_message settle;
	uint8_t reply[4096]; /* VERSION has the longest */
};

void bench_floor_call_init(struct bench_floor_call *floor, const struct bench_clock *clock,
	const struct bench_access *access, const struct vuc_loopback_server *server);

#endif /* BENCH_FLOOR_H */
