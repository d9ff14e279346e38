/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench: measures vuc against the least that the machine allows. */

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "daemon.h"
#include "error.h"
#include "interrupt.h"
#include "output.h"

#define EXIT_USAGE 2

static const struct bench_ops *const measurements[] = {
	&bench_mmio,
	&bench_dma,
	&bench_dma_message,
	&bench_hop,
	&bench_scale,
	&bench_transports,
	&bench_idle,
	&bench_hung,
	&bench_guest,
	&bench_all,
};

#define NR_MEASUREMENTS (sizeof(measurements) / sizeof(measurements[0]))

static int
error_print(const struct vuc_error *err)
{
	fprintf(stderr, "vuc-bench: %s\n", err->text);
	return EXIT_FAILURE;
}

/* ops is NULL when not even the measurement is clear. */
static int
usage_print(const struct vuc_error *err, const struct bench_ops *ops)
{
	fprintf(stderr, "vuc-bench: %s (see vuc-bench %s%s--help)\n", err->text,
		ops != NULL ? ops->name : "", ops != NULL ? " " : "");
	return EXIT_USAGE;
}

/* What was printed to stdout is only good when it got there. */
static int
end_printing(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "vuc-bench: writing to stdout: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

static int
print_help(void)
{
	printf("Usage: vuc-bench MEASUREMENT [OPTION]...\n\nMeasurements:\n");
	for (size_t i = 0; i < NR_MEASUREMENTS; i++)
		printf("  %-12s %s\n", measurements[i]->name, measurements[i]->summary);
	printf("\nOptions:\n  --help      print this and exit; behind a measurement: its options\n"
	       "  --version   print the versions and exit\n");
	return end_printing();
}

static int
print_measurement_help(const struct bench_ops *ops, const struct bench_options *options)
{
	printf("Usage: vuc-bench %s [OPTION]...\n\n%s.\n\n", ops->name, ops->summary);
	bench_options_help(options, ops->options);
	return end_printing();
}

static int
print_version(void)
{
	struct bench_clock clock = {.ns_per_tick = 1};
	struct bench_env env;
	char versions[320];

	bench_env_init(&env, &clock);
	bench_env_versions(&env, versions, sizeof(versions));
	printf("vuc-bench: %s\n", versions);
	return end_printing();
}

static const struct bench_ops *
command_find(const char *name)
{
	for (size_t i = 0; i < NR_MEASUREMENTS; i++) {
		if (strcmp(measurements[i]->name, name) == 0)
			return measurements[i];
	}
	return NULL;
}

static int
command_measure(
	struct bench *bench, const struct bench_ops *ops, void *state, struct vuc_error *err)
{
	struct bench_result result = {.measurement = ops->name, .label = bench->options.label};
	struct bench_output output;
	int ret;

	bench_interrupt_install();
	ret = bench_output_init(&output, &bench->options, ops->plots, err);
	if (ret == 0) {
		bench_clock_init(&bench->clock);
		bench_env_init(&bench->env, &bench->clock);
		bench_env_begin(&bench->env);
		ret = ops->run(bench, state, &result, err);
		bench_env_end(&bench->env);
	}
	if (ret == 0 && bench_interrupted())
		ret = -EINTR;
	if (ret == 0)
		ret = bench_output_write(&output, &bench->env, &result, err);
	bench_result_fini(&result);
	bench_output_fini(&output);
	return ret;
}

static int
bench_run(const struct bench_ops *ops, void *state, int argc, char **argv)
{
	struct vuc_error err = {0};
	struct bench bench = {0};
	int ret;

	bench_options_init(&bench.options, ops->rounds);
	ops->init(state);
	ret = bench_options_parse(&bench.options, ops->options, state, argc, argv, &err);
	if (ret == 0 && bench.options.help)
		return print_measurement_help(ops, &bench.options);
	if (ret == 0)
		ret = ops->check(&bench, state, &err);
	if (ret != 0)
		return usage_print(&err, ops);
	ret = command_measure(&bench, ops, state, &err);
	/* A failure may be of the signal's making. */
	bench_interrupt_raise();
	return ret != 0 ? error_print(&err) : EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	const struct bench_ops *ops;
	struct vuc_error err;
	void *state;
	int ret;

	if (argc > 1 && strcmp(argv[1], BENCH_DAEMON_WORD) == 0)
		return bench_daemon_main(argc - 2, argv + 2);
	setlocale(LC_CTYPE, "");
	if (argc < 2) {
		bench_fail(&err, -EINVAL, "which measurement?");
		return usage_print(&err, NULL);
	}
	if (strcmp(argv[1], "--help") == 0)
		return print_help();
	if (strcmp(argv[1], "--version") == 0)
		return print_version();
	ops = command_find(argv[1]);
	if (ops == NULL) {
		bench_fail(&err, -EINVAL, "no such measurement: %s", argv[1]);
		return usage_print(&err, NULL);
	}
	state = calloc(1, ops->state_size);
	if (state == NULL) {
		bench_fail(&err, -ENOMEM, "out of memory");
		return error_print(&err);
	}
	ret = bench_run(ops, state, argc - 1, argv + 1);
	free(state);
	return ret;
}
