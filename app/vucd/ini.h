/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_INI_H
#define VUCD_INI_H

/*
 * An INI file with line numbers.
 *
 *	# a comment, from a '#' at the beginning of a line or behind a blank to its end
 *	[section]
 *	key = value
 */

#include <stddef.h>

#include "report.h"

#define VUCD_INI_MAX_BYTES    1048576 /* of a file */
#define VUCD_INI_MAX_SECTIONS 4096

/* With the NUL at their ends. */
#define VUCD_INI_SECTION_SIZE 128
#define VUCD_INI_KEY_SIZE     64
#define VUCD_INI_VALUE_SIZE   256

struct vucd_ini_entry {
	unsigned int line;
	const char *key;
	const char *value;
};

struct vucd_ini_section {
	unsigned int line;
	const char *name; /* with single blanks between its words */
	unsigned int nr_entries;
	struct vucd_ini_entry *entries;
};

struct vucd_ini {
	unsigned int nr_sections;
	struct vucd_ini_section *sections; /* in the order of the file, one name perhaps twice */
	unsigned int nr_entries;
	struct vucd_ini_entry *entries; /* those of all sections */
	char *text;                     /* what the pointers point to */
};

/*
 * Read a file's text. What is wrong with it is reported; the other lines are read nevertheless.
 * Returns 0 or a negative errno, reported as well; vucd_ini_free() is due in any case.
 */
int vucd_ini_parse(struct vucd_ini *ini, const char *text, size_t len, struct vucd_report *report);
void vucd_ini_free(struct vucd_ini *ini);

#endif /* VUCD_INI_H */
