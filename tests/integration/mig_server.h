/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_MIG_SERVER_H
#define VUC_TESTS_MIG_SERVER_H

/*
 * A fake server of device features, migration data and unmapping with dirty pages: it takes every
 * change of state, and keeps a record of what it was asked.
 */

#include "fake_server.h"

#define MIG_ROUNDS 4

struct mig_server {
	struct fake_server
		server; /* what goes wrong; its log has states set, data read and written */
	uint64_t migration_flags;
	bool has_dirty;
	uint32_t state;
	size_t pre_copy[MIG_ROUNDS]; /* bytes of data in each round of pre-copy */
	size_t stop_copy;            /* bytes of data in STOP_COPY */
	uint64_t log_page_size;      /* what logging uses; 0: what is asked for */

	/* Its own. */
	unsigned int round;
	size_t left;
	size_t sent;
	size_t taken;       /* bytes written to it */
	unsigned int wrong; /* of them, those that are not mig_byte() */
};

/* A server that has it all, without regions and interrupts, and does nothing wrong; RUNNING. */
void mig_server_init(struct mig_server *f);

/* A fake_command_fn, for tests that have one of their own; a struct mig_server is its argument. */
int mig_server_command(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply);

/* Byte i of its migration data. */
uint8_t mig_byte(size_t i);

/* Whether page number page, counted from address 0, is one that it reports as dirty. */
bool mig_page_is_dirty(uint64_t page);

/* Open a device of it, with a timeout of 30 ms where it is silent; asserts that it works. */
struct vuc_device *mig_server_open(struct mig_server *f);

#endif /* VUC_TESTS_MIG_SERVER_H */
