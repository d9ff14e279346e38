/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench: compares vuc with the minimum that the machine allows. */

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "bench.h"
#include "outfile.h"

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

/* ---- where the reports go ---- */

/* Files are opened before the measurement begins, so that nobody learns only after it that the
 * folder is not there. */
struct output {
	FILE *text;
	struct app_outfile json;
	struct app_outfile picture;
	struct app_outfile html;
	struct bench_plot plot;
	const char *folder; /* of the pictures of all parts; NULL: there is one picture or none */
	bool folder_made;
};

static int
file_fail(const char *path, int error, struct vuc_error *err)
{
	return bench_fail(err, error, "%s: %s", path, strerror(-error));
}

/* path must live as long as the file; NULL: there is none. */
static int
file_open(struct app_outfile *file, const char *path, struct vuc_error *err)
{
	int ret = path != NULL ? app_outfile_open(file, path, 0666) : 0;

	return ret != 0 ? file_fail(path, ret, err) : 0;
}

static int
folder_open(struct output *output, const char *path, struct vuc_error *err)
{
	struct stat st;

	output->folder = path;
	output->folder_made = mkdir(path, 0777) == 0;
	if ((!output->folder_made && errno != EEXIST) || stat(path, &st) != 0)
		return bench_fail(err, -errno, "--plot: %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return bench_fail(err, -ENOTDIR, "--plot: %s is not a folder", path);
	if (access(path, W_OK | X_OK) != 0)
		return bench_fail(err, -errno, "--plot: %s: %s", path, strerror(errno));
	return 0;
}

/* Find out before a measurement whether its reports can be written. */
static int
output_init(struct output *output, const struct bench *bench, struct vuc_error *err)
{
	const char *json = bench->options.json, *plot = bench->options.plot;
	const char *html = bench->options.html;
	bool is_folder = bench->ops->plots;
	bool json_out = json != NULL && strcmp(json, "-") == 0;
	bool html_out = html != NULL && strcmp(html, "-") == 0;
	int ret = 0;

	*output = (struct output){.text = json_out || html_out ? stderr : stdout};
	if (json_out && html_out)
		return bench_fail(err, -EINVAL, "--json and --html: only one can be stdout");
	if (plot != NULL || html != NULL)
		ret = bench_plot_init(&output->plot, is_folder ? NULL : plot, err);
	if (ret == 0 && plot != NULL && is_folder)
		ret = folder_open(output, plot, err);
	else if (ret == 0)
		ret = file_open(&output->picture, plot, err);
	if (ret == 0)
		ret = file_open(&output->json, json, err);
	if (ret == 0)
		ret = file_open(&output->html, html, err);
	return ret;
}

static void
output_fini(struct output *output)
{
	app_outfile_abort(&output->json);
	app_outfile_abort(&output->picture);
	app_outfile_abort(&output->html);
	/* One with pictures stays. */
	if (output->folder_made)
		rmdir(output->folder);
}

/* Writes to a stream, or to its descriptor. */
typedef int (*write_fn)(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err);

static int
write_text(FILE *out, const struct bench_result *result, struct vuc_error *err)
{
	bench_report_text(out, result);
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	return bench_fail(
		err, -EIO, "cannot write the table: %s", strerror(errno != 0 ? errno : EIO));
}

static int
write_json(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err)
{
	(void)plot;
	return bench_report_json(out, result) != 0 ? bench_fail(err, -ENOMEM, "out of memory") : 0;
}

static int
write_picture(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err)
{
	return bench_plot_draw(plot, fileno(out), result, err);
}

/* Nothing happens when the file is not open. */
static int
file_write(struct app_outfile *file, write_fn write, const struct bench_plot *plot,
	const struct bench_result *result, struct vuc_error *err)
{
	const char *path = file->path;
	int fd, ret;
	FILE *out;

	if (path == NULL)
		return 0;
	fd = dup(file->fd);
	out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (out == NULL) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return file_fail(path, ret, err);
	}
	/* What is left there is of writing. */
	errno = 0;
	ret = write(out, plot, result, err);
	if (ret == 0 && (fflush(out) != 0 || ferror(out)))
		ret = file_fail(path, errno != 0 ? -errno : -EIO, err);
	fclose(out);
	if (ret != 0)
		return ret;
	ret = app_outfile_commit(file);
	return ret != 0 ? file_fail(path, ret, err) : 0;
}

static int
write_part_picture(struct output *output, const struct bench_part *part, struct vuc_error *err)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s.svg", output->folder, part->name);
	int ret;

	if (n < 0 || (size_t)n >= sizeof(path))
		return file_fail(output->folder, -ENAMETOOLONG, err);
	ret = file_open(&output->picture, path, err);
	if (ret == 0)
		ret = file_write(
			&output->picture, write_picture, &output->plot, &part->result, err);
	/* Its name is about to go. */
	app_outfile_abort(&output->picture);
	return ret;
}

static int
output_write(struct output *output, const struct bench_result *result, struct vuc_error *err)
{
	int ret = write_text(output->text, result, err);

	if (ret == 0)
		ret = file_write(&output->json, write_json, &output->plot, result, err);
	if (ret == 0)
		ret = file_write(&output->html, bench_report_html, &output->plot, result, err);
	if (ret == 0)
		ret = file_write(&output->picture, write_picture, &output->plot, result, err);
	for (unsigned int i = 0; i < result->nr_parts && ret == 0 && output->folder != NULL; i++) {
		if (result->parts[i].skipped[0] == '\0')
			ret = write_part_picture(output, &result->parts[i], err);
	}
	return ret;
}

/* ---- measurements ---- */

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
	static struct output output;
	int ret;

	bench->result = &result;
	result.label = bench->options.label;
	result.env = &bench->env;
	bench_interrupt_install();
	ret = output_init(&output, bench, err);
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
		ret = output_write(&output, &result, err);
	bench_result_fini(&result);
	output_fini(&output);
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
		.doc = "Compare vuc with the minimum that the machine allows.\v"
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
