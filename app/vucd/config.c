/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The file: lines of
 *
 *	# a comment, from a '#' at the beginning of a line or behind a blank to its end
 *	[section]
 *	key = value
 */

#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define MAX_BYTES    1048576 /* of a file */
#define MAX_SECTIONS 4096
#define SECTION_SIZE 128 /* of a section's name, with its NUL */
#define KEY_SIZE     64
#define MAX_SHOWN    64 /* bytes of a value in a report */
#define MAX_CUT      20 /* bytes of what is too long */

/* ---- reports ---- */

struct vucd_said {
	unsigned int line;
	size_t number; /* those of one line stay in their order */
	char *text;
};

static void __attribute__((format(printf, 4, 0))) report_add(struct vucd_report *report,
	unsigned int line, const char *before, const char *fmt, va_list args)
{
	struct vucd_said *said =
		realloc(report->said, (report->nr_said + 1) * sizeof(*report->said));
	char text[VUCD_REPORT_MAX];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s", before);

	if (vsnprintf(text + len, sizeof(text) - len, fmt, args) < 0)
		text[0] = '\0';
	vuc_text_clean_controls(text);
	if (said != NULL) {
		report->said = said;
		said += report->nr_said;
		*said = (struct vucd_said){line, report->nr_said, strdup(text)};
	}
	if (said == NULL || said->text == NULL)
		report->fn(report->arg, line, text); /* out of order, for want of memory */
	else
		report->nr_said++;
}

void
vucd_report(struct vucd_report *report, unsigned int line, const char *fmt, ...)
{
	va_list args;

	report->count++;
	va_start(args, fmt);
	report_add(report, line, "", fmt, args);
	va_end(args);
}

void
vucd_report_warning(struct vucd_report *report, unsigned int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report_add(report, line, "warning: ", fmt, args);
	va_end(args);
}

/* What has no line (0) comes last. */
static int
said_compare(const void *a, const void *b)
{
	const struct vucd_said *x = a, *y = b;

	if (x->line != y->line)
		return y->line == 0 || (x->line != 0 && x->line < y->line) ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

void
vucd_report_flush(struct vucd_report *report)
{
	size_t i;

	if (report->nr_said > 0)
		qsort(report->said, report->nr_said, sizeof(*report->said), said_compare);
	for (i = 0; i < report->nr_said; i++) {
		report->fn(report->arg, report->said[i].line, report->said[i].text);
		free(report->said[i].text);
	}
	free(report->said);
	report->said = NULL;
	report->nr_said = 0;
}

/* ---- sections and their keys ---- */

struct parser {
	struct vucd_config *config;
	struct vucd_report *report;
	unsigned int line;
	const char *title;                  /* of the section; NULL: there was none yet */
	const struct vucd_section *section; /* NULL: it was refused, and its keys are skipped */
	void *into;
};

/* What stands behind "device " and the like; NULL for a section of another kind. */
static const char *
section_name(const char *title, const struct vucd_section *section)
{
	size_t len = strlen(section->name);

	if (strncmp(title, section->name, len) != 0)
		return NULL;
	if (section->key.name == NULL || title[len] == '\0')
		return title[len] == '\0' ? "" : NULL;
	return title[len] == ' ' ? title + len + 1 : NULL;
}

/* A section with a wrong name is read nevertheless. */
static void
read_name(const struct parser *p, const char *name)
{
	bool reserved = p->section == &vucd_section_poller && strcmp(name, "auto") == 0;

	if (reserved || !vucd_key_set(&p->section->key, p->into, name))
		vucd_report(p->report, p->line, "[%s]: expected [%s NAME], where NAME is %s",
			p->title, p->section->name, p->section->key.expected);
}

struct vucd_device_config *
vucd_device_find(struct vucd_device_config *devices, unsigned int nr, const char *name)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (strcmp(devices[i].name, name) == 0)
			return &devices[i];
	}
	return NULL;
}

