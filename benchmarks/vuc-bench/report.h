/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

/* A measurement's result, and its reports: text, JSON and plots. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <vuc/error.h>

#include "machine.h"
#include "outfile.h"
#include "stats.h"

#define BENCH_MAX_FACTS    16
#define BENCH_MAX_SERIES   40
#define BENCH_MAX_VERDICTS 12
#define BENCH_SAY_MAX      192 /* bytes of a text for people */

/* How it was measured, for programs. */
struct bench_fact {
	char key[24];
	bool is_text;
	char text[128];
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
	const char *label; /* the user's own; NULL: none */
	const char *unit;  /* what the times are of: "access" */
	const char *units; /* more than one */
	uint32_t bytes;    /* that a unit moves; 0: that is not what it is about */
	/* What bench_say() sets. */
	char headline[BENCH_SAY_MAX]; /* what was done how often */
	char server[BENCH_SAY_MAX];   /* who answered */
	char floor[BENCH_SAY_MAX];    /* what the floor is */
	char timed[BENCH_SAY_MAX];    /* from when to when; "": nothing special */
	char note[BENCH_SAY_MAX];     /* a remark on the figures; "": none */
	struct bench_fact facts[BENCH_MAX_FACTS];
	unsigned int nr_facts;
	/* In groups of one size: a floor, then what is compared with it. */
	struct bench_series series[BENCH_MAX_SERIES];
	struct bench_ratios ratios[BENCH_MAX_SERIES]; /* of each to its floor */
	unsigned int nr_series;
	bool no_memory;           /* for one of them */
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

/* Set a text of a result, or add to it. */
void bench_say(char text[BENCH_SAY_MAX], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void bench_say_more(char text[BENCH_SAY_MAX], const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Facts are copied. A blank is made of a control character in a text. */
void bench_result_add_text(struct bench_result *result, const char *key, const char *text);
void bench_result_add_number(struct bench_result *result, const char *key, uint64_t number);

/* Append a series. Without memory it takes no samples, and the next function says so. */
struct bench_series *bench_result_add_series(
	struct bench_result *result, const char *name, const struct bench_shape *shape);
int bench_result_check_memory(const struct bench_result *result, struct vuc_error *err);

/* Sum up all series. Returns 0 or -ENOMEM. */
int bench_result_finish(struct bench_result *result, struct vuc_error *err);
void bench_result_fini(struct bench_result *result);

/* The percentiles and extremes of a summary, in the order of reports. */
struct bench_time {
	const char *key;  /* "_ns" follows */
	const char *head; /* of a column */
	int width;        /* enough for what a busy machine shows in the tail */
	size_t time;      /* its place in the summary */
};

#define BENCH_NR_TIMES 6

extern const struct bench_time bench_times[BENCH_NR_TIMES];

static inline double
bench_time_of(const struct bench_summary *summary, const struct bench_time *time)
{
	return *(const double *)((const char *)summary + time->time);
}

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

/* Where the reports go. Files are opened before the measurement begins, so that nobody learns only
 * after it that the folder is not there. */
struct bench_output {
	FILE *text;
	bool json_to_stdout;
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
