/* SPDX-License-Identifier: BSD-3-Clause */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_keys.h"
#include "ini.h"

#define MAX_SHOWN 64 /* bytes of a value in a report */

/* A section of the file, and what becomes of it. */
struct reading {
	const struct vucd_ini_section *from;
	const struct vucd_section *section;
	void *into;
	struct vucd_report *report;
};

/* ---- the keys of a section ---- */

static const struct vucd_ini_entry *
find_entry(const struct vucd_ini_section *section, const char *key, unsigned int nr_entries)
{
	unsigned int i;

	for (i = 0; i < nr_entries; i++) {
		if (strcmp(section->entries[i].key, key) == 0)
			return &section->entries[i];
	}
	return NULL;
}

/* Where a key of the section is; the section itself, if it has none. */
static unsigned int
key_line(const struct reading *r, const char *key)
{
	const struct vucd_ini_entry *entry = find_entry(r->from, key, r->from->nr_entries);

	return entry != NULL ? entry->line : r->from->line;
}

/* What goes before the words of what is expected. */
static const char *
why_not(const struct vucd_key *key, const char *value, struct vuc_error *why)
{
	char name[VUCD_WORD_SIZE];

	if (vucd_value_unknown_name(key, value, name))
		snprintf(why->text, sizeof(why->text), "there is no %s; expected ", name);
	else
		snprintf(why->text, sizeof(why->text), "expected ");
	return why->text;
}

static void
read_entry(const struct reading *r, unsigned int i)
{
	struct vuc_error why;
	const struct vucd_ini_entry *entry = &r->from->entries[i];
	const struct vucd_ini_entry *earlier = find_entry(r->from, entry->key, i);
	const struct vucd_key *key = vucd_section_key(r->section, entry->key);

	if (key == NULL)
		vucd_report(
			r->report, entry->line, "[%s] has no key %s", r->from->name, entry->key);
	else if (earlier != NULL)
		vucd_report(r->report, entry->line, "[%s] %s: is in line %u already", r->from->name,
			entry->key, earlier->line);
	else if (!vucd_key_set(key, r->into, entry->value))
		vucd_report(r->report, entry->line, "[%s] %s = %.*s: %s%s", r->from->name,
			entry->key, MAX_SHOWN, entry->value, why_not(key, entry->value, &why),
			key->expected);
}

static void
read_entries(const struct reading *r)
{
	unsigned int i;
	size_t k;

	vucd_section_init(r->section, r->into);
	for (i = 0; i < r->from->nr_entries; i++)
		read_entry(r, i);
	for (k = 0; k < r->section->nr_keys; k++) {
		const struct vucd_key *key = &r->section->keys[k];

		if (key->fallback == NULL &&
			find_entry(r->from, key->name, r->from->nr_entries) == NULL)
			vucd_report(r->report, r->from->line, "[%s] %s is missing: expected %s",
				r->from->name, key->name, key->expected);
	}
}

/* ---- sections ---- */

/* What stands behind "device " and the like; NULL for a section of another kind. */
static const char *
name_in(const char *title, const struct vucd_section *section)
{
	size_t len = strlen(section->name);

	if (strncmp(title, section->name, len) != 0)
		return NULL;
	if (section->name_expected == NULL || title[len] == '\0')
		return title[len] == '\0' ? "" : NULL;
	return title[len] == ' ' ? title + len + 1 : NULL;
}

/* Take the name of a section into a field; a reading with a wrong one goes on without. */
static void
read_name(const struct reading *r, char *field, size_t size)
{
	const char *name = name_in(r->from->name, r->section);
	bool reserved = r->section == &vucd_section_poller && strcmp(name, "auto") == 0;

	if (reserved || !vucd_value_is_name(name, size))
		vucd_report(r->report, r->from->line, "[%s]: expected [%s NAME], %s", r->from->name,
			r->section->name, r->section->name_expected);
	else
		memcpy(field, name, strlen(name) + 1);
}

