/* SPDX-License-Identifier: BSD-3-Clause */
#define ALLOW_EXPERIMENTAL_API /* rte_trace_save() is marked so */

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_trace.h>

#include "eal.h"
#include "tap.h"

/*
 * There is one EAL in the life of a process, so each test runs in a child of its own, with a folder
 * of its own for EAL to work in. A child reports what went wrong on a descriptor.
 */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define THREAD_SANITIZER true
#else
#define THREAD_SANITIZER false
#endif

#define CHILD_SECONDS 60
#define NOBODY        65534
#define LINES_MAX     16
#define LINE_SIZE     600

#define CHECK(condition) check(condition, __LINE__, #condition)

static char folder[64];
static int report = -1;

static struct {
	unsigned int nr;
	enum vuc_log_level levels[LINES_MAX];
	char text[LINES_MAX][LINE_SIZE];
} lines;

static bool
check(bool fine, int line, const char *condition)
{
	if (!fine)
		dprintf(report, "# line %d: %s\n", line, condition);
	return fine;
}

static void
take_line(void *arg, enum vuc_log_level level, const char *line)
{
	CHECK(arg == &lines);
	if (lines.nr < LINES_MAX) {
		lines.levels[lines.nr] = level;
		snprintf(lines.text[lines.nr], LINE_SIZE, "%s", line);
	}
	lines.nr++;
}

static struct vuc_eal_opts
logged_opts(void)
{
	struct vuc_eal_opts opts;

	vuc_eal_opts_init(&opts);
	opts.log = take_line;
	opts.log_arg = &lines;
	return opts;
}

static void
no_lines(void)
{
	CHECK(lines.nr == 0);
	for (unsigned int i = 0; i < lines.nr && i < LINES_MAX; i++)
		dprintf(report, "# log: %s\n", lines.text[i]);
}

static void
init(const struct vuc_eal_opts *opts)
{
	struct vuc_error err = {0};

	if (CHECK(vuc_eal_init(opts, &err) == 0))
		return;
	dprintf(report, "# %s\n", err.text);
	_exit(1);
}

/* ---- what EAL leaves alone ---- */

static cpu_set_t
affinity(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	return set;
}

/* The nth CPU that the thread may run on, or -1. */
static int
nth_cpu(unsigned int n)
{
	cpu_set_t set = affinity();

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &set) && n-- == 0)
			return (int)cpu;
	}
	return -1;
}

/* Whether the thread is bound to this CPU. */
static bool
bound_to(int cpu)
{
	cpu_set_t set = affinity();

	return CPU_COUNT(&set) == 1 && CPU_ISSET((unsigned int)cpu, &set) && sched_getcpu() == cpu;
}

/* Entries of a folder; the name of one of them. */
static int
count_entries(const char *path, char name[NAME_MAX + 1])
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int nr = 0;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
		nr++;
	}
	closedir(dir);
	return nr;
}

/* Nothing but the folder that all DPDK processes of a user share. */
static void
nothing_left(void)
{
	char path[sizeof(folder) + 8];
	char name[NAME_MAX + 1];

	CHECK(count_entries(folder, name) == 1 && strcmp(name, "dpdk") == 0);
	snprintf(path, sizeof(path), "%s/dpdk", folder);
	CHECK(count_entries(path, name) == 0);
}

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

/* ---- tests, in the child ---- */

static void
default_eal(void)
{
	struct vuc_eal_opts opts = logged_opts();
	cpu_set_t before = affinity();
	cpu_set_t after;
	sigset_t signals;

	init(&opts);
	after = affinity();
	CHECK(CPU_EQUAL(&before, &after));
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &signals) == 0 && sigisemptyset(&signals));
	CHECK(rte_lcore_count() == 1);
	CHECK(rte_lcore_id() == rte_get_main_lcore());
	CHECK(!rte_eal_has_hugepages() && !rte_eal_has_pci());
	CHECK(rte_eal_iova_mode() == RTE_IOVA_VA);
	CHECK(strncmp(rte_eal_get_runtime_dir(), folder, strlen(folder)) == 0);
	CHECK(telemetry_greets());
	vuc_eal_fini();
	nothing_left();
	no_lines();
}

static void
no_opts(void)
{
	init(NULL);
	vuc_eal_fini();
	nothing_left();
}

