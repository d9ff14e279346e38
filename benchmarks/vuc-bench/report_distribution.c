/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <math.h>
#include <string.h>

#define MARGIN      2
#define MAX_SPAN    8 /* from a p50 to the end of the axis */
#define HEIGHT      4
#define LEVELS      8
#define MAX_COLUMNS 256

/* The axis: from the least sample to the greatest p99.9, but not so far that a busy machine's tail
 * leaves no room for the rest; what is slower goes to the last column. */
struct axis {
	double low;
	double high;
	unsigned int columns;
};

static struct axis
axis_of(const struct bench_term *term, const struct bench_result *result)
{
	struct axis axis = {.columns = term->width - 2 * MARGIN};

	if (axis.columns > MAX_COLUMNS)
		axis.columns = MAX_COLUMNS;
	for (unsigned int i = 0; i < result->nr_series; i++) {
		const struct bench_summary *sum = &result->series[i].summary;

		if (i == 0 || sum->min < axis.low)
			axis.low = sum->min;
		axis.high = fmax(axis.high,
			fmin(isnan(sum->p999) ? sum->max : sum->p999, sum->p50 * MAX_SPAN));
	}
	/* A logarithm needs something positive, and a scale two ends. */
	axis.low = fmax(axis.low, 1);
	axis.high = fmax(axis.high, axis.low * 1.1);
	return axis;
}

static unsigned int
column_of(const struct axis *axis, double ns)
{
	double part;

	if (ns <= axis->low)
		return 0;
	part = log(ns / axis->low) / log(axis->high / axis->low);
	return part >= 1 ? axis->columns - 1 : (unsigned int)(part * axis->columns);
}

static void
draw_row(const struct bench_term *term, const unsigned int *levels, unsigned int columns,
	unsigned int row)
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
draw_series(const struct bench_term *term, const struct axis *axis,
	const struct bench_series *series, const char *colour)
{
	size_t counts[MAX_COLUMNS] = {0};
	unsigned int levels[MAX_COLUMNS] = {0};
	size_t most = 1;

	for (size_t i = 0; i < series->samples.nr; i++)
		counts[column_of(axis, bench_series_ns(series, i))]++;
	for (unsigned int c = 0; c < axis->columns; c++)
		most = counts[c] > most ? counts[c] : most;
	/* Rounded up, so that a single sample can be seen. */
	for (unsigned int c = 0; c < axis->columns; c++)
		levels[c] = (unsigned int)((counts[c] * HEIGHT * LEVELS + most - 1) / most);
	fprintf(term->out, "\n%s%s%s%s\n", colour, series->topic != NULL ? series->topic : "",
		series->topic != NULL ? ": " : "", series->name);
	for (unsigned int row = HEIGHT; row-- > 0;)
		draw_row(term, levels, axis->columns, row);
	fputs(bench_term_plain(term), term->out);
}

/* How many columns text takes: bytes that go on with a character take none. */
static unsigned int
width_of(const char *text)
{
	unsigned int width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* Print a mark at its column unless it would touch its neighbours. Moves *at behind it. */
static void
draw_mark(const struct bench_term *term, const char *text, unsigned int column, unsigned int end,
	unsigned int *at)
{
	unsigned int width = width_of(text);

	if ((*at > 0 && column <= *at) || column + width > end)
		return;
	fprintf(term->out, "%*s%s", (int)(column - *at), "", text);
	*at = column + width;
}

static void
draw_axis(const struct bench_term *term, const struct axis *axis)
{
	static const double steps[] = {1, 2, 5};
	char text[BENCH_NUMBER_MAX];
	char last[BENCH_NUMBER_MAX + 1];
	unsigned int at = 0;
	unsigned int last_column;

	fprintf(term->out, "%*s", MARGIN, "");
	for (unsigned int c = 0; c < axis->columns; c++)
		fputs(term->utf8 ? "─" : "-", term->out);
	fprintf(term->out, "\n%*s", MARGIN, "");
	bench_term_time(term, axis->high, text);
	snprintf(last, sizeof(last), "%s+", text);
	last_column = axis->columns - width_of(last);
	draw_mark(term, bench_term_time(term, axis->low, text), 0, last_column, &at);
	for (double decade = 1; decade <= axis->high; decade *= 10) {
		for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
			double ns = decade * steps[s];

			if (ns > axis->low && ns < axis->high)
				draw_mark(term, bench_term_time(term, ns, text),
					column_of(axis, ns), last_column - 1, &at);
		}
	}
	draw_mark(term, last, last_column, axis->columns, &at);
	fputc('\n', term->out);
}

void
bench_report_distribution(const struct bench_term *term, const struct bench_result *result)
{
	struct axis axis = axis_of(term, result);

	for (unsigned int i = 0; i < result->nr_series; i++)
		draw_series(term, &axis, &result->series[i], bench_term_series(term, i));
	draw_axis(term, &axis);
}
