/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "bench.h"
#include "number.h"
#include "text.h"

#define EXIT_USAGE  2
#define MAX_ROUNDS  1000
#define MAX_LABEL   80
#define MAX_OPTIONS 24
#define KEY_FIRST   256 /* keys of options without a letter */
#define KEY_USAGE   (KEY_FIRST + MAX_OPTIONS)

const char *const bench_path_names[] = {
	[BENCH_PATH_INLINE] = "inline",
	[BENCH_PATH_POLLER] = "poller",
	[BENCH_PATH_SHM] = "shm",
	NULL,
};

const char *const bench_op_names[] = {
	[BENCH_READ] = "read",
	[BENCH_WRITE] = "write",
	[BENCH_POSTED] = "posted",
	NULL,
};

const char *const bench_transport_names[] = {"uring", "posix", "loopback", NULL};

static const struct bench_option common[] = {
	{"rounds", "N", "rounds", BENCH_NUMBER, BENCH_FIELD(rounds), 1, MAX_ROUNDS},
	{"cpus", "A,B", "CPU to measure on, and the other end's (the first ones allowed)",
		BENCH_CPUS, BENCH_FIELD(cpus)},
	{"json", "FILE", "write the result as JSON; - is stdout, and the table goes to stderr then",
		BENCH_TEXT, BENCH_FIELD(json)},
	{"plot", "FILE",
		"draw the percentiles with gnuplot; FILE ends in .svg or .png, or is a folder for "
		"those of all",
		BENCH_TEXT, BENCH_FIELD(plot)},
	{"label", "TEXT", "a name for this run in the reports", BENCH_LABEL, BENCH_FIELD(label)},
	{0},
};

static int
parse_number(const struct bench_option *o, const char *text, uint64_t *value, struct vuc_error *err)
{
	bool power = o->type == BENCH_POWER;
	char kind[48] = "number";

	if (vuc_number_parse(text, 0, o->min, o->max, value) == 0 &&
		(!power || (*value & (*value - 1)) == 0) && (o->step == 0 || *value % o->step == 0))
		return 0;
	if (power)
		snprintf(kind, sizeof(kind), "power of two");
	else if (o->step != 0)
		snprintf(kind, sizeof(kind), "multiple of %" PRIu64, o->step);
	return bench_fail(err, -EINVAL, "--%s: '%s' is not a %s from %" PRIu64 " to %" PRIu64,
		o->name, text, kind, o->min, o->max);
}

/* Sets *index to that of a word of len bytes. */
static int
parse_word(const struct bench_option *o, const char *text, size_t len, uint32_t *index,
	struct vuc_error *err)
{
	char known[96] = "";
	size_t used = 0;

	for (*index = 0; o->words[*index] != NULL; ++*index) {
		const char *word = o->words[*index];

		if (strlen(word) == len && strncmp(word, text, len) == 0)
			return 0;
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
			*index == 0                            ? ""
				: o->words[*index + 1] == NULL ? " or "
							       : ", ",
			word);
	}
	return bench_fail(err, -EINVAL, "--%s: '%.*s' is not %s", o->name, (int)len, text, known);
}

static int
parse_words(const struct bench_option *o, const char *text, struct vuc_error *err)
{
	for (;;) {
		size_t len = strcspn(text, ",");
		uint32_t index;
		int ret = parse_word(o, text, len, &index, err);

		if (ret != 0 || text[len] == '\0')
			return ret;
		text += len + 1;
	}
}

static int
parse_label(const struct bench_option *o, const char *text, struct vuc_error *err)
{
	if (strlen(text) > MAX_LABEL)
		return bench_fail(
			err, -EINVAL, "--%s: longer than %d characters", o->name, MAX_LABEL);
	for (const char *c = text; *c != '\0'; c++) {
		if (!vuc_text_is_printable(*c))
			return bench_fail(err, -EINVAL, "--%s: not printable ASCII", o->name);
	}
	return 0;
}

