/* SPDX-License-Identifier: BSD-3-Clause */
#include "opts.h"
#include "tap.h"

/* Two versions of a header. */
struct old_opts {
	size_t size;
	uint64_t depth;
};

struct new_opts {
	size_t size;
	uint64_t depth;
	uint64_t width;
};

static const struct new_opts defaults = {.depth = 64, .width = 8};

static int
read_new(struct new_opts *known, const void *opts, struct vuc_error *err)
{
	vuc_opts_init(known, sizeof(*known), &defaults, sizeof(defaults));
	return vuc_opts_read(
		known, sizeof(*known), opts, sizeof(struct old_opts), "some_opts", err);
}

static void
test_init(void)
{
	struct {
		struct new_opts opts;
		uint64_t unknown;
		uint64_t behind;
	} later = {.unknown = 1, .behind = 2};
	struct {
		struct old_opts opts;
		uint64_t behind;
	} earlier = {.behind = 3};

	vuc_opts_init(
		&later, sizeof(later.opts) + sizeof(later.unknown), &defaults, sizeof(defaults));
	CU_ASSERT_EQUAL(later.opts.size, sizeof(later.opts) + sizeof(later.unknown));
	CU_ASSERT_EQUAL(later.opts.width, 8);
	CU_ASSERT_EQUAL(later.unknown, 0);
	CU_ASSERT_EQUAL(later.behind, 2);
	vuc_opts_init(&earlier, sizeof(earlier.opts), &defaults, sizeof(defaults));
	CU_ASSERT_EQUAL(earlier.opts.size, sizeof(earlier.opts));
	CU_ASSERT_EQUAL(earlier.opts.depth, 64);
	CU_ASSERT_EQUAL(earlier.behind, 3);
}

/* A program that does not know the last field gets its default; one that passes nothing, all. */
static void
test_older(void)
{
	const struct old_opts opts = {.size = sizeof(opts), .depth = 5};
	struct new_opts known;

	CU_ASSERT_EQUAL(read_new(&known, &opts, NULL), 0);
	CU_ASSERT_EQUAL(known.size, sizeof(known));
	CU_ASSERT_EQUAL(known.depth, 5);
	CU_ASSERT_EQUAL(known.width, 8);
	CU_ASSERT_EQUAL(read_new(&known, NULL, NULL), 0);
	CU_ASSERT_EQUAL(known.depth, 64);
}

/* What is not known here must not be set; read once more, it is not looked for again. */
static void
test_newer(void)
{
	struct {
		struct new_opts opts;
		uint8_t unknown[8];
	} opts = {.opts = {.size = sizeof(opts), .depth = 5, .width = 6}};
	struct vuc_error err = {0};
	struct new_opts known, again;

	CU_ASSERT_EQUAL(read_new(&known, &opts, NULL), 0);
	CU_ASSERT_EQUAL(known.size, sizeof(known));
	CU_ASSERT_EQUAL(known.width, 6);
	CU_ASSERT_EQUAL(read_new(&again, &known, NULL), 0);
	CU_ASSERT_EQUAL(again.width, 6);
	opts.unknown[7] = 1;
	CU_ASSERT_EQUAL(read_new(&known, &opts, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "struct some_opts: byte 31 is set, this library knows 24");
}

static void
test_sizes(void)
{
	static const struct {
		size_t size;
		const char *why;
	} cases[] = {
		{0, " of 0: some_opts_init() sets it"},
		{1, " of 1: some_opts_init() sets it"},
		{sizeof(struct old_opts) - 1,
			" of 15, less than that of any version (16): give some_opts_init() its "
			"sizeof"},
		{4097, " of 4097: some_opts_init() sets it"},
		{SIZE_MAX, " of 18446744073709551615: some_opts_init() sets it"},
	};

	for (size_t i = 0; i < NR(cases); i++) {
		const struct new_opts opts = {.size = cases[i].size};
		struct vuc_error err = {0};
		struct new_opts known;
		char text[VUC_ERROR_MAX];

		snprintf(text, sizeof(text), "struct some_opts has a size%s", cases[i].why);
		CU_ASSERT_EQUAL(read_new(&known, &opts, &err), -EINVAL);
		CU_ASSERT_STRING_EQUAL(err.text, text);
	}
}

const struct tap_suite tap_suite = {"base_opts", NULL, NULL,
	{
		{"set to defaults, of any size", test_init},
		{"of an older program", test_older},
		{"of a newer program", test_newer},
		{"sizes that are none", test_sizes},
	}};
