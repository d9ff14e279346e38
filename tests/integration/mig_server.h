/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_MIG_SERVER_H
#define VUC_TESTS_MIG_SERVER_H

/*
 * A server of device features and migration data inside the process, for what a server that is well
 * cannot do: answer wrongly at a chosen message. It has no regions and no interrupts, takes every
 * change of state, and keeps a record of what it was asked.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>
#include <vuc/loopback.h>

#define MIG_ROUNDS 4

enum mig_wrong {
	MIG_ERROR,       /* answers with the error number in value */
	MIG_ERROR_STATE, /* the same, and the device is in ERROR then */
	MIG_CUT,         /* the reply's body lacks value bytes at its end */
	MIG_LONGER,      /* the reply's body has value bytes more */
	MIG_FIELD,       /* the 32 bits at byte at of the reply's body are value */
	MIG_SILENT,      /* no reply */
	MIG_CLOSE,       /* the connection ends */
};

/* What goes wrong: at the nth message that matches, from 1 on; 0 is nothing. */
struct mig_fault {
	unsigned int nth;
	uint16_t cmd;
	uint32_t flags; /* of a feature: its number and method; 0 is any */
	enum mig_wrong wrong;
	uint32_t at;
	uint32_t value;
};

struct mig_server {
	struct vuc_loopback_server server;
	uint32_t max_data; /* max_data_xfer_size */
	uint64_t migration_flags;
	bool has_dirty;
	uint32_t state;
	size_t pre_copy[MIG_ROUNDS]; /* bytes of data in each round of pre-copy */
	size_t stop_copy;            /* bytes of data in STOP_COPY */
	uint64_t log_page_size;      /* what logging uses; 0: what is asked for */
	struct mig_fault fault;

	/* Its own. */
	unsigned int matched;
	unsigned int round;
	size_t left;
	size_t sent;
	size_t taken;       /* bytes written to it */
	unsigned int wrong; /* of them, those that are not mig_byte() */
	char trace[2048];   /* states set, data read and written: "STOP r64 w10" */
};

/* A server that has it all and does nothing wrong; RUNNING. */
void mig_server_init(struct mig_server *f);

/* Byte i of its migration data. */
uint8_t mig_byte(size_t i);

/* Whether page number page, counted from address 0, is one that it reports as dirty. */
bool mig_page_is_dirty(uint64_t page);

/* Open a device of it; asserts that it works. */
struct vuc_device *mig_server_open(struct mig_server *f);

/* The same with a timeout for every request. */
struct vuc_device *mig_server_open_timeout(struct mig_server *f, uint32_t timeout_ms);

/* Whether a call's reason is this; prints it when it is not. */
bool mig_reason_is(struct vuc_device *dev, const char *expected);

#endif /* VUC_TESTS_MIG_SERVER_H */
