/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>

#include "fd_count.h"
#include "tap.h"

#define MAX_SUITES 16

/* CUnit's handlers have no argument of their own. */
static struct {
	unsigned int planned;
	unsigned int done;
	unsigned int failed;
	unsigned int asserts; /* made before the running test */
	char skip[256];       /* why the running test is skipped */
	bool counts_fds;
	unsigned int fds;          /* open before the running test */
	char row[128];             /* of the table that the running test goes through */
	unsigned int row_failures; /* assertions that had failed before it */
} run;

void
vuc_tap_count_fds(void)
{
	run.counts_fds = true;
}

void
vuc_tap_skip(const char *reason)
{
	snprintf(run.skip, sizeof(run.skip), "%s", reason);
}

static void
end_row(void)
{
	if (run.row[0] != '\0' && CU_get_number_of_failures() > run.row_failures)
		printf("# failed: %s\n", run.row);
	run.row[0] = '\0';
	run.row_failures = CU_get_number_of_failures();
}

void
vuc_tap_row(const char *fmt, ...)
{
	va_list args;

	end_row();
	va_start(args, fmt);
	vsnprintf(run.row, sizeof(run.row), fmt, args);
	va_end(args);
}

bool
tap_text_is(const char *text, const char *expected)
{
	if (strcmp(text, expected) == 0)
		return true;
	printf("# \"%s\", expected \"%s\"\n", text, expected);
	return false;
}

/* One result line; skip is NULL unless the test was skipped. */
static void
report(bool ok, const CU_pSuite suite, const CU_pTest test, const char *skip)
{
	run.done++;
	if (!ok)
		run.failed++;
	printf("%sok %u - %s: %s", ok ? "" : "not ", run.done, suite->pName, test->pName);
	if (ok && skip != NULL)
		printf(" # SKIP %s", skip);
	putchar('\n');
}

static void
test_started(const CU_pTest test, const CU_pSuite suite)
{
	(void)test;
	(void)suite;
	run.skip[0] = '\0';
	run.asserts = CU_get_number_of_asserts();
	run.fds = fd_count();
}

static void
test_complete(const CU_pTest test, const CU_pSuite suite, const CU_pFailureRecord failure)
{
	bool skipped = run.skip[0] != '\0';
	bool idle = !skipped && CU_get_number_of_asserts() == run.asserts;
	unsigned int fds = run.counts_fds ? fd_count() : run.fds;

	end_row();
	report(failure == NULL && !idle && fds == run.fds, suite, test, skipped ? run.skip : NULL);
	if (fds != run.fds)
		printf("# %s: %u descriptors are open, not %u\n", test->pName, fds, run.fds);
	if (failure == NULL && idle)
		printf("# %s: the test has asserted nothing\n", test->pName);
	for (const CU_FailureRecord *f = failure; f != NULL; f = f->pNext)
		printf("# %s:%u: %s\n", f->strFileName != NULL ? f->strFileName : "?",
			f->uiLineNumber, f->strCondition != NULL ? f->strCondition : "?");
	fflush(stdout);
}

static void
suite_init_failed(const CU_pSuite suite)
{
	for (CU_pTest test = suite->pTest; test != NULL; test = test->pNext)
		report(false, suite, test, NULL);
	printf("# %s: initialization of the suite failed\n", suite->pName);
}

static void
suite_cleanup_failed(const CU_pSuite suite)
{
	run.failed++;
	printf("# %s: cleanup of the suite failed\n", suite->pName);
}

static unsigned int
count_tests(const CU_SuiteInfo *suites)
{
	unsigned int n = 0;

	for (; suites->pName != NULL; suites++) {
		for (const CU_TestInfo *test = suites->pTests; test->pName != NULL; test++)
			n++;
	}
	return n;
}

/* No test could be run. */
static int
bail_out(void)
{
	printf("Bail out! CUnit: %s\n", CU_get_error_msg());
	CU_cleanup_registry();
	return 1;
}

static int
run_suites(CU_SuiteInfo *suites)
{
	run.planned = count_tests(suites);
	printf("1..%u\n", run.planned);
	fflush(stdout);
	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return bail_out();
	CU_set_test_start_handler(test_started);
	CU_set_test_complete_handler(test_complete);
	CU_set_suite_init_failure_handler(suite_init_failed);
	CU_set_suite_cleanup_failure_handler(suite_cleanup_failed);
	CU_run_all_tests();
	CU_cleanup_registry();
	return run.failed == 0 && run.done == run.planned ? 0 : 1;
}

static const struct tap_suite *all_suites;

/* The running test is this row. */
static void
run_row(void)
{
	const struct tap_suite *suite = all_suites;
	const char *row;

	while (strcmp(suite->name, CU_get_current_suite()->pName) != 0)
		suite = suite->next;
	row = suite->rows.table;
	while (strcmp(*(const char *const *)(const void *)row, CU_get_current_test()->pName) != 0)
		row += suite->rows.size;
	suite->rows.run(row);
}

/* The tests of a suite as an array that ends as CUnit wants it. */
static CU_TestInfo *
list_tests(const struct tap_suite *suite)
{
	size_t n = 0;
	CU_TestInfo *tests;

	while (n < NR(suite->tests) && suite->tests[n].pName != NULL)
		n++;
	tests = calloc(n + suite->rows.nr + 1, sizeof(*tests));
	if (tests == NULL)
		abort();
	memcpy(tests, suite->tests, n * sizeof(*tests));
	for (size_t i = 0; i < suite->rows.nr; i++) {
		memcpy(&tests[n + i].pName, (const char *)suite->rows.table + i * suite->rows.size,
			sizeof(tests[n + i].pName));
		tests[n + i].pTestFunc = run_row;
	}
	return tests;
}

int
tap_run(const struct tap_suite *first)
{
	CU_SuiteInfo infos[MAX_SUITES + 1] = {CU_SUITE_INFO_NULL};
	const struct tap_suite *suite = first;
	int rc;

	all_suites = first;
	for (size_t i = 0; suite != NULL && i < MAX_SUITES; suite = suite->next) {
		if (suite->runs == NULL || suite->runs())
			infos[i++] = (CU_SuiteInfo){suite->name, NULL, NULL, suite->set_up,
				suite->tear_down, list_tests(suite)};
	}
	rc = run_suites(infos);
	for (size_t i = 0; i < MAX_SUITES; i++)
		free(infos[i].pTests);
	return suite == NULL ? rc : 1;
}
