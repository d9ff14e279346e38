/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

/*
 * The least that an access can cost: loops written by hand for one message, and the same messages
 * sent as other clients of the protocol send theirs.
 */

#include <pthread.h>
#include <stdatomic.h>

#include <vuc/loopback.h>

#include "back.h"
#include "subject.h"
#include "wire.h"

enum bench_floor_how {
	BENCH_FLOOR_SPIN,     /* one send(2), of the whole burst when posted; spin on recv(2) */
	BENCH_FLOOR_EACH,     /* posted: a send(2) for each message */
	BENCH_FLOOR_BLOCKING, /* send(2), and sleep in recv(2) */
	BENCH_FLOOR_HANDOVER, /* send(2); an I/O thread sleeps in poll(2), receives, and wakes the
			       * sender by mutex and condition */
	BENCH_FLOOR_CALL,     /* no socket: a call of the server's handler */
};

struct bench_floor {
	struct bench_way way;
	enum bench_floor_how how;
	uint32_t together;
	uint16_t id; /* of the last message */
	struct bench_message access;
	struct bench_message settle;
	uint8_t reply[4096]; /* VERSION has the longest */
	const struct vuc_loopback_server *server;
	const char *
		path; /* where to connect; NULL: wire.fd is there already, and stays the caller's */
	struct bench_wire wire;
	uint8_t burst[BENCH_MAX_BURST * BENCH_ACCESS_MESSAGE_MAX]; /* posted together */
	/* Of a hand-over, while the connection is open. */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	ssize_t len; /* of the reply that the thread has received; 0: not yet */
};

/* path, wire.fd and server are the caller's to set. */
void bench_floor_init(struct bench_floor *floor, enum bench_floor_how how,
	const struct bench_clock *clock, const struct bench_access *access);

/* Of a hop: a word goes to a thread on another CPU and another one comes back, each on a cache line
 * of its own. */
#define BENCH_LINE 128 /* so far apart that no CPU fetches both at once */

struct bench_echo_lines {
	_Alignas(BENCH_LINE) _Atomic uint32_t there;
	_Alignas(BENCH_LINE) _Atomic uint32_t back;
};

struct bench_echo {
	struct bench_way way;
	const struct bench_clock *clock;
	unsigned int cpu; /* of the thread that answers */
	pthread_t thread;
	uint32_t count; /* of words so far */
	struct bench_echo_lines *lines;
};

void bench_echo_init(struct bench_echo *echo, const struct bench_clock *clock, unsigned int cpu);

/* Of a hop: the queue itself. Requests are taken and answered, and nothing is done. */
struct bench_ring {
	struct bench_queue_way queue;
	unsigned int cpu; /* of the thread that answers */
	pthread_t thread;
	_Atomic bool stop;
	void *requests;
	void *completions;
	struct vuc_queue_back back;
};

void bench_ring_init(struct bench_ring *ring, const struct bench_clock *clock,
	const struct bench_access *access, unsigned int cpu);

#endif /* BENCH_FLOOR_H */
