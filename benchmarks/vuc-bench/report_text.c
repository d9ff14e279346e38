/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_WIDTH 80
#define MIN_WIDTH     40
#define MAX_WIDTH     160
#define NAME_WIDTH    14
#define MAX_DRAWN     4 /* distributions under each other */
#define MARGIN        2
#define MAX_SPAN      8 /* from a p50 to the end of the axis */
#define HEIGHT        4
#define LEVELS        8

/* How the report looks where it goes. */
struct term {
	FILE *out;
	bool utf8; /* the locale says so */
	unsigned int width;
	/* Of a sentence. */
	const char *begin;
	const char *end;
	/* Escape sequences; "" where there are no colours. */
	const char *bold;
	const char *dim;
	const char *plain;
	const char *series[4];
};

static unsigned int
term_width(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return DEFAULT_WIDTH;
	if (size.ws_col < MIN_WIDTH)
		return MIN_WIDTH;
	return size.ws_col < MAX_WIDTH ? size.ws_col : MAX_WIDTH;
}

static struct term
term_of(FILE *out)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *name = getenv("TERM");
	struct term term = {.out = out,
		.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
		.width = term_width(fileno(out)),
		.begin = "",
		.end = "\n",
		.bold = "\033[1m",
		.dim = "\033[2m",
		.plain = "\033[0m",
		.series = {"\033[36m", "\033[32m", "\033[33m", "\033[35m"}};

	if (isatty(fileno(out)) && (no_colour == NULL || no_colour[0] == '\0') && name != NULL &&
		strcmp(name, "dumb") != 0)
		return term;
	term.bold = term.dim = term.plain = "";
	for (unsigned int i = 0; i < 4; i++)
		term.series[i] = "";
	return term;
}

/* A time with its unit: "850 ns", "4.2 us". */
static const char *
format_time(const struct term *term, double ns, char buf[BENCH_NUMBER_MAX])
{
	if (ns < 999.5)
		snprintf(buf, BENCH_NUMBER_MAX, "%.3g ns", ns);
	else if (ns < 999.5e3)
		snprintf(buf, BENCH_NUMBER_MAX, "%.3g %s", ns / 1e3, term->utf8 ? "µs" : "us");
	else if (ns < 999.5e6)
		snprintf(buf, BENCH_NUMBER_MAX, "%.3g ms", ns / 1e6);
	else
		snprintf(buf, BENCH_NUMBER_MAX, "%.3g s", ns / 1e9);
	return buf;
}

static void
print_line(void *arg, const char *name, const char *text)
{
	const struct term *term = arg;

	fprintf(term->out, "  %s%-9s%s %s\n", term->dim, name, term->plain, text);
}

static void
print_headline(const struct term *term, const struct bench_result *result)
{
	fprintf(term->out, "%s%s%s: %s\n", term->bold, result->measurement, term->plain,
		result->headline);
}

/* Of the columns, a blank behind each; a cell that is too long moves those behind it. */
static const int widths[BENCH_NR_CELLS] = {-NAME_WIDTH, 7, 7, 8, 9, 7, 10, 11, 9, 7};

static void
print_head(const struct term *term, const struct bench_result *result)
{
	const struct bench_cells cells = bench_cells_head(result);

	fputc('\n', term->out);
	for (unsigned int line = 0; line < 2; line++) {
		fputs(term->bold, term->out);
		for (size_t c = 0; c < BENCH_NR_CELLS; c++) {
			const char *text = cells.text[c];
			size_t end = strcspn(text, "\n");

			if (line > 0)
				fprintf(term->out, "%s%*s", c > 0 ? " " : "", widths[c],
					text[end] != '\0' ? text + end + 1 : "");
			else
				fprintf(term->out, "%s%*.*s", c > 0 ? " " : "", widths[c], (int)end,
					text);
		}
		fprintf(term->out, "%s\n", term->plain);
	}
}

