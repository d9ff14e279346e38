/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_SLEEP_RIG_H
#define VUC_TESTS_SLEEP_RIG_H

/* A poll group that sleeps, with a device beside its server, and requests to that. */

#include <limits.h>

#include "peer.h"
#include "wait_server.h"

#define FOREVER    UINT_MAX /* milliseconds; the watchdog is sooner */
#define MIB        0x100000u
#define HOUR_MS    3600000u
#define STOPPED_MS 1000u /* of a server that does not answer */

extern struct vuc_poll_group *group;
extern struct vuc_device_opts opts; /* of the device; a test changes them before it is opened */
extern struct wait_server server;
extern struct vuc_device *dev;
extern int wake_fd;
extern uint8_t memory[WAIT_SIZE]; /* for DMA, and what is written */

/* A request and what became of it. */
struct job {
	struct vuc_request req;
	uint64_t value; /* read or written */
	unsigned int done;
	int status;
	bool waits;      /* within the callback */
	int wait_status; /* what it gets */
};

/* Before and after each test, which opens the group and its device. */
void set_up(void);
void tear_down(void);
void open_group(void);
void close_group(void);

/* The row of a table, with a group of its own. */
void open_row(const char *name);

/* What the suites begin with. */
const char *sleep_begin(const char *transport);

void wait_and_poll(int fd);

/* Until there is nothing left to do; and nothing comes, either. */
void settle(int fd);
void expect_idle(int fd, uint32_t ms);

/* The connection ends for this reason, a pattern of fnmatch(3). */
void expect_lost(const char *reason);

/* Map the memory for DMA. */
void map_memory(void);

void submit(struct job *job, enum vuc_op op, uint64_t offset);

/* A posted write of more than the socket takes. */
void submit_much(struct job *job);

/* Wait for its end. */
void finish(struct job *job);
void expect_finished(struct job *job, int status);

/* Tell the server what to do once this thread sleeps. */
void tell_server(uint64_t offset);

#endif /* VUC_TESTS_SLEEP_RIG_H */
