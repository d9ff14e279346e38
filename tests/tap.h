/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_TAP_H
#define VUC_TESTS_TAP_H

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

/*
 * CUnit suites as a test program that speaks TAP. A test program's main() is one call:
 *
 *	int main(void) { return vuc_tap_run(suites); }
 *
 * Standard output belongs to TAP: tests write to it nothing but lines that begin with "# ".
 */

/*
 * Run all suites, of an array that ends with CU_SUITE_INFO_NULL. Prints the plan, a line for each
 * test and, for each assertion that failed, a line with file, line and expression. A test that has
 * passed without asserting anything counts as failed.
 *
 * Returns 0 when every test has passed or was skipped, else 1: what main() returns.
 */
int vuc_tap_run(CU_SuiteInfo *suites);

/* The same for one suite, with what runs before and after each of its tests; NULL: nothing. */
int vuc_tap_tests(
	const char *name, CU_SetUpFunc set_up, CU_TearDownFunc tear_down, CU_TestInfo *tests);

/* From now on, a test fails that leaves more or fewer descriptors open than it has found. */
void vuc_tap_count_fds(void);

/* What follows in the running test is about this row of a table: if an assertion fails before the
 * next one, its name is printed. */
void vuc_tap_row(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Mark the running test as skipped; the test itself returns next. */
void vuc_tap_skip(const char *reason);

#endif /* VUC_TESTS_TAP_H */
