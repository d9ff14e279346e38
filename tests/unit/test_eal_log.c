/* SPDX-License-Identifier: BSD-3-Clause */
#include <ftw.h>
#include <sys/stat.h>

#include <rte_config.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_trace.h>

#include "eal.h"
#include "eal_child.h"

#define TRACED "an allocation" /* its type, which EAL traces */

static bool trace_found;

static int
find_trace(const char *path, const struct stat *st, int type, struct FTW *at)
{
	char *bytes = NULL;
	FILE *file;

	if (type != FTW_F || strncmp(path + at->base, "channel0_", 9) != 0 || st->st_size == 0)
		return 0;
	file = fopen(path, "r");
	bytes = malloc((size_t)st->st_size);
	if (file != NULL && bytes != NULL &&
		fread(bytes, 1, (size_t)st->st_size, file) == (size_t)st->st_size &&
		memmem(bytes, (size_t)st->st_size, TRACED, strlen(TRACED)) != NULL)
		trace_found = true;
	if (file != NULL)
		fclose(file);
	free(bytes);
	return 0;
}

/* What a thread has traced goes when it leaves. */
static void *
emit_trace(void *arg)
{
	(void)arg;
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == 0);
	rte_free(rte_zmalloc(TRACED, 64, 0));
	CHECK(rte_trace_save() == 0);
	vuc_eal_thread_leave();
	return NULL;
}

static void
traces(void)
{
	char dir[sizeof(child_folder) + 32];
	const char *args[] = {"--trace=lib.eal.mem.*", dir};
	struct vuc_eal_opts opts = child_logged_opts();

	snprintf(dir, sizeof(dir), "--trace-dir=%s", child_folder);
	opts.args = args;
	opts.nr_args = 2;
	child_init(&opts);
	child_run_thread(emit_trace, NULL);
	CHECK(nftw(child_folder, find_trace, 8, FTW_PHYS) == 0 && trace_found);
	vuc_eal_fini();
	child_no_lines();
}

static void
log_lines(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	char line[1000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	child_init(&opts);
	rte_log(RTE_LOG_ERR, RTE_LOGTYPE_USER1, "one\ntwo\n\n");
	rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_USER1, "half of ");
	rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_USER1, "a line\n");
	rte_log(RTE_LOG_INFO, RTE_LOGTYPE_USER1, "%s\n", line);
	rte_log(RTE_LOG_NOTICE, RTE_LOGTYPE_EAL, "quiet\n");
	CHECK(child_lines.nr == 4);
	CHECK(strcmp(child_lines.text[0], "one") == 0 && child_lines.levels[0] == VUC_LOG_ERROR);
	CHECK(strcmp(child_lines.text[1], "two") == 0 && child_lines.levels[1] == VUC_LOG_ERROR);
	CHECK(strcmp(child_lines.text[2], "half of a line") == 0);
	CHECK(child_lines.levels[2] == VUC_LOG_WARNING);
	CHECK(strlen(child_lines.text[3]) == 511 && child_lines.levels[3] == VUC_LOG_NOTICE);
	vuc_eal_fini();
	CHECK(child_lines.nr == 4);
}

static bool
can_trace(void)
{
	if (VUC_TAP_TSAN)
		vuc_tap_skip("ThreadSanitizer does not see the locks of DPDK's traces");
	return !VUC_TAP_TSAN;
}

static const struct child_test tests[] = {
	{"traces", traces, .prepare = can_trace},
	{"log", log_lines},
};

const struct tap_suite tap_suite = {"eal log", .rows = TAP_ROWS(tests, child_run)};
