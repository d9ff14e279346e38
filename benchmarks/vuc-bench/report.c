/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char bench_not_quiet[] = "the machine was not quiet: do not quote this";

/* ---- what the text and the page show alike ---- */

const char *
bench_number(double value, char buf[BENCH_NUMBER_MAX])
{
	char digits[BENCH_NUMBER_MAX];
	size_t len, out = 0;

	if (isnan(value))
		return "-";
	if (value < 99.95) {
		snprintf(buf, BENCH_NUMBER_MAX, "%.1f", value);
		return buf;
	}
	/* 1e15 and its commas leave room. */
	snprintf(digits, sizeof(digits), "%.0f", value < 1e15 ? value : 1e15);
	len = strlen(digits);
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf[out++] = ',';
		buf[out++] = digits[i];
	}
	buf[out] = '\0';
	return buf;
}

const char *
bench_series_title(const struct bench_series *series, const char *name, char buf[BENCH_TITLE_MAX])
{
	const char *topic = series->topic != NULL ? series->topic : "";

	snprintf(buf, BENCH_TITLE_MAX, "%s%s%s", topic, topic[0] != '\0' ? ": " : "", name);
	return buf;
}

void
bench_lines_of_run(const struct bench_result *result, bench_line_fn print, void *arg)
{
	const struct bench_env *env = result->env;
	char text[512], steal[48] = "";

	if (result->label != NULL)
		print(arg, "label", result->label);
	print(arg, "date", env->date);
	snprintf(text, sizeof(text), "%s, measuring on CPU %u", env->cpu, env->cpus.cpu[0]);
	print(arg, "cpu", text);
	snprintf(text, sizeof(text), "%s, cpu_dma_latency %s", env->kernel, env->dma_latency);
	print(arg, "kernel", text);
	snprintf(text, sizeof(text), "vuc %s", bench_versions);
	print(arg, "versions", text);
	print(arg, "clock", env->clock);
	if (env->steal >= 0)
		snprintf(
			steal, sizeof(steal), " %.1f %% of the CPU time stolen;", 100 * env->steal);
	snprintf(text, sizeof(text),
		"load %.2f before, %.2f after;%s %" PRIu64 " involuntary context switches",
		env->load_before, env->load_after, steal, env->preemptions);
	print(arg, "machine", text);
}

void
bench_lines_of_result(const struct bench_result *result, bench_line_fn print, void *arg)
{
	print(arg, "server", result->server);
	print(arg, "floor", result->floor);
	if (result->timed[0] != '\0')
		print(arg, "timed", result->timed);
	if (result->note[0] != '\0')
		print(arg, "note", result->note);
}

static void __attribute__((format(printf, 3, 4)))
cell_set(struct bench_cells *cells, size_t i, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(cells->text[i], sizeof(cells->text[i]), fmt, args);
	va_end(args);
}

struct bench_cells
bench_cells_head(const struct bench_result *result)
{
	struct bench_cells cells;

	cell_set(&cells, 0, "ns");
	for (size_t i = 0; i < BENCH_NR_TIMES; i++)
		cell_set(&cells, 1 + i, "%s", bench_times[i].head);
	cell_set(&cells, BENCH_NR_CELLS - 3, "%s/s", result->units);
	cell_set(&cells, BENCH_NR_CELLS - 2, "syscalls\n/%s", result->unit);
	cell_set(&cells, BENCH_NR_CELLS - 1, "p50 to\nfloor");
	return cells;
}

struct bench_cells
bench_cells_row(const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	struct bench_cells cells;
	char number[BENCH_NUMBER_MAX];

	if (strcmp(series->name, series->transport) == 0)
		cell_set(&cells, 0, "%s", series->name);
	else
		cell_set(&cells, 0, "%s (%s)", series->name, series->transport);
	for (size_t c = 0; c < BENCH_NR_TIMES; c++)
		cell_set(&cells, 1 + c, "%s",
			bench_number(bench_time_of(sum, &bench_times[c]), number));
	cell_set(&cells, BENCH_NR_CELLS - 3, "%s", bench_number(sum->per_second, number));
	cell_set(&cells, BENCH_NR_CELLS - 2, "%.2f", sum->syscalls);
	cell_set(&cells, BENCH_NR_CELLS - 1, "%.2f", result->ratios[i].p50.median);
	return cells;
}

/* ---- where the reports go ---- */

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
folder_open(struct bench_output *output, const char *path, struct vuc_error *err)
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

int
bench_output_init(struct bench_output *output, const char *json, const char *plot, const char *html,
	bool is_folder, struct vuc_error *err)
{
	bool json_out = json != NULL && strcmp(json, "-") == 0;
	bool html_out = html != NULL && strcmp(html, "-") == 0;
	int ret = 0;

	*output = (struct bench_output){.text = json_out || html_out ? stderr : stdout};
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

void
bench_output_fini(struct bench_output *output)
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
	return bench_fail(err, -EIO, "writing the table: %s", strerror(errno != 0 ? errno : EIO));
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
write_part_picture(
	struct bench_output *output, const struct bench_part *part, struct vuc_error *err)
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

int
bench_output_write(
	struct bench_output *output, const struct bench_result *result, struct vuc_error *err)
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
