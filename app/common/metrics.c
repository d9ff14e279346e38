/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define LABEL_MAX 256 /* bytes of a label's value */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What is printed, and what the daemon's answers lack. */
struct printer {
	FILE *out;
	enum app_metrics_format format;
	struct app_reply reply;
};

/* The results of the daemon's methods. */
struct answers {
	struct json_object *status, *devices, *stats;
};

/* ---- the two formats ---- */

enum type {
	COUNTER,
	GAUGE,
	HISTOGRAM,
	INFO,
};

/* Lines before the samples of a metric. A counter's name is without _total, an info's without
 * _info: so OpenMetrics names them; in the older format it is the samples' name, and an info is a
 * gauge. unit: the last word of the name, or "". */
static void
print_header(
	struct printer *p, const char *name, enum type type, const char *unit, const char *help)
{
	static const char *const types[] = {"counter", "gauge", "histogram", "info"};
	const char *suffix = type == COUNTER ? "_total" : type == INFO ? "_info" : "";

	if (p->format == APP_METRICS_TEXT) {
		fprintf(p->out, "# HELP %s%s %s.\n# TYPE %s%s %s\n", name, suffix, help, name,
			suffix, types[type == INFO ? GAUGE : type]);
		return;
	}
	fprintf(p->out, "# TYPE %s %s\n", name, types[type]);
	if (unit[0] != '\0')
		fprintf(p->out, "# UNIT %s %s\n", name, unit);
	fprintf(p->out, "# HELP %s %s.\n", name, help);
}

/* Text from outside, in UTF-8 as JSON's parser has made sure. What a terminal would act on is of
 * no use in a label. */
static void
print_label(struct printer *p, const char *name, const char *value)
{
	size_t len = strlen(value), i;

	if (len > LABEL_MAX) {
		len = LABEL_MAX;
		while (len > 0 && ((unsigned char)value[len] & 0xc0) == 0x80)
			len--;
	}
	fprintf(p->out, "%s=\"", name);
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];
		bool high = c == 0xc2 && (unsigned char)value[i + 1] < 0xa0;

		if (c == '\n')
			fputs("\\n", p->out);
		else if (c == '"' || c == '\\')
			fprintf(p->out, "\\%c", c);
		else if (c < ' ' || c == 0x7f || high)
			putc('?', p->out);
		else
			putc(c, p->out);
		i += high;
	}
	putc('"', p->out);
}

/* ---- metrics that are a number each ---- */

/* The object that a metric is of. */
enum of {
	STATUS, /* the daemon */
	DEVICE,
	POLLER,
};

struct metric {
	enum of of;
	enum type type;
	const char *name;
	const char *unit;
	const char *help;
	const char *label; /* that tells its samples apart; NULL: there is only one */
	struct {
		const char *key; /* of the number; NULL: no more samples */
		const char *value;
	} samples[3];
	bool ms; /* the number is milliseconds, and the metric seconds */
};

