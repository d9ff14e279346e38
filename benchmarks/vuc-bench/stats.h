/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

/* Samples, their percentiles, how series of them compare, and the result of a measurement. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>

#include "json_build.h"

struct bench_env;

/*
 * The value that `permille` of 1000 of nr sorted values do not exceed (nearest rank: always one of
 * them). 0 when there are none.
 */
uint64_t bench_percentile(const uint64_t *sorted, size_t nr, unsigned int permille);

/* The smallest number of samples that has one above this percentile. */
size_t bench_percentile_needs(unsigned int permille);

/* The value that a part (0 to 1) of nr sorted values, at least one, do not exceed; interpolated
 * between two of them: 0.5 is the median. */
double bench_quantile(const double *sorted, size_t nr, double part);

/*
 * Of one access; in nanoseconds, but for the last four. A percentile is NAN unless at least one
 * sample lies above it: 20 samples have no p99.
 */
struct bench_summary {
	double p50;
	double p90;
	double p99;
	double p999;
	double min;
	double max;
	double mean;
	double per_second;            /* one after the other: what the mean comes to */
	double end_to_end_per_second; /* the same until the server has caught up; 0: not measured */
	double syscalls;              /* per access */
	double cpu_share;             /* of a CPU, that its thread took while idle */
};

/* A round's figures, in nanoseconds of an access. */
struct bench_round {
	double p50;
	double mean;
	double end_to_end; /* a mean, too; 0: not measured */
};

/* The samples of one way to do a thing, over all rounds. */
struct bench_series {
	const char *topic; /* what is done, where a result has more than one; else NULL */
	const char *name;
	const char *transport;
	const char *subject; /* of the sentence that says how it compares; NULL: its name */
	bool by_rate;        /* what counts is the rate, else the time */
	bool guest_ticks;    /* measured by a guest's counter; the report has ticks as well */
	bool traced;         /* the system calls are all of the measuring thread's */
	uint64_t *samples;   /* in ticks; by round, and sorted within, until finished */
	size_t nr_samples;
	size_t max_samples;
	double ns_per_tick;        /* of one access */
	unsigned int per_sample;   /* accesses that a sample is the time of */
	size_t round_first;        /* where the samples of the running round begin */
	uint64_t round_end_to_end; /* of the running round, in ticks: until the server has caught up
				    */
	uint64_t end_to_end;       /* of the rounds before */
	struct bench_round *round;
	unsigned int rounds;
	unsigned int max_rounds;
	uint64_t syscalls;
	uint64_t futexes;             /* of these, where they are told apart */
	uint64_t idle_ns;             /* that its thread was idle for on purpose; 0: it was not */
	uint64_t idle_cpu_ns;         /* CPU time that it took meanwhile */
	struct bench_summary summary; /* once finished */
};

/* What the samples of a series are. */
struct bench_shape {
	double ns_per_tick;      /* samples are given in ticks */
	unsigned int per_sample; /* accesses, which each sample is the time of; at least 1 */
	unsigned int rounds;
	size_t samples_per_round;
};

/* Against the floor: each round has a ratio of its own, and these are their order statistics. */
struct bench_ratio {
	double median;
	double min;
	double max;
	double low;  /* the lower quartile */
	double high; /* the upper one */
	unsigned int rounds;
};

struct bench_ratios {
	struct bench_ratio p50;
	struct bench_ratio rate;       /* of accesses per second: above 1 is faster */
	struct bench_ratio end_to_end; /* 0: not measured */
};

/* Allocate, and touch, all memory; -ENOMEM. bench_series_fini() is due in any case. */
int bench_series_init(
	struct bench_series *series, const char *name, const struct bench_shape *shape);
void bench_series_fini(struct bench_series *series);

/* Append samples; those that there is no room for are dropped. */
void bench_series_add(struct bench_series *series, const uint64_t *ticks, size_t nr);

/* End a round: what was added since the last one is its samples. Nothing happens when there were as
 * many as promised. */
void bench_series_end_round(struct bench_series *series);

/* Merge the rounds and sum up. */
void bench_series_finish(struct bench_series *series);

/* Compare series of as many rounds, at least one; -EINVAL for others. */
int bench_series_compare(const struct bench_series *floor, const struct bench_series *series,
	struct bench_ratios *ratios);

/* Whether the rounds differ so much that the median says little: their middle half spans more than
 * a fifth of it. Fewer than four rounds cannot tell. */
bool bench_ratio_is_unsteady(const struct bench_ratio *ratio);

/* Sample i, in nanoseconds of an access; ascending once finished. */
static inline double
bench_series_ns(const struct bench_series *series, size_t i)
{
	return (double)series->samples[i] * series->ns_per_tick;
}

/* ---- results ---- */

#define BENCH_MAX_SERIES   40
#define BENCH_MAX_VERDICTS 12
#define BENCH_SAY_MAX      192 /* bytes of a text for people */

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
	const struct bench_env *env;
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
	struct app_json options;      /* how it was measured, for programs */
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

/* Append a series. Without memory it takes no samples, and the next function says so. */
struct bench_series *bench_result_add_series(
	struct bench_result *result, const char *name, const struct bench_shape *shape);
int bench_result_check_memory(const struct bench_result *result, struct vuc_error *err);

/* Sum up all series. */
int bench_result_finish(struct bench_result *result, struct vuc_error *err);
void bench_result_fini(struct bench_result *result);

/* The percentiles and extremes of a summary, in the order of reports. */
struct bench_time {
	const char *key;  /* "_ns" follows */
	const char *head; /* of a column */
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

#endif /* BENCH_STATS_H */
