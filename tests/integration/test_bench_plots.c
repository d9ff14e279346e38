/* SPDX-License-Identifier: BSD-3-Clause */

/* Pictures of vuc-bench, $VUC_BENCH. */

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench_json.h"
#include "bench_run.h"
#include "tap.h"

/* Few: this must work beside whatever else the machine does. */

static struct bench_place place;

static int
make_place(void)
{
	return bench_place_make(&place) == 0 ? 0 : 1;
}

static int
remove_place(void)
{
	bench_place_remove(&place);
	return 0;
}

static void
plot(const char *name, const char *magic)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {"mmio", "--ops", "200", "--rounds", "2", "--transport",
		"loopback", "--label", "it's `x`", "--plot", bench_place_file(&place, name, path),
		NULL};
	static char start[64 * 1024];
	struct bench_run run;
	size_t len;
	FILE *f;

	if (!bench_has_gnuplot()) {
		vuc_tap_skip("no gnuplot");
		return;
	}
	bench_run(&run, &place, args, NULL, 0);
	f = fopen(path, "re");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	len = fread(start, 1, sizeof(start) - 1, f);
	start[len] = '\0';
	fclose(f);
	CU_ASSERT_PTR_NOT_NULL(strstr(start, magic));
	/* A picture says what it is of, and its axis has units. */
	if (strcmp(magic, "PNG") != 0) {
		CU_ASSERT_PTR_NOT_NULL(strstr(start, "liburing "));
		CU_ASSERT_PTR_NOT_NULL(strstr(start, "100 ns"));
	}
	bench_run_free(&run);
}

static void
test_plot_svg(void)
{
	plot("it's.svg", "<?xml");
}

static void
test_plot_png(void)
{
	plot("$(x).png", "PNG");
}

/* Counts the pictures of a folder, removes them, and asserts that there is nothing else. */
static unsigned int
take_pictures(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	unsigned int nr = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	while ((entry = readdir(dir)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		if (entry->d_name[0] == '.')
			continue;
		CU_ASSERT_STRING_EQUAL(dot != NULL ? dot : "", ".svg");
		CU_ASSERT_EQUAL(unlinkat(dirfd(dir), entry->d_name, 0), 0);
		nr++;
	}
	closedir(dir);
	return nr;
}

/* With one CPU it is quick: what needs two has no picture. */
static void
test_plots_of_all(void)
{
	char path[BENCH_PATH_MAX];
	const char *const args[] = {
		"all", "--rounds", "1", "--plot", bench_place_file(&place, "plots", path), NULL};
	struct bench_run run;

	if (!bench_has_gnuplot()) {
		vuc_tap_skip("no gnuplot");
		return;
	}
	for (unsigned int i = 0; i < 2; i++) {
		bench_run(&run, &place, args, bench_on_one_cpu, 0);
		bench_run_free(&run);
	}
	CU_ASSERT_EQUAL(take_pictures(path), 1);
	CU_ASSERT_EQUAL(rmdir(path), 0);
}

static CU_TestInfo plot_tests[] = {
	{"SVG", test_plot_svg},
	{"PNG", test_plot_png},
	{"all", test_plots_of_all},
	CU_TEST_INFO_NULL,
};

static CU_SuiteInfo suites[] = {
	{.pName = "plots",
		.pInitFunc = make_place,
		.pCleanupFunc = remove_place,
		.pTests = plot_tests},
	CU_SUITE_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_run(suites);
}
