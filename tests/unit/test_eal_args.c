/* SPDX-License-Identifier: BSD-3-Clause */
#include <sched.h>
#include <sys/stat.h>

#include <rte_config.h>
#include <rte_lcore.h>

#include "eal_child.h"
#include "eal_machine.h"
#include "tempdir.h"

static void
lcores(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	cpu_set_t before = child_affinity();
	int first = child_nth_cpu(0);
	int second = child_nth_cpu(1);
	char list[32];

	snprintf(list, sizeof(list), second < 0 ? "%d" : "%d,%d", first, second);
	opts.lcores = list;
	child_init(&opts);
	CHECK(rte_lcore_count() == (second < 0 ? 1u : 2u));
	CHECK(rte_lcore_id() == (unsigned int)first);
	CHECK(child_may_use(&before));
	child_run_thread(child_enter_and_leave, &first);
	child_fini();
}

/* EAL does not see them, so they may be corrected. */
static void
refused_opts(void)
{
	static const struct {
		const char *lcores, *prefix;
		unsigned int nr_args;
		const char *error;
	} rows[] = {
		{"one", NULL, 0, "lcores \"one\" is not a list of CPUs as 0,2-3"},
		{"0-1024", NULL, 0, "lcores \"0-1024\" is not a list of CPUs as 0,2-3"},
		{"1023", NULL, 0, "lcores \"1023\": the process may not use CPU 1023"},
		{NULL, "", 0, "file_prefix has 0 bytes, expected 1 to 47"},
		{NULL, "a name that has forty-eight bytes is one too long", 0,
			"file_prefix has 49 bytes, expected 1 to 47"},
		{NULL, "a name that has forty-eight bytes is 1 too long.", 0,
			"file_prefix has 48 bytes, expected 1 to 47"},
		{NULL, "../name", 0,
			"file_prefix \"../name\" has a '/' or a '%', or begins with a dot"},
		{NULL, NULL, 129, "129 arguments for DPDK's EAL, at most 128"},
	};
	struct vuc_eal_opts opts = child_logged_opts();

	for (size_t i = 0; i < NR(rows); i++) {
		opts.lcores = rows[i].lcores;
		opts.file_prefix = rows[i].prefix;
		opts.nr_args = rows[i].nr_args;
		child_fails(&opts, -EINVAL, rows[i].error);
	}
	opts.nr_args = 0;
	child_init(&opts);
	child_fini();
}

/* EAL prints its usage, but there is a reason all the same. */
static void
refused_args(void)
{
	static const char *const args[] = {"--iova-mode=sideways"};
	struct vuc_eal_opts opts = child_logged_opts();
	cpu_set_t before = child_affinity();

	opts.args = args;
	opts.nr_args = 1;
	child_fails(&opts, -EINVAL,
		"DPDK's EAL cannot be initialised: Invalid argument: EAL: *iova-mode*");
	CHECK(child_may_use(&before));
	child_nothing_left();
	CHECK(child_lines.nr > 0 && child_lines.levels[0] == VUC_LOG_ERROR);
	child_fails(NULL, -EALREADY,
		"DPDK's EAL failed to initialise in this process and cannot be retried");
}

/* ---- what a machine has, by files ---- */

struct file {
	const char *path;
	const char *text;
};

#define CPU_FILE      "sys/devices/system/cpu/cpu0/topology/core_id"
#define HUGEPAGES(kb) "sys/kernel/mm/hugepages/hugepages-" kb "kB/"
#define NOT_POSSIBLE  "DPDK's EAL cannot be initialised: "
#define MEMINFO(kb)                                                              \
	{                                                                        \
		"proc/meminfo", "MemTotal: 999999 kB\nMemAvailable: " kb " kB\n" \
	}

static const struct {
	const char *says; /* "": it has what is needed */
	int rc;
	bool hugepages;
	uint32_t memory_mb;
	struct file files[6];
} machines[] = {
	{"it finds CPUs by sysfs, but ./" CPU_FILE " does not exist", -ENODEV, false, 0,
		{MEMINFO("131072")}},
	{"", 0, false, 0, {{CPU_FILE, "0"}}},
	{"", 0, false, 128, {{CPU_FILE, "0"}, MEMINFO("131072")}},
	{"129 MiB of memory were asked for, and 128 MiB are available", -ENOMEM, false, 129,
		{{CPU_FILE, "0"}, MEMINFO("131072")}},
	{"no hugepage is free; sysctl vm.nr_hugepages=32 reserves some", -ENOMEM, true, 0,
		{{CPU_FILE, "0"}, {HUGEPAGES("2048") "free_hugepages", "0"}}},
	{"no hugepage is free; sysctl vm.nr_hugepages=32 reserves some", -ENOMEM, true, 0,
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

static void
expect_machine(size_t i)
{
	struct vuc_eal_opts opts = child_logged_opts();
	struct vuc_error err = {""};
	char wanted[VUC_ERROR_MAX] = "";
	cpu_set_t cpu0;

	CPU_ZERO(&cpu0);
	CPU_SET(0, &cpu0);
	for (size_t k = 0; k < 6 && machines[i].files[k].path != NULL; k++)
		CHECK(vuc_tempdir_put(machines[i].files[k].path, machines[i].files[k].text) == 0);
	opts.hugepages = machines[i].hugepages;
	opts.memory_mb = machines[i].memory_mb;
	if (machines[i].rc != 0)
		snprintf(wanted, sizeof(wanted), NOT_POSSIBLE "%s", machines[i].says);
	CHECK(vuc_eal_machine_check("./sys", "./proc", &opts, &cpu0, &err) == machines[i].rc);
	if (strcmp(err.text, wanted) != 0)
		child_report("machine %zu: %s", i, err.text);
}

static void
all_machines(void)
{
	for (size_t i = 0; i < NR(machines); i++) {
		char folder[sizeof(child_folder) + 24];

		snprintf(folder, sizeof(folder), "%s/%zu", child_folder, i);
		CHECK(mkdir(folder, 0700) == 0 && chdir(folder) == 0);
		expect_machine(i);
	}
}

/* More than there is: nobody waits for EAL to find that out. */
static void
too_much_memory(void)
{
	struct vuc_eal_opts opts = child_logged_opts();

	opts.memory_mb = UINT32_MAX;
	child_fails(&opts, -ENOMEM, "*4294967295 MiB of memory were asked for, and *");
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

	opts.hugepages = true; /* a TiB of them */
	opts.args = args;
	opts.nr_args = 1;
	CHECK(vuc_eal_init(&opts, &err) < 0);
	CHECK(strncmp(err.text, "DPDK's EAL cannot be initialised: ", 34) == 0);
	CHECK(child_may_use(&before));
}

static const struct child_test tests[] = {
	{"lcores", lcores},
	{"options refused", refused_opts},
	{"arguments refused", refused_args, .loud = true},
	{"what a machine has", all_machines},
	{"more memory than there is", too_much_memory},
	{"hugepages that are not there", no_hugepages, .loud = true},
};

const struct tap_suite tap_suite = {"eal arguments", .rows = TAP_ROWS(tests, child_run)};
