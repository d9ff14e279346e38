/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FUZZ_CONTROL_H
#define VUC_TESTS_FUZZ_CONTROL_H

/*
 * A daemon with two devices, which are reference devices inside this process. It has its poller's
 * thread and its control thread; the thread of the VMM's connection is the caller's, and waits for
 * the others after each step, so that the same input does the same each time.
 */

#include <stdbool.h>
#include <stddef.h>

#include <vuc/shm.h>

#include "fuzz.h"

#define DAEMON_SHARED  "shared"  /* device with dma=shared */
#define DAEMON_MESSAGE "message" /* and one with dma=message */

struct control_vmm;

/* The daemon's end of a connection. */
struct daemon_end {
	struct control_vmm *vmm; /* NULL: it has ended */
	unsigned int fds;        /* of the process, before there was a connection */
	int peer;                /* the VMM's end */
};

/* A connection, of which the first one makes the daemon; returns the VMM's end of it. */
int daemon_begin(struct daemon_end *e);

/* Carry out what the VMM has sent. */
void daemon_step(struct daemon_end *e);

/* Serve queues until nothing is under way. */
void daemon_poll(struct daemon_end *e);

/* The VMM has closed its end. Requires that nothing of it is left. */
void daemon_end(struct daemon_end *e);

/* Requires that there are as many descriptors as there were before the connection. */
void daemon_check_fds(const struct daemon_end *e);

/* A descriptor to send, one of several kinds; not the caller's to close. */
int daemon_fd(const struct daemon_end *e, unsigned int kind);

/* Change the length of the memory among them that can be truncated. */
void daemon_truncate(size_t size);

#endif /* VUC_TESTS_FUZZ_CONTROL_H */