static void
init_twice(void)
{
	struct vuc_eal_opts opts = logged_opts();
	struct vuc_error err = {0};

	vuc_eal_fini();
	init(&opts);
	no_lines();
	init(&opts);
	CHECK(lines.nr == 1 && lines.levels[0] == VUC_LOG_NOTICE);
	CHECK(strcmp(lines.text[0], "using DPDK's EAL as it has been initialised before") == 0);
	vuc_eal_fini();
	CHECK(telemetry_greets());
	vuc_eal_fini();
	vuc_eal_fini();
	CHECK(vuc_eal_init(&opts, &err) == -EALREADY);
	CHECK(strcmp(err.text,
		      "DPDK's EAL has been cleaned up, and there is one in a process's "
		      "life") == 0);
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -ENODEV);
	nothing_left();
}

static void *
enter_and_leave(void *arg)
{
	int cpu = *(int *)arg;

	CHECK(vuc_eal_thread_enter(cpu, NULL) == 0);
	CHECK(bound_to(cpu));
	vuc_eal_thread_leave();
	return NULL;
}

static void
run_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	if (CHECK(pthread_create(&thread, NULL, fn, arg) == 0))
		pthread_join(thread, NULL);
}

/* On the last CPU, which is another than the one that EAL takes first by itself. */
static void
one_cpu(void)
{
	cpu_set_t set = affinity();
	int cpu = nth_cpu((unsigned int)CPU_COUNT(&set) - 1);

	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
	init(NULL);
	CHECK(bound_to(cpu));
	run_thread(enter_and_leave, &cpu);
	vuc_eal_fini();
	CHECK(bound_to(cpu));
	nothing_left();
}

static void
lcores(void)
{
	struct vuc_eal_opts opts = logged_opts();
	cpu_set_t before = affinity();
	cpu_set_t after;
	int first = nth_cpu(0);
	int second = nth_cpu(1);
	char list[32];

	snprintf(list, sizeof(list), second < 0 ? "%d" : "%d,%d", first, second);
	opts.lcores = list;
	init(&opts);
	CHECK(rte_lcore_count() == (second < 0 ? 1u : 2u));
	CHECK(rte_lcore_id() == (unsigned int)first);
	after = affinity();
	CHECK(CPU_EQUAL(&before, &after));
	run_thread(enter_and_leave, &first);
	vuc_eal_fini();
	nothing_left();
	no_lines();
}

static void
named(void)
{
	struct vuc_eal_opts opts = logged_opts();
	char path[sizeof(folder) + 32];

	opts.file_prefix = "a-name";
	opts.memory_mb = 16;
	init(&opts);
	snprintf(path, sizeof(path), "%s/dpdk/a-name", folder);
	CHECK(strcmp(rte_eal_get_runtime_dir(), path) == 0);
	CHECK(telemetry_greets());
	vuc_eal_fini();
	nothing_left();
	no_lines();
}

static void
no_telemetry(void)
{
	struct vuc_eal_opts opts = logged_opts();
	char name[NAME_MAX + 1];

	opts.telemetry = false;
	init(&opts);
	CHECK(count_entries(rte_eal_get_runtime_dir(), name) == 0);
	vuc_eal_fini();
	nothing_left();
	no_lines();
}

/* As XDG_RUNTIME_DIR is for a user, and /tmp where there is none. */
static void
as_user(void)
{
	unsetenv("RUNTIME_DIRECTORY");
	setenv("XDG_RUNTIME_DIR", folder, 1);
	default_eal();
}

/* Another user's DIR/dpdk, as it is in a shared /tmp. */
static void
as_second_user(void)
{
	struct vuc_eal_opts opts = logged_opts();
	int cpu = nth_cpu(0);

	init(&opts);
	CHECK(lines.nr >= 1 && lines.levels[0] == VUC_LOG_WARNING);
	CHECK(strncmp(lines.text[0], "no telemetry: folder ", 21) == 0);
	CHECK(strstr(lines.text[0], "/dpdk: Permission denied; see XDG_RUNTIME_DIR") != NULL);
	run_thread(enter_and_leave, &cpu);
	vuc_eal_fini();
}

