/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "report.h"

/*
 * A picture of all percentiles, drawn by gnuplot, which gets its script and data by a pipe and
 * writes to a descriptor: no name of a file goes through a shell or a script.
 */
struct bench_plot {
	char *program;        /* path of gnuplot */
	const char *terminal; /* gnuplot's word for the format */
};

/* Look whether there is a gnuplot, and for the format by the end of the file's name; without a file
 * it is SVG. Returns 0;
 * -EINVAL for an unknown one; -ENOENT without gnuplot; -ENOMEM. */
int bench_plot_init(struct bench_plot *plot, const char *path, struct vuc_error *err);
void bench_plot_fini(struct bench_plot *plot);

/* Draw to a descriptor, which stays open. Returns 0; -EIO when gnuplot failed; what the system
 * calls say. */
int bench_plot_draw(const struct bench_plot *plot, int fd, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err);

#endif /* BENCH_PLOT_H */