/* The line of a section of this name; 0: there is none yet. */
static unsigned int
find_line(const struct vucd_config *config, const struct vucd_section *section, const char *name)
{
	const struct vucd_device_config *device;
	unsigned int i;

	if (section == &vucd_section_vucd)
		return config->settings.lines.section;
	if (name[0] == '\0') /* one with a wrong name has none */
		return 0;
	if (section == &vucd_section_device) {
		device = vucd_device_find(config->devices, config->nr_devices, name);
		return device != NULL ? device->lines.section : 0;
	}
	for (i = 0; i < config->nr_pollers; i++) {
		if (strcmp(config->pollers[i].name, name) == 0)
			return config->pollers[i].lines.section;
	}
	return 0;
}

static void
begin_section(struct parser *p)
{
	static const struct vucd_section *const kinds[] = {
		&vucd_section_vucd, &vucd_section_poller, &vucd_section_device};
	struct vucd_config *config = p->config;
	const char *name = NULL;
	unsigned int earlier;
	size_t i;

	for (i = 0; name == NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		p->section = kinds[i];
		name = section_name(p->title, p->section);
	}
	earlier = name != NULL ? find_line(config, p->section, name) : 0;
	if (name == NULL) {
		vucd_report(p->report, p->line,
			"[%s]: expected [vucd], [poller NAME] or [device NAME]", p->title);
	} else if (earlier != 0) {
		vucd_report(
			p->report, p->line, "[%s]: already defined in line %u", p->title, earlier);
	} else if (p->section == &vucd_section_vucd) {
		p->into = &config->settings;
	} else if (p->section == &vucd_section_poller) {
		p->into = &config->pollers[config->nr_pollers++];
		vucd_section_init(p->section, p->into, sizeof(*config->pollers));
		read_name(p, name);
	} else {
		p->into = &config->devices[config->nr_devices++];
		vucd_section_init(p->section, p->into, sizeof(*config->devices));
		read_name(p, name);
	}
	if (name == NULL || earlier != 0)
		p->section = NULL;
	else
		((struct vucd_lines *)p->into)->section = p->line;
}

/* What can be said of a section when all of it has been read. */
static void
end_section(const struct parser *p)
{
	const struct vucd_lines *lines = p->into;
	size_t i;

	for (i = 0; p->section != NULL && i < p->section->nr_keys; i++) {
		const struct vucd_key *key = &p->section->keys[i];
		char expected[128];

		vucd_key_expected(key, expected, sizeof(expected));
		if (key->fallback == NULL && lines->keys[i] == 0)
			vucd_report(p->report, lines->section, "[%s] %s is missing: expected %s",
				p->title, key->name, expected);
	}
}

static void
read_key(const struct parser *p, const char *name, const char *value)
{
	const struct vucd_key *key = vucd_section_key(p->section, name);
	unsigned int *line;
	char why[256];

	if (key == NULL) {
		vucd_report(p->report, p->line, "[%s] has no key %s", p->title, name);
		return;
	}
	line = &((struct vucd_lines *)p->into)->keys[key - p->section->keys];
	if (*line != 0) {
		vucd_report(p->report, p->line, "[%s] %s: already set in line %u", p->title, name,
			*line);
		return;
	}
	*line = p->line;
	if (vucd_key_set(key, p->into, value))
		return;
	vucd_key_explain(key, value, why, sizeof(why));
	vucd_report(
		p->report, p->line, "[%s] %s = %.*s: %s", p->title, name, MAX_SHOWN, value, why);
}

/* ---- lines ---- */

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
has_control(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (((unsigned char)text[i] < ' ' && !is_blank(text[i])) || text[i] == 0x7f)
			return true;
	}
	return false;
}

