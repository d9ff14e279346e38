/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

/*
 * The messages of the floor, written by hand: nothing of vuc takes part but the layout of the
 * protocol's structs.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "vfio_user.h"
#include "way.h"

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

/* VFIO_USER_VERSION with the capabilities that a plain client has. */
void bench_message_version(struct bench_message *msg);

/* VFIO_USER_REGION_READ or VFIO_USER_REGION_WRITE. */
void bench_message_access(struct bench_message *msg, const struct bench_access *access);

/* VFIO_USER_DMA_MAP for reading and writing, its memory behind a descriptor that goes with it, and
 * VFIO_USER_DMA_UNMAP; each of a size that does not change. */
void bench_message_dma_map(struct bench_message *msg, uint64_t size);
void bench_message_dma_unmap(struct bench_message *msg, uint64_t size);

/* Give such a message its addresses. */
void bench_message_dma_map_set(struct bench_message *msg, uint64_t addr, uint64_t offset);
void bench_message_dma_unmap_set(struct bench_message *msg, uint64_t addr);

/* Give the message its id. */
void bench_message_number(struct bench_message *msg, uint16_t id);

/* Whether all bytes of a reply are there, as its header says. */
bool bench_message_is_whole(const uint8_t *reply, size_t len);

/*
 * Check a whole reply against its message. Returns 0; the server's error, negative; -EPROTO for
 * anything that is no answer to this message.
 */
int bench_message_check(
	const struct bench_message *msg, const uint8_t *reply, size_t len, struct vuc_error *err);

#endif /* BENCH_MESSAGE_H */