static void
refused(const struct vuc_eal_opts *opts, const char *reason)
{
	struct vuc_error err = {0};

	CHECK(vuc_eal_init(opts, &err) == -EINVAL);
	if (!CHECK(strcmp(err.text, reason) == 0))
		dprintf(report, "# %s\n", err.text);
}

/* EAL does not see them, so they may be corrected. */
static void
refused_opts(void)
{
	struct vuc_eal_opts opts = logged_opts();

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
	init(&opts);
	vuc_eal_fini();
	nothing_left();
	no_lines();
}

/* EAL prints its usage, but there is a reason all the same. */
static void
refused_args(void)
{
	static const char *const args[] = {"--iova-mode=sideways"};
	struct vuc_eal_opts opts = logged_opts();
	struct vuc_error err = {0};
	cpu_set_t before = affinity();
	cpu_set_t after;

	opts.args = args;
	opts.nr_args = 1;
	CHECK(vuc_eal_init(&opts, &err) < 0);
	CHECK(strncmp(err.text, "DPDK's EAL cannot be initialised: Invalid argument: EAL: ", 57) ==
		0);
	CHECK(strstr(err.text, "iova-mode") != NULL);
	after = affinity();
	CHECK(CPU_EQUAL(&before, &after));
	nothing_left();
	CHECK(lines.nr > 0 && lines.levels[0] == VUC_LOG_ERROR);
	CHECK(vuc_eal_init(NULL, &err) == -EALREADY);
	CHECK(strcmp(err.text,
		      "DPDK's EAL has failed in this process, and cannot be tried "
		      "again") == 0);
}

static void
no_hugepages(void)
{
	static const char *const args[] = {"--socket-mem=1048576"};
	struct vuc_eal_opts opts = logged_opts();
	struct vuc_error err = {0};
	cpu_set_t before = affinity();
	cpu_set_t after;

	opts.hugepages = true; /* a TiB of them */
	opts.args = args;
	opts.nr_args = 1;
	CHECK(vuc_eal_init(&opts, &err) < 0);
	CHECK(strncmp(err.text, "DPDK's EAL cannot be initialised: ", 34) == 0);
	CHECK(strstr(err.text, "EAL: ") != NULL);
	after = affinity();
	CHECK(CPU_EQUAL(&before, &after));
	nothing_left();
}

/* ---- threads ---- */

struct crowd {
	pthread_barrier_t entered;
	int cpu;
};

struct member {
	struct crowd *crowd;
	int result;
	unsigned int lcore;
};

static void *
join_crowd(void *arg)
{
	struct member *m = arg;

	m->result = vuc_eal_thread_enter(m->crowd->cpu, NULL);
	m->lcore = rte_lcore_id();
	pthread_barrier_wait(&m->crowd->entered);
	if (m->result == 0) {
		CHECK(bound_to(m->crowd->cpu));
		CHECK(vuc_eal_thread_enter(m->crowd->cpu, NULL) == -EBUSY);
		vuc_eal_thread_leave();
	}
	CHECK(rte_lcore_id() == LCORE_ID_ANY);
	return NULL;
}

/* Let that many threads be lcores of one CPU at a time. */
static void
gather(struct member *members, unsigned int nr)
{
	struct crowd crowd = {.cpu = nth_cpu(0)};
	pthread_t threads[RTE_MAX_LCORE];

	pthread_barrier_init(&crowd.entered, NULL, nr);
	for (unsigned int i = 0; i < nr; i++) {
		members[i] = (struct member){.crowd = &crowd};
		if (!CHECK(pthread_create(&threads[i], NULL, join_crowd, &members[i]) == 0))
			_exit(1);
	}
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&crowd.entered);
}

static void
threads_on_one_cpu(void)
{
	struct member members[RTE_MAX_LCORE];
	bool seen[RTE_MAX_LCORE] = {false};

	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -ENODEV);
	init(NULL);
	seen[rte_lcore_id()] = true;
	gather(members, 8);
	for (unsigned int i = 0; i < 8; i++) {
		CHECK(members[i].result == 0);
		CHECK(members[i].lcore < RTE_MAX_LCORE && !seen[members[i].lcore]);
		if (members[i].lcore < RTE_MAX_LCORE)
			seen[members[i].lcore] = true;
	}
	vuc_eal_fini();
	nothing_left();
}

