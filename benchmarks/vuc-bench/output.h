/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_OUTPUT_H
#define BENCH_OUTPUT_H

/* Where the reports go. */

#include <stdbool.h>

#include "bench.h"
#include "outfile.h"
#include "pictures.h"

struct bench_output {
	struct bench_term term;
	bool json_to_stdout;
	struct bench_outfile json;
	struct bench_pictures pictures;
};

/*
 * Find out before a measurement whether its reports can be written.
 *
 * @param folder  options->plot is that of a folder
 * @return 0 or a negative errno; either way the output may be given to bench_output_fini()
 */
int bench_output_init(struct bench_output *output, const struct bench_options *options, bool folder,
	struct vuc_error *err);
void bench_output_fini(struct bench_output *output);

/* Write all reports. Returns 0 or a negative errno. */
int bench_output_write(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err);

#endif /* BENCH_OUTPUT_H */
