/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

/*
 * The least that an access can cost, next to which vuc is held: a loop written by hand for this
 * one message. The same messages sent as other clients of the protocol send theirs.
 */

#include <pthread.h>

#include <vuc/loopback.h>

#include "message.h"
#include "spin.h"
#include "ticks.h"
#include "way.h"

#define BENCH_MAX_BURST 256

enum bench_floor_how {
	BENCH_FLOOR_SPIN,     /* one send(2), of the whole burst when posted; spin on recv(2) */
	BENCH_FLOOR_EACH,     /* posted: a send(2) for each message */
	BENCH_FLOOR_BLOCKING, /* send(2), and sleep in recv(2) */
	BENCH_FLOOR_HANDOVER, /* send(2); an I/O thread sleeps in poll(2), receives, and wakes the
			       * sender by mutex and condition */
};

/* The I/O thread of a hand-over, while the connection is open. */
struct bench_handover {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	int fd;
	uint8_t *reply;
	ssize_t len; /* what came of it; 0: nothing yet */
};

/* Start and end the thread; bytes of replies go to reply. Each returns 0 or a negative errno. */
int bench_handover_start(
	struct bench_handover *handover, int fd, uint8_t *reply, struct vuc_error *err);
void bench_handover_stop(struct bench_handover *handover);

/* Send a message and sleep until the thread has received the reply. Returns its length; a negative
 * errno, -ETIMEDOUT after BENCH_TIMEOUT_MS. */
ssize_t bench_handover_exchange(
	struct bench_handover *handover, const struct bench_message *msg, uint64_t *syscalls);

/* Over a socket. */
struct bench_floor_socket {
	struct bench_way way;
	enum bench_floor_how how;
	const char *path; /* where to connect; NULL: fd is there already, and stays the caller's */
	uint16_t id;      /* of the last message */
	uint32_t together;
	struct bench_message access;
	struct bench_message settle;
	struct bench_spin spin;
	struct bench_handover handover;
	uint8_t burst[BENCH_MAX_BURST * BENCH_ACCESS_MESSAGE_MAX]; /* posted together */
};

void bench_floor_socket_init(struct bench_floor_socket *floor, enum bench_floor_how how,
	const struct bench_clock *clock, const struct bench_access *access, const char *path,
	int fd);

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
