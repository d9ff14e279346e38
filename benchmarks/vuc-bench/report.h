/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

/* The reports of a result: text, JSON and plots. */

#include <stdbool.h>
#include <stdio.h>

#include <vuc/error.h>

#include "machine.h"
#include "outfile.h"
#include "stats.h"

/* Print environment, tables and distribution, or the same of all parts and their summary. */
void bench_report_text(FILE *out, const struct bench_env *env, const struct bench_result *result);

/* Print one JSON object. Returns 0; -ENOMEM; what writing to the stream says. */
int bench_report_json(FILE *out, const struct bench_env *env, const struct bench_result *result);

/*
 * Plots of all percentiles are drawn by gnuplot, which gets its script and data by a pipe and
 * writes to a descriptor: no name of a file goes through a shell or a script.
 */
struct bench_plot {
	char *program;        /* path of gnuplot */
	const char *terminal; /* gnuplot's word for the format */
};

/* Whether the end of a file's name stands for a format; NULL is fine. Returns 0 or -EINVAL. */
int bench_plot_check(const char *path, struct vuc_error *err);

/* Where the reports go. Files are opened before the measurement begins, so that nobody learns only
 * after it that the folder is not there. */
struct bench_output {
	FILE *text;
	struct app_outfile json;
	struct app_outfile picture;
	struct bench_plot plot;
	const char *folder; /* of the pictures of all parts; NULL: there is one picture or none */
	bool folder_made;
};

/*
 * Find out before a measurement whether its reports can be written.
 *
 * @param json        path, "-" for stdout, or NULL
 * @param plot        path of a picture or, with is_folder, of a folder, or NULL
 * @return 0 or a negative errno; either way the output may be given to bench_output_fini()
 */
int bench_output_init(struct bench_output *output, const char *json, const char *plot,
	bool is_folder, struct vuc_error *err);
void bench_output_fini(struct bench_output *output);

/* Write all reports. Returns 0 or a negative errno. */
int bench_output_write(struct bench_output *output, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err);

#endif /* BENCH_REPORT_H */