/* One lcore is the main one; and those of threads that have left are there again. */
static void
too_many_threads(void)
{
	struct member members[RTE_MAX_LCORE];
	unsigned int nr_refused = 0;

	init(NULL);
	for (unsigned int round = 0; round < 2; round++) {
		gather(members, RTE_MAX_LCORE);
		for (unsigned int i = 0; i < RTE_MAX_LCORE; i++)
			nr_refused += members[i].result == -ENOMEM;
	}
	CHECK(nr_refused == 2);
	vuc_eal_fini();
}

static void *
enter_wrongly(void *arg)
{
	struct vuc_error err = {0};
	cpu_set_t before = affinity();
	cpu_set_t after;

	(void)arg;
	CHECK(vuc_eal_thread_enter(CPU_SETSIZE, &err) == -EINVAL);
	CHECK(strcmp(err.text, "a thread cannot be bound to CPU 1024: Invalid argument") == 0);
	CHECK(vuc_eal_thread_enter(CPU_SETSIZE - 1, &err) == -EINVAL);
	CHECK(vuc_eal_thread_enter(-2, &err) == -EINVAL);
	CHECK(rte_lcore_id() == LCORE_ID_ANY);
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, &err) == 0);
	after = affinity();
	CHECK(CPU_EQUAL(&before, &after));
	vuc_eal_thread_leave();
	return NULL;
}

static void
wrong_threads(void)
{
	init(NULL);
	CHECK(vuc_eal_thread_enter(EAL_ANY_CPU, NULL) == -EBUSY);
	run_thread(enter_wrongly, NULL);
	vuc_eal_fini();
}

/* ---- traces and log ---- */

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
	char dir[sizeof(folder) + 32];
	const char *args[] = {"--trace=lib.eal.mem.*", dir};
	struct vuc_eal_opts opts = logged_opts();

	snprintf(dir, sizeof(dir), "--trace-dir=%s", folder);
	opts.args = args;
	opts.nr_args = 2;
	init(&opts);
	run_thread(emit_trace, NULL);
	CHECK(nftw(folder, find_trace, 8, FTW_PHYS) == 0 && trace_found);
	vuc_eal_fini();
	no_lines();
}

static void
log_lines(void)
{
	struct vuc_eal_opts opts = logged_opts();
	char line[1000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	init(&opts);
	rte_log(RTE_LOG_ERR, RTE_LOGTYPE_USER1, "one\ntwo\n\n");
	rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_USER1, "half of ");
	rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_USER1, "a line\n");
	rte_log(RTE_LOG_INFO, RTE_LOGTYPE_USER1, "%s\n", line);
	rte_log(RTE_LOG_NOTICE, RTE_LOGTYPE_EAL, "quiet\n");
	CHECK(lines.nr == 4);
	CHECK(strcmp(lines.text[0], "one") == 0 && lines.levels[0] == VUC_LOG_ERROR);
	CHECK(strcmp(lines.text[1], "two") == 0 && lines.levels[1] == VUC_LOG_ERROR);
	CHECK(strcmp(lines.text[2], "half of a line") == 0);
	CHECK(lines.levels[2] == VUC_LOG_WARNING);
	CHECK(strlen(lines.text[3]) == 511 && lines.levels[3] == VUC_LOG_NOTICE);
	vuc_eal_fini();
	CHECK(lines.nr == 4);
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
	struct vuc_eal_opts opts = logged_opts();
	cpu_set_t before;
	cpu_set_t after;
	int cpu = nth_cpu(0);
	FILE *stream;

	CHECK(init_as_application(NULL) == 0);
	stream = rte_log_get_stream();
	before = affinity();
	for (unsigned int round = 0; round < 2; round++) {
		lines.nr = 0;
		init(&opts);
		CHECK(lines.nr == 1 && lines.levels[0] == VUC_LOG_NOTICE);
		CHECK(strcmp(lines.text[0],
			      "using DPDK's EAL as the application has initialised "
			      "it") == 0);
		run_thread(enter_and_leave, &cpu);
		vuc_eal_fini();
	}
	after = affinity();
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

