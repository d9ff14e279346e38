/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

/* What a measurement is to the program: one file and one row in the table of main.c. */

#include <stdbool.h>
#include <stddef.h>

#include <vuc/error.h>

#include "machine.h"
#include "options.h"
#include "report.h"

/* What waits for a server gives up after this. */
#define BENCH_TIMEOUT_MS 5000

/* What a measurement gets. */
struct bench {
	struct bench_options options;
	struct bench_clock clock;
	struct bench_env env;
	int latency; /* -1, or a descriptor that keeps the CPUs awake */
};

/* Functions return 0, or a negative errno with a line in err. */
struct bench_ops {
	const char *name;
	const char *summary; /* one line for --help */
	const struct bench_option *options;
	struct bench_options defaults;
	bool plots;        /* --plot names a folder: there are several pictures */
	size_t state_size; /* of the measurement's own struct, which begins as zeros */
	/* Look at the options as a whole; failing is wrong usage. NULL: nothing to look at. */
	int (*check)(struct bench *bench, void *state, struct vuc_error *err);
	/* Measure. Strings in the result may point into state and options. What was set up is taken
	 * down again in any case. */
	int (*run)(struct bench *bench, void *state, struct bench_result *result,
		struct vuc_error *err);
};

extern const struct bench_ops bench_mmio;
extern const struct bench_ops bench_dma;
extern const struct bench_ops bench_dma_message;
extern const struct bench_ops bench_hop;
extern const struct bench_ops bench_idle;
extern const struct bench_ops bench_hung;
extern const struct bench_ops bench_scale;
extern const struct bench_ops bench_transports;
extern const struct bench_ops bench_guest;
extern const struct bench_ops bench_all;

#endif /* BENCH_BENCH_H */
