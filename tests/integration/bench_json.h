/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_BENCH_JSON_H
#define VUC_TESTS_BENCH_JSON_H

/* The JSON of vuc-bench: is everything there, and does it fit together? */

struct bench_expected {
	const char *transport; /* NULL: vuc's choice */
	const char *op;
	const char *floor;
	unsigned int ops;
	unsigned int rounds;
};

/* Assert that the text is the result of `vuc-bench mmio`. */
void bench_json_check(const char *text, const struct bench_expected *expected);

#endif /* VUC_TESTS_BENCH_JSON_H */
