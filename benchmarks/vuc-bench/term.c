/* SPDX-License-Identifier: BSD-3-Clause */
#include "term.h"

#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_WIDTH 80
#define MIN_WIDTH     40
#define MAX_WIDTH     160

static unsigned int
width_of(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return DEFAULT_WIDTH;
	if (size.ws_col < MIN_WIDTH)
		return MIN_WIDTH;
	return size.ws_col < MAX_WIDTH ? size.ws_col : MAX_WIDTH;
}

void
bench_term_init(struct bench_term *term, FILE *out)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *name = getenv("TERM");

	term->out = out;
	term->colour = isatty(fileno(out)) && (no_colour == NULL || no_colour[0] == '\0') &&
		name != NULL && strcmp(name, "dumb") != 0;
	term->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	term->width = width_of(fileno(out));
}

const char *
bench_term_bold(const struct bench_term *term)
{
	return term->colour ? "\033[1m" : "";
}

const char *
bench_term_dim(const struct bench_term *term)
{
	return term->colour ? "\033[2m" : "";
}

const char *
bench_term_series(const struct bench_term *term, unsigned int series)
{
	static const char *const colours[] = {"\033[36m", "\033[32m", "\033[33m", "\033[35m"};

	return term->colour ? colours[series % (sizeof(colours) / sizeof(colours[0]))] : "";
}

const char *
bench_term_plain(const struct bench_term *term)
{
	return term->colour ? "\033[0m" : "";
}

const char *
bench_term_number(double value, char buf[BENCH_NUMBER_MAX])
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
bench_term_time(const struct bench_term *term, double ns, char buf[BENCH_NUMBER_MAX])
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
