/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_OPERATION_RIG_H
#define VUC_TESTS_OPERATION_RIG_H

/*
 * Devices of a group by the loopback, each beside a server that keeps a log of what reaches it and
 * holds answers back until the test says so; operations on them, and what became of those.
 */

#include <vuc/dma.h>

#include "message.h"
#include "mig_server.h"
#include "tap.h"

#define LONG_MS   60000u
#define SHORT_MS  30u
#define PAGE      4096u
#define NR_PAGES  1000u
#define NR_WRITES 5u
#define ALONE     0u

struct setup {
	struct mig_server mig;
	struct fake_server *server; /* of mig */
	struct vuc_device *dev;
	uint32_t last_vector; /* of SET_IRQS, whose eventfd is written */
	uint8_t region[64];
	uint8_t config[256];
};

/* An operation and what became of it. */
struct job {
	unsigned int calls;
	int status;
	unsigned int order; /* of the callbacks, from 1 on */
	struct vuc_error err;
	struct vuc_device *dev; /* unless NULL, the callback calls this and a poll ... */
	int (*call)(struct vuc_device *dev);
	int inside, polled; /* ... which return that */
	bool closes;        /* the callback closes dut */
};

/* Posted or awaited writes of BAR 0. */
struct writes {
	struct vuc_request req[NR_WRITES];
	uint32_t value;
	unsigned int done;
};

/* A request whose callback closes dut. */
struct closer {
	struct vuc_request req;
	uint32_t value;
	unsigned int calls;
	int status;
};

extern struct vuc_poll_group *group;
extern struct setup dut;
extern unsigned int nr_done, nr_freed; /* jobs and operations since the row began */

/* Before and after each test: the group, with dut in it. */
void set_up(void);
void tear_down(void);

/* A row of a table begins, with a new dut. */
void next_row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Open its device in the group, or alone in one of its own; the log is empty then. */
void open_setup(struct setup *s, uint16_t max_requests);

/* Close it, unless it is closed already; what the server holds is not waited for. */
void close_setup(struct setup *s);

/* More polls than any rule would need to be broken. */
void poll_often(void);

void poll_until_done(const struct job *job);

/* What dut's server holds comes with the next poll; the second holds nothing any more. */
void release_one(void);
void release_all(void);

/* A vuc_done_fn; arg is the job. */
void on_done(void *arg, int status, const struct vuc_error *err);

/* An operation of one message: a feature that nobody knows, an UNMAP or a RESET. */
struct operation *make_message(struct setup *s, uint16_t cmd, uint32_t timeout_ms);
void start_message(struct setup *s, struct job *job, uint16_t cmd, uint32_t timeout_ms);
void start_feature(struct setup *s, struct job *job);

void submit_writes(struct setup *s, struct writes *w, enum vuc_op op);
void submit_closer(struct closer *c, struct vuc_device *dev, enum vuc_op op);

/* Queue the mapping of a page. */
void map_page(struct vuc_device *dev, uint64_t n, uint32_t flags);

#endif /* VUC_TESTS_OPERATION_RIG_H */
