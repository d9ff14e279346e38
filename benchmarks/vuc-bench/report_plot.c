/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

/* From one point of a curve to the next, in 1/(1-p). */
#define STEP 1.05

/* What gnuplot calls the kind of picture of a file; NULL when there is none. */
static const char *
terminal_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	if (dot != NULL && strcmp(dot, ".svg") == 0)
		return "svg";
	return dot != NULL && strcmp(dot, ".png") == 0 ? "pngcairo" : NULL;
}

int
bench_plot_check(const char *path, struct vuc_error *err)
{
	if (path == NULL || terminal_of(path) != NULL)
		return 0;
	return bench_fail(err, -EINVAL, "--plot: '%s' ends neither in .svg nor in .png", path);
}

int
bench_plot_init(struct bench_plot *plot, const char *path, struct vuc_error *err)
{
	*plot = (struct bench_plot){.terminal = terminal_of(path != NULL ? path : ".svg")};
	if (bench_program_find("gnuplot", NULL, plot->program, err) != 0)
		return bench_fail(err, -ENOENT,
			"gnuplot, which draws pictures, is not in $PATH (package gnuplot-nox)");
	return 0;
}

static void
write_data(FILE *out, const struct bench_series *series, unsigned int i)
{
	size_t nr = series->nr_samples;

	fprintf(out, "$series%u << EOD\n", i);
	for (double x = 1; x < (double)nr; x *= STEP) {
		double rank = ceil((1 - 1 / x) * (double)nr);

		fprintf(out, "%.6g %.6g\n", x,
			bench_series_ns(series, rank >= 1 ? (size_t)rank - 1 : 0));
	}
	/* The greatest, where a percentile would need one sample more. */
	fprintf(out, "%zu %.6g\nEOD\n", nr, bench_series_ns(series, nr - 1));
}

/* In single quotes gnuplot knows no escape but the doubled quote. */
static void
write_quoted(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputc('\'', out);
		fputc(vuc_text_is_printable(*text) ? *text : '?', out);
	}
	fputc('\'', out);
}

/* Marks of the time axis, two a decade, each with its unit. */
static void
write_time_tics(FILE *out)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};

	fputs("set ytics (", out);
	for (unsigned int decade = 0; decade < 12; decade++) {
		double ns = pow(10, decade);
		const char *unit = units[decade / 3];
		int shown = (int)pow(10, decade % 3);

		fprintf(out, "%s'%d %s' %.0f, '%d %s' %.0f", decade > 0 ? ", " : "", shown, unit,
			ns, 3 * shown, unit, 3 * ns);
	}
	fputs(")\n", out);
}

/* Below the picture: without it, the figures belong to no machine and no code. */
static void
write_origin(FILE *out, const struct bench_result *result)
{
	char line[800];

	snprintf(line, sizeof(line), "%s; %s; vuc %s%s", result->env->cpu, result->env->kernel,
		bench_versions,
		bench_result_is_unsteady(result) ? "; THE MACHINE WAS NOT QUIET" : "");
	fputs("set bmargin 5\nset label ", out);
	write_quoted(out, line);
	fputs(" at screen 0.01, 0.02 font ',9'\n", out);
}

static void
write_settings(FILE *out, const struct bench_plot *plot, const struct bench_result *result)
{
	fprintf(out, "set terminal %s noenhanced size 960,540\nset title ", plot->terminal);
	write_quoted(out, result->label != NULL ? result->label : result->headline);
	fputc('\n', out);
	write_time_tics(out);
	write_origin(out, result);
	fputs("set key top left\n"
	      "set grid\n"
	      "set logscale xy\n"
	      "set xlabel 'percentile'\n"
	      "set ylabel 'time'\n"
	      "set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1e3, '99.99' 1e4, "
	      "'99.999' 1e5, '99.9999' 1e6, '99.99999' 1e7)\n",
		out);
}

static void
write_script(FILE *out, const struct bench_plot *plot, const struct bench_result *result)
{
	static const char *const colours[] = {"#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd",
		"#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#000000", "#00008b"};

	for (unsigned int i = 0; i < result->nr_series; i++)
		write_data(out, &result->series[i], i);
	write_settings(out, plot, result);
	for (unsigned int i = 0; i < result->nr_series; i++) {
		const struct bench_series *series = &result->series[i];
		char title[2 * BENCH_TITLE_MAX], name[BENCH_TITLE_MAX];

		snprintf(title, sizeof(title), "%s (%s)",
			bench_series_title(series, series->name, name), series->transport);
		fprintf(out, "%s $series%u with lines lw 2 lc rgb '%s' title ",
			i == 0 ? "plot" : ",", i,
			colours[i % (sizeof(colours) / sizeof(colours[0]))]);
		write_quoted(out, title);
	}
	fputc('\n', out);
}

/* Takes the descriptor. Returns whether gnuplot took all of the script. */
static bool
gnuplot_feed(int fd, const struct bench_plot *plot, const struct bench_result *result)
{
	FILE *out = fdopen(fd, "w");
	bool failed;

	if (out == NULL) {
		close(fd);
		return false;
	}
	write_script(out, plot, result);
	failed = ferror(out) != 0;
	return fclose(out) == 0 && !failed;
}

int
bench_plot_draw(const struct bench_plot *plot, int fd, const struct bench_result *result,
	struct vuc_error *err)
{
	char name[] = "gnuplot", no_defaults[] = "-d", from_stdin[] = "-";
	char *const args[] = {name, no_defaults, from_stdin, NULL};
	int script[2], status;
	bool fed;
	pid_t pid;

	if (pipe2(script, O_CLOEXEC) != 0)
		return bench_fail(err, -errno, "pipe: %s", strerror(errno));
	pid = bench_process_spawn(
		plot->program, args, (const int[3]){script[0], fd, STDERR_FILENO}, err);
	close(script[0]);
	if (pid < 0) {
		close(script[1]);
		return pid;
	}
	fed = gnuplot_feed(script[1], plot, result);
	status = bench_process_wait(pid);
	if (status != 0)
		return bench_process_explain(status, -EIO, "gnuplot", "", err);
	if (!fed)
		return bench_fail(err, -EIO, "gnuplot: exited before reading all of its input");
	return 0;
}