static const struct metric metrics[] = {
	{STATUS, GAUGE, "vuc_uptime_seconds", "seconds", "Time since the start of vucd", NULL,
		{{"uptime_ms"}}, true},
	{STATUS, GAUGE, "vuc_vmm_connections", "", "Connections of VMMs, attached or not", NULL,
		{{"connections"}}},
	{DEVICE, COUNTER, "vuc_device_accesses", "", "Accesses, failed ones included", "kind",
		{{"reads", "read"}, {"writes", "write"}, {"posted", "posted_write"}}},
	{DEVICE, COUNTER, "vuc_device_bytes", "bytes",
		"Bytes read from the server, or sent to it by writes", "direction",
		{{"read_bytes", "read"}, {"written_bytes", "write"}}},
	{DEVICE, COUNTER, "vuc_device_errors", "", "Accesses that failed", NULL, {{"errors"}}},
	{DEVICE, COUNTER, "vuc_device_timeouts", "", "Accesses that failed because of a timeout",
		NULL, {{"timeouts"}}},
	{DEVICE, COUNTER, "vuc_device_connections", "", "Connections to the server", NULL,
		{{"generation"}}},
	{DEVICE, COUNTER, "vuc_device_outages", "", "Times that the connection was lost", NULL,
		{{"outages"}}},
	{DEVICE, COUNTER, "vuc_device_outage_seconds", "seconds",
		"Time of all outages, including one that has not ended", NULL, {{"outage_ms"}},
		true},
	{DEVICE, GAUGE, "vuc_device_last_outage_seconds", "seconds",
		"Time of the last outage that has ended", NULL, {{"outage_last_ms"}}, true},
	{DEVICE, COUNTER, "vuc_device_held_reads", "",
		"Times that a read was kept until the server is back", NULL, {{"held_reads"}}},
	{DEVICE, COUNTER, "vuc_device_dropped_writes", "",
		"Writes that were dropped because the server was away", NULL, {{"dropped_writes"}}},
	{DEVICE, COUNTER, "vuc_device_attaches", "", "Times that a VMM has attached", NULL,
		{{"attaches"}}},
	{DEVICE, GAUGE, "vuc_device_queues", "", "Open queues of the VMM", NULL, {{"queues"}}},
	{DEVICE, GAUGE, "vuc_device_dma_maps", "", "DMA mappings of the VMM", NULL, {{"dma_maps"}}},
	{POLLER, COUNTER, "vuc_poller_loops", "", "Loops with and without work", "work",
		{{"loops_busy", "busy"}, {"loops_empty", "empty"}}},
	{POLLER, COUNTER, "vuc_poller_sleeps", "", "Times that the poller slept", NULL,
		{{"sleeps"}}},
	{POLLER, COUNTER, "vuc_poller_calls", "", "Calls on the poller's thread for other threads",
		NULL, {{"calls"}}},
	{POLLER, COUNTER, "vuc_poller_retries", "",
		"Times that a request stayed in its queue for lack of room", NULL, {{"retries"}}},
	{POLLER, COUNTER, "vuc_poller_broken_queues", "",
		"Queues that were closed because of an invalid request", NULL, {{"broken_queues"}}},
	{POLLER, GAUGE, "vuc_poller_devices", "", "Connected devices", NULL, {{"devices"}}},
	{POLLER, GAUGE, "vuc_poller_queues", "", "Open queues", NULL, {{"queues"}}},
};

static void
print_number(struct printer *p, uint64_t number, bool ms)
{
	if (ms)
		fprintf(p->out, " %" PRIu64 ".%03" PRIu64 "\n", number / 1000, number % 1000);
	else
		fprintf(p->out, " %" PRIu64 "\n", number);
}

/* The samples of a metric of one object, called name if it has a label for that. */
static void
print_samples(struct printer *p, const struct metric *metric, const char *name_label,
	struct json_object *obj)
{
	size_t i;

	for (i = 0; i < COUNT(metric->samples) && metric->samples[i].key != NULL; i++) {
		uint64_t number = app_reply_number(&p->reply, obj, metric->samples[i].key);

		fprintf(p->out, "%s%s", metric->name, metric->type == COUNTER ? "_total" : "");
		if (name_label != NULL) {
			putc('{', p->out);
			print_label(p, name_label, app_reply_text(&p->reply, obj, "name"));
			if (metric->label != NULL)
				fprintf(p->out, ",%s=\"%s\"", metric->label,
					metric->samples[i].value);
			putc('}', p->out);
		}
		print_number(p, number, metric->ms);
	}
}

static void
print_metric(struct printer *p, const struct metric *metric, const struct answers *answers)
{
	static const char *const arrays[] = {[DEVICE] = "devices", [POLLER] = "pollers"};
	static const char *const labels[] = {[DEVICE] = "device", [POLLER] = "poller"};
	struct json_object *array;
	size_t i, n;

	print_header(p, metric->name, metric->type, metric->unit, metric->help);
	if (metric->of == STATUS) {
		print_samples(p, metric, NULL, answers->status);
		return;
	}
	array = app_reply_array(&p->reply, answers->stats, arrays[metric->of], &n);
	for (i = 0; i < n; i++)
		print_samples(p, metric, labels[metric->of], json_object_array_get_idx(array, i));
}

/* ---- the others ---- */

static void
print_up(struct printer *p, bool up)
{
	print_header(p, "vuc_up", GAUGE, "", "Whether vucd has answered");
	fprintf(p->out, "vuc_up %d\n", up);
}

static void
print_build(struct printer *p, const struct answers *answers)
{
	print_header(p, "vuc_build", INFO, "", "Version of vucd");
	fputs("vuc_build_info{", p->out);
	print_label(p, "version", app_reply_text(&p->reply, answers->status, "version"));
	fputs("} 1\n", p->out);
}