static void
read_poller(struct vucd_config *config, struct reading *r)
{
	struct vucd_poller_config *poller = &config->pollers[config->nr_pollers++];

	r->section = &vucd_section_poller;
	r->into = poller;
	read_name(r, poller->name, sizeof(poller->name));
	read_entries(r);
	poller->cpu_line = key_line(r, "cpu");
}

static bool
times_agree(const struct vucd_device_config *device)
{
	return device->retry_min_ms <= device->retry_max_ms;
}

static void
read_device(struct vucd_config *config, struct reading *r)
{
	struct vucd_device_config *device = &config->devices[config->nr_devices++];
	bool has_min = find_entry(r->from, "retry-min-ms", r->from->nr_entries) != NULL;

	r->section = &vucd_section_device;
	r->into = device;
	device->line = r->from->line;
	read_name(r, device->name, sizeof(device->name));
	read_entries(r);
	device->socket_line = key_line(r, "socket");
	if (!times_agree(device))
		vucd_report(r->report, key_line(r, has_min ? "retry-min-ms" : "retry-max-ms"),
			"[%s] retry-min-ms = %u is more than retry-max-ms = %u", r->from->name,
			device->retry_min_ms, device->retry_max_ms);
}

static const struct vucd_ini_section *
find_earlier(const struct vucd_ini *ini, unsigned int i)
{
	unsigned int k;

	for (k = 0; k < i; k++) {
		if (strcmp(ini->sections[k].name, ini->sections[i].name) == 0)
			return &ini->sections[k];
	}
	return NULL;
}

static void
read_section(struct vucd_config *config, const struct vucd_ini *ini, unsigned int i,
	struct vucd_report *report)
{
	const struct vucd_ini_section *earlier = find_earlier(ini, i);
	struct reading r = {.from = &ini->sections[i], .report = report};

	if (earlier != NULL) {
		vucd_report(report, r.from->line, "[%s]: is in line %u already", r.from->name,
			earlier->line);
	} else if (name_in(r.from->name, &vucd_section_vucd) != NULL) {
		r.section = &vucd_section_vucd;
		r.into = &config->settings;
		read_entries(&r);
		config->settings.directory_line = key_line(&r, "directory");
		config->settings.trace_directory_line = key_line(&r, "trace-directory");
	} else if (name_in(r.from->name, &vucd_section_poller) != NULL) {
		read_poller(config, &r);
	} else if (name_in(r.from->name, &vucd_section_device) != NULL) {
		read_device(config, &r);
	} else {
		vucd_report(report, r.from->line,
			"[%s]: expected [vucd], [poller NAME] or [device NAME]", r.from->name);
	}
}

/* ---- what belongs together ---- */

