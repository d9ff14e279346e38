/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_BENCH_JSON_H
#define VUC_TESTS_BENCH_JSON_H

/* The JSON of vuc-bench: is everything there, and does it fit together? */

#include <stdbool.h>

struct bench_expected {
	const char *transport; /* NULL: vuc's choice */
	const char *op;
	const char *floor;
	unsigned int ops;   /* whole bursts */
	unsigned int burst; /* 1 unless op is "posted" */
	unsigned int rounds;
	bool may_sleep; /* system calls are those of a thread that may have to wait */
	const char *others[2]; /* series behind that of vuc */
};

/* Assert that the text is the result of `vuc-bench mmio`. */
void bench_json_check(const char *text, const struct bench_expected *expected);

struct bench_expected_dma {
	const char *transport; /* NULL: vuc's choice */
	const char *layout;
	unsigned int maps;
	unsigned int rounds;
};

/* Assert that the text is the result of `vuc-bench dma`. */
void bench_json_check_dma(const char *text, const struct bench_expected_dma *expected);

struct bench_expected_transfers {
	const char *transport; /* NULL: vuc's choice */
	const char *op;
	unsigned int size;
	unsigned int depth;
	unsigned int transfers; /* a multiple of 16 */
	unsigned int rounds;
};

/* Assert that the text is the result of `vuc-bench dma-message`. */
void bench_json_check_transfers(const char *text, const struct bench_expected_transfers *expected);

#define BENCH_MAX_TOPICS 10
#define BENCH_MAX_NAMES  5

/* Of a measurement of the polling cores. */
struct bench_expected_groups {
	const char *measurement;
	const char *transport;                /* of all but a floor; NULL: any */
	const char *units;                    /* of the keys */
	const char *topics[BENCH_MAX_TOPICS]; /* NULL: no topics, or no more */
	const char *names[BENCH_MAX_NAMES];   /* of the series of a topic, the floor first */
	unsigned int samples[BENCH_MAX_TOPICS];
	unsigned int per_sample[BENCH_MAX_TOPICS];
	unsigned int rounds;
};

/* Assert that the text is such a result. */
void bench_json_check_groups(const char *text, const struct bench_expected_groups *expected);

/* Assert that a number is there, in options (NULL: in each series) and from low to high. */
void bench_json_check_number(
	const char *text, const char *object, const char *key, double low, double high);

/* Assert that an option is this text. */
void bench_json_check_option(const char *text, const char *key, const char *value);

/* Assert that the text is the result of `vuc-bench all`, of so many measurements, of which so many
 * could not be made here; all_goals: those with a goal were made. */
void bench_json_check_all(
	const char *text, unsigned int measurements, unsigned int skipped, bool all_goals);

#endif /* VUC_TESTS_BENCH_JSON_H */
