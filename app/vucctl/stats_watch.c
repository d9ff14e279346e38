/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "interrupt.h"
#include "message.h"
#include "screen.h"
#include "stats.h"
#include "stats_sample.h"
#include "table.h"

#define DEFAULT_INTERVAL_MS 1000

/* Lines have the time before the rest. */
static const struct vucctl_column columns[] = {{"TIME", true}, {"DEVICE", false}, {"STATE", false},
	{"READS/S", true}, {"WRITES/S", true}, {"POSTED/S", true}, {"ERRORS/S", true},
	{"QUEUES", true}, {"DMA MAPS", true}};

#define NR_COLUMNS (sizeof(columns) / sizeof(columns[0]))

struct watch {
	const struct vucctl_stats *stats;
	struct vucctl_daemon *daemon;
	bool in_place;
	struct vucctl_screen screen;
	struct vucctl_table table;
	struct vucctl_stats_sample before, now;
	uint64_t first_ms; /* time of the first sample */
	uint64_t reports;
};

/* ---- samples ---- */

static int
read_sample(struct watch *watch, struct json_object *result)
{
	struct vucctl_reply reply = {NULL};
	int ret = vucctl_stats_sample_read(&watch->now, &reply, result);

	if (ret != 0)
		return vucctl_fail("%s", strerror(-ret));
	if (reply.lacks != NULL)
		return vucctl_daemon_fail_answer(watch->daemon, "stats.get", reply.lacks);
	if (watch->before.devices != NULL && watch->now.time_ms <= watch->before.time_ms)
		return vucctl_fail("%s: the daemon's clock stands still", watch->daemon->path);
	return 0;
}

int
vucctl_stats_get(
	const struct vucctl_stats *stats, struct vucctl_daemon *daemon, struct json_object **result)
{
	struct app_json params;

	app_json_init(&params);
	if (stats->device != NULL)
		app_json_text(&params, params.root, "device", stats->device);
	return vucctl_daemon_call(daemon, "stats.get", &params, result);
}

static int
take_sample(struct watch *watch)
{
	struct json_object *result;
	int ret = vucctl_stats_get(watch->stats, watch->daemon, &result);

	vucctl_stats_sample_free(&watch->before);
	watch->before = watch->now;
	watch->now = (struct vucctl_stats_sample){.devices = NULL};
	if (ret == 0)
		ret = read_sample(watch, result);
	json_object_put(result);
	return ret;
}

static bool
get_rates(const struct watch *watch, size_t i, struct vucctl_rates *rates)
{
	const struct vucctl_device_sample *now = &watch->now.devices[i];

	return vucctl_rates_between(rates, vucctl_stats_sample_find(&watch->before, i, now->name),
		now, watch->now.time_ms - watch->before.time_ms);
}

/* ---- text ---- */

/* Slow ones have a decimal; -1: there is no saying. */
static void
add_rate(struct vucctl_table *table, double rate)
{
	if (rate < 0)
		vucctl_table_add(table, "%s", "");
	else
		vucctl_table_add(table, "%.*f", rate > 0 && rate < 10 ? 1 : 0, rate);
}

static void
add_device(struct watch *watch, size_t i)
{
	const struct vucctl_device_sample *device = &watch->now.devices[i];
	struct vucctl_rates rates = {-1, -1, -1, -1};
	struct vucctl_table *table = &watch->table;

	get_rates(watch, i, &rates);
	if (!watch->in_place)
		vucctl_table_add(
			table, "%.1f", (double)(watch->now.time_ms - watch->first_ms) / 1000);
	vucctl_table_add(table, "%s", device->name);
	vucctl_table_add(table, "%s", device->state);
	add_rate(table, rates.reads);
	add_rate(table, rates.writes);
	add_rate(table, rates.posted);
	add_rate(table, rates.errors);
	vucctl_table_add(table, "%" PRIu64, device->queues);
	vucctl_table_add(table, "%" PRIu64, device->dma_maps);
}

static int
show_in_place(struct watch *watch)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int ret = -ENOMEM;

	if (out == NULL)
		return ret;
	ret = vucctl_table_print(out, &watch->table);
	if (fclose(out) != 0)
		ret = -ENOMEM;
	if (ret == 0)
		vucctl_screen_show(&watch->screen, text);
	free(text);
	return ret;
}

