/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "number.h"
#include "text.h"

#define MAX_ROUNDS  1000
#define MAX_LABEL   80
#define MAX_OPTIONS 24
#define KEY_FIRST   256 /* of keys: options have no letter */

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
const char *const bench_socket_transport_names[] = {"uring", "posix", NULL};

static const struct bench_option common[] = {
	BENCH_OPTION_NUMBER("rounds", "rounds", rounds, 1, MAX_ROUNDS),
	{"cpus", "A,B",
		"CPU to measure on, and CPU of the server or poller (the first allowed ones)",
		BENCH_CPUS, BENCH_FIELD(cpus)},
	{"json", "FILE",
		"write the result as JSON; with -, JSON goes to stdout and the table to stderr",
		BENCH_TEXT, BENCH_FIELD(json)},
	{"plot", "FILE",
		"plot the percentiles with gnuplot; FILE ends in .svg or .png; with all, it is a folder",
		BENCH_TEXT, BENCH_FIELD(plot)},
	{"html", "FILE",
		"write a page with all tables and plots, which needs no other file; with -, it goes to stdout and the table to stderr",
		BENCH_TEXT, BENCH_FIELD(html)},
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
			return bench_fail(
				err, -EINVAL, "--%s: only printable ASCII is possible", o->name);
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
	return nr >= 2
		? 0
		: bench_fail(err, -EINVAL, "--%s: at least two numbers are required", o->name);
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
	case BENCH_TRANSPORT:
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
		ret = parse_counts(o, text, options, err);
		break;
	case BENCH_CPUS:
		return bench_cpus_parse(text, field, err);
	}
	*(const char **)field = text;
	return ret;
}

static void
option_describe(const struct bench_option *o, const struct bench_options *options,
	struct bench_result *result)
{
	const void *field = (const char *)options + o->field;
	struct app_json *json = &result->options;
	char key[24];

	snprintf(key, sizeof(key), "%s", o->name);
	for (char *c = key; *c != '\0'; c++)
		*c = *c == '-' ? '_' : *c;
	switch (o->type) {
	case BENCH_NUMBER:
	case BENCH_POWER:
		/* Below its minimum it was not given. */
		if (*(const uint32_t *)field >= o->min)
			app_json_number(json, json->root, key, *(const uint32_t *)field);
		return;
	case BENCH_NUMBER64:
		app_json_number(json, json->root, key, *(const uint64_t *)field);
		return;
	case BENCH_CHOICE:
		app_json_text(json, json->root, key, o->words[*(const uint32_t *)field]);
		return;
	case BENCH_COUNTS:
	case BENCH_WORD:
		app_json_text(json, json->root, key, *(const char *const *)field);
		return;
	case BENCH_SECONDS:
		app_json_number(
			json, json->root, "milliseconds", (uint64_t)(*(const double *)field * 1e3));
		return;
	default:
		return;
	}
}

void
bench_options_describe(const struct bench_options *options, const struct bench_ops *ops,
	struct bench_result *result)
{
	const struct bench_option *own = ops->options;

	for (; own != NULL && own->name != NULL; own++)
		option_describe(own, options, result);
	option_describe(&common[0], options, result);
}

/* What the parser fills. */
struct parse {
	struct bench *bench;
	bench_check_fn check;
	const struct bench_option *rows[MAX_OPTIONS]; /* by key, from KEY_FIRST on */
	unsigned int nr_rows;
};

static int
options_check(const struct parse *p, struct vuc_error *err)
{
	struct bench *b = p->bench;
	int ret = b->ops->plots ? 0 : bench_plot_check(b->options.plot, err);

	return ret == 0 ? p->check(b, err) : ret;
}

static error_t
measurement_parse(int key, char *arg, struct argp_state *state)
{
	const struct parse *p = state->input;
	struct vuc_error err;
	int ret = 0;

	if (key == ARGP_KEY_INIT)
		state->child_inputs[0] = (void *)(uintptr_t)bench_versions;
	else if (key == ARGP_KEY_ARG)
		app_args_error(state, "unexpected argument '%s'", arg);
	else if (key == ARGP_KEY_END)
		ret = options_check(p, &err);
	else if (key >= KEY_FIRST && key < KEY_FIRST + (int)p->nr_rows)
		ret = option_parse(p->rows[key - KEY_FIRST], &p->bench->options, arg, &err);
	else
		return ARGP_ERR_UNKNOWN;
	if (ret != 0)
		app_args_error(state, "%s", err.text);
	return 0;
}

static void
rows_add(struct parse *p, struct argp_option *options, const struct bench_option *rows)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		options[p->nr_rows] = (struct argp_option){
			.name = rows->name,
			.key = KEY_FIRST + (int)p->nr_rows,
			.arg = rows->value,
			.doc = rows->help,
		};
		p->rows[p->nr_rows++] = rows;
	}
}

void
bench_options_parse(struct bench *b, int argc, char **argv, bench_check_fn check)
{
	struct argp_option table[MAX_OPTIONS + 1] = {0};
	struct parse p = {.bench = b, .check = check};
	char doc[128], rounds[16];
	const struct argp argp = {
		.options = table,
		.parser = measurement_parse,
		.doc = doc,
		.children = app_args_children,
	};

	b->options = b->ops->defaults;
	snprintf(doc, sizeof(doc), "%s.", b->ops->summary);
	snprintf(rounds, sizeof(rounds), "rounds (%" PRIu32 ")", b->options.rounds);
	rows_add(&p, table, b->ops->options);
	rows_add(&p, table, common);
	for (unsigned int i = 0; i < p.nr_rows; i++) {
		if (p.rows[i] == &common[0])
			table[i].doc = rounds;
	}
	argp_err_exit_status = APP_EXIT_USAGE;
	app_args_prepare(&argp, argc, argv, false);
	argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, &p);
}
