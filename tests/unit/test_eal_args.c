/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_lcore.h>

#include "eal_child.h"
#include "eal_machine.h"
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

/* ---- what a machine has, by files ---- */

struct file {
	const char *path; /* below the folder of the test */
	const char *text;
};

#define CPU_FILE      "devices/system/cpu/cpu0/topology/core_id"
#define HUGEPAGES(kb) "kernel/mm/hugepages/hugepages-" kb "kB/"
#define NOT_POSSIBLE  "DPDK's EAL cannot be initialised: "
#define MEMINFO(kb)                                                         \
	{                                                                   \
		"meminfo", "MemTotal: 999999 kB\nMemAvailable: " kb " kB\n" \
	}

static const struct {
	const char *says; /* "": it has what is needed */
	int rc;
	bool hugepages;
	uint32_t memory_mb;
	struct file files[6];
} machines[] = {
	{"it finds CPUs by sysfs, and there is no ./sys/" CPU_FILE, -ENODEV, false, 0,
		{MEMINFO("131072")}},
	{"", 0, false, 0, {{CPU_FILE, "0"}}},
	{"", 0, false, 128, {{CPU_FILE, "0"}, MEMINFO("131072")}},
	{"129 MiB of memory were asked for, and 128 MiB are available", -ENOMEM, false, 129,
		{{CPU_FILE, "0"}, MEMINFO("131072")}},
	{"no hugepage is free; sysctl vm.nr_hugepages=32 makes some", -ENOMEM, true, 0,
		{{CPU_FILE, "0"}, {HUGEPAGES("2048") "free_hugepages", "0"}}},
	{"no hugepage is free; sysctl vm.nr_hugepages=32 makes some", -ENOMEM, true, 0,
		{{CPU_FILE, "0"}, {HUGEPAGES("2048") "free_hugepages", "3"},
			{HUGEPAGES("2048") "resv_hugepages", "3"}}},
	{"7 MiB of memory were asked for, and 6 MiB are available in hugepages", -ENOMEM, true, 7,
		{{CPU_FILE, "0"}, {HUGEPAGES("2048") "free_hugepages", "4"},
			{HUGEPAGES("2048") "resv_hugepages", "1"}}},
	{"", 0, true, 2054,
		{{CPU_FILE, "0"}, {HUGEPAGES("2048") "free_hugepages", "3"},
			{HUGEPAGES("1048576") "nr_overcommit_hugepages", "3"},
			{HUGEPAGES("1048576") "surplus_hugepages", "1"}}},
};

/* A file, and the folders that it is in. */
static void
make_file(const struct file *file)
{
	bool of_proc = strchr(file->path, '/') == NULL;
	char path[128];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", of_proc ? "proc" : "sys", file->path);
	for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	stream = fopen(path, "we");
	if (!CHECK(stream != NULL))
		return;
	fputs(file->text, stream);
	fclose(stream);
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	return ftw->level == 0 ? 0 : remove(path);
}

static void
check_machine(size_t i)
{
	struct vuc_eal_opts opts = child_logged_opts();
	struct vuc_error err = {""};
	char wanted[VUC_ERROR_MAX] = "";
	cpu_set_t cpu0;

	CPU_ZERO(&cpu0);
	CPU_SET(0, &cpu0);
	for (size_t k = 0; k < 6 && machines[i].files[k].path != NULL; k++)
		make_file(&machines[i].files[k]);
	opts.hugepages = machines[i].hugepages;
	opts.memory_mb = machines[i].memory_mb;
	if (machines[i].rc != 0)
		snprintf(wanted, sizeof(wanted), NOT_POSSIBLE "%s", machines[i].says);
	CHECK(vuc_eal_machine_check("./sys", "./proc", &opts, &cpu0, &err) == machines[i].rc);
	if (!CHECK(strcmp(err.text, wanted) == 0))
		child_report("%s", err.text);
	CHECK(nftw(".", remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void
all_machines(void)
{
	CHECK(chdir(child_folder) == 0);
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		check_machine(i);
}

/* More than there is: nobody waits for EAL to find that out. */
static void
too_much_memory(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	struct vuc_error err = {""};

	opts.memory_mb = UINT32_MAX;
	CHECK(vuc_eal_init(&opts, &err) == -ENOMEM);
	CHECK(strstr(err.text, "4294967295 MiB of memory were asked for, and ") != NULL);
	child_no_lines();
	/* EAL has not seen it, so it may be corrected. */
	opts.memory_mb = 0;
	child_init(&opts);
	vuc_eal_fini();
	child_nothing_left();
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
	after = child_affinity();
	CHECK(CPU_EQUAL(&before, &after));
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
test_machines(void)
{
	child_run(all_machines);
}

static void
test_too_much_memory(void)
{
	child_run(too_much_memory);
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
	{"what a machine has", test_machines},
	{"more memory than there is", test_too_much_memory},
	{"hugepages that are not there", test_no_hugepages},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("eal arguments", NULL, NULL, tests);
}
