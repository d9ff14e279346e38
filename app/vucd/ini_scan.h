/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_INI_SCAN_H
#define VUCD_INI_SCAN_H

#include <stddef.h>
#include <stdio.h>

#include "report.h"

/* Where sections and entries are: the numbers of their lines, in the order of the file. */
struct vucd_ini_lines {
	unsigned int *sections;
	unsigned int nr_sections;
	unsigned int *entries;
	unsigned int nr_entries;
};

#define VUCD_INI_HASH                                                              \
	'\x01' /* stands for a '#' in a value; refused in a file, as it is no text \
		*/

/*
 * Look at each line of a text. What is wrong is reported, and what is right goes to out in the
 * plainest form: "[section]" and "key=value", without blanks and comments.
 *
 * Returns 0 or -ENOMEM; lines is to be freed in any case.
 */
int vucd_ini_scan(const char *text, size_t len, FILE *out, struct vucd_ini_lines *lines,
	struct vucd_report *report);
void vucd_ini_lines_free(struct vucd_ini_lines *lines);

#endif /* VUCD_INI_SCAN_H */
