/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "text.h"

/* ---- pictures ---- */

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
	return bench_fail(err, -EINVAL, "--plot: '%s' does not end in .svg or .png", path);
}

int
bench_plot_init(struct bench_plot *plot, const char *path, struct vuc_error *err)
{
	*plot = (struct bench_plot){.terminal = terminal_of(path != NULL ? path : ".svg")};
	if (bench_program_find("gnuplot", NULL, plot->program, err) != 0)
		return bench_fail(err, -ENOENT,
			"plots require gnuplot, which is not in $PATH (package gnuplot-nox)");
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
		return bench_fail(err, -errno, "cannot create a pipe: %s", strerror(errno));
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

/* ---- a page that needs nothing beside it: style and pictures are in the file, and no script ----
 */

static const char style[] =
	"body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;"
	"color:#1b1b1b;background:#fff}"
	"h2{margin-top:2.5rem;border-bottom:1px solid #ccc}"
	".wide{overflow-x:auto}"
	"table{border-collapse:collapse;margin:1rem 0}"
	"th,td{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:left}"
	".figures td+td,.figures th+th{text-align:right;font-variant-numeric:tabular-nums}"
	"th{white-space:pre-line}"
	".figures .topic{text-align:left;padding-top:1rem}"
	".yes{color:#06730f}.no,.warning{color:#b00020;font-weight:bold}"
	"img{max-width:100%;height:auto;background:#fff}"
	"@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#181818}"
	"a{color:#8ab4f8}.yes{color:#7fd687}.no,.warning{color:#ff8a9b}}";

/* Formatted text, in which no character is a tag's. */
static void __attribute__((format(printf, 2, 3))) put_text(FILE *out, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (const char *c = text; *c != '\0'; c++) {
		if (strchr("&<>\"", *c) != NULL)
			fprintf(out, "&#%d;", *c);
		else
			fputc(*c, out);
	}
}

/* <name class="kind">text</name> */
static void
put_element(FILE *out, const char *name, const char *kind, const char *text)
{
	fprintf(out, "<%s", name);
	if (kind[0] != '\0')
		fprintf(out, " class=\"%s\"", kind);
	fputc('>', out);
	put_text(out, "%s", text);
	fprintf(out, "</%s>", name);
}

/* A row of a table of names and texts. */
static void
put_pair(void *arg, const char *name, const char *text)
{
	FILE *out = arg;

	fputs("<tr>", out);
	put_element(out, "th", "", name);
	put_element(out, "td", "", text);
	fputs("</tr>\n", out);
}

/* How it was measured, and with which options. */
static void
put_circumstances(FILE *out, const struct bench_result *result)
{
	const char *between = "";

	fputs("<table>\n", out);
	bench_lines_of_result(result, put_pair, out);
	fputs("<tr><th>options</th><td>", out);
	json_object_object_foreach(result->options.root, key, value)
	{
		put_text(out, "%s%s %s", between, key, json_object_get_string(value));
		between = ", ";
	}
	fputs("</td></tr>\n</table>\n", out);
}

static void
put_goals(FILE *out, const struct bench_result *result)
{
	fputs("<h2>Goals</h2>\n<div class=\"wide\"><table>\n<tr><th>figure</th><th>floor</th>"
	      "<th>goal</th><th>measured</th><th>met</th></tr>\n",
		out);
	for (unsigned int i = 0; i < result->nr_verdicts; i++) {
		const struct bench_verdict *v = &result->verdicts[i];
		const char *met = v->met ? "yes" : "no";

		fputs("<tr>", out);
		put_element(out, "td", "", v->figure);
		put_element(out, "td", "", v->floor);
		put_element(out, "td", "", v->goal);
		put_element(out, "td", "", v->known ? v->measured : "not measured");
		put_element(out, "td", v->known ? met : "", v->known ? met : "-");
		if (v->unsteady)
			put_element(out, "td", "warning", "not quiet");
		fputs("</tr>\n", out);
	}
	fputs("</table></div>\n", out);
}

static void
put_cells(FILE *out, const char *element, struct bench_cells cells)
{
	fputs("<tr>", out);
	for (size_t i = 0; i < BENCH_NR_CELLS; i++)
		put_element(out, element, "", cells.text[i]);
	fputs("</tr>\n", out);
}

static void
put_series(FILE *out, const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];

	if (series->topic != NULL && i == bench_result_floor(result, i)) {
		fprintf(out, "<tr><th class=\"topic\" colspan=\"%d\">", BENCH_NR_CELLS);
		put_text(out, "%s", series->topic);
		fputs("</th></tr>\n", out);
	}
	put_cells(out, "td", bench_cells_row(result, i));
}

