/* SPDX-License-Identifier: BSD-3-Clause */
#include "ini.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COMMENT   '#'
#define MAX_SHOWN 20 /* bytes of what is too long */

struct parser {
	struct vucd_ini *ini;
	struct vucd_report *report;
	unsigned int line;
	bool skipping; /* the section that a line belongs to was refused */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* A text without the blanks at both ends, in place. */
static char *
text_trim(char *text)
{
	size_t len;

	while (is_blank(text[0]))
		text++;
	len = strlen(text);
	while (len > 0 && is_blank(text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
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

/* Each run of blanks becomes one. */
static void
blanks_join(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++) {
		if (!is_blank(*text))
			*to++ = *text;
		else if (!is_blank(text[1]))
			*to++ = ' ';
	}
	*to = '\0';
}

static bool
check_section(const struct parser *p, bool closed, const char *name)
{
	if (!closed || strpbrk(name, "]#") != NULL)
		vucd_report(p->report, p->line, "expected [SECTION]");
	else if (name[0] == '\0')
		vucd_report(p->report, p->line, "[]: the section has no name");
	else if (strlen(name) >= VUCD_INI_SECTION_SIZE)
		vucd_report(p->report, p->line, "[%.*s...]: a section's name has at most %d bytes",
			MAX_SHOWN, name, VUCD_INI_SECTION_SIZE - 1);
	else if (p->ini->nr_sections >= VUCD_INI_MAX_SECTIONS)
		vucd_report(p->report, p->line, "more than %d sections", VUCD_INI_MAX_SECTIONS);
	else
		return true;
	return false;
}

/* A line that begins with '['. */
static void
parse_section(struct parser *p, char *line)
{
	size_t len = strlen(line);
	bool closed = len > 1 && line[len - 1] == ']';
	char *name;

	if (closed)
		line[len - 1] = '\0';
	name = text_trim(line + 1);
	blanks_join(name);
	p->skipping = !check_section(p, closed, name);
	if (!p->skipping)
		p->ini->sections[p->ini->nr_sections++] = (struct vucd_ini_section){
			.line = p->line,
			.name = name,
			.entries = &p->ini->entries[p->ini->nr_entries],
		};
}

static bool
check_entry(const struct parser *p, const char *key, const char *value)
{
	if (key[0] == '\0')
		vucd_report(p->report, p->line, "expected a key before '='");
	else if (strchr(key, COMMENT) != NULL)
		vucd_report(p->report, p->line, "%.*s: a key has no '#'", MAX_SHOWN, key);
	else if (strlen(key) >= VUCD_INI_KEY_SIZE)
		vucd_report(p->report, p->line, "%.*s...: a key has at most %d bytes", MAX_SHOWN,
			key, VUCD_INI_KEY_SIZE - 1);
	else if (value[0] == '\0')
		vucd_report(p->report, p->line, "%s: expected a value behind '='", key);
	else if (strlen(value) >= VUCD_INI_VALUE_SIZE)
		vucd_report(p->report, p->line, "%s: a value has at most %d bytes, this one %zu",
			key, VUCD_INI_VALUE_SIZE - 1, strlen(value));
	else if (p->ini->nr_sections == 0)
		vucd_report(p->report, p->line, "%s: expected a [SECTION] before it", key);
	else
		return true;
	return false;
}

static void
parse_entry(struct parser *p, char *line)
{
	char *equals = strchr(line, '=');
	const char *key, *value;

	if (equals == NULL) {
		vucd_report(p->report, p->line, "expected [SECTION] or KEY = VALUE");
		return;
	}
	*equals = '\0';
	key = text_trim(line);
	value = text_trim(equals + 1);
	if (p->skipping || !check_entry(p, key, value))
		return;
	p->ini->sections[p->ini->nr_sections - 1].nr_entries++;
	p->ini->entries[p->ini->nr_entries++] =
		(struct vucd_ini_entry){.line = p->line, .key = key, .value = value};
}

/* A comment begins where a line does, or behind a blank: paths may have a '#' in them. */
static void
comment_cut(char *line)
{
	char *c;

	for (c = strchr(line, COMMENT); c != NULL; c = strchr(c + 1, COMMENT)) {
		if (c == line || is_blank(c[-1])) {
			*c = '\0';
			return;
		}
	}
}

/* A line of len bytes, and a NUL behind them. */
static void
parse_line(struct parser *p, char *line, size_t len)
{
	if (has_control(line, len)) {
		vucd_report(p->report, p->line, "a control character, this is no text");
		return;
	}
	comment_cut(line);
	line = text_trim(line);
	if (line[0] == '[')
		parse_section(p, line);
	else if (line[0] != '\0')
		parse_entry(p, line);
}

/* Room for as many sections and entries as there are lines, and a copy of the text. */
static int
ini_allocate(struct vucd_ini *ini, const char *text, size_t len)
{
	size_t i, nr_lines = 1;

	for (i = 0; i < len; i++)
		nr_lines += text[i] == '\n';
	ini->sections = calloc(nr_lines, sizeof(*ini->sections));
	ini->entries = calloc(nr_lines, sizeof(*ini->entries));
	ini->text = malloc(len + 1);
	if (ini->sections == NULL || ini->entries == NULL || ini->text == NULL)
		return -ENOMEM;
	memcpy(ini->text, text, len);
	ini->text[len] = '\0';
	return 0;
}

int
vucd_ini_parse(struct vucd_ini *ini, const char *text, size_t len, struct vucd_report *report)
{
	struct parser p = {.ini = ini, .report = report};
	char *line, *end;
	int rc;

	*ini = (struct vucd_ini){0};
	if (len > VUCD_INI_MAX_BYTES) {
		vucd_report(report, 0, "the file has more than %d bytes", VUCD_INI_MAX_BYTES);
		return -EFBIG;
	}
	rc = ini_allocate(ini, text, len);
	if (rc != 0) {
		vucd_report(report, 0, "%s", strerror(-rc));
		return rc;
	}
	for (line = ini->text; line < ini->text + len; line = end + 1) {
		end = memchr(line, '\n', (size_t)(ini->text + len - line));
		if (end == NULL)
			end = ini->text + len;
		*end = '\0';
		p.line++;
		parse_line(&p, line, (size_t)(end - line));
	}
	return 0;
}

void
vucd_ini_free(struct vucd_ini *ini)
{
	free(ini->sections);
	free(ini->entries);
	free(ini->text);
	*ini = (struct vucd_ini){0};
}
