/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

/* A measurement's result, and the forms in which it is told. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/error.h>

#include "env.h"
#include "series.h"
#include "term.h"

#define BENCH_MAX_FACTS    16
#define BENCH_MAX_SERIES   40
#define BENCH_MAX_VERDICTS 12

/* Something about how it was measured. */
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
	char server[192];   /* who answered, and what the floor is: for people */
	char floor[192];
	char timed[160]; /* from when to when; "": there is nothing special about it */
	struct bench_fact facts[BENCH_MAX_FACTS]; /* the same for programs */
	unsigned int nr_facts;
	char note[192]; /* what the figures are not; "": nothing that is not clear */
	/* In groups of one size: a floor, then what is held next to it. */
	struct bench_series series[BENCH_MAX_SERIES];
	struct bench_ratios ratios[BENCH_MAX_SERIES]; /* of each to its floor */
	unsigned int nr_series;
	unsigned int per_group;   /* of series; 0: 2, a floor and vuc */
	bool shows_more;          /* what each takes more than its floor, beside the ratio */
	struct bench_part *parts; /* of a result that is nothing but its parts and their summary */
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

/* The floor of a series. */
static inline unsigned int
bench_result_floor(const struct bench_result *result, unsigned int series)
{
	return series - series % (result->per_group != 0 ? result->per_group : 2);
}

void bench_result_add_text(struct bench_result *result, const char *key, const char *text);
void bench_result_add_number(struct bench_result *result, const char *key, uint64_t number);

/* Whether the rounds disagree on a figure that the result is about. */
bool bench_result_is_unsteady(const struct bench_result *result);

/* Sum up all series. Returns 0 or -ENOMEM. */
int bench_result_finish(struct bench_result *result);
void bench_result_fini(struct bench_result *result);

/* Environment, table and distribution. */
void bench_report_text(const struct bench_term *term, const struct bench_env *env,
	const struct bench_result *result);

/* The same of the parts, and what has become of the goals. */
void bench_report_summary(const struct bench_term *term, const struct bench_env *env,
	const struct bench_result *result);

/* Lines and table of one result, without what is the same for all parts. */
void bench_report_part(const struct bench_term *term, const struct bench_result *result);

/* Lines about machine and versions. */
void bench_report_machine(const struct bench_term *term, const struct bench_env *env);

/* The distribution alone: a drawing for each series over a common, logarithmic axis. */
void bench_report_distribution(const struct bench_term *term, const struct bench_result *result);

/* One JSON object to a descriptor, which stays open. Returns 0 or a negative errno. */
int bench_report_json(int fd, const struct bench_env *env, const struct bench_result *result);

#endif /* BENCH_REPORT_H */
