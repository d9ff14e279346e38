/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SPIN_H
#define BENCH_SPIN_H

/* The floor's way over a socket: send, then recv(2) with MSG_DONTWAIT until the reply is there. */

#include <sys/types.h>

#include "message.h"
#include "ticks.h"

struct bench_spin {
	const struct bench_clock *clock;
	int fd; /* stays the caller's */
	uint64_t syscalls;
	uint64_t deadline; /* in ticks */
	uint8_t reply[BENCH_MESSAGE_MAX];
};

void bench_spin_init(struct bench_spin *spin, const struct bench_clock *clock, int fd);

/* What follows gives up BENCH_TIMEOUT_MS from now. */
void bench_spin_begin(struct bench_spin *spin);

/* Send bytes that the kernel takes whole with send(2), a message, or one with a descriptor by
 * sendmsg(2). Returns 0; -ETIMEDOUT; -EINTR after a signal; what the socket says. */
int bench_spin_send_bytes(struct bench_spin *spin, const void *bytes, size_t len);
int bench_spin_send(struct bench_spin *spin, const struct bench_message *msg);
int bench_spin_send_fd(struct bench_spin *spin, const struct bench_message *msg, int fd);

/* Receive what there is, at least a byte. Returns its length or a negative errno as above,
 * -ECONNRESET when the server disconnected. */
ssize_t bench_spin_receive_some(struct bench_spin *spin, void *buf, size_t size);

/* Receive the reply of a message that was sent. Returns its length, 0 for a message that asks for
 * none; a negative errno as above. */
ssize_t bench_spin_receive(struct bench_spin *spin, const struct bench_message *msg);

/* Check what bench_spin_receive() returned and received. Returns 0, or a negative errno with a line
 * in err. */
int bench_spin_check(const struct bench_spin *spin, const struct bench_message *msg, ssize_t len,
	struct vuc_error *err);

#endif /* BENCH_SPIN_H */
