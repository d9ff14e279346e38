/* SPDX-License-Identifier: BSD-3-Clause */

/* A page that needs nothing beside it: style and pictures are in the file, and no script. */

#include "report.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memfd.h"

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

/* The lines that the table on the terminal has below it. */
static int
put_sentences(FILE *out, const struct bench_result *result)
{
	char *text = NULL;
	size_t size;
	FILE *lines = open_memstream(&text, &size);

	if (lines == NULL)
		return -ENOMEM;
	bench_report_sentences(lines, result);
	if (fclose(lines) != 0) {
		free(text);
		return -ENOMEM;
	}
	for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (line[0] != '\0')
			put_element(out, "p", "", line);
	}
	free(text);
	if (bench_result_is_unsteady(result))
		put_element(out, "p", "warning", bench_not_quiet);
	return 0;
}

/* Bytes as a part of a URL. */
static void
put_url(FILE *out, const char *svg, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)svg[i];

		if (isalnum(c) || (c != '\0' && strchr(" -_.,:;/()=", c) != NULL))
			fputc(c, out);
		else
			fprintf(out, "%%%02X", c);
	}
}

/* In a URL, so that the identifiers of one picture are not those of the next. */
static int
put_picture_of(FILE *out, int fd, const struct bench_result *result)
{
	char svg[4096];
	ssize_t n;

	fputs("<img width=\"960\" height=\"540\" alt=\"time over percentile: ", out);
	put_text(out, "%s", result->headline);
	fputs("\" src=\"data:image/svg+xml,", out);
	if (lseek(fd, 0, SEEK_SET) != 0)
		return -errno;
	while ((n = read(fd, svg, sizeof(svg))) > 0)
		put_url(out, svg, (size_t)n);
	fputs("\">\n", out);
	return n < 0 ? -errno : 0;
}

static int
put_picture(FILE *out, const struct bench_plot *plot, const struct bench_result *result,
	struct vuc_error *err)
{
	struct bench_plot drawn = *plot;
	int fd = vuc_memfd_create("plot", 0, 0);
	int ret;

	if (fd < 0)
		return bench_fail(err, fd, "--html: memory for a picture: %s", strerror(-fd));
	drawn.terminal = "svg";
	ret = bench_plot_draw(&drawn, fd, result, err);
	if (ret == 0) {
		ret = put_picture_of(out, fd, result);
		if (ret != 0)
			bench_fail(err, ret, "--html: reading a picture: %s", strerror(-ret));
	}
	close(fd);
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
	if (put_sentences(out, result) != 0)
		return bench_fail(err, -ENOMEM, "--html: out of memory");
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
