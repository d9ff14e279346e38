/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/pci_regs.h>

#include "msix.h"
#include "tap.h"

#define PM         PCI_CAP_ID_PM
#define MSIX       PCI_CAP_ID_MSIX
#define LIST       PCI_COMMAND, PCI_STATUS_CAP_LIST << 16
#define FIRST      PCI_CAPABILITY_LIST
#define NEXT(at)   ((at) << 8)
#define FLAGS(n)   ((uint32_t)(n) << 16)
#define LOOP       "config space: the list of capabilities has a loop at 0x40"
#define LONG(what) "config space: a capability of " what

/* Words of configuration space, where they are, and what is found in len bytes of it. */
struct msix_row {
	const char *name;
	struct {
		unsigned int at;
		uint32_t word;
	} words[7];
	struct msix found;
	const char *why; /* the list is refused; NULL: it is taken */
	size_t len;      /* 0: all of it */
};

static const struct msix_row rows[] = {
	/* The lower two bits of offsets are reserved; 3 of them are not of the size. */
	{"found",
		{{LIST}, {FIRST, 0x42}, {0x40, PM | NEXT(0x50)},
			{0x50, MSIX | NEXT(0x51) | FLAGS(0xf840)}, {0x54, 0x12345000 | 4},
			{0x58, 0xfffffff8 | 2}},
		{{4, 0x12345000, 65 * 16}, {2, 0xfffffff8, 16}}},
	{"smallest, and no place for what is pending",
		{{LIST}, {FIRST, 0x40}, {0x40, MSIX}, {0x48, 6}}, {{0, 0, 16}, {0, 0, 0}}},
	{"largest", {{LIST}, {FIRST, 0x40}, {0x40, MSIX | FLAGS(0x07ff)}, {0x48, 5}},
		{{0, 0, 32768}, {5, 0, 256}}},
	{"CardBus",
		{{LIST}, {PCI_CACHE_LINE_SIZE, (0x80 | PCI_HEADER_TYPE_CARDBUS) << 16},
			{PCI_CB_CAPABILITY_LIST, 0x80}, {0x80, MSIX}},
		{{0, 0, 16}, {0, 0, 8}}},
	{"nothing but zeros", {{0, 0}}},
	{"no list", {{FIRST, 0x40}, {0x40, MSIX}}},
	{"an empty list", {{LIST}}},
	{"another capability", {{LIST}, {FIRST, 0x40}, {0x40, PCI_CAP_ID_EXP}}},
	{"configuration space without room for capabilities", {{LIST}, {FIRST, 0x40}, {0x40, MSIX}},
		.len = 63},
	{"a loop of one", {{LIST}, {FIRST, 0x40}, {0x40, PM | NEXT(0x40)}}, .why = LOOP},
	{"a loop of two", {{LIST}, {FIRST, 0x40}, {0x40, PM | NEXT(0x60)}, {0x60, PM | NEXT(0x40)}},
		.why = LOOP},
	{"too early", {{LIST}, {FIRST, 0x3c}},
		.why = LONG("4 bytes at 0x3c, expected in 0x40 to 0x100")},
	{"too long", {{LIST}, {FIRST, 0xf8}, {0xf8, MSIX}},
		.why = LONG("12 bytes at 0xf8, expected in 0x40 to 0x100")},
	{"cut", {{LIST}, {FIRST, 0x40}, {0x40, PM | NEXT(0x80)}},
		.why = LONG("4 bytes at 0x80, expected in 0x40 to 0x82"), .len = 0x82},
	{"behind the end", {{LIST}, {FIRST, 0x40}, {0x40, PM | NEXT(0x80)}},
		.why = LONG("4 bytes at 0x40, expected in 0x40 to 0x40"), .len = 64},
};

static bool
place_is(const struct msix_place *got, const struct msix_place *expected)
{
	return got->size == expected->size &&
		(got->size == 0 || (got->bar == expected->bar && got->offset == expected->offset));
}

/* Out of memory that ends where config space does. */
static bool
finds(const uint8_t *config, const struct msix_row *row)
{
	size_t len = row->len != 0 ? row->len : MSIX_CONFIG_SIZE;
	uint8_t *copy = malloc(len);
	struct vuc_error err = {0};
	struct msix msix;
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	memcpy(copy, config, len);
	rc = msix_find(copy, len, &msix, &err);
	free(copy);
	if (row->why != NULL ? rc == -EPROTO && strcmp(err.text, row->why) == 0
			     : rc == 0 && place_is(&msix.table, &row->found.table) &&
				place_is(&msix.pending, &row->found.pending))
		return true;
	printf("# %s: returned %d and \"%s\"\n", row->name, rc, err.text);
	return false;
}

static void
test_find(void)
{
	struct msix none;

	for (size_t i = 0; i < NR(rows); i++) {
		uint8_t config[MSIX_CONFIG_SIZE] = {0};

		for (unsigned int j = 0; j < 7; j++)
			if (rows[i].words[j].word != 0)
				memcpy(config + rows[i].words[j].at, &rows[i].words[j].word, 4);
		CU_ASSERT(finds(config, &rows[i]));
	}
	CU_ASSERT_EQUAL(msix_find((const uint8_t *)"", 0, &none, NULL), 0);
	CU_ASSERT_EQUAL(none.table.size + none.pending.size, 0);
}

/* As many as there is room for are no loop. */
static void
test_most(void)
{
	static const struct msix_row last = {
		"MSI-X is the last one", .found = {{0, 0, 16}, {0, 0, 8}}};
	static const struct msix_row none = {"none is MSI-X"};
	uint8_t config[MSIX_CONFIG_SIZE] = {[PCI_STATUS] = PCI_STATUS_CAP_LIST, [FIRST] = 0x40};

	for (unsigned int at = 0x40; at < 0xf4; at += 4) {
		config[at] = PM;
		config[at + 1] = (uint8_t)(at + 4);
	}
	config[0xf4] = MSIX;
	CU_ASSERT(finds(config, &last));
	for (unsigned int at = 0xf4; at < 0x100; at += 4) {
		config[at] = PM;
		config[at + 1] = (uint8_t)(at + 4);
	}
	CU_ASSERT(finds(config, &none));
}

const struct tap_suite tap_suite = {"msix", NULL, NULL,
	{
		{"what is found", test_find},
		{"the longest list", test_most},
	}};
