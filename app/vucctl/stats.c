/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "command.h"
#include "number.h"

#define MIN_INTERVAL_MS     100
#define MAX_INTERVAL_MS     3600000
#define DEFAULT_INTERVAL_MS 1000
#define DEFAULT_ROWS        24
#define DEFAULT_COLUMNS     80

struct stats {
	bool watch;
	bool in_place;        /* on a terminal that can do that */
	uint32_t interval_ms; /* 0: the default */
	uint64_t count;       /* of reports; 0: no end */
	uint64_t reports;
	uint64_t first_ms;                /* time of the first sample */
	struct json_object *before, *now; /* samples */
	struct vucctl_table table;
	size_t shown; /* lines on the terminal */
};

/* ---- command line ---- */

/* Seconds with at most three decimals, "1.5". Returns milliseconds; 0 for another text. */
static uint64_t
seconds_parse(const char *text)
{
	uint64_t seconds, parts = 0, unit = 1000;
	const char *end;

	if (vuc_number_scan(text, 10, &seconds, &end) != 0 || seconds > MAX_INTERVAL_MS)
		return 0;
	if (*end == '.' && isdigit((unsigned char)end[1])) {
		for (end++; isdigit((unsigned char)*end) && unit > 1; end++) {
			unit /= 10;
			parts += (uint64_t)(*end - '0') * unit;
		}
	}
	return *end == '\0' ? seconds * 1000 + parts : 0;
}

static void
take_interval(struct vucctl *ctl, const char *value)
{
	struct stats *stats = ctl->own;
	uint64_t ms = seconds_parse(value);

	if (ms < MIN_INTERVAL_MS || ms > MAX_INTERVAL_MS)
		app_args_error(
			ctl->state, "interval '%s' is not a number of seconds, 0.1 to 3600", value);
	stats->interval_ms = (uint32_t)ms;
}

static const struct vucctl_option options[] = {
	{"watch", 'w', NULL,
		"Show devices' rates per second periodically (one object per line with --json)",
		VUCCTL_SET, VUCCTL_MEMBER(struct stats, watch)},
	{"interval", 'i', "SECONDS", "Seconds between updates, 0.1 to 3600; 1 by default",
		.take = take_interval},
	{"count", 'c', "N", "Exit after N updates; 0, the default: no limit", VUCCTL_NUMBER,
		VUCCTL_MEMBER(struct stats, count), .max = UINT64_MAX},
	{0},
};

static int
stats_check(struct vucctl *ctl)
{
	const struct stats *stats = ctl->own;

	if (!stats->watch && (stats->interval_ms != 0 || stats->count != 0))
		app_args_error(ctl->state, "--interval and --count require --watch");
	return 0;
}

/* ---- once ---- */

/* The part of its loops in which there was something to do. */
static void
format_busy(struct vucctl_cell *cell, struct json_object *value)
{
	double busy = (double)app_reply_number(cell->reply, value, "loops_busy");
	double all = busy + (double)app_reply_number(cell->reply, value, "loops_empty");

	fprintf(cell->out, "%.1f%%", all > 0 ? busy / all * 100 : 0);
}

static void
format_last_outage(struct vucctl_cell *cell, struct json_object *value)
{
	uint64_t ms = app_reply_number(cell->reply, value, "outage_last_ms");

	if (ms > 0)
		fprintf(cell->out, "%" PRIu64 ".%" PRIu64 " s", ms / 1000, ms % 1000 / 100);
}

static const struct vucctl_field device_fields[] = {
	{"DEVICE", "name"},
	{"STATE", "state"},
	{"READS", "reads", true},
	{"WRITES", "writes", true},
	{"POSTED", "posted", true},
	{"ERRORS", "errors", true},
	{"TIMEOUTS", "timeouts", true},
	{"QUEUES", "queues", true},
	{"DMA MAPS", "dma_maps", true},
	{"ATTACHES", "attaches", true},
	{"OUTAGES", "outages", true},
	{"LAST OUTAGE", "", true, .format = format_last_outage},
	{"HELD", "held_reads", true},
	{"DROPPED", "dropped_writes", true},
	{0},
};

