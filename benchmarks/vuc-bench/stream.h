/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

/* Whole messages over a stream socket by a thread that spins: what a plain copy takes. */

#include <stddef.h>
#include <stdint.h>

#include "ticks.h"

struct bench_stream {
	const struct bench_clock *clock;
	int fd;            /* stays the caller's */
	uint64_t deadline; /* in ticks */
	uint64_t syscalls;
};

/* What follows gives up after so many milliseconds. */
void bench_stream_init(
	struct bench_stream *stream, const struct bench_clock *clock, int fd, unsigned int ms);

/* Send a head and the data behind it. Returns 0; -ETIMEDOUT; -EINTR after a signal that asks for an
 * end; what the socket says. */
int bench_stream_send(struct bench_stream *stream, const void *head, size_t head_len,
	const void *data, size_t data_len);

/* Receive exactly len bytes. Returns as above; -ECONNRESET when the peer hung up. */
int bench_stream_receive(struct bench_stream *stream, void *buf, size_t len);

#endif /* BENCH_STREAM_H */
