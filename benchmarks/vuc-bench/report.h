/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

/* A measurement's result, and its reports: text, JSON and plots. */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vuc/error.h>

#include "machine.h"
#include "stats.h"

#define BENCH_MAX_FACTS    16
#define BENCH_MAX_SERIES   40
#define BENCH_MAX_VERDICTS 12

/* How it was measured, for programs. */
struct bench_fact {
	const char *key;
	const char *text; /* NULL: it is a number */
	uint64_t number;
};

/* A figure next to its goal. */
struct bench_verdict {
	const char *figure;
	const char *floor;
	const char *goal;
	bool known; /* it was measured */
	bool met;
	bool unsteady; /* the rounds disagree */
	double value;
	char measured[40]; /* for people */
};

struct bench_part;

struct bench_result {
	const char *measurement;
	const char *label;  /* the user's own; NULL: none */
	const char *unit;   /* what the times are of: "access" */
	const char *units;  /* more than one */
	uint32_t bytes;     /* that a unit moves; 0: that is not what it is about */
	char headline[160]; /* what was done how often */
	char server[192];   /* who answered */
	char floor[192];    /* what the floor is */
	char timed[160];    /* from when to when; "": nothing special */
	char note[192];     /* a remark on the figures; "": none */
	struct bench_fact facts[BENCH_MAX_FACTS];
	unsigned int nr_facts;
	/* In groups of one size: a floor, then what is compared with it. */
	struct bench_series series[BENCH_MAX_SERIES];
	struct bench_ratios ratios[BENCH_MAX_SERIES]; /* of each to its floor */
	unsigned int nr_series;
	unsigned int per_group;   /* of series; 0: 2, a floor and vuc */
	bool shows_more;          /* the table has differences from the floor */
	struct bench_part *parts; /* of a result that is its parts and their summary */
	unsigned int nr_parts;
	struct bench_verdict verdicts[BENCH_MAX_VERDICTS];
	unsigned int nr_verdicts;
};

/* A measurement among several. */
struct bench_part {
	const char *name; /* different ones where a measurement is there more than once */
	struct bench_result result;
	void *state;                 /* which strings of the result point into; freed with it */
	char skipped[VUC_ERROR_MAX]; /* why there is no result; "": there is one */
};

/* The index of a series' floor. */
static inline unsigned int
bench_result_floor(const struct bench_result *result, unsigned int series)
{
	return series - series % (result->per_group != 0 ? result->per_group : 2);
}

/* Text that is a fact must live as long as the result. */
void bench_result_add_text(struct bench_result *result, const char *key, const char *text);
void bench_result_add_number(struct bench_result *result, const char *key, uint64_t number);

/* Append a series. Returns NULL without memory, with a line in err. */
struct bench_series *bench_result_add_series(struct bench_result *result, const char *name,
	const struct bench_shape *shape, struct vuc_error *err);

/* Sum up all series. Returns 0 or -ENOMEM. */
int bench_result_finish(struct bench_result *result, struct vuc_error *err);
void bench_result_fini(struct bench_result *result);

/* Whether the rounds disagree on a figure that the result is about. */
bool bench_result_is_unsteady(const struct bench_result *result);

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

/* Find gnuplot; path has been checked, NULL is SVG. Returns 0; -ENOENT without gnuplot; -ENOMEM. */
int bench_plot_init(struct bench_plot *plot, const char *path, struct vuc_error *err);
void bench_plot_fini(struct bench_plot *plot);

/* Draw to a descriptor, which stays open. Returns 0; -EIO when gnuplot failed; what the system
 * calls say. */
int bench_plot_draw(const struct bench_plot *plot, int fd, const struct bench_env *env,
	const struct bench_result *result, struct vuc_error *err);

/*
 * A file of a report, opened before the measurement begins so that nobody learns only after it that
 * the folder is not there. A regular file is replaced when its successor is complete; anything else
 * (a pipe, a device, a link) is written to as it is.
 */
struct bench_outfile {
	const char *path; /* NULL: not in use */
	int fd;
	char temporary[PATH_MAX]; /* "": written in place */
};

/* Where the reports go. */
struct bench_output {
	FILE *text;
	bool json_to_stdout;
	struct bench_outfile json;
	struct bench_outfile picture;
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
