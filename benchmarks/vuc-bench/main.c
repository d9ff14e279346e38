/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench: measures vuc against the least that the machine allows. */

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "daemon.h"

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
	NULL,
};

static int
error_print(const struct vuc_error *err)
{
	fprintf(stderr, "vuc-bench: %s\n", err->text);
	return EXIT_FAILURE;
}

/* What was printed to stdout is only good when it got there. */
static int
printing_end(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	fprintf(stderr, "vuc-bench: writing to stdout: %s\n", strerror(errno));
	return EXIT_FAILURE;
}

static int
measurement_run(
	struct bench *bench, const struct bench_ops *ops, void *state, struct vuc_error *err)
{
	static struct bench_result result;
	static struct bench_output output;
	const struct bench_options *options = &bench->options;
	int ret;

	result.measurement = ops->name;
	result.label = options->label;
	bench_interrupt_install();
	ret = bench_output_init(&output, options->json, options->plot, ops->plots, err);
	if (ret == 0) {
		bench_clock_init(&bench->clock);
		bench_env_init(&bench->env, &bench->clock);
		bench_env_begin(&bench->env);
		ret = ops->run(bench, state, &result, err);
		bench_env_end(&bench->env);
	}
	if (ret == 0)
		ret = bench_interrupt_check(err);
	if (ret == 0)
		ret = bench_output_write(&output, &bench->env, &result, err);
	bench_result_fini(&result);
	bench_output_fini(&output);
	return ret;
}

static int
measurement_main(const struct bench_ops *ops, int argc, char **argv)
{
	struct bench bench = {.latency = -1};
	struct vuc_error err = {0};
	char name[32];
	void *state;
	int ret;

	snprintf(name, sizeof(name), "vuc-bench %s", ops->name);
	argv[0] = name;
	if (bench_options_parse(&bench.options, ops, argc, argv) != 0)
		return printing_end();
	state = calloc(1, ops->state_size);
	if (state == NULL) {
		bench_fail(&err, -ENOMEM, "out of memory");
		return error_print(&err);
	}
	if ((!ops->plots && bench_plot_check(bench.options.plot, &err) != 0) ||
		(ops->check != NULL && ops->check(&bench, state, &err) != 0)) {
		free(state);
		return bench_options_complain(name, &err);
	}
	ret = measurement_run(&bench, ops, state, &err);
	free(state);
	/* A failure may be of the signal's making. */
	bench_interrupt_raise();
	return ret != 0 ? error_print(&err) : EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	char name[] = "vuc-bench";
	struct vuc_error err;
	int index = argc;

	if (argc > 1 && strcmp(argv[1], BENCH_DAEMON_WORD) == 0)
		return bench_daemon_main(argc - 2, argv + 2);
	setlocale(LC_CTYPE, "");
	argv[0] = name;
	if (bench_options_parse_program(measurements, argc, argv, &index) != 0)
		return printing_end();
	for (unsigned int i = 0; measurements[i] != NULL; i++) {
		if (strcmp(measurements[i]->name, argv[index]) == 0)
			return measurement_main(measurements[i], argc - index, argv + index);
	}
	bench_fail(&err, -EINVAL, "no such measurement: '%s'", argv[index]);
	return bench_options_complain(name, &err);
}
