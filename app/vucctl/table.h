/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_TABLE_H
#define VUCCTL_TABLE_H

/*
 * Text in columns as wide as what is in them. A cell that runs out of memory is remembered, and
 * printing fails.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct vucctl_column {
	const char *title;
	bool right; /* where its cells end in one line */
};

#define VUCCTL_TABLE_MAX_COLUMNS 16

struct vucctl_table {
	const struct vucctl_column *columns;
	size_t nr_columns;
	size_t widths[VUCCTL_TABLE_MAX_COLUMNS];
	char **cells;
	size_t nr_cells;
	size_t size;
	bool failed;
};

void vucctl_table_init(
	struct vucctl_table *table, const struct vucctl_column *columns, size_t nr_columns);

#define VUCCTL_TABLE_CELL_SIZE 257 /* of a text, with its NUL; what is longer is cut off */

/* Add a cell, row by row. What is not printable ASCII becomes \xNN; no text becomes "-". */
void vucctl_table_add(struct vucctl_table *table, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Remove all cells. Columns stay as wide as they were. */
void vucctl_table_clear(struct vucctl_table *table);

/* Print the titles, the rows, or both. Return 0 or -ENOMEM. */
int vucctl_table_print_titles(FILE *out, const struct vucctl_table *table);
int vucctl_table_print_rows(FILE *out, const struct vucctl_table *table);
int vucctl_table_print(FILE *out, const struct vucctl_table *table);

void vucctl_table_free(struct vucctl_table *table);

#endif /* VUCCTL_TABLE_H */
