/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_REFERENCE_H
#define REFDEV_REFERENCE_H

/* The reference device: its state, which only its own files know (bar0.c, engine.c, io_fds.c,
 * reference.c). */

#include "device.h"
#include "msix.h"
#include "refdev_regs.h"

#define REFDEV_NR_SLOTS (REFDEV_REGS_SIZE / 4u)

struct refdev_bar0 {
	uint64_t value[REFDEV_NR_SLOTS]; /* of the register at offset 4 * slot */
	uint8_t ram[REFDEV_RAM_SIZE];
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
	enum {
		REFDEV_ENGINE_IDLE,
		REFDEV_ENGINE_READING,
		REFDEV_ENGINE_WRITING,
	} phase;
	struct refdev_transfer transfer;
	struct refdev_memory buffer; /* of REFDEV_DMA_MAX_LEN bytes, once there was a transfer */
	uint32_t asked;              /* bytes of this phase that messages were sent for */
	uint32_t answered;           /* bytes of this phase that were answered */
	unsigned int in_flight;      /* messages without an answer */
	int error;                   /* the first one of this transfer, negative */
	uint32_t raw_left;           /* raw messages to be sent yet */
	uint16_t raw_cmd;
};

enum refdev_event {
	REFDEV_EVENT_DOORBELL,  /* ioeventfd of DOORBELL */
	REFDEV_EVENT_DOORBELL2, /* shadow ioeventfd of DOORBELL2 */
	REFDEV_EVENT_TIMER,
};

_Static_assert(REFDEV_EVENT_TIMER + 1 == REFDEV_MAX_EVENT_FDS, "one descriptor an event");

struct refdev_reference {
	struct refdev_bar0 bar0;
	struct refdev_memory bar2;
	struct refdev_memory bar4;
	struct refdev_msix msix;
	struct refdev_engine engine;
	int ioregion[2];             /* a socket pair; -1 before a client asks */
	struct refdev_memory shadow; /* of DOORBELL2; fd -1 before a client asks */
};

static inline struct refdev_reference *
refdev_reference_of(const struct refdev *dev)
{
	return dev->state;
}

/* A register of BAR0 by its name. */
#define REFDEV_REG(dev, name) (refdev_reference_of(dev)->bar0.value[REFDEV_REG_##name / 4])

/* bar0.c */
refdev_read_fn refdev_bar0_read;
refdev_write_fn refdev_bar0_write;
void refdev_bar0_reset(struct refdev *dev);

/* ---- engine.c: the DMA engine, and the commands that it sends ---- */

/* Start a transfer by the registers. Returns 0 or, when none can begin, -EBUSY or -ENOMEM. */
int refdev_engine_start(struct refdev *dev);
/* RAW_SEND was written. */
int refdev_engine_send_raw(struct refdev *dev, uint32_t cmd);
/* Forget what is under way; answers may still come. */
void refdev_engine_reset(struct refdev *dev);
/* The client has gone. */
void refdev_engine_release(struct refdev *dev);

/* Of struct refdev_model. */
bool refdev_engine_has_command(const struct refdev *dev);
void refdev_engine_next_command(struct refdev *dev, struct vuc_loopback_msg *msg);
int refdev_engine_answer(struct refdev *dev, const struct refdev_command *command,
	const struct refdev_answer *answer);

/* ---- io_fds.c: what reaches the device by descriptors of its own ---- */

refdev_handler refdev_io_fds_get;
void refdev_io_fds_take_event(struct refdev *dev, unsigned int event);
/* The client has gone, and what it was given means nothing any more. */
void refdev_io_fds_release(struct refdev *dev);

#endif /* REFDEV_REFERENCE_H */