static const struct vucctl_field poller_fields[] = {
	{"POLLER", "name"},
	{"CPU", "cpu", true, true}, /* null: it may run anywhere */
	{"IDLE", "idle"},
	{"TRANSPORT", "transport"},
	{"BUSY", "", true, .format = format_busy},
	{"SLEEPS", "sleeps", true},
	{"DEVICES", "devices", true},
	{"QUEUES", "queues", true},
	{"READS", "reads", true},
	{"WRITES", "writes", true},
	{"POSTED", "posted", true},
	{"RETRIES", "retries", true},
	{"ERRORS", "errors", true},
	{"TIMEOUTS", "timeouts", true},
	{0},
};

static int
stats_get(struct vucctl *ctl, struct json_object **result)
{
	struct app_json params;

	app_json_init(&params);
	if (ctl->nr_args > 0)
		app_json_text(&params, params.root, "device", ctl->args[0]);
	return vucctl_ask(ctl, "stats.get", &params, result);
}

static int
print_tables(const struct vucctl *ctl, struct json_object *result)
{
	struct vucctl_table devices = {device_fields, {0}}, pollers = {poller_fields, {0}};
	struct app_reply reply = {NULL};
	size_t nr_devices, nr_pollers, len;
	struct json_object *array = app_reply_array(&reply, result, "devices", &nr_devices);
	struct json_object *more = app_reply_array(&reply, result, "pollers", &nr_pollers);
	char *text = NULL;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return vucctl_fail("%s", strerror(errno));
	app_reply_number(&reply, result, "time_ms");
	vucctl_table_print(out, &devices, &reply, array, true);
	if (nr_pollers > 0) {
		putc('\n', out);
		vucctl_table_print(out, &pollers, &reply, more, true);
	}
	fclose(out);
	if (reply.lacks == NULL)
		fputs(text, stdout);
	free(text);
	return reply.lacks == NULL ? EXIT_SUCCESS
				   : vucctl_fail_answer(ctl, "stats.get", reply.lacks);
}

static int
stats_print(struct vucctl *ctl)
{
	struct json_object *result;
	int ret = stats_get(ctl, &result);

	if (ret == 0)
		ret = ctl->json ? vucctl_print_result(result) : print_tables(ctl, result);
	json_object_put(result);
	return ret;
}

/* ---- rates ---- */

/* What is counted, and what a second's worth of it is called. */
static const struct {
	const char *counter;
	const char *rate;
} rates[] = {
	{"reads", "reads_per_s"},
	{"writes", "writes_per_s"},
	{"posted", "posted_per_s"},
	{"errors", "errors_per_s"},
	{"attaches", NULL},
};

#define NR_RATES (sizeof(rates) / sizeof(rates[0]))

/* The time of a sample; what it lacks is in reply. */
static uint64_t
sample_ms(struct app_reply *reply, struct json_object *sample)
{
	return app_reply_number(reply, sample, "time_ms");
}

/* The device of the sample before that has this name, or NULL. It is looked for from element i on,
 * where it is in the new sample. */
static struct json_object *
device_before(const struct stats *stats, struct app_reply *reply, const char *name, size_t i)
{
	size_t k, n;
	struct json_object *array = app_reply_array(reply, stats->before, "devices", &n);

	for (k = 0; k < n; k++) {
		struct json_object *device = json_object_array_get_idx(array, (i + k) % n);

		if (strcmp(app_reply_text(reply, device, "name"), name) == 0)
			return device;
	}
	return NULL;
}

/* Whether it is the same device: one that was removed and added again begins anew. */
static bool
is_same(struct app_reply *reply, struct json_object *before, struct json_object *now)
{
	bool same = before != NULL;
	size_t i;

	for (i = 0; i < NR_RATES && same; i++)
		same = app_reply_number(reply, before, rates[i].counter) <=
			app_reply_number(reply, now, rates[i].counter);
	return same;
}

/* With what it has done in a second's time since the sample before: JSON has whole numbers, and
 * text is made of tenths. */
