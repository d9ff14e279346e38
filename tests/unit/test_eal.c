/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "eal.h"
#include "eal_child.h"

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
	sigset_t signals;

	child_init(&opts);
	CHECK(child_may_use(&before));
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &signals) == 0 && sigisemptyset(&signals));
	CHECK(rte_lcore_count() == 1);
	CHECK(rte_lcore_id() == rte_get_main_lcore());
	CHECK(!rte_eal_has_hugepages() && !rte_eal_has_pci());
	CHECK(rte_eal_iova_mode() == RTE_IOVA_VA);
	CHECK(strncmp(rte_eal_get_runtime_dir(), child_folder, strlen(child_folder)) == 0);
	CHECK(telemetry_greets());
	child_fini();
}

static void
init_twice(void)
{
	struct vuc_eal_opts opts = child_logged_opts();

	vuc_eal_fini();
	child_init(&opts);
	child_no_lines();
	child_init(&opts);
	CHECK(child_lines.nr == 1 && child_lines.levels[0] == VUC_LOG_NOTICE);
	child_text_is(child_lines.text[0], "using DPDK's EAL, which was initialised before");
	vuc_eal_fini();
	CHECK(telemetry_greets());
	vuc_eal_fini();
	vuc_eal_fini();
	child_fails(&opts, -EALREADY,
		"DPDK's EAL was cleaned up and cannot be initialised again in this process");
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
	child_fini();
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
	child_fails(&opts, -EBUSY,
		"*/dpdk/a-name: choose another file prefix than a-name, or switch telemetry off*");
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
	child_fini();
}

#define HUGE_PAGES "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define HUGE_MB    8u

static unsigned int
count_huge_pages(void)
{
	FILE *stream = fopen(HUGE_PAGES, "re");
	unsigned int nr = 0;

	if (stream != NULL && fscanf(stream, "%u", &nr) != 1)
		nr = 0;
	if (stream != NULL)
		fclose(stream);
	return nr;
}

/* What was asked for is taken at once, and given back. */
static void
huge_pages(void)
{
	struct vuc_eal_opts opts = child_logged_opts();
	unsigned int before = count_huge_pages();
	void *memory;

	opts.hugepages = true;
	opts.memory_mb = HUGE_MB;
	child_init(&opts);
	CHECK(rte_eal_has_hugepages());
	CHECK(count_huge_pages() + HUGE_MB / 2 == before);
	memory = rte_malloc(NULL, HUGE_MB << 19, 0);
	CHECK(memory != NULL && rte_mem_virt2memseg(memory, NULL)->hugepage_sz == 2u << 20);
	rte_free(memory);
	CHECK(telemetry_greets());
	vuc_eal_fini();
	CHECK(count_huge_pages() == before);
	child_nothing_left();
	/* DPDK warns of other sizes, of which there may be none. */
	for (unsigned int i = 0; i < child_lines.nr; i++)
		child_text_is(
			child_lines.text[i], "EAL: No free * kB hugepages reported on node *");
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
	child_text_is(child_lines.text[0],
		"no telemetry: folder */dpdk: Permission denied; see XDG_RUNTIME_DIR*");
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
	int cpu = child_nth_cpu(0);
	FILE *stream;

	CHECK(init_as_application(NULL) == 0);
	stream = rte_log_get_stream();
	before = child_affinity();
	for (unsigned int round = 0; round < 2; round++) {
		child_lines.nr = 0;
		child_init(&opts);
		CHECK(child_lines.nr == 1 && child_lines.levels[0] == VUC_LOG_NOTICE);
		child_text_is(child_lines.text[0],
			"using DPDK's EAL, which the application has initialised");
		child_run_thread(child_enter_and_leave, &cpu);
		vuc_eal_fini();
	}
	CHECK(child_may_use(&before));
	CHECK(rte_log_get_stream() == stream);
	CHECK(rte_lcore_id() == rte_get_main_lcore());
	CHECK(rte_eal_cleanup() == 0);
}

static void
broken_application_eal(void)
{
	CHECK(init_as_application("--iova-mode=sideways") < 0);
	child_fails(NULL, -ENOTSUP, "the application's EAL accepts no external threads (Invalid *");
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -ENODEV);
}

/* ---- in the parent ---- */

static bool
has_huge_pages(void)
{
	if (count_huge_pages() >= HUGE_MB / 2)
		return true;
	vuc_tap_skip("there are not enough free huge pages of 2 MiB");
	return false;
}

static bool
give_folder_away(void)
{
	if (geteuid() == 0)
		CU_ASSERT_EQUAL(chown(child_folder, CHILD_NOBODY, CHILD_NOBODY), 0);
	return true;
}

static bool
make_folder_of_root(void)
{
	char path[sizeof(child_folder) + 8];

	if (geteuid() != 0) {
		vuc_tap_skip("only root can make a folder of another user");
		return false;
	}
	snprintf(path, sizeof(path), "%s/dpdk", child_folder);
	CU_ASSERT_EQUAL(chmod(child_folder, 0777), 0);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	return true;
}

static const struct child_test tests[] = {
	{"by default", default_eal},
	{"twice", init_twice},
	{"in a process with one CPU, without options", one_cpu},
	{"named", named},
	{"what killed processes have left", leftovers},
	{"without telemetry", no_telemetry},
	{"with huge pages", huge_pages, .prepare = has_huge_pages},
	{"as a user", as_user, .user = true, .prepare = give_folder_away},
	{"as the second user of a folder", as_second_user, .user = true,
		.prepare = make_folder_of_root},
	{"an application's", application_eal, .loud = true},
	{"an application's that failed", broken_application_eal, .loud = true},
};

const struct tap_suite tap_suite = {"eal", .rows = TAP_ROWS(tests, child_run)};