static void
print_device_info(struct printer *p, const struct answers *answers)
{
	size_t i, n;
	struct json_object *array = app_reply_array(&p->reply, answers->devices, "devices", &n);

	print_header(p, "vuc_device", INFO, "", "The poller of a device");
	for (i = 0; i < n; i++) {
		struct json_object *device = json_object_array_get_idx(array, i);

		fputs("vuc_device_info{", p->out);
		print_label(p, "device", app_reply_text(&p->reply, device, "name"));
		putc(',', p->out);
		print_label(p, "poller", app_reply_text(&p->reply, device, "poller"));
		fputs("} 1\n", p->out);
	}
}

static void
print_state(struct printer *p, const char *name, const char *state, bool now)
{
	fputs("vuc_device_state{", p->out);
	print_label(p, "device", name);
	putc(',', p->out);
	print_label(p, "state", state);
	fprintf(p->out, "} %d\n", now);
}

/* A state that this version does not know is shown as well. */
static void
print_device_state(struct printer *p, struct json_object *device)
{
	static const char *const states[] = {"away", "free", "attached", "cleaning",
		"not-answering", "stale", "fenced", "restoring"};
	const char *name = app_reply_text(&p->reply, device, "name");
	const char *state = app_reply_text(&p->reply, device, "state");
	bool known = false;
	size_t i;

	for (i = 0; i < COUNT(states); i++) {
		bool now = strcmp(states[i], state) == 0;

		print_state(p, name, states[i], now);
		known = known || now;
	}
	if (!known)
		print_state(p, name, state, true);
}

static void
print_device_states(struct printer *p, const struct answers *answers)
{
	size_t i, n;
	struct json_object *array = app_reply_array(&p->reply, answers->stats, "devices", &n);

	print_header(p, "vuc_device_state", GAUGE, "", "Whether the device is in this state");
	for (i = 0; i < n; i++)
		print_device_state(p, json_object_array_get_idx(array, i));
}

/* Neither a process ID nor the time of the attach: each would be another series. */
static void
print_vmms(struct printer *p, const struct answers *answers)
{
	size_t i, n;
	struct json_object *array = app_reply_array(&p->reply, answers->devices, "devices", &n);

	print_header(p, "vuc_vmm_attached_seconds", GAUGE, "seconds",
		"Time since the VMM attached to the device");
	for (i = 0; i < n; i++) {
		struct json_object *device = json_object_array_get_idx(array, i);
		struct json_object *vmm = app_reply_object_or_null(&p->reply, device, "vmm");

		if (vmm == NULL)
			continue;
		fputs("vuc_vmm_attached_seconds{", p->out);
		print_label(p, "device", app_reply_text(&p->reply, device, "name"));
		putc(',', p->out);
		print_label(p, "vmm", app_reply_text(&p->reply, vmm, "name"));
		putc(',', p->out);
		print_label(p, "plane", app_reply_text(&p->reply, vmm, "plane"));
		fprintf(p->out, ",uid=\"%" PRIu64 "\"}", app_reply_number(&p->reply, vmm, "uid"));
		print_number(p, app_reply_number(&p->reply, vmm, "attached_ms"), true);
	}
}

/* An element of an array of numbers, likewise. */
static uint64_t
reply_element(struct app_reply *reply, const char *key, struct json_object *array, size_t i)
{
	struct json_object *number = json_object_array_get_idx(array, i);

	if (json_object_is_type(number, json_type_int) && json_object_get_int64(number) >= 0)
		return json_object_get_uint64(number);
	if (reply->lacks == NULL)
		reply->lacks = key;
	return 0;
}

static void
print_bucket(struct printer *p, const char *name, const char *bound, uint64_t count)
{
	fputs("vuc_device_latency_seconds_bucket{", p->out);
	print_label(p, "device", name);
	fprintf(p->out, ",le=\"%s\"} %" PRIu64 "\n", bound, count);
}

/* A bound in seconds, with a point or an exponent, as OpenMetrics asks for. */
static void
format_bound(uint64_t ns, char text[32])
{
	snprintf(text, 32, "%.9g", (double)ns / 1e9);
	if (strpbrk(text, ".e") == NULL)
		strcat(text, ".0");
}

