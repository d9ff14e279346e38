/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_RESTORE_RIG_H
#define VUC_TESTS_RESTORE_RIG_H

/*
 * A device with a record that loses its server, and servers by the loopback that take its place.
 * Each server writes down what reaches it, a line for each message with all of its fields, so that
 * a test compares texts.
 */

#include <vuc/dma.h>
#include <vuc/irq.h>

#include "fake_server.h"
#include "internal.h"
#include "record.h"
#include "tap.h"

#define PAGE    4096u
#define NR_FDS  16u /* eventfds of the test */
#define MAX_LOG 16384u

struct restore_server {
	struct fake_server fake;
	uint8_t bar[2 * PAGE]; /* BAR 0, whose second page has the MSI-X table */
	uint8_t config[256];
	char log[MAX_LOG];
	size_t log_len;
	int eventfds[VFIO_PCI_NUM_IRQS][8]; /* duplicates of what came to be triggered; 0: none */
	unsigned int dies_at;    /* this message behind those that open it; 0: it lives */
	unsigned int refuse_nth; /* of the messages that are logged, from 1 on; 0: none */
	unsigned int logged;
};

/* The first server, and that of the restores. dut is the device of the first one. */
extern struct restore_server old, fresh;
extern struct vuc_device *dut;
extern struct vuc_poll_group *group;
extern int memory_fd;
extern uint8_t *memory;
extern int eventfds[NR_FDS];

/* What became of an operation. */
struct job {
	unsigned int calls;
	int status;
	struct vuc_error err;
};

/* Before and after each test; with dut, which has a record. */
void set_up(void);
void tear_down(void);

/* A row of a table begins, with a new dut. */
void next_row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A server as it is at the beginning; it is changed before a device of it is opened. */
void restore_server_init(struct restore_server *s);
void renew_fresh(void);
struct vuc_device *open_fresh(void);

/* A vuc_done_fn; arg is the job. */
void on_done(void *arg, int status, const struct vuc_error *err);
void poll_often(void);
int await(struct job *job);

/* Its server is gone; and everybody knows. */
void end_session(void);
void lose(void);

/* Begin to restore dut with a device of the fresh server, which is closed then. From then on, that
 * server does not answer these commands, which are bits. */
void begin_restore(
	const struct vuc_restore_opts *opts, uint32_t held, vuc_done_fn done, struct job *job);

/* The same, with a reset, until it is over. Returns the status. */
int restore(struct job *job);
void lose_and_restore(void);

/* Map pages of memory at an address: as far as it is, and committed. */
int map_pages(uint64_t iova, uint64_t page, uint64_t pages);
int map_and_commit(uint64_t iova, uint64_t page, uint64_t pages);
int unmap_and_commit(uint64_t iova, uint64_t size);
int assign(uint32_t index, uint32_t start, uint32_t count, enum vuc_irq_action action,
	unsigned int first_fd);

/* A write of a region as clients make it. */
int write_region(uint32_t region, uint64_t offset, uint64_t value, uint32_t count);

/* Whether the server's lines are these, each of which ends with "\n"; clears them. */
void expect_log(struct restore_server *s, const char *lines);

/* The server triggers an interrupt: whether it reaches this eventfd of the test. */
bool reaches(const struct restore_server *s, uint32_t index, uint32_t vector, unsigned int fd);

#endif /* VUC_TESTS_RESTORE_RIG_H */