static void
add_device(const struct vucctl *ctl, struct app_reply *reply, struct app_json *json,
	struct json_object *devices, struct json_object *now, size_t i)
{
	const struct stats *stats = ctl->own;
	const char *name = app_reply_text(reply, now, "name");
	struct json_object *before = device_before(stats, reply, name, i);
	bool same = is_same(reply, before, now);
	double factor = ctl->json ? 1000 : 10000;
	double ms = (double)(sample_ms(reply, stats->now) - sample_ms(reply, stats->before));
	struct json_object *obj = app_json_object(json, devices, NULL);
	size_t k;

	app_json_text(json, obj, "name", name);
	app_json_text(json, obj, "state", app_reply_text(reply, now, "state"));
	for (k = 0; rates[k].rate != NULL; k++) {
		uint64_t count = app_reply_number(reply, now, rates[k].counter);

		if (same)
			app_json_number(json, obj, rates[k].rate,
				(uint64_t)((double)(count -
						   app_reply_number(
							   reply, before, rates[k].counter)) *
						factor / ms +
					0.5));
		else
			app_json_null(json, obj, rates[k].rate);
	}
	app_json_number(json, obj, "queues", app_reply_number(reply, now, "queues"));
	app_json_number(json, obj, "dma_maps", app_reply_number(reply, now, "dma_maps"));
}

/* ---- reports ---- */

/* Slow ones have a decimal. Without a value there is no saying. */
static void
format_rate(struct vucctl_cell *cell, struct json_object *value)
{
	double rate = (double)json_object_get_int64(value) / 10;

	if (value != NULL)
		fprintf(cell->out, "%.*f", rate > 0 && rate < 10 ? 1 : 0, rate);
}

/* Time of a line, in the object of its device. */
static void
format_time(struct vucctl_cell *cell, struct json_object *value)
{
	fprintf(cell->out, "%.1f", (double)app_reply_number(cell->reply, value, "time_ms") / 1000);
}

/* Lines have the time before the rest. */
static const struct vucctl_field watch_fields[] = {
	{"TIME", "", true, .format = format_time},
	{"DEVICE", "name"},
	{"STATE", "state"},
	{"READS/S", "reads_per_s", true, .format = format_rate},
	{"WRITES/S", "writes_per_s", true, .format = format_rate},
	{"POSTED/S", "posted_per_s", true, .format = format_rate},
	{"ERRORS/S", "errors_per_s", true, .format = format_rate},
	{"QUEUES", "queues", true},
	{"DMA MAPS", "dma_maps", true},
	{0},
};

/* The size of the terminal, which may have changed since. */
static void
screen_measure(size_t *rows, size_t *columns)
{
	struct winsize size;

	*rows = DEFAULT_ROWS;
	*columns = DEFAULT_COLUMNS;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 2 || size.ws_col == 0)
		return;
	*rows = size.ws_row;
	*columns = size.ws_col;
}

/* Show a text of whole lines in the place of the one before. Those that the terminal has no room
 * for, and the ends of those that are too long, are left out. */
static void
screen_show(struct stats *stats, const char *text)
{
	size_t rows, columns, lines = 0;

	screen_measure(&rows, &columns);
	if (stats->shown > 0)
		printf("\033[%zuA\r", stats->shown);
	while (*text != '\0' && lines + 1 < rows) {
		size_t len = strcspn(text, "\n");

		printf("%.*s\033[K\n", (int)(len < columns ? len : columns), text);
		text += len + (text[len] == '\n');
		lines++;
	}
	fputs("\033[J", stdout);
	stats->shown = lines;
}

static int
report_text(struct vucctl *ctl, struct app_reply *reply, struct json_object *devices)
{
	struct stats *stats = ctl->own;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return vucctl_fail("%s", strerror(errno));
	vucctl_table_print(
		out, &stats->table, reply, devices, stats->in_place || stats->reports == 0);
	fclose(out);
	if (stats->in_place)
		screen_show(stats, text);
	else
		fputs(text, stdout);
	free(text);
	fflush(stdout);
	return 0;
}