static int
parse_seconds(
	const struct bench_option *o, const char *text, double *seconds, struct vuc_error *err)
{
	char *end;

	*seconds = strtod(text, &end);
	if (text[0] < '0' || text[0] > '9' || strpbrk(text, "xX") != NULL || *end != '\0' ||
		!(*seconds >= 0.01 && *seconds <= (double)o->max))
		return bench_fail(err, -EINVAL, "--%s: '%s' is not a number from 0.01 to %" PRIu64,
			o->name, text, o->max);
	return 0;
}

static int
parse_counts(const struct bench_option *o, const char *text, struct bench_options *options,
	struct vuc_error *err)
{
	uint32_t nr = 0;

	for (;;) {
		size_t len = strcspn(text, ",");
		char number[8];
		uint64_t value;
		int ret;

		if (nr == BENCH_MAX_COUNTS)
			return bench_fail(err, -EINVAL, "--%s: more than %d numbers", o->name,
				BENCH_MAX_COUNTS);
		snprintf(number, sizeof(number), "%.*s", (int)(len < 7 ? len : 7), text);
		ret = parse_number(o, number, &value, err);
		if (ret != 0)
			return ret;
		if (nr > 0 && value <= options->counts[nr - 1])
			return bench_fail(err, -EINVAL,
				"--%s: %" PRIu64 " is not greater than %" PRIu32, o->name, value,
				options->counts[nr - 1]);
		options->counts[nr++] = (uint32_t)value;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	options->nr_counts = nr;
	return nr >= 2 ? 0 : bench_fail(err, -EINVAL, "--%s: at least two numbers", o->name);
}

static int
option_parse(const struct bench_option *o, struct bench_options *options, const char *text,
	struct vuc_error *err)
{
	void *field = (char *)options + o->field;
	uint64_t number;
	uint32_t index;
	int ret = 0;

	switch (o->type) {
	case BENCH_NUMBER:
	case BENCH_POWER:
		ret = parse_number(o, text, &number, err);
		if (ret == 0)
			*(uint32_t *)field = (uint32_t)number;
		return ret;
	case BENCH_NUMBER64:
		return parse_number(o, text, field, err);
	case BENCH_CHOICE:
		return parse_word(o, text, strlen(text), field, err);
	case BENCH_WORD:
		ret = parse_word(o, text, strlen(text), &index, err);
		text = o->words[index];
		break;
	case BENCH_WORDS:
		ret = parse_words(o, text, err);
		break;
	case BENCH_TEXT:
		if (text[0] == '\0')
			ret = bench_fail(err, -EINVAL, "--%s: empty path", o->name);
		break;
	case BENCH_LABEL:
		ret = parse_label(o, text, err);
		break;
	case BENCH_SECONDS:
		return parse_seconds(o, text, field, err);
	case BENCH_COUNTS:
		return parse_counts(o, text, options, err);
	case BENCH_CPUS:
		return bench_cpus_parse(text, field, err);
	}
	*(const char **)field = text;
	return ret;
}

static const struct argp_option standard[] = {
	{"help", 'h', NULL, 0, "print this and exit", -1},
	{"usage", KEY_USAGE, NULL, 0, "print a short usage message and exit", -1},
	{"version", 'V', NULL, 0, "print the versions and exit", -1},
	{0},
};

/* What a parser fills. */
struct parse {
	struct bench_options *options;
	const struct bench_option *rows[MAX_OPTIONS]; /* by key, from KEY_FIRST on */
	unsigned int nr_rows;
	const struct bench_ops *const *measurements; /* of the program itself */
	int *index;
};

static void
version_print(void)
{
	struct bench_clock clock = {.ns_per_tick = 1};
	struct bench_env env;
	char versions[BENCH_VERSIONS_MAX];

	bench_env_init(&env, &clock);
	printf("vuc-bench: %s\n", bench_env_versions(&env, versions));
}

/* Options that print something instead of a run. */
static error_t
standard_parse(int key, const struct parse *p, struct argp_state *state)
{
	if (key == 'V') {
		version_print();
		return ECANCELED;
	}
	argp_state_help(state, stdout,
		key == 'h' ? ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC
			   : ARGP_HELP_USAGE);
	if (key != 'h' || p->measurements == NULL)
		return ECANCELED;
	/* argp would break these lines. */
	printf("\nMeasurements:\n");
	for (unsigned int i = 0; p->measurements[i] != NULL; i++)
		printf("  %-12s %s\n", p->measurements[i]->name, p->measurements[i]->summary);
	return ECANCELED;
}

static error_t
measurement_parse(int key, char *arg, struct argp_state *state)
{
	const struct parse *p = state->input;
	struct vuc_error err;

	if (key == 'h' || key == 'V' || key == KEY_USAGE)
		return standard_parse(key, p, state);
	if (key == ARGP_KEY_ARG)
		argp_error(state, "unexpected argument '%s'", arg);
	if (key < KEY_FIRST || key >= KEY_FIRST + (int)p->nr_rows)
		return ARGP_ERR_UNKNOWN;
	if (option_parse(p->rows[key - KEY_FIRST], p->options, arg, &err) != 0)
		argp_error(state, "%s", err.text);
	return 0;
}

static void
rows_add(struct parse *p, struct argp_option *options, const struct bench_option *rows)
{
	for (; rows->name != NULL; rows++) {
		options[p->nr_rows] = (struct argp_option){
			.name = rows->name,
			.key = KEY_FIRST + (int)p->nr_rows,
			.arg = rows->value,
			.doc = rows->help,
		};
		p->rows[p->nr_rows++] = rows;
	}
}

int
bench_options_parse(
	struct bench_options *options, const struct bench_ops *ops, int argc, char **argv)
{
	struct argp_option table[MAX_OPTIONS + 4] = {0};
	struct parse p = {.options = options};
	char doc[128], rounds[16];
	const struct argp argp = {.options = table, .parser = measurement_parse, .doc = doc};

