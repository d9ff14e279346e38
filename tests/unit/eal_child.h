/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_EAL_CHILD_H
#define VUC_TESTS_EAL_CHILD_H

/*
 * There is one EAL in the life of a process, so each test of EAL runs in a child of its own, with a
 * folder of its own for EAL to work in. What goes wrong in a child counts as a failed assertion of
 * the test that runs it.
 */

#include <limits.h>
#include <sched.h>

#include <vuc/eal.h>

#include "tap.h"

#define CHILD_NOBODY    65534 /* the user, and the group, that root becomes in a child */
#define CHILD_LINES_MAX 16
#define CHILD_LINE_SIZE 600

/* ---- in the parent ---- */

struct child_test {
	const char *name;
	void (*fn)(void);      /* the test, in the child */
	bool user;             /* as another user than root */
	bool loud;             /* it may print: DPDK prints what it refuses */
	bool (*prepare)(void); /* in the parent, when there is a folder; false: skipped */
};

/* Run a struct child_test, a row of a suite. */
void child_run(const void *test);

/* RUNTIME_DIRECTORY and HOME of the child. */
extern char child_folder[64];

/* ---- in the child ---- */

/* Lines that the options of child_logged_opts() have led to; the first ones are kept. */
struct child_lines {
	unsigned int nr;
	enum vuc_log_level levels[CHILD_LINES_MAX];
	char text[CHILD_LINES_MAX][CHILD_LINE_SIZE];
};

extern struct child_lines child_lines;

/* An assertion. Returns the condition. */
#define CHECK(condition) child_check(condition, __func__, __LINE__, #condition)

bool child_check(bool fine, const char *function, int line, const char *condition);

/* A line for whoever looks into a failure; makes the test fail. */
void child_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Whether vuc_eal_init() with these options fails so; the text is a pattern of fnmatch(3). */
bool child_fails(const struct vuc_eal_opts *opts, int rc, const char *pattern);

/* Whether a text fits a pattern of fnmatch(3), where '*' is anything; reports it if not. */
bool child_text_is(const char *text, const char *pattern);

/* The defaults, with the log in child_lines. */
struct vuc_eal_opts child_logged_opts(void);

void child_no_lines(void);

/* vuc_eal_init(), without which there is no test. */
void child_init(const struct vuc_eal_opts *opts);

/* The CPUs that the thread may run on, and whether they are these. */
cpu_set_t child_affinity(void);
bool child_may_use(const cpu_set_t *cpus);

/* The nth CPU that the thread may run on, or -1. */
int child_nth_cpu(unsigned int n);

/* Whether the thread is bound to this CPU. */
bool child_bound_to(int cpu);

/* Entries of a folder, -1 if there is none; the name of one of them. */
int child_count_entries(const char *path, char name[NAME_MAX + 1]);

/* EAL's folder is empty but for the folder that all DPDK processes of a user share. */
void child_nothing_left(void);

/* vuc_eal_fini(), which leaves nothing; nothing was logged. */
void child_fini(void);

/* Run fn in a thread, to its end. */
void child_run_thread(void *(*fn)(void *), void *arg);

/* Such an fn: become an lcore bound to the CPU *(int *)arg, and leave. */
void *child_enter_and_leave(void *arg);

#endif /* VUC_TESTS_EAL_CHILD_H */