static void
put_times(FILE *out, const struct bench_result *result)
{
	fputs("<div class=\"wide\"><table class=\"figures\">\n", out);
	put_cells(out, "th", bench_cells_head(result));
	for (unsigned int i = 0; i < result->nr_series; i++)
		put_series(out, result, i);
	fputs("</table></div>\n", out);
}

/* In a URL, so that the identifiers of one picture are not those of the next. */
static int
put_picture(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err)
{
	struct bench_plot drawn = *plot;
	FILE *svg = tmpfile();
	int c, ret;

	if (svg == NULL)
		return bench_fail(err, -errno, "temporary file for a plot: %s", strerror(errno));
	drawn.terminal = "svg";
	ret = bench_plot_draw(&drawn, fileno(svg), result, err);
	rewind(svg);
	fputs("<img width=\"960\" height=\"540\" alt=\"time over percentile: ", out);
	put_text(out, "%s", result->headline);
	fputs("\" src=\"data:image/svg+xml,", out);
	while ((c = getc(svg)) != EOF)
		fprintf(out, isalnum(c) || strchr(" -_.,:;/()=", c) != NULL ? "%c" : "%%%02X", c);
	fputs("\">\n", out);
	fclose(svg);
	return ret;
}

static int
put_result(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err)
{
	fputs("<p>", out);
	put_text(out, "%s", result->headline);
	fputs("</p>\n", out);
	put_circumstances(out, result);
	put_times(out, result);
	bench_report_sentences(out, result);
	if (bench_result_is_unsteady(result))
		put_element(out, "p", "warning", bench_not_quiet);
	return put_picture(out, plot, result, err);
}

static int
put_parts(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err)
{
	int ret = 0;

	put_goals(out, result);
	fputs("<h2>Measurements</h2>\n<ul>\n", out);
	for (unsigned int i = 0; i < result->nr_parts; i++) {
		const struct bench_part *part = &result->parts[i];

		if (part->skipped[0] == '\0') {
			fprintf(out, "<li><a href=\"#%s\">%s</a></li>\n", part->name, part->name);
		} else {
			fprintf(out, "<li>%s: skipped: ", part->name);
			put_text(out, "%s", part->skipped);
			fputs("</li>\n", out);
		}
	}
	fputs("</ul>\n", out);
	for (unsigned int i = 0; i < result->nr_parts && ret == 0; i++) {
		const struct bench_part *part = &result->parts[i];

		if (part->skipped[0] != '\0')
			continue;
		fprintf(out, "<h2 id=\"%s\">%s</h2>\n", part->name, part->name);
		ret = put_result(out, plot, &part->result, err);
	}
	return ret;
}

int
bench_report_html(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err)
{
	int ret;

	fprintf(out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n"
		"<title>vuc-bench %s</title>\n<style>%s</style>\n</head>\n<body>\n"
		"<h1>vuc-bench %s</h1>\n",
		result->measurement, style, result->measurement);
	fputs("<table>\n", out);
	bench_lines_of_run(result, put_pair, out);
	fputs("</table>\n", out);
	ret = result->nr_parts > 0 ? put_parts(out, plot, result, err)
				   : put_result(out, plot, result, err);
	fputs("</body>\n</html>\n", out);
	return ret;
}
