/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_ENGINE_H
#define REFDEV_ENGINE_H

/* The DMA engine, and the commands that the device sends to its client. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "refdev.h"
#include "refdev_regs.h"
#include "vfio_user.h"

/* ---- engine.c ---- */

enum refdev_engine_phase {
	REFDEV_ENGINE_IDLE,
	REFDEV_ENGINE_READING,
	REFDEV_ENGINE_WRITING,
};

/* The registers of a transfer as they were when it began. */
struct refdev_transfer {
	uint64_t src;
	uint64_t dst;
	uint64_t pattern;
	uint32_t len;
	uint32_t mode;
	uint32_t chunk;  /* most bytes of a message */
	uint32_t window; /* most messages without an answer */
	uint32_t vector; /* 0: none, else 1 + its number */
};

/* All that is read is kept in the buffer until it is written. */
struct refdev_engine {
	enum refdev_engine_phase phase;
	struct refdev_transfer transfer;
	struct refdev_memory buffer; /* of REFDEV_DMA_MAX_LEN bytes, once there was a transfer */
	uint32_t asked;              /* bytes of this phase that messages were sent for */
	uint32_t answered;           /* bytes of this phase that were answered */
	unsigned int in_flight;      /* messages without an answer */
	int error;                   /* the first one of this transfer, negative */
};

/* Start a transfer by the registers. Returns 0 or, when none can begin, -EBUSY or -ENOMEM. */
int refdev_engine_start(struct refdev *dev);
bool refdev_engine_is_busy(const struct refdev *dev);
/* A message that is due, as address and bytes behind asked; false when there is none. */
bool refdev_engine_due(const struct refdev *dev, struct vfio_user_dma_region_access *access);
/* That message has been sent; returns the offset of its bytes in the buffer. */
uint32_t refdev_engine_sent(struct refdev *dev, uint32_t count);
/* A message of count bytes from offset on was answered: data is what was read, error negative. */
void refdev_engine_answer(
	struct refdev *dev, uint32_t offset, uint32_t count, const uint8_t *data, int error);
/* Forget what is under way. */
void refdev_engine_reset(struct refdev *dev);
/* End what is under way with an error. */
void refdev_engine_cancel(struct refdev *dev, int error);

/* ---- dma_access.c ---- */

/* Whether all of a range may be accessed so: 0, -EFAULT or -EACCES. */
int refdev_dma_check(const struct refdev *dev, uint64_t addr, uint64_t len, bool write);
/*
 * Copy between the engine's buffer and memory of the client, through its mappings; how is one of
 * REFDEV_DMA_BY_FILE and REFDEV_DMA_BY_MMAP. done is set to the bytes that were copied.
 */
int refdev_dma_copy(
	struct refdev *dev, uint64_t addr, uint32_t len, bool write, uint32_t how, uint32_t *done);

/* ---- outgoing.c ---- */

/* A power of two; the low bits of a message id are its place in the table. */
#define REFDEV_MAX_COMMANDS 256u

enum refdev_command_owner {
	REFDEV_OWNER_NONE, /* the place is free */
	REFDEV_OWNER_ENGINE,
	REFDEV_OWNER_RAW,
	REFDEV_OWNER_GONE, /* nobody waits for the answer any more */
};

struct refdev_outgoing_command {
	enum refdev_command_owner owner;
	uint16_t id;
	uint16_t cmd;
	uint32_t offset; /* the engine's: in its buffer */
	uint64_t addr;
	uint64_t count;
};

struct refdev_outgoing {
	struct refdev_outgoing_command commands[REFDEV_MAX_COMMANDS];
	unsigned int nr; /* without an answer */
	uint16_t next_id;
	uint32_t raw_left; /* raw messages to be sent yet */
	uint16_t raw_cmd;
};

/* RAW_SEND was written. */
int refdev_outgoing_raw(struct refdev *dev, uint32_t cmd);
/* The engine's messages will not be waited for any more; raw ones are not sent any more. */
void refdev_outgoing_abandon(struct refdev *dev);
/* The client has gone. */
void refdev_outgoing_release(struct refdev *dev);

#endif /* REFDEV_ENGINE_H */
