/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_BENCH_JSON_H
#define VUC_TESTS_BENCH_JSON_H

/* The JSON of vuc-bench: is everything there, and does it fit together? */

struct bench_expected {
	const char *transport; /* NULL: vuc's choice */
	const char *op;
	const char *floor;
	unsigned int ops;   /* whole bursts */
	unsigned int burst; /* 1 unless op is "posted" */
	unsigned int rounds;
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

#endif /* VUC_TESTS_BENCH_JSON_H */
