/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_BENCH_RUN_H
#define VUC_TESTS_BENCH_RUN_H

/* Runs of vuc-bench, $VUC_BENCH, and what they leave behind. */

#include <stdbool.h>

#include "spawn.h"
#include "tempdir.h"

/* Whether this process may use two CPUs, which a server of its own needs. */
bool bench_has_two_cpus(void);

/* Whether this process may make an io_uring. */
bool bench_has_uring(void);

/* Whether a transport can be measured here between two CPUs; what is missing is said as a skip. */
bool bench_can_measure(const char *transport);

/* Whether a guest can be run: there is $VUC_VMM, and /dev/kvm may be used. */
bool bench_has_guest(void);

/* Whether there is a gnuplot in $PATH. */
bool bench_has_gnuplot(void);

/* A bench_with: while it is on, the process may use one CPU. */
void bench_on_one_cpu(bool begin);

/* Where it runs. */
struct bench_place {
	char files[VUC_TEMPDIR_SIZE]; /* for sockets and outputs */
	char tmp[VUC_TEMPDIR_SIZE];   /* the program's TMPDIR */
};

#define BENCH_PATH_MAX 108

/* Returns 0 or a negative errno. */
int bench_place_make(struct bench_place *place);
void bench_place_remove(struct bench_place *place);

/* The path of a file in the place. Returns path. */
const char *bench_place_file(
	const struct bench_place *place, const char *name, char path[BENCH_PATH_MAX]);

/* One run that has ended. */
struct bench_run {
	int exit; /* as vuc_spawn_status() */
	char *out;
	char *err;
};

/* Changes something that the program inherits, and changes it back. */
typedef void (*bench_with)(bool begin);

/* Start a program, with arguments that end with NULL, in the place. Asserts that it can be. */
void bench_start(struct vuc_spawn *spawn, const struct bench_place *place, const char *program,
	const char *const *args, bench_with with);

/* Wait for its end, and collect. Asserts that it ends by itself and leaves nothing in TMPDIR. */
void bench_finish(struct bench_run *run, const struct bench_place *place, struct vuc_spawn *spawn);

/* Run vuc-bench to its end, and assert its exit status. */
void bench_run(struct bench_run *run, const struct bench_place *place, const char *const *args,
	bench_with with, int exit);
void bench_run_free(struct bench_run *run);

/* Assert that it printed one line that begins with "vuc-bench: " and contains text, to stderr, and
 * nothing else. */
void bench_run_assert_complaint(const struct bench_run *run, const char *text);

#endif /* VUC_TESTS_BENCH_RUN_H */
