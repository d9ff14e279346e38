/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "eal.h"
#include "eal_child.h"
#include "tap.h"

/* ---- an EAL of vuc ---- */

/* Whether telemetry answers on its socket. */
static bool
telemetry_greets(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char greeting[1024] = "";
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.64s/dpdk_telemetry.v2",
		rte_eal_get_runtime_dir());
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
		recv(sock, greeting, sizeof(greeting) - 1, 0) < 0)
		greeting[0] = '\0';
	close(sock);
	return strstr(greeting, "\"version\"") != NULL;
}

static void
default_eal(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	cpu_set_t before = child_affinity();
	cpu_set_t after;
	sigset_t signals;

	child_init(&opts);
	after = child_affinity();
	CHECK(CPU_EQUAL(&before, &after));
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &signals) == 0 && sigisemptyset(&signals));
	CHECK(rte_lcore_count() == 1);
	CHECK(rte_lcore_id() == rte_get_main_lcore());
	CHECK(!rte_eal_has_hugepages() && !rte_eal_has_pci());
	CHECK(rte_eal_iova_mode() == RTE_IOVA_VA);
	CHECK(strncmp(rte_eal_get_runtime_dir(), child_folder, strlen(child_folder)) == 0);
	CHECK(telemetry_greets());
	vuc_eal_fini();
	child_nothing_left();
	child_no_lines();
}

static void
no_opts(void)
{
	child_init(NULL);
	vuc_eal_fini();
	child_nothing_left();
}

static void
init_twice(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	struct vuc_error err = {0};

	vuc_eal_fini();
	child_init(&opts);
	child_no_lines();
	child_init(&opts);
	CHECK(child_lines.nr == 1 && child_lines.levels[0] == VUC_LOG_NOTICE);
	CHECK(strcmp(child_lines.text[0], "using DPDK's EAL as it has been initialised before") ==
		0);
	vuc_eal_fini();
	CHECK(telemetry_greets());
	vuc_eal_fini();
	vuc_eal_fini();
	CHECK(vuc_eal_init(&opts, &err) == -EALREADY);
	CHECK(strcmp(err.text,
		      "DPDK's EAL has been cleaned up, and there is one in a process's "
		      "life") == 0);
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -ENODEV);
	child_nothing_left();
}

/* On the last CPU, which is another than the one that EAL takes first by itself. */
static void
one_cpu(void)
{
	cpu_set_t set = child_affinity();
	int cpu = child_nth_cpu((unsigned int)CPU_COUNT(&set) - 1);

	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
	child_init(NULL);
	CHECK(child_bound_to(cpu));
	child_run_thread(child_enter_and_leave, &cpu);
	vuc_eal_fini();
	CHECK(child_bound_to(cpu));
	child_nothing_left();
}

static void
named(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	char path[sizeof(child_folder) + 32];

	opts.file_prefix = "a-name";
	opts.memory_mb = 16;
	child_init(&opts);
	snprintf(path, sizeof(path), "%s/dpdk/a-name", child_folder);
	CHECK(strcmp(rte_eal_get_runtime_dir(), path) == 0);
	CHECK(telemetry_greets());
	vuc_eal_fini();
	child_nothing_left();
	child_no_lines();
}

