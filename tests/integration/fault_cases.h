/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAULT_CASES_H
#define VUC_TESTS_FAULT_CASES_H

/* What is to come of each fault of vuc-refdev. */

#include <stdbool.h>
#include <stddef.h>

#include <vuc/device.h>

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
	const struct fault_case *cases;
	size_t nr;
};

enum fault_subject {
	FAULT_OPENING,
	FAULT_ACCESSES,
	FAULT_DMA,
	FAULT_OTHERS,
	FAULT_TABLES,
};

extern const struct fault_table fault_tables[FAULT_TABLES];

#endif /* VUC_TESTS_FAULT_CASES_H */