static void
print_latency(struct printer *p, const char *name, struct json_object *latency)
{
	size_t nr_bounds, nr_counts, i;
	struct json_object *bounds = app_reply_array(&p->reply, latency, "bounds_ns", &nr_bounds);
	struct json_object *counts = app_reply_array(&p->reply, latency, "counts", &nr_counts);
	uint64_t sum_us = app_reply_number(&p->reply, latency, "sum_us");
	uint64_t count = 0, last = 0;

	if (nr_counts != nr_bounds + 1) {
		p->reply.lacks = "counts";
		return;
	}
	for (i = 0; i < nr_bounds; i++) {
		uint64_t bound = reply_element(&p->reply, "bounds_ns", bounds, i);
		char text[32];

		if (bound <= last)
			p->reply.lacks = "bounds_ns";
		last = bound;
		count += reply_element(&p->reply, "counts", counts, i);
		format_bound(bound, text);
		print_bucket(p, name, text, count);
	}
	count += reply_element(&p->reply, "counts", counts, i);
	print_bucket(p, name, "+Inf", count);
	fputs("vuc_device_latency_seconds_sum{", p->out);
	print_label(p, "device", name);
	fprintf(p->out, "} %" PRIu64 ".%06" PRIu64 "\nvuc_device_latency_seconds_count{",
		sum_us / 1000000, sum_us % 1000000);
	print_label(p, "device", name);
	fprintf(p->out, "} %" PRIu64 "\n", count);
}

static void
print_latencies(struct printer *p, const struct answers *answers)
{
	size_t i, n;
	struct json_object *array = app_reply_array(&p->reply, answers->stats, "devices", &n);

	print_header(p, "vuc_device_latency_seconds", HISTOGRAM, "seconds",
		"Time from taking a request from its queue to its answer, if the poller measures it");
	for (i = 0; i < n; i++) {
		struct json_object *device = json_object_array_get_idx(array, i);
		struct json_object *latency =
			app_reply_object_or_null(&p->reply, device, "latency");

		if (latency != NULL)
			print_latency(p, app_reply_text(&p->reply, device, "name"), latency);
	}
}

static void
print_all(struct printer *p, const struct answers *answers)
{
	size_t i;

	print_up(p, true);
	print_build(p, answers);
	for (i = 0; i < COUNT(metrics); i++)
		print_metric(p, &metrics[i], answers);
	print_device_info(p, answers);
	print_device_states(p, answers);
	print_vmms(p, answers);
	print_latencies(p, answers);
}

/* ---- asking the daemon ---- */

static int
ask_all(const char *path, uint32_t timeout_ms, app_management_poll_fn poll, struct answers *answers,
	char why[APP_MANAGEMENT_WHY_SIZE])
{
	uint64_t end_ns = vuc_clock_ns() + (uint64_t)timeout_ms * 1000000;
	struct app_management m;
	int ret = app_management_open(&m, path, timeout_ms, poll);

	m.end_ns = end_ns;
	if (ret == 0)
		ret = app_management_call(&m, "status", NULL, &answers->status);
	if (ret == 0)
		ret = app_management_call(&m, "devices.list", NULL, &answers->devices);
	if (ret == 0)
		ret = app_management_call(&m, "stats.get", NULL, &answers->stats);
	memcpy(why, m.why, sizeof(m.why));
	app_management_close(&m);
	return ret;
}

/* Print all, or, without answers, that there are none. Returns NULL when out of memory. */
static char *
answers_format(const struct answers *answers, enum app_metrics_format format, size_t *len,
	const char **lacks)
{
	struct printer p = {.format = format};
	char *text = NULL;
	bool failed;

	p.out = open_memstream(&text, len);
	if (p.out == NULL)
		return NULL;
	if (answers != NULL)
		print_all(&p, answers);
	else
		print_up(&p, false);
	if (format == APP_METRICS_OPENMETRICS)
		fputs("# EOF\n", p.out);
	failed = ferror(p.out) != 0;
	failed = fclose(p.out) != 0 || failed;
	*lacks = p.reply.lacks;
	if (!failed && p.reply.lacks == NULL)
		return text;
	free(text);
	return NULL;
}

char *
app_metrics_collect(const char *path, uint32_t timeout_ms, app_management_poll_fn poll,
	enum app_metrics_format format, size_t *len, char why[APP_MANAGEMENT_WHY_SIZE])
{
	struct answers answers = {NULL, NULL, NULL};
	const char *lacks = NULL;
	char *text = NULL;
	bool up = ask_all(path, timeout_ms, poll, &answers, why) == 0;

	if (up) {
		text = answers_format(&answers, format, len, &lacks);
		up = lacks == NULL;
		why[0] = '\0';
		if (!up)
			snprintf(why, APP_MANAGEMENT_WHY_SIZE,
				"the daemon's answers lack a valid '%s'", lacks);
	}
	if (!up)
		text = answers_format(NULL, format, len, &lacks);
	json_object_put(answers.status);
	json_object_put(answers.devices);
	json_object_put(answers.stats);
	return text;
}
