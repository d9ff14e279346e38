/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "progress.h"
#include "tap.h"

static void
expect(const struct vuc_migration_progress *migration, uint64_t total, uint64_t ns,
	const char *expected)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	vucctl_progress_print(out, migration, total, ns);
	fclose(out);
	CU_ASSERT_STRING_EQUAL(text, expected);
	free(text);
}

static void
test_save(void)
{
	struct vuc_migration_progress migration = {VUC_MIGRATION_PRE_COPY, 2, 3 << 20};

	expect(&migration, 0, 2000000000, "PRE_COPY round 2  3 MiB  1.5 MiB/s");
	migration = (struct vuc_migration_progress){VUC_MIGRATION_STOP_COPY, 0, 100};
	expect(&migration, 0, 0, "STOP_COPY  100 bytes  0 bytes/s");
	migration.bytes = UINT64_MAX;
	expect(&migration, 0, 1, "STOP_COPY  16.0 EiB  0 bytes/s");
}

static void
test_load(void)
{
	struct vuc_migration_progress migration = {VUC_MIGRATION_RESUMING, 0, 0};

	expect(&migration, 4096, 1000000000,
		"[                              ]   0%  RESUMING  0 bytes  0 bytes/s");
	migration.bytes = 2048;
	expect(&migration, 4096, 1000000000,
		"[###############               ]  50%  RESUMING  2 KiB  2 KiB/s");
	migration.bytes = 4096;
	expect(&migration, 4096, 1000000000,
		"[##############################] 100%  RESUMING  4 KiB  4 KiB/s");
	migration.bytes = 5000; /* the file has grown meanwhile */
	expect(&migration, 4096, 1000000000,
		"[##############################] 100%  RESUMING  4.9 KiB  4.9 KiB/s");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"save", test_save},
		{"load", test_load},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_progress", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
