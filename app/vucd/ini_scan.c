/* SPDX-License-Identifier: BSD-3-Clause */
#include "ini_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ini.h"

#define COMMENT '#'

/* A part of the text. */
struct span {
	const char *text;
	size_t len;
};

struct scan {
	FILE *out;
	struct vucd_ini_lines *lines;
	struct vucd_report *report;
	unsigned int line;
	bool skipping; /* the section that a line belongs to was refused */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span
text_trim(const char *text, size_t len)
{
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	while (len > 0 && is_blank(text[0])) {
		text++;
		len--;
	}
	return (struct span){text, len};
}

static bool
has_control(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (((unsigned char)text[i] < ' ' && !is_blank(text[i])) || text[i] == 0x7f)
			return true;
	}
	return false;
}

/* One more number behind n others; the array grows by doubling. */
static int
line_append(unsigned int **array, unsigned int *n, unsigned int value)
{
	if ((*n & (*n - 1)) == 0) {
		size_t room = *n == 0 ? 1 : (size_t)*n * 2;
		unsigned int *larger = realloc(*array, room * sizeof(**array));

		if (larger == NULL)
			return -ENOMEM;
		*array = larger;
	}
	(*array)[(*n)++] = value;
	return 0;
}

/* Write a section's name, each run of blanks in it as one. */
static void
write_section(FILE *out, struct span name)
{
	size_t i;

	fputc('[', out);
	for (i = 0; i < name.len; i++) {
		if (!is_blank(name.text[i]))
			fputc(name.text[i], out);
		else if (!is_blank(name.text[i + 1]))
			fputc(' ', out);
	}
	fputs("]\n", out);
}

/* Kind and name of a section have a bound together. */
static void
report_long_section(const struct scan *s, struct span name)
{
	int kind = 0;

	while (kind < 20 && !is_blank(name.text[kind]))
		kind++;
	if (kind < 20)
		vucd_report(s->report, s->line,
			"[%.*s...]: a name behind \"%.*s\" has at most %d bytes", 20, name.text,
			kind, name.text, CFG_NAME_LEN - 2 - kind);
	else
		vucd_report(s->report, s->line, "[%.*s...]: a section's name has at most %d bytes",
			20, name.text, CFG_NAME_LEN - 1);
}

static bool
check_section(const struct scan *s, struct span line, struct span name)
{
	if (line.text[line.len - 1] != ']' || memchr(name.text, ']', name.len) != NULL ||
		memchr(name.text, COMMENT, name.len) != NULL)
		vucd_report(s->report, s->line, "expected [SECTION]");
	else if (name.len == 0)
		vucd_report(s->report, s->line, "[]: the section has no name");
	else if (name.len >= CFG_NAME_LEN)
		report_long_section(s, name);
	else if (s->lines->nr_sections >= VUCD_INI_MAX_SECTIONS)
		vucd_report(s->report, s->line, "more than %d sections", VUCD_INI_MAX_SECTIONS);
	else
		return true;
	return false;
}

/* A line that begins with '['. */
static int
scan_section(struct scan *s, struct span line)
{
	struct span name = text_trim(line.text + 1, line.len - 1);

	if (name.len > 0 && name.text[name.len - 1] == ']')
		name = text_trim(name.text, name.len - 1);
	s->skipping = !check_section(s, line, name);
	if (s->skipping)
		return 0;
	write_section(s->out, name);
	return line_append(&s->lines->sections, &s->lines->nr_sections, s->line);
}

static bool
check_entry(const struct scan *s, struct span key, struct span value)
{
	if (key.len == 0)
		vucd_report(s->report, s->line, "expected a key before '='");
	else if (memchr(key.text, COMMENT, key.len) != NULL)
		vucd_report(s->report, s->line, "%.*s: a key has no '#'",
			(int)(key.len < 20 ? key.len : 20), key.text);
	else if (key.len >= CFG_NAME_LEN)
		vucd_report(s->report, s->line, "%.*s...: a key has at most %d bytes", 20, key.text,
			CFG_NAME_LEN - 1);
	else if (value.len == 0)
		vucd_report(s->report, s->line, "%.*s: expected a value behind '='", (int)key.len,
			key.text);
	else if (value.len >= CFG_VALUE_LEN)
		vucd_report(s->report, s->line, "%.*s: a value has at most %d bytes, this one %zu",
			(int)key.len, key.text, CFG_VALUE_LEN - 1, value.len);
	else if (s->lines->nr_sections == 0)
		vucd_report(s->report, s->line, "%.*s: expected a [SECTION] before it",
			(int)key.len, key.text);
	else
		return true;
	return false;
}

/* rte_cfgfile takes a '#' for a comment wherever it is. */
static void
write_value(FILE *out, struct span value)
{
	size_t i;

	for (i = 0; i < value.len; i++)
		fputc(value.text[i] == COMMENT ? VUCD_INI_HASH : value.text[i], out);
	fputc('\n', out);
}

static int
scan_entry(struct scan *s, struct span line)
{
	const char *equals = memchr(line.text, '=', line.len);
	struct span key, value;

	if (equals == NULL) {
		vucd_report(s->report, s->line, "expected [SECTION] or KEY = VALUE");
		return 0;
	}
	key = text_trim(line.text, (size_t)(equals - line.text));
	value = text_trim(equals + 1, line.len - (size_t)(equals + 1 - line.text));
	if (!s->skipping && check_entry(s, key, value)) {
		fprintf(s->out, "%.*s=", (int)key.len, key.text);
		write_value(s->out, value);
		return line_append(&s->lines->entries, &s->lines->nr_entries, s->line);
	}
	return 0;
}

/* A comment begins where a line does, or behind a blank: paths may have a '#' in them. */
static size_t
find_comment(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] == COMMENT && (i == 0 || is_blank(text[i - 1])))
			break;
	}
	return i;
}

static int
scan_line(struct scan *s, const char *text, size_t len)
{
	struct span line = text_trim(text, find_comment(text, len));

	if (has_control(text, len)) {
		vucd_report(s->report, s->line, "a control character, this is no text");
		return 0;
	}
	if (line.len == 0)
		return 0;
	return line.text[0] == '[' ? scan_section(s, line) : scan_entry(s, line);
}

int
vucd_ini_scan(const char *text, size_t len, FILE *out, struct vucd_ini_lines *lines,
	struct vucd_report *report)
{
	struct scan s = {.out = out, .lines = lines, .report = report};
	int rc = 0;

	*lines = (struct vucd_ini_lines){0};
	while (len > 0 && rc == 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end != NULL ? (size_t)(end - text) : len;

		s.line++;
		rc = scan_line(&s, text, n);
		if (n < len) /* the newline */
			n++;
		text += n;
		len -= n;
	}
	return rc;
}

void
vucd_ini_lines_free(struct vucd_ini_lines *lines)
{
	free(lines->sections);
	free(lines->entries);
	*lines = (struct vucd_ini_lines){0};
}