/* A line that begins with '['. */
static void
parse_section(struct parser *p, char *line)
{
	size_t len = strlen(line);
	bool closed = len > 1 && line[len - 1] == ']';
	char *title;

	end_section(p);
	p->section = NULL;
	if (closed)
		line[len - 1] = '\0';
	title = text_trim(line + 1);
	p->title = title;
	blanks_join(title);
	if (!closed || strpbrk(title, "]#") != NULL)
		vucd_report(p->report, p->line, "expected [SECTION]");
	else if (title[0] == '\0')
		vucd_report(p->report, p->line, "[]: the section has no name");
	else if (strlen(title) >= SECTION_SIZE)
		vucd_report(p->report, p->line, "[%.*s...]: a section's name has at most %d bytes",
			MAX_CUT, title, SECTION_SIZE - 1);
	else if (p->config->nr_pollers + p->config->nr_devices >= MAX_SECTIONS)
		vucd_report(p->report, p->line, "more than %d sections", MAX_SECTIONS);
	else
		begin_section(p);
}

static void
parse_key(const struct parser *p, char *line)
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
	if (key[0] == '\0')
		vucd_report(p->report, p->line, "expected a key before '='");
	else if (strchr(key, '#') != NULL)
		vucd_report(p->report, p->line, "%.*s: a key cannot contain '#'", MAX_CUT, key);
	else if (strlen(key) >= KEY_SIZE)
		vucd_report(p->report, p->line, "%.*s...: a key has at most %d bytes", MAX_CUT, key,
			KEY_SIZE - 1);
	else if (value[0] == '\0')
		vucd_report(p->report, p->line, "%s: expected a value after '='", key);
	else if (strlen(value) >= VUCD_VALUE_SIZE)
		vucd_report(p->report, p->line, "%s: a value has at most %d bytes, this one %zu",
			key, VUCD_VALUE_SIZE - 1, strlen(value));
	else if (p->title == NULL)
		vucd_report(p->report, p->line, "%s: expected a [SECTION] before it", key);
	else if (p->section != NULL)
		read_key(p, key, value);
}

