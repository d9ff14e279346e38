/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "tap.h"

static const struct vucctl_column columns[] = {{"NAME", false}, {"N", true}, {"WHAT", false}};

static struct vucctl_table table;

static void
begin(void)
{
	vucctl_table_init(&table, columns, 3);
}

static void
end(void)
{
	vucctl_table_free(&table);
}

static void
add_row(const char *name, int n, const char *what)
{
	vucctl_table_add(&table, "%s", name);
	vucctl_table_add(&table, "%d", n);
	vucctl_table_add(&table, "%s", what);
}

static void
expect(int (*print)(FILE *out, const struct vucctl_table *table), const char *expected)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	CU_ASSERT_EQUAL(print(out, &table), 0);
	fclose(out);
	CU_ASSERT_STRING_EQUAL(text, expected);
	free(text);
}

static void
test_empty(void)
{
	expect(vucctl_table_print, "NAME  N  WHAT\n");
	expect(vucctl_table_print_rows, "");
}

static void
test_widths(void)
{
	add_row("a", 1234, "x");
	add_row("longer", 5, "more text");
	expect(vucctl_table_print,
		"NAME       N  WHAT\n"
		"a       1234  x\n"
		"longer     5  more text\n");
}

static void
test_many_rows(void)
{
	int i;

	for (i = 0; i < 1000; i++)
		add_row("a", i, "");
	CU_ASSERT_FALSE(table.failed);
	CU_ASSERT_EQUAL(table.nr_cells, 3000);
}

/* Nothing gets to a terminal that is not printable, and no cell makes a line of megabytes. */
static void
test_foreign(void)
{
	char *text = malloc(100000);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memset(text, 'x', 99999);
	text[99999] = '\0';
	add_row("\033[2J\n", 0, "");
	expect(vucctl_table_print,
		"NAME         N  WHAT\n"
		"\\x1b[2J\\x0a  0  -\n");
	add_row("b", 0, text);
	CU_ASSERT_EQUAL(strlen(table.cells[5]), VUCCTL_TABLE_CELL_SIZE - 1);
	memset(text, '\n', 99999);
	add_row(text, 0, "");
	CU_ASSERT_EQUAL(strlen(table.cells[6]), VUCCTL_TABLE_CELL_SIZE - 1);
	CU_ASSERT_EQUAL(table.widths[0], VUCCTL_TABLE_CELL_SIZE - 1);
	free(text);
}

/* Titles that are printed once stay above their columns. */
static void
test_clear(void)
{
	add_row("longer", 100, "x");
	vucctl_table_clear(&table);
	add_row("a", 1, "y");
	expect(vucctl_table_print_titles, "NAME      N  WHAT\n");
	expect(vucctl_table_print_rows, "a         1  y\n");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"empty", test_empty},
		{"widths", test_widths},
		{"many rows", test_many_rows},
		{"foreign text", test_foreign},
		{"clear", test_clear},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_table", NULL, NULL, begin, end, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