static void
print_row(const struct term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	struct bench_cells cells = bench_cells_row(result, i);

	if (series->topic != NULL && i == bench_result_floor(result, i))
		fprintf(term->out, "%s%s%s\n", term->bold, series->topic, term->plain);
	/* Without its transport, where there is no room for that. */
	if (strlen(cells.text[0]) > NAME_WIDTH)
		cells.text[0][strlen(series->name)] = '\0';
	fprintf(term->out, "%s%*s%s", term->series[i % 4], widths[0], cells.text[0], term->plain);
	for (size_t c = 1; c < BENCH_NR_CELLS; c++)
		fprintf(term->out, "%s %*s", c == BENCH_NR_CELLS - 1 ? term->bold : "", widths[c],
			cells.text[c]);
	fputs(term->plain, term->out);
	fputc('\n', term->out);
}

/* "2.00 times BETWEEN (1.90 to 2.10 in the single rounds)" */
static void
print_ratio(const struct term *term, const struct bench_ratio *ratio, const char *between)
{
	fprintf(term->out, "%s%.2f%s times %s (%.2f to %.2f in the single rounds)%s", term->bold,
		ratio->median, term->plain, between, ratio->min, ratio->max, term->end);
}

static void
print_rates(const struct term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	const struct bench_summary *sum = &series->summary;
	const struct bench_summary *floor = &result->series[bench_result_floor(result, i)].summary;
	char between[64], ours[BENCH_NUMBER_MAX], theirs[BENCH_NUMBER_MAX];

	snprintf(between, sizeof(between), "as many %s/s as the floor", result->units);
	print_ratio(term, &result->ratios[i].rate, between);
	if (result->bytes > 0)
		fprintf(term->out, "%s%s moves %.2f GB/s, the floor %.2f GB/s%s", term->begin,
			series->name, sum->per_second * result->bytes / 1e9,
			floor->per_second * result->bytes / 1e9, term->end);
	if (sum->end_to_end_per_second <= 0)
		return;
	fprintf(term->out, "%suntil the server has caught up: %s/s to %s/s, ", term->begin,
		bench_number(sum->end_to_end_per_second, ours),
		bench_number(floor->end_to_end_per_second, theirs));
	print_ratio(term, &result->ratios[i].end_to_end, "as many");
}

static void
print_verdict(const struct term *term, const struct bench_result *result, unsigned int i)
{
	const struct bench_series *series = &result->series[i];
	char title[BENCH_TITLE_MAX];

	fprintf(term->out, "%s%s %s ", term->begin,
		bench_series_title(
			series, series->subject != NULL ? series->subject : series->name, title),
		series->by_rate ? "makes" : "takes");
	if (series->by_rate)
		print_rates(term, result, i);
	else
		print_ratio(term, &result->ratios[i].p50, "the floor at p50");
}

/* What is special about a series. */
static void
print_remarks(const struct term *term, const struct bench_result *result,
	const struct bench_series *series)
{
	char number[BENCH_NUMBER_MAX];

	if (series->idle_ns > 0)
		fprintf(term->out, "%s%s: an idle poller takes %s%.3f%s %% of a CPU%s", term->begin,
			series->name, term->bold, 100 * series->summary.cpu_share, term->plain,
			term->end);
	if (series->guest_ticks)
		fprintf(term->out, "%s%s: %s%s%s ticks of the guest's time stamp counter%s",
			term->begin, series->name, term->bold,
			bench_number(
				(double)bench_percentile(series->samples, series->nr_samples, 500),
				number),
			term->plain, term->end);
	if (series->traced)
		fprintf(term->out,
			"%s%s: %s%" PRIu64 "%s system calls of this thread in %zu %s, %" PRIu64
			" of them futex (counted by ptrace)%s",
			term->begin, series->name, term->bold, series->syscalls, term->plain,
			series->nr_samples * series->per_sample, result->units, series->futexes,
			term->end);
}

static void
print_sentences(const struct term *term, const struct bench_result *result)
{
	for (unsigned int i = 0; i < result->nr_series; i++) {
		if (i != bench_result_floor(result, i))
			print_verdict(term, result, i);
		print_remarks(term, result, &result->series[i]);
	}
}

static void
print_times(const struct term *term, const struct bench_result *result)
{
	print_head(term, result);
	for (unsigned int i = 0; i < result->nr_series; i++)
		print_row(term, result, i);
	print_sentences(term, result);
}