/* A comment begins where a line does, or behind a blank: paths may have a '#' in them. */
static void
comment_cut(char *line)
{
	char *c;

	for (c = strchr(line, '#'); c != NULL; c = strchr(c + 1, '#')) {
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
	p->line++;
	if (has_control(line, len)) {
		vucd_report(p->report, p->line, "control character: this is not a text file");
		return;
	}
	comment_cut(line);
	line = text_trim(line);
	if (line[0] == '[')
		parse_section(p, line);
	else if (line[0] != '\0')
		parse_key(p, line);
}

/* ---- what belongs together ---- */

bool
vucd_config_has_poller(const struct vucd_config *config, const char *name)
{
	return name[0] == '\0' || find_line(config, &vucd_section_poller, name) != 0;
}

const char *
vucd_device_key_of(const struct vucd_device_config *device, const char *path)
{
	if (path[0] == '\0')
		return NULL;
	if (strcmp(device->socket, path) == 0)
		return "socket";
	return strcmp(device->export_path, path) == 0 ? "export" : NULL;
}

/* Check that the path of a device's key is in no other key of this device or an earlier one. */
static void
check_path(const struct vucd_config *config, const struct vucd_device_config *device,
	const char *key, const char *path, struct vucd_report *report)
{
	const struct vucd_section *section = &vucd_section_device;
	const struct vucd_device_config *other;

	for (other = config->devices; other <= device; other++) {
		const char *its = vucd_device_key_of(other, path);

		if (its == NULL || (other == device && strcmp(its, key) == 0))
			continue;
		vucd_report(report, vucd_key_line(section, device, key),
			"[device %s] %s = %s: already used by [device %s] in line %u, as %s",
			device->name, key, path, other->name, vucd_key_line(section, other, its),
			its);
		break;
	}
}

static void
check_device(const struct vucd_config *config, const struct vucd_device_config *device,
	struct vucd_report *report)
{
	const struct vucd_section *section = &vucd_section_device;
	unsigned int line = vucd_key_line(section, device, "retry-min-ms");

	if (line == device->lines.section)
		line = vucd_key_line(section, device, "retry-max-ms");
	if (device->retry_min_ms > device->retry_max_ms)
		vucd_report(report, line, "[device %s] " VUCD_TIMES_DISAGREE, device->name,
			device->retry_min_ms, device->retry_max_ms);
	if (!vucd_config_has_poller(config, device->poller))
		vucd_report(report, vucd_key_line(section, device, "poller"),
			"[device %s] poller = %s: there is no such poller", device->name,
			device->poller);
	/* Servers have one client at a time. */
	check_path(config, device, "socket", device->socket, report);
	check_path(config, device, "export", device->export_path, report);
}

/* ---- the file ---- */

/* Room for as many sections as there can be. The text may have a NUL inside. */
static int
config_allocate(struct vucd_config *config, const char *text, size_t len)
{
	size_t i, nr = 1;

	for (i = 0; i < len && nr <= MAX_SECTIONS; i++)
		nr += text[i] == '[';
	config->pollers = calloc(nr, sizeof(*config->pollers));
	config->devices = calloc(nr, sizeof(*config->devices));
	return config->pollers != NULL && config->devices != NULL ? 0 : -ENOMEM;
}

/* copy: of the text, with a NUL behind it. */
static void
parse_text(struct vucd_config *config, char *copy, size_t len, struct vucd_report *report)
{
	struct parser p = {.config = config, .report = report};
	char *line, *end;
	unsigned int i;

	for (line = copy; line < copy + len; line = end + 1) {
		end = memchr(line, '\n', (size_t)(copy + len - line));
		if (end == NULL)
			end = copy + len;
		*end = '\0';
		parse_line(&p, line, (size_t)(end - line));
	}
	end_section(&p);
	/* With values that could not be read, the machine would be checked for something else. */
	if (report->check != NULL && report->count == 0)
		report->check(config, report);
	for (i = 0; i < config->nr_devices; i++)
		check_device(config, &config->devices[i], report);
	if (config->nr_pollers == 0)
		vucd_report(report, 0, "expected at least one [poller NAME]");
}

int
vucd_config_parse(
	struct vucd_config *config, const char *text, size_t len, struct vucd_report *report)
{
	char *copy = malloc(len + 1);
	int rc = copy != NULL ? 0 : -ENOMEM;

	*config = (struct vucd_config){0};
	vucd_section_init(&vucd_section_vucd, &config->settings, sizeof(config->settings));
	if (rc == 0) {
		memcpy(copy, text, len);
		copy[len] = '\0';
		rc = config_allocate(config, copy, len);
	}
	if (rc != 0) {
		vucd_report(report, 0, "out of memory");
	} else if (len > MAX_BYTES) {
		vucd_report(report, 0, "the file is larger than %d bytes", MAX_BYTES);
		rc = -EFBIG;
	} else {
		parse_text(config, copy, len, report);
		rc = report->count == 0 ? 0 : -EINVAL;
	}
	free(copy);
	vucd_report_flush(report);
	return rc;
}

/* Returns the text, and its length; NULL with errno set. */
static char *
read_file(FILE *file, size_t *len)
{
	size_t size = MAX_BYTES + 1; /* one too many is seen */
	char *text = malloc(size);

	if (text == NULL)
		return NULL;
	errno = 0;
	*len = fread(text, 1, size, file);
	if (!ferror(file))
		return text;
	free(text);
	return NULL;
}

int
vucd_config_load(struct vucd_config *config, const char *path, struct vucd_report *report)
{
	FILE *file = fopen(path, "re");
	size_t len = 0;
	char *text = file != NULL ? read_file(file, &len) : NULL;
	int rc = text != NULL ? 0 : -errno;

	*config = (struct vucd_config){0};
	if (file != NULL)
		fclose(file);
	if (text == NULL) {
		vucd_report(report, 0, "cannot be read: %s", strerror(-rc));
		vucd_report_flush(report);
		return rc;
	}
	rc = vucd_config_parse(config, text, len, report);
	free(text);
	return rc;
}

void
vucd_config_free(struct vucd_config *config)
{
	free(config->pollers);
	free(config->devices);
	*config = (struct vucd_config){0};
}
