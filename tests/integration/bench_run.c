/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench_run.h"

#include <errno.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "tap.h"

#define PREFIX "vuc-bench: "

bool
bench_has_two_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) >= 2;
}

bool
bench_has_guest(void)
{
	return getenv("VUC_VMM") != NULL && access("/dev/kvm", R_OK | W_OK) == 0;
}

bool
bench_has_gnuplot(void)
{
	const char *path = getenv("PATH");
	char file[PATH_MAX];

	while (path != NULL && *path != '\0') {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/gnuplot", (int)len, path);
		if (access(file, X_OK) == 0)
			return true;
		path += len;
		path += *path == ':';
	}
	return false;
}

bool
bench_has_uring(void)
{
	struct io_uring_params params = {0};
	long fd = syscall(SYS_io_uring_setup, 1, &params);

	if (fd >= 0)
		close((int)fd);
	return fd >= 0;
}

bool
bench_can_measure(const char *transport)
{
	if (!bench_has_two_cpus()) {
		vuc_tap_skip("needs two CPUs");
		return false;
	}
	if (strcmp(transport, "uring") == 0 && !bench_has_uring()) {
		vuc_tap_skip("io_uring is not allowed here");
		return false;
	}
	return true;
}

void
bench_on_one_cpu(bool begin)
{
	static cpu_set_t before;
	cpu_set_t set;

	if (!begin) {
		sched_setaffinity(0, sizeof(before), &before);
		return;
	}
	sched_getaffinity(0, sizeof(before), &before);
	set = before;
	for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&set) > 1; cpu++)
		CPU_CLR(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int
bench_place_make(struct bench_place *place)
{
	int ret;

	if (getenv("VUC_BENCH") == NULL || getenv("VUC_REFDEV") == NULL) {
		printf("# VUC_BENCH or VUC_REFDEV is not set\n");
		return -EINVAL;
	}
	ret = vuc_tempdir_make(place->files);
	if (ret != 0)
		return ret;
	ret = vuc_tempdir_make(place->tmp);
	if (ret != 0)
		vuc_tempdir_remove(place->files);
	return ret;
}

void
bench_place_remove(struct bench_place *place)
{
	vuc_tempdir_remove(place->files);
	vuc_tempdir_remove(place->tmp);
}

const char *
bench_place_file(const struct bench_place *place, const char *name, char path[BENCH_PATH_MAX])
{
	snprintf(path, BENCH_PATH_MAX, "%s/%s", place->files, name);
	return path;
}

static void
restore(const char *variable, const char *value)
{
	if (value != NULL)
		setenv(variable, value, 1);
	else
		unsetenv(variable);
}

void
bench_start(struct vuc_spawn *spawn, const struct bench_place *place, const char *program,
	const char *const *args, bench_with with)
{
	const char *before = getenv("TMPDIR");
	char *tmp = before != NULL ? strdup(before) : NULL;
	int ret;

	setenv("TMPDIR", place->tmp, 1);
	if (with != NULL)
		with(true);
	ret = vuc_spawn_start(spawn, program, args);
	if (with != NULL)
		with(false);
	restore("TMPDIR", tmp);
	free(tmp);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
}

void
bench_finish(struct bench_run *run, const struct bench_place *place, struct vuc_spawn *spawn)
{
	CU_ASSERT_EQUAL(vuc_spawn_wait(spawn), 0);
	run->exit = vuc_spawn_status(spawn);
	run->out = vuc_spawn_output(spawn);
	run->err = vuc_spawn_errors(spawn);
	vuc_spawn_free(spawn);
	CU_ASSERT_PTR_NOT_NULL_FATAL(run->out);
	CU_ASSERT_PTR_NOT_NULL_FATAL(run->err);
	CU_ASSERT_EQUAL(vuc_tempdir_count(place->tmp), 0);
}

void
bench_run(struct bench_run *run, const struct bench_place *place, const char *const *args,
	bench_with with, int exit)
{
	struct vuc_spawn spawn;

	bench_start(&spawn, place, getenv("VUC_BENCH"), args, with);
	bench_finish(run, place, &spawn);
	if (run->exit != exit)
		printf("# exit status %d, not %d: %s\n", run->exit, exit, run->err);
	CU_ASSERT_EQUAL_FATAL(run->exit, exit);
}

void
bench_run_free(struct bench_run *run)
{
	free(run->out);
	free(run->err);
	*run = (struct bench_run){0};
}

void
bench_run_assert_complaint(const struct bench_run *run, const char *text)
{
	const char *end = strchr(run->err, '\n');

	if (strstr(run->err, text) == NULL)
		printf("# no '%s' in: %s\n", text, run->err);
	CU_ASSERT_PTR_NOT_NULL(strstr(run->err, text));
	CU_ASSERT_EQUAL(strncmp(run->err, PREFIX, strlen(PREFIX)), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(end);
	CU_ASSERT_STRING_EQUAL(end, "\n");
	CU_ASSERT_STRING_EQUAL(run->out, "");
}