/* A row for each topic: its floor, and for the others how much more they take, and the longest. */
static void
print_differences(const struct term *term, const struct bench_result *result)
{
	fprintf(term->out, "\n%s%-*s%10s", term->bold, NAME_WIDTH, "ms at p50",
		result->series[0].name);
	for (unsigned int i = 1; i < result->per_group; i++)
		fprintf(term->out, "%11s    ratio      max", result->series[i].name);
	fputs(term->plain, term->out);
	for (unsigned int i = 0; i < result->nr_series; i++) {
		double floor = result->series[bench_result_floor(result, i)].summary.p50;
		double p50 = result->series[i].summary.p50;

		if (i % result->per_group == 0)
			fprintf(term->out, "\n%-*s%10.1f", NAME_WIDTH, result->series[i].topic,
				p50 / 1e6);
		else
			fprintf(term->out, "%s%+11.1f%9.2f%9.1f%s", term->series[i % 4],
				(p50 - floor) / 1e6, result->ratios[i].p50.median,
				result->series[i].summary.max / 1e6, term->plain);
	}
	fputc('\n', term->out);
}

static void
print_figures(const struct term *term, const struct bench_result *result)
{
	if (result->shows_more)
		print_differences(term, result);
	else
		print_times(term, result);
	if (bench_result_is_unsteady(result))
		fprintf(term->out, "%s%s%s\n", term->bold, bench_not_quiet, term->plain);
}

/* From the least sample to the greatest p99.9, but not so far that a busy machine's tail leaves no
 * room for the rest; what is slower goes to the last column. */
struct axis {
	double low;
	double high;
	unsigned int columns;
};

static struct axis
axis_of(const struct term *term, const struct bench_result *result)
{
	struct axis axis = {.low = INFINITY, .columns = term->width - 2 * MARGIN};

	for (unsigned int i = 0; i < result->nr_series; i++) {
		const struct bench_summary *sum = &result->series[i].summary;
		double end = isnan(sum->p999) ? sum->max : sum->p999;

		axis.low = fmin(axis.low, sum->min);
		axis.high = fmax(axis.high, fmin(end, sum->p50 * MAX_SPAN));
	}
	/* A logarithm needs something positive, and a scale two ends. */
	axis.low = fmax(axis.low, 1);
	axis.high = fmax(axis.high, axis.low * 1.1);
	return axis;
}

static unsigned int
axis_column(const struct axis *axis, double ns)
{
	double part;

	if (ns <= axis->low)
		return 0;
	part = log(ns / axis->low) / log(axis->high / axis->low);
	return part >= 1 ? axis->columns - 1 : (unsigned int)(part * axis->columns);
}

static void
draw_row(
	const struct term *term, const unsigned int *levels, unsigned int columns, unsigned int row)
{
	static const char *const blocks[LEVELS + 1] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	static const char *const letters[LEVELS + 1] = {
		" ", ".", ".", ":", ":", "+", "+", "#", "#"};
	const char *const *glyphs = term->utf8 ? blocks : letters;

	while (columns > 0 && levels[columns - 1] <= row * LEVELS)
		columns--;
	fprintf(term->out, "%*s", columns > 0 ? MARGIN : 0, "");
	for (unsigned int c = 0; c < columns; c++) {
		unsigned int level = levels[c] > row * LEVELS ? levels[c] - row * LEVELS : 0;

		fputs(glyphs[level < LEVELS ? level : LEVELS], term->out);
	}
	fputc('\n', term->out);
}

static void
draw_series(const struct term *term, const struct axis *axis, const struct bench_series *series,
	const char *colour)
{
	size_t counts[MAX_WIDTH] = {0}, most = 1;
	unsigned int levels[MAX_WIDTH] = {0};
	char title[BENCH_TITLE_MAX];

	for (size_t i = 0; i < series->nr_samples; i++)
		counts[axis_column(axis, bench_series_ns(series, i))]++;
	for (unsigned int c = 0; c < axis->columns; c++)
		most = counts[c] > most ? counts[c] : most;
	/* Rounded up, so that a single sample can be seen. */
	for (unsigned int c = 0; c < axis->columns; c++)
		levels[c] = (unsigned int)((counts[c] * HEIGHT * LEVELS + most - 1) / most);
	fprintf(term->out, "\n%s%s\n", colour, bench_series_title(series, series->name, title));
	for (unsigned int row = HEIGHT; row-- > 0;)
		draw_row(term, levels, axis->columns, row);
	fputs(term->plain, term->out);
}

