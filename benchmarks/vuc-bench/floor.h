/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

/*
 * The least that an access can cost, written by hand: nothing of vuc takes part but the layout of
 * the protocol's structs. Ready messages, a thread that spins on a socket, and accesses by these or
 * as other clients of the protocol make theirs.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vuc/loopback.h>

#include "bench.h"
#include "vfio_user.h"

#define BENCH_MESSAGE_MAX 256

/* The longest one of an access. */
#define BENCH_ACCESS_MESSAGE_MAX                                                    \
	(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access) + \
		BENCH_ACCESS_MAX)

/* A command that is ready to be sent, and what its reply looks like. */
struct bench_message {
	uint8_t bytes[BENCH_MESSAGE_MAX];
	size_t len;
	size_t reply_len; /* 0: none is asked for, or not known before (VERSION) */
	size_t echo_len;  /* of the body, which the reply repeats */
};

/* VFIO_USER_VERSION with the capabilities of a plain client. */
void bench_message_version(struct bench_message *msg);

/* VFIO_USER_REGION_READ or VFIO_USER_REGION_WRITE. */
void bench_message_access(struct bench_message *msg, const struct bench_access *access);

/* VFIO_USER_DMA_MAP for reading and writing memory behind a descriptor, and VFIO_USER_DMA_UNMAP. */
void bench_message_dma_map(struct bench_message *msg, uint64_t size);
void bench_message_dma_unmap(struct bench_message *msg, uint64_t size);

/* Set the addresses of such a message. */
void bench_message_dma_map_set(struct bench_message *msg, uint64_t addr, uint64_t offset);
void bench_message_dma_unmap_set(struct bench_message *msg, uint64_t addr);

/* Set the message's id. */
void bench_message_number(struct bench_message *msg, uint16_t id);

/* Whether all bytes of a reply are there, as its header says. */
bool bench_message_is_whole(const uint8_t *reply, size_t len);

/* Check a whole reply: the server's error, or -EPROTO for anything that is no answer to this
 * message. */
int bench_message_check(
	const struct bench_message *msg, const uint8_t *reply, size_t len, struct vuc_error *err);

/* Let a receive and a send sleep for at most this long; 0 ms: no limit. */
int bench_limit_waiting(int fd, unsigned int ms, struct vuc_error *err);

/* Connect to a server's socket, for at most BENCH_TIMEOUT_MS. Returns a descriptor that the caller
 * closes. */
int bench_connect(const char *path, struct vuc_error *err);

/* A stream socket of a thread that spins. */
struct bench_wire {
	const struct bench_clock *clock;
	int fd; /* stays the caller's */
	uint64_t syscalls;
	uint64_t deadline; /* in ticks */
};

/* What follows gives up so many milliseconds from now. */
void bench_wire_begin(struct bench_wire *wire, unsigned int ms);

/*
 * Send bytes that the kernel takes whole by send(2), or with a descriptor by sendmsg(2); or a head
 * and data that it may take in parts. As all that follow, they end with -ETIMEDOUT after the time
 * of bench_wire_begin(), and with -EINTR after a signal.
 */
int bench_wire_send(struct bench_wire *wire, const void *bytes, size_t len);
int bench_wire_send_fd(struct bench_wire *wire, const void *bytes, size_t len, int fd);
int bench_wire_send_data(struct bench_wire *wire, const void *head, size_t head_len,
	const void *data, size_t data_len);

/* Receive what there is, at least a byte. Returns its length; -ECONNRESET when the server
 * disconnected. */
ssize_t bench_wire_receive(struct bench_wire *wire, void *buf, size_t size);

/* Receive exactly len bytes. */
int bench_wire_receive_all(struct bench_wire *wire, void *buf, size_t len);

/* Receive the reply of a message that was sent. Returns its length, 0 for a message that asks for
 * none. */
ssize_t bench_wire_receive_reply(
	struct bench_wire *wire, const struct bench_message *msg, uint8_t reply[BENCH_MESSAGE_MAX]);

/* Check what an exchange returned and received. */
int bench_wire_check(
	const struct bench_message *msg, const uint8_t *reply, ssize_t len, struct vuc_error *err);

/* Exchange VERSION over a new connection, for at most BENCH_TIMEOUT_MS. */
int bench_negotiate(struct bench_wire *wire, struct vuc_error *err);

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

#endif /* BENCH_FLOOR_H */
