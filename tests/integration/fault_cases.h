/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAULT_CASES_H
#define VUC_TESTS_FAULT_CASES_H

/* What is to come of each fault of vuc-refdev. */

#include <vuc/device.h>

#include "tap.h"

/* Of the cases that are to time out. All others have the default, and must not wait for it. */
#define FAULT_TIMEOUT_MS      1000
#define FAULT_LONG_TIMEOUT_MS 1001 /* the reason tells it from the other */

/* What becomes of the connection. */
enum fault_fate {
	GOES_ON,
	ENDS,
	MUTE, /* stands, and never answers again */
};

struct fault_case {
	const char *fault; /* as --fault takes it */
	/* The call that feels it, with what leads to it; NULL: opening does. */
	int (*call)(struct vuc_device *dev);
	int status;
	enum fault_fate fate;
	const char
		*reason; /* '#' stands for a digit of a message id, '*' for any end; NULL: none */
	const char *warning; /* the only one in the log, without the socket's path; NULL: none */
	unsigned int least_ms;
	bool twin; /* the server's commands have a socket of their own */
	/* A kernel that refuses the descriptors of the fault lets its server fail: the connection
	 * ends with -ECONNRESET then. */
	bool refused;
};

struct fault_table {
	const char *name;
	const struct fault_case *cases;
	size_t nr;
};

extern const struct fault_table fault_tables[4];

/*
 * fault_calls.c: what a client does with a reference device that has a fault. Each returns what the
 * last of its calls has returned, asserts that those before it worked, and, after a success, that
 * the data is right.
 */

/* A register of BAR0. Opening reads config space: this is the device's second region_read. */
int call_read_id(struct vuc_device *dev);
int call_read_id_again(struct vuc_device *dev);
int call_read_id_twice(struct vuc_device *dev);

int call_write_scratch(struct vuc_device *dev);

/* Posted writes that share a message, and a read of what they wrote. */
int call_write_posted(struct vuc_device *dev);

/* Several reads at once, of which the second is answered before the first. */
int call_read_at_once(struct vuc_device *dev);

/* More than a page of BAR2. */
int call_read_much(struct vuc_device *dev);

/* Commit two mappings, which take two messages; the same, and commit the unmapping of one. */
int call_map(struct vuc_device *dev);
int call_unmap(struct vuc_device *dev);
int call_unmap_dirty(struct vuc_device *dev);

/* Unmap the middle one of three pages that are one mapping of the server, and map another page:
 * after one mapping the server gets three, of which what stays comes first. */
int call_unmap_middle(struct vuc_device *dev);

/* Two mappings, one by one, and then all there may be. */
int call_unmap_all(struct vuc_device *dev);

/* Have the device read memory by message. Returns the first error after the start of it. */
int call_transfer(struct vuc_device *dev);

int call_disable_msix(struct vuc_device *dev);
int call_get_io_fds(struct vuc_device *dev);
int call_ask_migration(struct vuc_device *dev);
int call_read_migration(struct vuc_device *dev);

#endif /* VUC_TESTS_FAULT_CASES_H */