/* How many columns text takes: bytes that continue a character take none. */
static unsigned int
text_width(const char *text)
{
	unsigned int width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* Print a mark at its column unless it would touch its neighbours. Moves *at behind it. */
static void
draw_mark(const struct term *term, const char *text, unsigned int column, unsigned int end,
	unsigned int *at)
{
	unsigned int width = text_width(text);

	if ((*at > 0 && column <= *at) || column + width > end)
		return;
	fprintf(term->out, "%*s%s", (int)(column - *at), "", text);
	*at = column + width;
}

static void
draw_axis(const struct term *term, const struct axis *axis)
{
	static const double steps[] = {1, 2, 5};
	char text[BENCH_NUMBER_MAX], last[BENCH_NUMBER_MAX + 1];
	unsigned int at = 0, last_column;

	fprintf(term->out, "%*s", MARGIN, "");
	for (unsigned int c = 0; c < axis->columns; c++)
		fputs(term->utf8 ? "─" : "-", term->out);
	fprintf(term->out, "\n%*s", MARGIN, "");
	snprintf(last, sizeof(last), "%s+", format_time(term, axis->high, text));
	last_column = axis->columns - text_width(last);
	draw_mark(term, format_time(term, axis->low, text), 0, last_column, &at);
	for (double decade = 1; decade <= axis->high; decade *= 10) {
		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
			double ns = decade * steps[s];

			if (ns > axis->low && ns < axis->high)
				draw_mark(term, format_time(term, ns, text), axis_column(axis, ns),
					last_column - 1, &at);
		}
	}
	draw_mark(term, last, last_column, axis->columns, &at);
	fputc('\n', term->out);
}

static void
print_one(struct term *term, const struct bench_result *result)
{
	struct axis axis = axis_of(term, result);

	print_headline(term, result);
	bench_lines_of_run(result, print_line, term);
	bench_lines_of_result(result, print_line, term);
	print_figures(term, result);
	if (result->nr_series > MAX_DRAWN)
		return;
	for (unsigned int i = 0; i < result->nr_series; i++)
		draw_series(term, &axis, &result->series[i], term->series[i % 4]);
	draw_axis(term, &axis);
}

/* The tables of all parts, and a line for each goal. */
static void
print_summary(struct term *term, const struct bench_result *result)
{
	for (unsigned int i = 0; i < result->nr_parts; i++) {
		const struct bench_part *part = &result->parts[i];

		if (part->skipped[0] == '\0') {
			print_headline(term, &part->result);
			bench_lines_of_result(&part->result, print_line, term);
			print_figures(term, &part->result);
		} else {
			fprintf(term->out, "%s: skipped: %s\n", part->name, part->skipped);
		}
		fputc('\n', term->out);
	}
	print_headline(term, result);
	bench_lines_of_run(result, print_line, term);
	fprintf(term->out, "\n%s%-40s %-28s %-24s %-24s %s%s\n", term->bold, "figure", "floor",
		"goal", "measured", "met", term->plain);
	for (unsigned int i = 0; i < result->nr_verdicts; i++) {
		const struct bench_verdict *v = &result->verdicts[i];
		const char *met = v->met ? "yes" : "no";

		fprintf(term->out, "%-40s %-28s %-24s %-24s %s%s\n", v->figure, v->floor, v->goal,
			v->known ? v->measured : "not measured", v->known ? met : "-",
			v->unsteady ? ", not quiet" : "");
	}
}

void
bench_report_text(FILE *out, const struct bench_result *result)
{
	struct term term = term_of(out);

	/* What is left there is of writing. */
	errno = 0;
	if (result->nr_parts > 0)
		print_summary(&term, result);
	else
		print_one(&term, result);
}

void
bench_report_sentences(FILE *out, const struct bench_result *result)
{
	const struct term term = {
		.out = out, .bold = "<b>", .plain = "</b>", .begin = "<p>", .end = "</p>\n"};

	print_sentences(&term, result);
}
