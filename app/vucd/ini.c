/* SPDX-License-Identifier: BSD-3-Clause */
#include "ini.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ini_scan.h"
#include "memfd.h"

/* Scan the text into a memory file, and let rte_cfgfile load that. */
static int
ini_load(struct vucd_ini *ini, int fd, FILE *out, const char *text, size_t len,
	struct vucd_ini_lines *lines, struct vucd_report *report)
{
	/* The scan has left no comments; with the default, "\\;" would lose a character. */
	static const struct rte_cfgfile_parameters parameters = {.comment_character = '#'};
	char path[32];
	int rc = vucd_ini_scan(text, len, out, lines, report);

	if (rc != 0)
		return rc;
	if (fflush(out) != 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ini->file = rte_cfgfile_load_with_params(path, 0, &parameters);
	return ini->file != NULL ? 0 : -EIO;
}

static int
scan_and_load(struct vucd_ini *ini, const char *text, size_t len, struct vucd_ini_lines *lines,
	struct vucd_report *report)
{
	int fd = vuc_memfd_create("configuration", 0, 0);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	int rc;

	if (out == NULL) {
		rc = fd < 0 ? fd : -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	rc = ini_load(ini, fd, out, text, len, lines, report);
	fclose(out);
	return rc;
}

static int
ini_allocate(struct vucd_ini *ini, const struct vucd_ini_lines *lines)
{
	size_t nr_sections = lines->nr_sections;
	size_t nr_entries = lines->nr_entries;

	/* One more, as nothing at all may be NULL. */
	ini->sections = calloc(nr_sections + 1, sizeof(*ini->sections));
	ini->names = calloc(nr_sections + 1, sizeof(*ini->names));
	ini->entries = calloc(nr_entries + 1, sizeof(*ini->entries));
	ini->texts = calloc(nr_entries + 1, sizeof(*ini->texts));
	if (ini->sections == NULL || ini->names == NULL || ini->entries == NULL ||
		ini->texts == NULL)
		return -ENOMEM;
	return 0;
}

/* The '#' of values, which the scan has hidden from rte_cfgfile. */
static void
restore_hashes(char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == VUCD_INI_HASH)
			*value = '#';
	}
}

/* Take section i out of rte_cfgfile; its entries begin at number first. Returns how many there
 * are, or a negative errno. */
static int
take_section(struct vucd_ini *ini, unsigned int i, unsigned int first,
	const struct vucd_ini_lines *lines)
{
	struct vucd_ini_section *section = &ini->sections[i];
	unsigned int k;
	int n = rte_cfgfile_section_entries_by_index(ini->file, (int)i, ini->names[i],
		&ini->texts[first], (int)(lines->nr_entries - first));

	if (n < 0)
		return -EIO;
	*section = (struct vucd_ini_section){
		.line = lines->sections[i],
		.name = ini->names[i],
		.nr_entries = (unsigned int)n,
		.entries = &ini->entries[first],
	};
	for (k = first; k < first + (unsigned int)n; k++) {
		restore_hashes(ini->texts[k].value);
		ini->entries[k] = (struct vucd_ini_entry){
			.line = lines->entries[k],
			.key = ini->texts[k].name,
			.value = ini->texts[k].value,
		};
	}
	return n;
}

/* What rte_cfgfile has read must be what the scan has seen, as the numbers of the lines are the
 * scan's. */
static int
take_all(struct vucd_ini *ini, const struct vucd_ini_lines *lines)
{
	unsigned int first = 0, i;
	int rc = ini_allocate(ini, lines);

	if (rc != 0)
		return rc;
	if (rte_cfgfile_num_sections(ini->file, "", 0) != (int)lines->nr_sections)
		return -EIO;
	for (i = 0; i < lines->nr_sections; i++) {
		rc = take_section(ini, i, first, lines);
		if (rc < 0)
			return rc;
		first += (unsigned int)rc;
	}
	ini->nr_sections = lines->nr_sections;
	return first == lines->nr_entries ? 0 : -EIO;
}

int
vucd_ini_parse(struct vucd_ini *ini, const char *text, size_t len, struct vucd_report *report)
{
	struct vucd_ini_lines lines = {0};
	int rc;

	*ini = (struct vucd_ini){0};
	if (len > VUCD_INI_MAX_BYTES) {
		vucd_report(report, 0, "the file has more than %d bytes", VUCD_INI_MAX_BYTES);
		return -EFBIG;
	}
	rc = scan_and_load(ini, text, len, &lines, report);
	if (rc == 0)
		rc = take_all(ini, &lines);
	vucd_ini_lines_free(&lines);
	if (rc != 0)
		vucd_report(report, 0, "the file cannot be taken in: %s", strerror(-rc));
	return rc;
}

void
vucd_ini_free(struct vucd_ini *ini)
{
	if (ini->file != NULL)
		rte_cfgfile_close(ini->file);
	free(ini->sections);
	free(ini->names);
	free(ini->entries);
	free(ini->texts);
	*ini = (struct vucd_ini){0};
}
