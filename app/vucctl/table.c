/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"

#define FIRST_SIZE 64
#define GAP        2 /* blanks between columns */

void
vucctl_table_init(
	struct vucctl_table *table, const struct vucctl_column *columns, size_t nr_columns)
{
	size_t i;

	assert(nr_columns <= VUCCTL_TABLE_MAX_COLUMNS);
	*table = (struct vucctl_table){.columns = columns, .nr_columns = nr_columns};
	for (i = 0; i < nr_columns; i++)
		table->widths[i] = strlen(columns[i].title);
}

static bool
table_grow(struct vucctl_table *table)
{
	size_t size = table->size == 0 ? FIRST_SIZE : table->size * 2;
	char **cells;

	if (table->nr_cells < table->size)
		return true;
	cells = realloc(table->cells, size * sizeof(*cells));
	if (cells == NULL)
		return false;
	table->cells = cells;
	table->size = size;
	return true;
}

static void
add_text(struct vucctl_table *table, const char *text)
{
	size_t *width = &table->widths[table->nr_cells % table->nr_columns];
	char clean[VUCCTL_TABLE_CELL_SIZE];
	char *cell;

	vucctl_foreign_copy(clean, sizeof(clean), text[0] != '\0' ? text : "-");
	cell = table_grow(table) ? strdup(clean) : NULL;
	if (cell == NULL) {
		table->failed = true;
		return;
	}
	table->cells[table->nr_cells++] = cell;
	if (strlen(cell) > *width)
		*width = strlen(cell);
}

void
vucctl_table_add(struct vucctl_table *table, const char *fmt, ...)
{
	char text[VUCCTL_TABLE_CELL_SIZE];
	va_list args;

	if (table->failed)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	add_text(table, text);
}

void
vucctl_table_clear(struct vucctl_table *table)
{
	while (table->nr_cells > 0)
		free(table->cells[--table->nr_cells]);
}

static void
print_cell(FILE *out, const struct vucctl_table *table, size_t column, const char *text)
{
	bool last = column + 1 == table->nr_columns;
	int width = (int)table->widths[column];

	if (table->columns[column].right)
		fprintf(out, "%*s", width, text);
	else
		fprintf(out, "%-*s", last ? 0 : width, text);
	fprintf(out, "%*s", last ? 0 : GAP, "");
	if (last)
		putc('\n', out);
}

int
vucctl_table_print_titles(FILE *out, const struct vucctl_table *table)
{
	size_t i;

	if (table->failed)
		return -ENOMEM;
	for (i = 0; i < table->nr_columns; i++)
		print_cell(out, table, i, table->columns[i].title);
	return 0;
}

int
vucctl_table_print_rows(FILE *out, const struct vucctl_table *table)
{
	size_t i;

	if (table->failed)
		return -ENOMEM;
	for (i = 0; i < table->nr_cells; i++)
		print_cell(out, table, i % table->nr_columns, table->cells[i]);
	return 0;
}

int
vucctl_table_print(FILE *out, const struct vucctl_table *table)
{
	int ret = vucctl_table_print_titles(out, table);

	return ret == 0 ? vucctl_table_print_rows(out, table) : ret;
}

void
vucctl_table_free(struct vucctl_table *table)
{
	vucctl_table_clear(table);
	free(table->cells);
	table->cells = NULL;
}