static int
show_lines(struct watch *watch)
{
	int ret = 0;

	if (watch->reports == 0)
		ret = vucctl_table_print_titles(stdout, &watch->table);
	if (ret == 0)
		ret = vucctl_table_print_rows(stdout, &watch->table);
	fflush(stdout);
	return ret;
}

static int
report_text(struct watch *watch)
{
	size_t i;
	int ret;

	vucctl_table_clear(&watch->table);
	for (i = 0; i < watch->now.nr_devices; i++)
		add_device(watch, i);
	ret = watch->in_place ? show_in_place(watch) : show_lines(watch);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : 0;
}

/* ---- JSON ---- */

static uint64_t
whole(double rate)
{
	return rate < 1e19 ? (uint64_t)(rate + 0.5) : UINT64_MAX;
}

static void
add_device_json(
	const struct watch *watch, struct app_json *json, struct json_object *array, size_t i)
{
	static const char *const keys[] = {
		"reads_per_s", "writes_per_s", "posted_per_s", "errors_per_s"};
	const struct vucctl_device_sample *device = &watch->now.devices[i];
	struct json_object *obj = app_json_object(json, array, NULL);
	struct vucctl_rates rates;
	bool known = get_rates(watch, i, &rates);
	const double values[] = {rates.reads, rates.writes, rates.posted, rates.errors};
	size_t k;

	app_json_text(json, obj, "name", device->name);
	app_json_text(json, obj, "state", device->state);
	for (k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		if (known)
			app_json_number(json, obj, keys[k], whole(values[k]));
		else
			app_json_null(json, obj, keys[k]);
	}
	app_json_number(json, obj, "queues", device->queues);
	app_json_number(json, obj, "dma_maps", device->dma_maps);
}

static int
report_json(struct watch *watch)
{
	struct json_object *array;
	struct app_json json;
	size_t i;
	int ret;

	app_json_init(&json);
	app_json_number(&json, json.root, "time_ms", watch->now.time_ms - watch->first_ms);
	app_json_number(
		&json, json.root, "interval_ms", watch->now.time_ms - watch->before.time_ms);
	array = app_json_array(&json, json.root, "devices");
	for (i = 0; i < watch->now.nr_devices; i++)
		add_device_json(watch, &json, array, i);
	ret = vucctl_daemon_print_line(&json);
	fflush(stdout);
	return ret;
}

/* ---- the loop ---- */

/* Wait for an interval from here on, however late the last answer was: the next sample is never of
 * the same moment. */
static void
await_time(const struct watch *watch)
{
	uint32_t interval_ms = watch->stats->interval_ms;
	uint64_t now = vuc_clock_ns();
	uint64_t next;

	if (interval_ms == 0)
		interval_ms = DEFAULT_INTERVAL_MS;
	next = now + (uint64_t)interval_ms * 1000000;
	while (now < next && !vucctl_interrupted()) {
		vucctl_interrupt_poll(NULL, 0, (int)((next - now + 999999) / 1000000));
		now = vuc_clock_ns();
	}
}

/* A reader that has gone is told of by main(). */
static bool
is_done(const struct watch *watch)
{
	return vucctl_interrupted() || ferror(stdout) ||
		(watch->stats->count != 0 && watch->reports == watch->stats->count);
}

static int
stats_watch_run(struct watch *watch)
{
	int ret = take_sample(watch);

	watch->first_ms = watch->now.time_ms;
	while (ret == 0 && !is_done(watch)) {
		await_time(watch);
		if (vucctl_interrupted())
			break;
		ret = take_sample(watch);
		if (ret != 0)
			break;
		ret = watch->daemon->json ? report_json(watch) : report_text(watch);
		watch->reports++;
	}
	return vucctl_interrupted() ? EXIT_SUCCESS : ret;
}

int
vucctl_stats_watch(const struct vucctl_stats *stats, struct vucctl_daemon *daemon)
{
	struct watch watch = {.stats = stats, .daemon = daemon};
	int ret;

	watch.in_place = vucctl_screen_init(&watch.screen, stdout) && !daemon->json;
	vucctl_table_init(&watch.table, columns + watch.in_place, NR_COLUMNS - watch.in_place);
	vucctl_interrupt_install();
	ret = stats_watch_run(&watch);
	vucctl_table_free(&watch.table);
	vucctl_stats_sample_free(&watch.before);
	vucctl_stats_sample_free(&watch.now);
	return ret;
}