/* ---- children ---- */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void
drop_root(void)
{
	if (geteuid() != 0)
		return;
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

static void
be_child(void (*fn)(void), bool user, int output)
{
	alarm(CHILD_SECONDS);
	setenv("RUNTIME_DIRECTORY", folder, 1);
	setenv("HOME", folder, 1);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	if (user)
		drop_root();
	fn();
	exit(0);
}

/* Print what was written to a file in memory. Returns how many bytes. */
static size_t
print_file(int fd, const char *what)
{
	char text[2048];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
		printf("# %s: %s\n", what, line);
	return (size_t)n;
}

static void
run_in_folder(void (*fn)(void), bool user, bool may_print)
{
	int output = memfd_create("output", MFD_CLOEXEC);
	int status = -1;
	pid_t pid;

	report = memfd_create("report", MFD_CLOEXEC);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		be_child(fn, user, output);
	CU_ASSERT_TRUE(pid > 0 && waitpid(pid, &status, 0) == pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(print_file(report, "child"), 0);
	if (!may_print || status != 0)
		CU_ASSERT_EQUAL(print_file(output, "output"), 0);
	close(output);
	close(report);
}

static void
make_folder(void)
{
	strcpy(folder, "/tmp/vuc-eal-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void
remove_folder(void)
{
	CU_ASSERT_EQUAL(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void
run(void (*fn)(void))
{
	make_folder();
	run_in_folder(fn, false, false);
	remove_folder();
}

static void
run_loud(void (*fn)(void))
{
	make_folder();
	run_in_folder(fn, false, true);
	remove_folder();
}

static void
test_default(void)
{
	run(default_eal);
}

static void
test_no_opts(void)
{
	run(no_opts);
}

static void
test_twice(void)
{
	run(init_twice);
}

static void
test_one_cpu(void)
{
	run(one_cpu);
}

static void
test_lcores(void)
{
	run(lcores);
}

static void
test_named(void)
{
	run(named);
}

static void
test_no_telemetry(void)
{
	run(no_telemetry);
}

static void
test_user(void)
{
	make_folder();
	if (geteuid() == 0)
		CU_ASSERT_EQUAL(chown(folder, NOBODY, NOBODY), 0);
	run_in_folder(as_user, true, false);
	remove_folder();
}

static void
test_second_user(void)
{
	char path[sizeof(folder) + 8];

	if (geteuid() != 0) {
		vuc_tap_skip("only root can make a folder of another user");
		return;
	}
	make_folder();
	snprintf(path, sizeof(path), "%s/dpdk", folder);
	CU_ASSERT_EQUAL(chmod(folder, 0777), 0);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	run_in_folder(as_second_user, true, false);
	remove_folder();
}

static void
test_refused_opts(void)
{
	run(refused_opts);
}

static void
test_refused_args(void)
{
	run_loud(refused_args);
}

static void
test_no_hugepages(void)
{
	run_loud(no_hugepages);
}

static void
test_threads(void)
{
	run(threads_on_one_cpu);
}

static void
test_too_many_threads(void)
{
	run(too_many_threads);
}

static void
test_wrong_threads(void)
{
	run(wrong_threads);
}

static void
test_traces(void)
{
	if (THREAD_SANITIZER)
		vuc_tap_skip("ThreadSanitizer does not see the locks of DPDK's traces");
	else
		run(traces);
}

static void
test_log(void)
{
	run(log_lines);
}

static void
test_application(void)
{
	run_loud(application_eal);
}

static void
test_broken_application(void)
{
	run_loud(broken_application_eal);
}

static CU_TestInfo tests[] = {
	{"by default", test_default},
	{"without options", test_no_opts},
	{"twice", test_twice},
	{"in a process with one CPU", test_one_cpu},
	{"lcores", test_lcores},
	{"named", test_named},
	{"without telemetry", test_no_telemetry},
	{"as a user", test_user},
	{"as the second user of a folder", test_second_user},
	{"options refused", test_refused_opts},
	{"arguments refused", test_refused_args},
	{"hugepages that are not there", test_no_hugepages},
	{"threads on one CPU", test_threads},
	{"too many threads", test_too_many_threads},
	{"wrong threads", test_wrong_threads},
	{"traces", test_traces},
	{"log", test_log},
	{"an application's", test_application},
	{"an application's that failed", test_broken_application},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"eal", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
