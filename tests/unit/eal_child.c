/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <fnmatch.h>
#include <grp.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "eal.h"
#include "eal_child.h"
#include "tempdir.h"

#define CHILD_SECONDS 60

char child_folder[64];
struct child_lines child_lines;

static int report = -1;

/* ---- in the child ---- */

void
child_report(const char *fmt, ...)
{
	char line[CHILD_LINE_SIZE + 64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	dprintf(report, "# %s\n", line);
}

bool
child_check(bool fine, const char *function, int line, const char *condition)
{
	if (!fine)
		child_report("%s(), line %d: %s", function, line, condition);
	return fine;
}

static void
take_line(void *arg, enum vuc_log_level level, const char *line)
{
	CHECK(arg == &child_lines);
	if (child_lines.nr < CHILD_LINES_MAX) {
		child_lines.levels[child_lines.nr] = level;
		snprintf(child_lines.text[child_lines.nr], CHILD_LINE_SIZE, "%s", line);
	}
	child_lines.nr++;
}

struct vuc_eal_opts
child_logged_opts(void)
{
	struct vuc_eal_opts opts;

	vuc_eal_opts_init(&opts, sizeof(opts));
	opts.log = take_line;
	opts.log_arg = &child_lines;
	return opts;
}

bool
child_text_is(const char *text, const char *pattern)
{
	bool fits = fnmatch(pattern, text, FNM_NOESCAPE) == 0;

	if (!fits)
		child_report("\"%s\" is not \"%s\"", text, pattern);
	return fits;
}

bool
child_fails(const struct vuc_eal_opts *opts, int rc, const char *pattern)
{
	struct vuc_error err = {""};

	return CHECK(vuc_eal_init(opts, &err) == rc) && child_text_is(err.text, pattern);
}

void
child_no_lines(void)
{
	CHECK(child_lines.nr == 0);
	for (unsigned int i = 0; i < child_lines.nr && i < CHILD_LINES_MAX; i++)
		child_report("log: %s", child_lines.text[i]);
}

void
child_init(const struct vuc_eal_opts *opts)
{
	struct vuc_error err = {0};

	if (CHECK(vuc_eal_init(opts, &err) == 0))
		return;
	child_report("%s", err.text);
	_exit(1);
}

cpu_set_t
child_affinity(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	return set;
}

bool
child_may_use(const cpu_set_t *cpus)
{
	cpu_set_t set = child_affinity();

	return CPU_EQUAL(&set, cpus);
}

int
child_nth_cpu(unsigned int n)
{
	cpu_set_t set = child_affinity();

	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &set) && n-- == 0)
			return (int)cpu;
	}
	return -1;
}

bool
child_bound_to(int cpu)
{
	cpu_set_t set = child_affinity();

	return CPU_COUNT(&set) == 1 && CPU_ISSET((unsigned int)cpu, &set) && sched_getcpu() == cpu;
}

int
child_count_entries(const char *path, char name[NAME_MAX + 1])
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

void
child_nothing_left(void)
{
	char path[sizeof(child_folder) + 8];
	char name[NAME_MAX + 1];

	CHECK(child_count_entries(child_folder, name) == 1 && strcmp(name, "dpdk") == 0);
	snprintf(path, sizeof(path), "%s/dpdk", child_folder);
	CHECK(child_count_entries(path, name) == 0);
}

void
child_fini(void)
{
	vuc_eal_fini();
	child_nothing_left();
	child_no_lines();
}

void *
child_enter_and_leave(void *arg)
{
	int cpu = *(int *)arg;

	CHECK(vuc_eal_thread_enter(cpu, NULL) == 0);
	CHECK(child_bound_to(cpu));
	vuc_eal_thread_leave();
	return NULL;
}

void
child_run_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	if (CHECK(pthread_create(&thread, NULL, fn, arg) == 0))
		pthread_join(thread, NULL);
}

/* ---- in the parent ---- */

static void
drop_root(void)
{
	if (geteuid() != 0)
		return;
	CHECK(setgroups(0, NULL) == 0);
	CHECK(setresgid(CHILD_NOBODY, CHILD_NOBODY, CHILD_NOBODY) == 0);
	CHECK(setresuid(CHILD_NOBODY, CHILD_NOBODY, CHILD_NOBODY) == 0);
}

static void
be_child(void (*fn)(void), bool user, int output)
{
	alarm(CHILD_SECONDS);
	setenv("RUNTIME_DIRECTORY", child_folder, 1);
	setenv("HOME", child_folder, 1);
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
run_in_child(const struct child_test *test)
{
	int output = memfd_create("output", MFD_CLOEXEC);
	int status = -1;
	pid_t pid;

	report = memfd_create("report", MFD_CLOEXEC);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		be_child(test->fn, test->user, output);
	CU_ASSERT_TRUE(pid > 0 && waitpid(pid, &status, 0) == pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(print_file(report, "child"), 0);
	if (!test->loud || status != 0)
		CU_ASSERT_EQUAL(print_file(output, "output"), 0);
	close(output);
	close(report);
}

void
child_run(const void *arg)
{
	const struct child_test *test = arg;

	CU_ASSERT_EQUAL_FATAL(vuc_tempdir_make(child_folder), 0);
	if (test->prepare == NULL || test->prepare())
		run_in_child(test);
	CU_ASSERT_EQUAL(vuc_tempdir_remove(child_folder), 0);
}
