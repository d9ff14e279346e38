/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench: measures vuc against the least that the machine allows. */

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "bench.h"

static const struct bench_ops *const measurements[] = {
	&bench_mmio,
	&bench_dma,
	&bench_dma_message,
	&bench_hop,
	&bench_scale,
	&bench_transports,
	&bench_idle,
	&bench_hung,
	&bench_outage,
	&bench_front,
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

static int
measurement_run(struct bench *bench, struct vuc_error *err)
{
	static struct bench_result result;
	static struct bench_output output;
	const struct bench_options *options = &bench->options;
	int ret;

	bench->result = &result;
	result.label = options->label;
	result.env = &bench->env;
	bench_interrupt_install();
	ret = bench_output_init(
		&output, options->json, options->plot, options->html, bench->ops->plots, err);
	if (ret == 0) {
		bench_clock_init(&bench->clock);
		bench_env_init(&bench->env, &bench->clock);
		bench_env_begin(&bench->env);
		ret = bench_run(bench, err);
		bench_env_end(&bench->env);
	}
	if (ret == 0)
		ret = bench_interrupt_check(err);
	if (ret == 0)
		ret = bench_output_write(&output, &result, err);
	bench_result_fini(&result);
	bench_output_fini(&output);
	return ret;
}

static int
measurement_main(const struct bench_ops *ops, int argc, char **argv)
{
	static struct bench bench = {.latency = -1};
	struct vuc_error err = {0};
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "vuc-bench %s", ops->name);
	argv[0] = name;
	bench.ops = ops;
	bench.state = calloc(1, ops->state_size);
	if (bench.state == NULL) {
		bench_fail(&err, -ENOMEM, "out of memory");
		return error_print(&err);
	}
	bench_options_parse(&bench, argc, argv, bench_check);
	ret = measurement_run(&bench, &err);
	free(bench.state);
	/* A failure may be of the signal's making. */
	bench_interrupt_raise();
	return ret != 0 ? error_print(&err) : EXIT_SUCCESS;
}

/* What follows the name of a measurement is its own. */
static error_t
program_parse(int key, char *arg, struct argp_state *state)
{
	int *status = state->input;

	if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = (void *)(uintptr_t)bench_versions;
	else if (key == ARGP_KEY_NO_ARGS)
		app_args_error(state, "no measurement is given");
	else if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	for (unsigned int i = 0; key == ARGP_KEY_ARG; i++) {
		int first = state->next - 1;

		if (measurements[i] == NULL)
			app_args_error(state, "no such measurement: '%s'", arg);
		if (strcmp(measurements[i]->name, arg) != 0)
			continue;
		state->next = state->argc;
		*status =
			measurement_main(measurements[i], state->argc - first, state->argv + first);
		break;
	}
	return 0;
}

/* Behind the rest of the help, where argp does not break the lines. */
static char *
list_measurements(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t len;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)(uintptr_t)text;
	out = open_memstream(&list, &len);
	if (out == NULL)
		return NULL;
	fputs("Measurements:\n", out);
	for (unsigned int i = 0; measurements[i] != NULL; i++)
		fprintf(out, "  %-12s %s\n", measurements[i]->name, measurements[i]->summary);
	fprintf(out, "\n%s", text);
	fclose(out);
	return list;
}

int
main(int argc, char **argv)
{
	const struct argp argp = {
		.parser = program_parse,
		.args_doc = "MEASUREMENT [OPTION]...",
		.doc = "Measure vuc against the least that the machine allows.\v"
		       "vuc-bench MEASUREMENT --help prints the options of a measurement.",
		.children = app_args_children,
		.help_filter = list_measurements,
	};
	char name[] = "vuc-bench";
	int status = EXIT_SUCCESS;

	if (argc > 1 && strcmp(argv[1], BENCH_DAEMON_WORD) == 0)
		return bench_daemon_main(argc - 2, argv + 2);
	setlocale(LC_CTYPE, "");
	argv[0] = name;
	argp_err_exit_status = APP_EXIT_USAGE;
	app_args_prepare(&argp, argc, argv, true);
	argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &status);
	return status;
}
