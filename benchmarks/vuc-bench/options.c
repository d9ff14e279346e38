/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "number.h"
#include "text.h"

#define MAX_ROUNDS 1000
#define MAX_LABEL  80

int
bench_parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
	uint64_t *value, struct vuc_error *err)
{
	if (vuc_number_parse(text, 0, min, max, value) != 0)
		return bench_fail(err, -EINVAL, "--%s: '%s' is not a number from %llu to %llu",
			option, text, (unsigned long long)min, (unsigned long long)max);
	return 0;
}

/* "a, b or c" */
static void
list_words(const char *const *words, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; words[i] != NULL && len < size; i++) {
		const char *between = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
		int n = snprintf(buf + len, size - len, "%s%s", between, words[i]);

		len += n > 0 ? (size_t)n : size;
	}
}

int
bench_parse_word(const char *option, const char *text, const char *const *words,
	unsigned int *index, struct vuc_error *err)
{
	char known[96];

	for (unsigned int i = 0; words[i] != NULL; i++) {
		if (strcmp(text, words[i]) == 0) {
			*index = i;
			return 0;
		}
	}
	list_words(words, known, sizeof(known));
	return bench_fail(err, -EINVAL, "--%s: '%s' is not %s", option, text, known);
}

int
bench_parse_count(
	const char *option, const char *text, uint32_t max, uint32_t *value, struct vuc_error *err)
{
	uint64_t number;
	int ret = bench_parse_number(option, text, 1, max, &number, err);

	if (ret == 0)
		*value = (uint32_t)number;
	return ret;
}

static int
parse_rounds(void *options, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"rounds", text, MAX_ROUNDS, &((struct bench_options *)options)->rounds, err);
}

static int
parse_cpus(void *options, const char *text, struct vuc_error *err)
{
	return bench_cpus_parse(text, &((struct bench_options *)options)->cpus, err);
}

static int
parse_path(const char *option, const char *text, const char **path, struct vuc_error *err)
{
	if (text[0] == '\0')
		return bench_fail(err, -EINVAL, "--%s: an empty path", option);
	*path = text;
	return 0;
}

static int
parse_json(void *options, const char *text, struct vuc_error *err)
{
	return parse_path("json", text, &((struct bench_options *)options)->json, err);
}

static int
parse_plot(void *options, const char *text, struct vuc_error *err)
{
	return parse_path("plot", text, &((struct bench_options *)options)->plot, err);
}

static int
parse_label(void *options, const char *text, struct vuc_error *err)
{
	struct bench_options *o = options;

	if (strlen(text) > MAX_LABEL)
		return bench_fail(err, -EINVAL, "--label: longer than %d characters", MAX_LABEL);
	for (const char *c = text; *c != '\0'; c++) {
		if (!vuc_text_is_printable(*c))
			return bench_fail(err, -EINVAL, "--label: more than printable ASCII");
	}
	o->label = text;
	return 0;
}

static int
parse_help(void *options, const char *text, struct vuc_error *err)
{
	(void)text;
	(void)err;
	((struct bench_options *)options)->help = true;
	return 0;
}

static const struct bench_option common[] = {
	{"rounds", "N", "rounds", parse_rounds},
	{"cpus", "A,B", "CPU to measure on, and the other end's (the first ones allowed)",
		parse_cpus},
	{"json", "FILE", "write the result as JSON; - is stdout, the table goes to stderr then",
		parse_json},
	{"plot", "FILE",
		"draw the percentiles with gnuplot; FILE ends in .svg or .png, or is a folder for "
		"those of all",
		parse_plot},
	{"label", "TEXT", "a name for this run in the reports", parse_label},
	{"help", NULL, "print this and exit", parse_help},
	{0},
};

void
bench_options_init(struct bench_options *options, uint32_t rounds)
{
	*options = (struct bench_options){
		.rounds = rounds != 0 ? rounds : BENCH_DEFAULT_ROUNDS,
	};
}

static size_t
options_count(const struct bench_option *table)
{
	size_t nr = 0;

	while (table[nr].name != NULL)
		nr++;
	return nr;
}

/* For getopt_long(): common options are 1, 2, …, own ones go on behind them. */
static void
options_fill(struct option *out, const struct bench_option *table, size_t first)
{
	for (size_t i = 0; table[i].name != NULL; i++) {
		out[first + i].name = table[i].name;
		out[first + i].has_arg = table[i].value != NULL ? required_argument : no_argument;
		out[first + i].val = (int)(first + i + 1);
	}
}

/* What getopt_long() did not like; `before` is where it had been looking. */
static int
option_refuse(int c, char **argv, int before, struct vuc_error *err)
{
	const char *what = argv[before];

	if (c == ':')
		return bench_fail(err, -EINVAL, "%s: a value is missing", what);
	return bench_fail(err, -EINVAL, "unknown option: %s", what);
}

static int
parse_all(struct bench_options *options, const struct bench_option *own, void *own_options,
	const struct option *table, int argc, char **argv, struct vuc_error *err)
{
	size_t nr_common = options_count(common);

	optind = 1;
	for (;;) {
		int before = optind;
		/* '+': arguments that are no options end the loop; ':': no messages. */
		int c = getopt_long(argc, argv, "+:", table, NULL);
		size_t i = (size_t)c - 1;
		int ret;

		if (c == -1)
			break;
		if (c == '?' || c == ':')
			return option_refuse(c, argv, before, err);
		if (i < nr_common)
			ret = common[i].parse(options, optarg, err);
		else
			ret = own[i - nr_common].parse(own_options, optarg, err);
		if (ret != 0)
			return ret;
	}
	if (optind < argc)
		return bench_fail(err, -EINVAL, "unexpected argument: %s", argv[optind]);
	return 0;
}

int
bench_options_parse(struct bench_options *options, const struct bench_option *own,
	void *own_options, int argc, char **argv, struct vuc_error *err)
{
	size_t nr_common = options_count(common);
	struct option *table = calloc(nr_common + options_count(own) + 1, sizeof(*table));
	int ret;

	if (table == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	options_fill(table, common, 0);
	options_fill(table, own, nr_common);
	ret = parse_all(options, own, own_options, table, argc, argv, err);
	free(table);
	return ret;
}

static void
help_table(const struct bench_option *table, uint32_t rounds)
{
	for (; table->name != NULL; table++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s %s", table->name,
			table->value != NULL ? table->value : "");
		printf("  %-22s %s", left, table->help);
		if (table->parse == parse_rounds)
			printf(" (%" PRIu32 ")", rounds);
		putchar('\n');
	}
}

void
bench_options_help(const struct bench_options *options, const struct bench_option *own)
{
	help_table(own, options->rounds);
	help_table(common, options->rounds);
}