static int
report_print(struct vucctl *ctl)
{
	struct stats *stats = ctl->own;
	struct app_reply reply = {NULL};
	uint64_t now_ms = sample_ms(&reply, stats->now),
		 before_ms = sample_ms(&reply, stats->before);
	size_t i, n;
	struct json_object *array = app_reply_array(&reply, stats->now, "devices", &n);
	struct json_object *devices;
	struct app_json json;
	int ret = 0;

	app_json_init(&json);
	app_json_number(&json, json.root, "time_ms", now_ms - stats->first_ms);
	app_json_number(&json, json.root, "interval_ms", now_ms - before_ms);
	devices = app_json_array(&json, json.root, "devices");
	for (i = 0; i < n; i++) {
		add_device(ctl, &reply, &json, devices, json_object_array_get_idx(array, i), i);
		if (!ctl->json)
			app_json_number(&json, json_object_array_get_idx(devices, i), "time_ms",
				now_ms - stats->first_ms);
	}
	if (reply.lacks != NULL)
		ret = vucctl_fail_answer(ctl, "stats.get", reply.lacks);
	else if (json.failed)
		ret = vucctl_fail("%s", strerror(ENOMEM));
	else if (ctl->json)
		return vucctl_print_json_line(&json);
	else
		ret = report_text(ctl, &reply, devices);
	app_json_finish(&json);
	return ret;
}

/* ---- the loop ---- */

static int
take_sample(struct vucctl *ctl)
{
	struct stats *stats = ctl->own;
	struct app_reply reply = {NULL};
	uint64_t before_ms = sample_ms(&reply, stats->now), now_ms;
	size_t n;
	int ret;

	reply.lacks = NULL;
	json_object_put(stats->before);
	stats->before = stats->now;
	ret = stats_get(ctl, &stats->now);
	if (ret != 0)
		return ret;
	now_ms = sample_ms(&reply, stats->now);
	app_reply_array(&reply, stats->now, "devices", &n);
	if (reply.lacks != NULL)
		return vucctl_fail_answer(ctl, "stats.get", reply.lacks);
	if (stats->before != NULL && now_ms <= before_ms)
		return vucctl_fail("%s: the daemon's clock stands still", ctl->management);
	return 0;
}

/* Wait for an interval from here on, however late the last answer was: the next sample is never of
 * the same moment. */
static void
await_time(const struct stats *stats)
{
	uint32_t interval_ms = stats->interval_ms != 0 ? stats->interval_ms : DEFAULT_INTERVAL_MS;
	uint64_t now = vuc_clock_ns();
	uint64_t next = now + (uint64_t)interval_ms * 1000000;

	while (now < next && !vucctl_interrupted()) {
		vucctl_interrupt_poll(NULL, 0, (int)((next - now + 999999) / 1000000));
		now = vuc_clock_ns();
	}
}

/* A reader that has gone is told of by main(). */
static bool
is_done(const struct stats *stats)
{
	return vucctl_interrupted() || ferror(stdout) ||
		(stats->count != 0 && stats->reports == stats->count);
}

static int
stats_watch(struct vucctl *ctl)
{
	struct stats *stats = ctl->own;
	struct app_reply reply = {NULL};
	const char *term = getenv("TERM");
	int ret;

	stats->in_place = isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
	stats->table.fields = watch_fields + stats->in_place;
	vucctl_interrupt_install(0);
	ret = take_sample(ctl);
	stats->first_ms = sample_ms(&reply, stats->now);
	while (ret == 0 && !is_done(stats)) {
		await_time(stats);
		if (vucctl_interrupted())
			break;
		ret = take_sample(ctl);
		if (ret == 0)
			ret = report_print(ctl);
		stats->reports++;
	}
	return vucctl_interrupted() ? EXIT_SUCCESS : ret;
}

static int
stats_run(struct vucctl *ctl)
{
	const struct stats *stats = ctl->own;

	return stats->watch ? stats_watch(ctl) : stats_print(ctl);
}

static void
stats_end(struct vucctl *ctl)
{
	struct stats *stats = ctl->own;

	json_object_put(stats->before);
	json_object_put(stats->now);
}

const struct vucctl_command vucctl_stats = {
	.name = "stats",
	.summary = "show the daemon's statistics",
	.doc = "Shows the daemon's counters for DEVICE, or for all devices and pollers.",
	.arguments = "[DEVICE]",
	.daemon = true,
	.options = options,
	.size = sizeof(struct stats),
	.check = stats_check,
	.run = stats_run,
	.end = stats_end,
};
