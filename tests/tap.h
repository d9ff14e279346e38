/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_TAP_H
#define VUC_TESTS_TAP_H

/* What nearly every test uses. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

/* Whether the test was built with ThreadSanitizer. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VUC_TAP_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define VUC_TAP_TSAN 1
#endif
#ifndef VUC_TAP_TSAN
#define VUC_TAP_TSAN 0
#endif

#define NR(table) (sizeof(table) / sizeof((table)[0]))

/*
 * CUnit suites as a test program that speaks TAP. A test program defines tap_suite, and has main()
 * from tap_main.c, where each test has to leave as many descriptors open as it has found; or a
 * main() of its own, which returns tap_run().
 *
 * Standard output belongs to TAP: tests write to it nothing but lines that begin with "# ".
 */

/* A table each of whose rows is a test: a row begins with the test's name, a const char *. */
struct tap_rows {
	const void *table;
	size_t nr;
	size_t size; /* of a row */
	void (*run)(const void *row);
};

#define TAP_ROWS(table, run)                              \
	{                                                 \
		table, NR(table), sizeof((table)[0]), run \
	}

struct tap_suite {
	const char *name;
	CU_SetUpFunc set_up;       /* before each test; NULL: nothing */
	CU_TearDownFunc tear_down; /* behind it */
	CU_TestInfo tests[32];     /* the first without a name is the end */
	struct tap_rows rows;      /* further tests */
	bool (*runs)(void);        /* whether it does; NULL: always */
	const struct tap_suite *next;

	/* Of the first suite: called before all with the program's last argument. Returns why all
	 * of it is skipped, or NULL. */
	const char *(*begin)(const char *arg);
};

/* The program's tests. */
extern const struct tap_suite tap_suite;

/*
 * Run all tests of a suite, and of those behind it. Prints the plan, a line for each test and, for
 * each assertion that failed, a line with file, line and expression. A test that has passed without
 * asserting anything counts as failed.
 *
 * Returns 0 when every test has passed or was skipped, else 1: what main() returns.
 */
int tap_run(const struct tap_suite *first);

/* From now on, a test fails that leaves more or fewer descriptors open than it has found. */
void vuc_tap_count_fds(void);

/* What follows in the running test is about this row of a table: if an assertion fails before the
 * next one, its name is printed. */
void vuc_tap_row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Whether a text is this one; if not, both are printed. */
bool tap_text_is(const char *text, const char *expected);

/* Mark the running test as skipped; the test itself returns next. */
void vuc_tap_skip(const char *reason);

#endif /* VUC_TESTS_TAP_H */