/* A folder below DIR/dpdk; returns a descriptor of it. */
static int
make_folder(const char *name)
{
	char path[sizeof(child_folder) + 48];
	int fd;

	snprintf(path, sizeof(path), "%s/dpdk/%.40s", child_folder, name);
	CHECK(mkdir(path, 0700) == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

/* Telemetry's socket in such a folder, which nobody serves any more, or somebody does. */
static void
make_socket(const char *name, bool served)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.60s/dpdk/%.16s/dpdk_telemetry.v2",
		child_folder, name);
	CHECK(bind(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	if (served)
		CHECK(listen(sock, 1) == 0);
	else
		close(sock);
}

static bool
is_there(const char *name)
{
	char path[sizeof(child_folder) + 48];

	snprintf(path, sizeof(path), "%s/dpdk/%.40s", child_folder, name);
	return access(path, F_OK) == 0;
}

/* What killed processes have left is removed, and nothing else. */
static void
leftovers(void)
{
	static const char killed[] = "vuc-1-0123abcd", locked[] = "vuc-2-0123abcd",
			  served[] = "vuc-3-0123abcd", other[] = "vuc-4-blue";
	struct vuc_eal_opts opts = child_logged_opts();
	struct vuc_error err = {0};
	int fd;

	make_folder("");
	close(make_folder(killed));
	make_socket(killed, false);
	CHECK(flock(make_folder(locked), LOCK_EX) == 0);
	make_socket(locked, false);
	make_folder(served);
	make_socket(served, true);
	make_folder(other);
	opts.file_prefix = "a-name";
	fd = make_folder("a-name");
	make_socket("a-name", false);
	CHECK(flock(fd, LOCK_EX) == 0);
	CHECK(vuc_eal_init(&opts, &err) == -EBUSY);
	CHECK(strstr(err.text,
		      "/dpdk/a-name: choose another file prefix than a-name, or switch "
		      "telemetry off") != NULL);
	close(fd);
	child_init(&opts);
	CHECK(telemetry_greets());
	CHECK(!is_there(killed) && is_there(locked) && is_there(served) && is_there(other));
	vuc_eal_fini();
	CHECK(!is_there("a-name"));
	child_no_lines();
}

static void
no_telemetry(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	char name[NAME_MAX + 1];

	opts.telemetry = false;
	child_init(&opts);
	CHECK(child_count_entries(rte_eal_get_runtime_dir(), name) == 0);
	vuc_eal_fini();
	child_nothing_left();
	child_no_lines();
}

/* As XDG_RUNTIME_DIR is for a user, and /tmp where there is none. */
static void
as_user(void)
{
	unsetenv("RUNTIME_DIRECTORY");
	setenv("XDG_RUNTIME_DIR", child_folder, 1);
	default_eal();
}

/* Another user's DIR/dpdk, as it is in a shared /tmp. */
static void
as_second_user(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	int cpu = child_nth_cpu(0);

	child_init(&opts);
	CHECK(child_lines.nr >= 1 && child_lines.levels[0] == VUC_LOG_WARNING);
	CHECK(strncmp(child_lines.text[0], "no telemetry: folder ", 21) == 0);
	CHECK(strstr(child_lines.text[0], "/dpdk: Permission denied; see XDG_RUNTIME_DIR") != NULL);
	child_run_thread(child_enter_and_leave, &cpu);
	vuc_eal_fini();
}

/* ---- an EAL of the application ---- */

static int
init_as_application(const char *arg)
{
	char *argv[8];
	char text[][32] = {"test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry",
		"--file-prefix=application", "", ""};
	int argc = arg != NULL ? 7 : 6;
	int rc;

	snprintf(text[6], sizeof(text[6]), "%s", arg != NULL ? arg : "");
	for (size_t i = 0; i < 8; i++)
		argv[i] = i < (size_t)argc ? text[i] : NULL;
	rc = rte_eal_init(argc, argv);
	return rc < 0 ? -rte_errno : 0;
}

static void
application_eal(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	cpu_set_t before;
	cpu_set_t after;
	int cpu = child_nth_cpu(0);
	FILE *stream;

	CHECK(init_as_application(NULL) == 0);
	stream = rte_log_get_stream();
	before = child_affinity();
	for (unsigned int round = 0; round < 2; round++) {
		child_lines.nr = 0;
		child_init(&opts);
		CHECK(child_lines.nr == 1 && child_lines.levels[0] == VUC_LOG_NOTICE);
		CHECK(strcmp(child_lines.text[0],
			      "using DPDK's EAL as the application has initialised "
			      "it") == 0);
		child_run_thread(child_enter_and_leave, &cpu);
		vuc_eal_fini();
	}
	after = child_affinity();
	CHECK(CPU_EQUAL(&before, &after));
	CHECK(rte_log_get_stream() == stream);
	CHECK(rte_lcore_id() == rte_get_main_lcore());
	CHECK(rte_eal_cleanup() == 0);
}

static void
broken_application_eal(void)
{
	struct vuc_error err = {0};

	CHECK(init_as_application("--iova-mode=sideways") < 0);
	CHECK(vuc_eal_init(NULL, &err) == -ENOTSUP);
	CHECK(strncmp(err.text, "the application's EAL takes no threads of others (Invalid ", 58) ==
		0);
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -ENODEV);
}

/* ---- in the parent ---- */

static void
test_default(void)
{
	child_run(default_eal);
}

static void
test_no_opts(void)
{
	child_run(no_opts);
}

static void
test_twice(void)
{
	child_run(init_twice);
}

static void
test_one_cpu(void)
{
	child_run(one_cpu);
}

static void
test_named(void)
{
	child_run(named);
}

static void
test_leftovers(void)
{
	char command[sizeof(child_folder) + 16];

	child_make_folder();
	child_run_in_folder(leftovers, false, false);
	snprintf(command, sizeof(command), "rm -r %s/*", child_folder);
	CU_ASSERT_EQUAL(system(command), 0);
	child_remove_folder();
}

static void
test_no_telemetry(void)
{
	child_run(no_telemetry);
}

static void
test_user(void)
{
	child_make_folder();
	if (geteuid() == 0)
		CU_ASSERT_EQUAL(chown(child_folder, CHILD_NOBODY, CHILD_NOBODY), 0);
	child_run_in_folder(as_user, true, false);
	child_remove_folder();
}

static void
test_second_user(void)
{
	char path[sizeof(child_folder) + 8];

	if (geteuid() != 0) {
		vuc_tap_skip("only root can make a folder of another user");
		return;
	}
	child_make_folder();
	snprintf(path, sizeof(path), "%s/dpdk", child_folder);
	CU_ASSERT_EQUAL(chmod(child_folder, 0777), 0);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	child_run_in_folder(as_second_user, true, false);
	child_remove_folder();
}

static void
test_application(void)
{
	child_run_loud(application_eal);
}

static void
test_broken_application(void)
{
	child_run_loud(broken_application_eal);
}

static CU_TestInfo tests[] = {
	{"by default", test_default},
	{"without options", test_no_opts},
	{"twice", test_twice},
	{"in a process with one CPU", test_one_cpu},
	{"named", test_named},
	{"what killed processes have left", test_leftovers},
	{"without telemetry", test_no_telemetry},
	{"as a user", test_user},
	{"as the second user of a folder", test_second_user},
	{"an application's", test_application},
	{"an application's that failed", test_broken_application},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("eal", NULL, NULL, tests);
}