static bool
has_poller(const struct vucd_config *config, const char *name)
{
	unsigned int i;

	for (i = 0; i < config->nr_pollers; i++) {
		if (strcmp(config->pollers[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Devices name pollers that there are. In the file, as it has the lines. */
static void
check_pollers(
	const struct vucd_config *config, const struct vucd_ini *ini, struct vucd_report *report)
{
	unsigned int i;

	for (i = 0; i < ini->nr_sections; i++) {
		const struct vucd_ini_section *section = &ini->sections[i];
		const struct vucd_ini_entry *entry;

		if (name_in(section->name, &vucd_section_device) == NULL)
			continue;
		entry = find_entry(section, "poller", section->nr_entries);
		if (entry != NULL && strcmp(entry->value, "auto") != 0 &&
			!has_poller(config, entry->value))
			vucd_report(report, entry->line,
				"[%s] poller = %.*s: there is no such poller", section->name,
				MAX_SHOWN, entry->value);
	}
	if (config->nr_pollers == 0)
		vucd_report(report, 0, "expected at least one [poller NAME]");
}

/* Servers have one client at a time. */
static void
check_sockets(const struct vucd_config *config, struct vucd_report *report)
{
	const struct vucd_device_config *a, *b, *end = config->devices + config->nr_devices;

	for (b = config->devices; b < end; b++) {
		for (a = config->devices; a < b; a++) {
			if (b->socket[0] == '\0' || strcmp(a->socket, b->socket) != 0)
				continue;
			vucd_report(report, b->socket_line,
				"[device %s] socket = %s: [device %s] in line %u has it already",
				b->name, b->socket, a->name, a->socket_line);
			break;
		}
	}
}

static int
read_sections(struct vucd_config *config, const struct vucd_ini *ini, struct vucd_report *report)
{
	unsigned int i;

	config->pollers = calloc(ini->nr_sections + 1, sizeof(*config->pollers));
	config->devices = calloc(ini->nr_sections + 1, sizeof(*config->devices));
	if (config->pollers == NULL || config->devices == NULL) {
		vucd_report(report, 0, "out of memory");
		return -ENOMEM;
	}
	for (i = 0; i < ini->nr_sections; i++)
		read_section(config, ini, i, report);
	check_pollers(config, ini, report);
	check_sockets(config, report);
	return report->count == 0 ? 0 : -EINVAL;
}

int
vucd_config_parse(
	struct vucd_config *config, const char *text, size_t len, struct vucd_report *report)
{
	struct vucd_ini ini;
	int rc;

	*config = (struct vucd_config){0};
	vucd_section_init(&vucd_section_vucd, &config->settings);
	rc = vucd_ini_parse(&ini, text, len, report);
	if (rc == 0)
		rc = read_sections(config, &ini, report);
	vucd_ini_free(&ini);
	return rc;
}

/* Returns the text, and its length; NULL with errno set. */
static char *
read_file(FILE *file, size_t *len)
{
	size_t size = VUCD_INI_MAX_BYTES + 1; /* one too many is seen */
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

/* ---- a device by itself ---- */

void
vucd_device_config_init(struct vucd_device_config *device)
{
	*device = (struct vucd_device_config){0};
	vucd_section_init(&vucd_section_device, device);
}

int
vucd_device_config_set_name(
	struct vucd_device_config *device, const char *name, struct vucd_report *report)
{
	if (!vucd_value_is_name(name, sizeof(device->name))) {
		vucd_report(report, 0, "name = %.*s: expected %s", MAX_SHOWN, name,
			"at most 63 letters, digits and \"._-\"");
		return -EINVAL;
	}
	memcpy(device->name, name, strlen(name) + 1);
	return 0;
}

int
vucd_device_config_set(struct vucd_device_config *device, const char *name, const char *value,
	struct vucd_report *report)
{
	const struct vucd_key *key = vucd_section_key(&vucd_section_device, name);
	struct vuc_error why;

	if (key == NULL)
		vucd_report(report, 0, "a device has no %s", name);
	else if (!vucd_key_set(key, device, value))
		vucd_report(report, 0, "%s = %.*s: %s%s", name, MAX_SHOWN, value,
			why_not(key, value, &why), key->expected);
	else
		return 0;
	return -EINVAL;
}

int
vucd_device_config_check(const struct vucd_device_config *device, struct vucd_report *report)
{
	if (device->name[0] == '\0')
		vucd_report(report, 0, "name is missing");
	else if (device->socket[0] == '\0')
		vucd_report(report, 0, "socket is missing");
	else if (!times_agree(device))
		vucd_report(report, 0, "retry-min-ms = %u is more than retry-max-ms = %u",
			device->retry_min_ms, device->retry_max_ms);
	else
		return 0;
	return -EINVAL;
}

/* ---- help ---- */

static void
print_section(FILE *out, const struct vucd_section *section)
{
	size_t i;

	fprintf(out, "[%s%s] %s\n", section->name, section->name_expected != NULL ? " NAME" : "",
		section->help);
	for (i = 0; i < section->nr_keys; i++) {
		const struct vucd_key *key = &section->keys[i];

		fprintf(out, "  %s\n      %s\n      %s; ", key->name, key->help, key->expected);
		if (key->fallback != NULL)
			fprintf(out, "default %s\n", key->fallback);
		else
			fprintf(out, "has to be given\n");
	}
}

void
vucd_config_help(FILE *out)
{
	print_section(out, &vucd_section_vucd);
	putc('\n', out);
	print_section(out, &vucd_section_poller);
	putc('\n', out);
	print_section(out, &vucd_section_device);
}
