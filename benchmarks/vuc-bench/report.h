/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

/* The reports of a result: text, JSON, plots and a page. */

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include <vuc/error.h>

#include "machine.h"
#include "stats.h"

/* Print environment, tables and distribution, or the same of all parts and their summary. */
void bench_report_text(FILE *out, const struct bench_result *result);

/* Print one JSON object; -ENOMEM. */
int bench_report_json(FILE *out, const struct bench_result *result);

/* ---- what the text and the page show alike ---- */

/* A name and what there is to say of it. */
typedef void (*bench_line_fn)(void *arg, const char *name, const char *text);

/* The machine and the time of a run; how a result was measured. */
void bench_lines_of_run(const struct bench_result *result, bench_line_fn print, void *arg);
void bench_lines_of_result(const struct bench_result *result, bench_line_fn print, void *arg);

#define BENCH_NUMBER_MAX 32
#define BENCH_NR_CELLS   (BENCH_NR_TIMES + 4)

/* A row of the table of times: the series' name, its times, rate and system calls, and its p50 to
 * that of the floor. */
struct bench_cells {
	char text[BENCH_NR_CELLS][BENCH_NUMBER_MAX];
};

/* The head of the table, where cells may have two lines, and row i. */
struct bench_cells bench_cells_head(const struct bench_result *result);
struct bench_cells bench_cells_row(const struct bench_result *result, unsigned int i);

/* "TOPIC: NAME", or the name alone. Returns buf. */
#define BENCH_TITLE_MAX 64
const char *bench_series_title(
	const struct bench_series *series, const char *name, char buf[BENCH_TITLE_MAX]);

/* A number with its thousands set off: "12,345"; one digit behind the point below 100, "-" for what
 * is not a number. Returns buf or a constant. */
const char *bench_number(double value, char buf[BENCH_NUMBER_MAX]);

/* The sentences below the tables of a result, as paragraphs of a page. */
void bench_report_sentences(FILE *out, const struct bench_result *result);

extern const char bench_not_quiet[];

/* ---- pictures ---- */

/*
 * Plots of all percentiles are drawn by gnuplot, which gets its script and data by a pipe and
 * writes to a descriptor: no name of a file goes through a shell or a script.
 */
struct bench_plot {
	char program[PATH_MAX]; /* gnuplot */
	const char *terminal;   /* gnuplot's word for the format */
};

/* Whether the end of a file's name stands for a format; NULL is fine. */
int bench_plot_check(const char *path, struct vuc_error *err);

/* Find gnuplot, for a picture at path or NULL for SVG. */
int bench_plot_init(struct bench_plot *plot, const char *path, struct vuc_error *err);

/* Write a picture to a descriptor, which stays the caller's. */
int bench_plot_draw(const struct bench_plot *plot, int fd, const struct bench_result *result,
	struct vuc_error *err);

/* Write a page with all tables and, drawn as SVG, all pictures. The stream keeps its own errors. */
int bench_report_html(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err);

#endif /* BENCH_REPORT_H */
