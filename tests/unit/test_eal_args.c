/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_config.h>
#include <rte_lcore.h>

#include "eal_child.h"
#include "tap.h"

static void
lcores(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	cpu_set_t before = child_affinity();
	cpu_set_t after;
	int first = child_nth_cpu(0);
	int second = child_nth_cpu(1);
	char list[32];

	snprintf(list, sizeof(list), second < 0 ? "%d" : "%d,%d", first, second);
	opts.lcores = list;
	child_init(&opts);
	CHECK(rte_lcore_count() == (second < 0 ? 1u : 2u));
	CHECK(rte_lcore_id() == (unsigned int)first);
	after = child_affinity();
	CHECK(CPU_EQUAL(&before, &after));
	child_run_thread(child_enter_and_leave, &first);
	vuc_eal_fini();
	child_nothing_left();
	child_no_lines();
}

static void
refused(const struct vuc_eal_opts *opts, const char *reason)
{
	struct vuc_error err = {0};

	CHECK(vuc_eal_init(opts, &err) == -EINVAL);
	if (!CHECK(strcmp(err.text, reason) == 0))
		child_report("%s", err.text);
}

/* EAL does not see them, so they may be corrected. */
static void
refused_opts(void)
{
	struct vuc_eal_opts opts = child_logged_opts();

	opts.lcores = "one";
	refused(&opts, "lcores \"one\" is not a list of CPUs as 0,2-3");
	opts.lcores = "0-1024";
	refused(&opts, "lcores \"0-1024\" is not a list of CPUs as 0,2-3");
	opts.lcores = "1023";
	refused(&opts, "lcores \"1023\": the process may not use CPU 1023");
	opts.lcores = NULL;
	opts.file_prefix = "";
	refused(&opts, "file_prefix has 0 bytes, expected 1 to 47");
	opts.file_prefix = "a name that has forty-eight bytes is one too long";
	refused(&opts, "file_prefix has 49 bytes, expected 1 to 47");
	opts.file_prefix = "../name";
	refused(&opts, "file_prefix \"../name\" has a '/' or a '%', or begins with a dot");
	opts.file_prefix = NULL;
	opts.nr_args = 129;
	refused(&opts, "129 arguments for DPDK's EAL, at most 128");
	opts.nr_args = 0;
	child_init(&opts);
	vuc_eal_fini();
	child_nothing_left();
	child_no_lines();
}

/* EAL prints its usage, but there is a reason all the same. */
static void
refused_args(void)
{
	static const char *const args[] = {"--iova-mode=sideways"};
	struct vuc_eal_opts opts = child_logged_opts();
	struct vuc_error err = {0};
	cpu_set_t before = child_affinity();
	cpu_set_t after;

	opts.args = args;
	opts.nr_args = 1;
	CHECK(vuc_eal_init(&opts, &err) < 0);
	CHECK(strncmp(err.text, "DPDK's EAL cannot be initialised: Invalid argument: EAL: ", 57) ==
		0);
	CHECK(strstr(err.text, "iova-mode") != NULL);
	after = child_affinity();
	CHECK(CPU_EQUAL(&before, &after));
	child_nothing_left();
	CHECK(child_lines.nr > 0 && child_lines.levels[0] == VUC_LOG_ERROR);
	CHECK(vuc_eal_init(NULL, &err) == -EALREADY);
	CHECK(strcmp(err.text,
		      "DPDK's EAL has failed in this process, and cannot be tried "
		      "again") == 0);
}

static void
no_hugepages(void)
{
	static const char *const args[] = {"--socket-mem=1048576"};
	struct vuc_eal_opts opts = child_logged_opts();
	struct vuc_error err = {0};
	cpu_set_t before = child_affinity();
	cpu_set_t after;

	opts.hugepages = true; /* a TiB of them */
	opts.args = args;
	opts.nr_args = 1;
	CHECK(vuc_eal_init(&opts, &err) < 0);
	CHECK(strncmp(err.text, "DPDK's EAL cannot be initialised: ", 34) == 0);
	CHECK(strstr(err.text, "EAL: ") != NULL);
	after = child_affinity();
	CHECK(CPU_EQUAL(&before, &after));
	child_nothing_left();
}

static void
test_lcores(void)
{
	child_run(lcores);
}

static void
test_refused_opts(void)
{
	child_run(refused_opts);
}

static void
test_refused_args(void)
{
	child_run_loud(refused_args);
}

static void
test_no_hugepages(void)
{
	child_run_loud(no_hugepages);
}

static CU_TestInfo tests[] = {
	{"lcores", test_lcores},
	{"options refused", test_refused_opts},
	{"arguments refused", test_refused_args},
	{"hugepages that are not there", test_no_hugepages},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"eal arguments", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