	*options = ops->defaults;
	snprintf(doc, sizeof(doc), "%s.", ops->summary);
	rows_add(&p, table, ops->options);
	rows_add(&p, table, common);
	for (unsigned int i = 0; i < p.nr_rows; i++) {
		if (p.rows[i] == &common[0])
			table[i].doc = rounds;
	}
	snprintf(rounds, sizeof(rounds), "rounds (%" PRIu32 ")", options->rounds);
	memcpy(&table[p.nr_rows], standard, sizeof(standard));
	argp_err_exit_status = EXIT_USAGE;
	app_args_prepare(&argp, argc, argv, false);
	return -argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, &p);
}

static error_t
program_parse(int key, char *arg, struct argp_state *state)
{
	const struct parse *p = state->input;

	(void)arg;
	if (key == 'h' || key == 'V' || key == KEY_USAGE)
		return standard_parse(key, p, state);
	if (key == ARGP_KEY_NO_ARGS)
		argp_error(state, "no measurement is given");
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	/* What follows is the measurement's. */
	*p->index = state->next - 1;
	state->next = state->argc;
	return 0;
}

int
bench_options_parse_program(
	const struct bench_ops *const *measurements, int argc, char **argv, int *index)
{
	struct parse p = {.measurements = measurements, .index = index};
	const struct argp argp = {
		.options = standard,
		.parser = program_parse,
		.args_doc = "MEASUREMENT [OPTION]...",
		.doc = "Measure vuc against the least that the machine allows.\v"
		       "vuc-bench MEASUREMENT --help prints the options of a measurement.",
	};

	argp_err_exit_status = EXIT_USAGE;
	app_args_prepare(&argp, argc, argv, true);
	return -argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_IN_ORDER, NULL, &p);
}

int
bench_options_complain(const char *name, const struct vuc_error *err)
{
	fprintf(stderr, "%s: %s\nTry `%s --help' or `%s --usage' for more information.\n", name,
		err->text, name, name);
	return EXIT_USAGE;
}
