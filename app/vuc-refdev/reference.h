/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_REFERENCE_H
#define REFDEV_REFERENCE_H

/* The reference device: its state, which only its own files know (bar0.c, engine.c, io_fds.c,
 * reference.c). */

#include "device.h"
#include "refdev_regs.h"

#define REFDEV_NR_SLOTS (REFDEV_REGS_SIZE / 4u)

struct refdev_bar0 {
	uint64_t value[REFDEV_NR_SLOTS]; /* of the register at offset 4 * slot */
	uint8_t ram[REFDEV_RAM_SIZE];
};

/* The DMA registers as they were when the engine was started. */
struct refdev_job {
	uint64_t src;
	uint64_t dst;
	uint64_t pattern;
	uint32_t len;
	uint32_t mode;
	uint32_t chunk;
	uint32_t window;
	uint32_t vector; /* 0: none, else 1 + its number */
};

struct refdev_engine {
	struct refdev_job job;
	struct refdev_memory buffer; /* of REFDEV_DMA_MAX_LEN bytes, once it was started */
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

/* ---- engine.c: the DMA engine, and raw commands ---- */

/* DMA_START was written. Returns 0 or, when no transfer can begin, a negative errno. */
int refdev_engine_start(struct refdev *dev);
/* RAW_SEND was written. */
int refdev_engine_send_raw(struct refdev *dev, uint32_t cmd);
/* The client has left. */
void refdev_engine_release(struct refdev *dev);

/* Of struct refdev_model. */
void refdev_engine_transferred(struct refdev *dev);
void refdev_engine_raw_next(struct refdev *dev, struct vuc_loopback_msg *msg);
void refdev_engine_raw_answered(struct refdev *dev, const struct refdev_answer *answer);

/* ---- io_fds.c: what reaches the device by descriptors of its own ---- */

refdev_handler refdev_io_fds_get;
void refdev_io_fds_take_event(struct refdev *dev, unsigned int event);
/* The client has left, and what it was given means nothing any more. */
void refdev_io_fds_release(struct refdev *dev);

#endif /* REFDEV_REFERENCE_H */
