/* SPDX-License-Identifier: BSD-3-Clause */
#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "argument.h"
#include "command.h"
#include "message.h"
#include "number.h"
#include "stats_sample.h"
#include "table.h"

#define COMMAND "stats"

#define MIN_INTERVAL_MS 100
#define MAX_INTERVAL_MS 3600000

static void
print_help(void)
{
	printf("Usage: vucctl stats [OPTION...] [DEVICE]\n"
	       "\n"
	       "Shows what the daemon has counted: of DEVICE, or of all devices and pollers.\n"
	       "\n"
	       "Options:\n" VUCCTL_DAEMON_HELP
	       "  -w, --watch            show devices' rates per second, again and again\n"
	       "  -i, --interval SECONDS\n"
	       "                         so far apart, 0.1 to 3600; 1 by default\n"
	       "  -c, --count N          end after so many times; 0, the default: never\n"
	       "  -j, --json             print one JSON object\n"
	       "  -h, --help             print this help and exit\n"
	       "\n"
	       "With --watch --json one object a line is printed.\n");
}

static int
take_option(void *arg, int opt, const char *value)
{
	struct vucctl_stats *stats = arg;

	switch (opt) {
	case 'w':
		stats->watch = true;
		return 0;
	case 'i':
		if (vucctl_seconds_parse(
			    value, MIN_INTERVAL_MS, MAX_INTERVAL_MS, &stats->interval_ms) == 0)
			return 0;
		return vucctl_fail_usage(
			COMMAND, "interval '%s' is not a number of seconds, 0.1 to 3600", value);
	default:
		if (vuc_number_parse(value, 0, 0, UINT64_MAX, &stats->count) == 0)
			return 0;
		return vucctl_fail_usage(COMMAND, "count '%s' is not a number", value);
	}
}

static int
take_arguments(void *arg, int argc, char *const argv[])
{
	struct vucctl_stats *stats = arg;
	int ret = vucctl_arguments_check(COMMAND, argc > 0 ? "device" : "", argc, argv);

	if (ret != 0)
		return ret;
	if (!stats->watch && (stats->interval_ms != 0 || stats->count != 0))
		return vucctl_fail_usage(
			COMMAND, "--interval and --count are of use with --watch only");
	stats->device = argc > 0 ? argv[0] : NULL;
	return 0;
}

/* ---- devices ---- */

static void
add_device(struct vucctl_table *table, const struct vucctl_device_sample *device)
{
	const uint64_t numbers[] = {device->reads, device->writes, device->posted, device->errors,
		device->timeouts, device->queues, device->dma_maps, device->attaches};
	size_t i;

	vucctl_table_add(table, "%s", device->name);
	vucctl_table_add(table, "%s", device->state);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		vucctl_table_add(table, "%" PRIu64, numbers[i]);
}

static int
fill_devices(struct vucctl_table *table, struct vucctl_reply *reply, struct json_object *result)
{
	static const struct vucctl_column columns[] = {{"DEVICE", false}, {"STATE", false},
		{"READS", true}, {"WRITES", true}, {"POSTED", true}, {"ERRORS", true},
		{"TIMEOUTS", true}, {"QUEUES", true}, {"DMA MAPS", true}, {"ATTACHES", true}};
	struct vucctl_stats_sample sample;
	int ret = vucctl_stats_sample_read(&sample, reply, result);
	size_t i;

	vucctl_table_init(table, columns, sizeof(columns) / sizeof(columns[0]));
	for (i = 0; i < sample.nr_devices && ret == 0; i++)
		add_device(table, &sample.devices[i]);
	table->failed = table->failed || ret != 0;
	vucctl_stats_sample_free(&sample);
	return ret;
}

/* ---- pollers ---- */

/* A poller that may run anywhere has no CPU. */
static void
add_cpu(struct vucctl_table *table, struct vucctl_reply *reply, struct json_object *poller)
{
	struct json_object *cpu;

	if (json_object_is_type(poller, json_type_object) &&
		json_object_object_get_ex(poller, "cpu", &cpu) && cpu == NULL)
		vucctl_table_add(table, "%s", "");
	else
		vucctl_table_add(table, "%" PRIu64, vucctl_reply_number(reply, poller, "cpu"));
}

/* The part of its loops in which there was something to do. */
static void
add_busy(struct vucctl_table *table, struct vucctl_reply *reply, struct json_object *poller)
{
	double busy = (double)vucctl_reply_number(reply, poller, "loops_busy");
	double all = busy + (double)vucctl_reply_number(reply, poller, "loops_empty");

	vucctl_table_add(table, "%.1f%%", all > 0 ? busy / all * 100 : 0);
}

static void
add_poller(struct vucctl_table *table, struct vucctl_reply *reply, struct json_object *poller)
{
	static const char *const keys[] = {"sleeps", "devices", "queues", "reads", "writes",
		"posted", "retries", "errors", "timeouts"};
	size_t i;

	vucctl_table_add(table, "%s", vucctl_reply_text(reply, poller, "name"));
	add_cpu(table, reply, poller);
	vucctl_table_add(table, "%s", vucctl_reply_text(reply, poller, "idle"));
	vucctl_table_add(table, "%s", vucctl_reply_text(reply, poller, "transport"));
	add_busy(table, reply, poller);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		vucctl_table_add(table, "%" PRIu64, vucctl_reply_number(reply, poller, keys[i]));
}

static void
fill_pollers(struct vucctl_table *table, struct vucctl_reply *reply, struct json_object *result)
{
	static const struct vucctl_column columns[] = {{"POLLER", false}, {"CPU", true},
		{"IDLE", false}, {"TRANSPORT", false}, {"BUSY", true}, {"SLEEPS", true},
		{"DEVICES", true}, {"QUEUES", true}, {"READS", true}, {"WRITES", true},
		{"POSTED", true}, {"RETRIES", true}, {"ERRORS", true}, {"TIMEOUTS", true}};
	struct json_object *array;
	size_t i, n;

	vucctl_table_init(table, columns, sizeof(columns) / sizeof(columns[0]));
	array = vucctl_reply_array(reply, result, "pollers", &n);
	for (i = 0; i < n; i++)
		add_poller(table, reply, json_object_array_get_idx(array, i));
}

/* ---- all ---- */

static int
print_tables(const struct vucctl_table *devices, const struct vucctl_table *pollers)
{
	int ret = vucctl_table_print(stdout, devices);

	if (ret == 0 && pollers->nr_cells > 0) {
		putchar('\n');
		ret = vucctl_table_print(stdout, pollers);
	}
	return ret == 0 ? EXIT_SUCCESS : vucctl_fail("%s", strerror(-ret));
}

static int
print_text(const struct vucctl_daemon *daemon, struct json_object *result)
{
	struct vucctl_reply reply = {NULL};
	struct vucctl_table devices, pollers;
	int ret;

	fill_devices(&devices, &reply, result);
	fill_pollers(&pollers, &reply, result);
	if (reply.lacks == NULL)
		ret = print_tables(&devices, &pollers);
	else
		ret = vucctl_daemon_fail_answer(daemon, "stats.get", reply.lacks);
	vucctl_table_free(&devices);
	vucctl_table_free(&pollers);
	return ret;
}

static int
print_json(struct json_object *result)
{
	struct app_json json;

	app_json_init_copy(&json, result);
	return vucctl_daemon_print(&json);
}

static int
stats_command_run(void *arg, struct vucctl_daemon *daemon)
{
	const struct vucctl_stats *stats = arg;
	struct json_object *result;
	int ret;

	if (stats->watch)
		return vucctl_stats_watch(stats, daemon);
	ret = vucctl_stats_get(stats, daemon, &result);
	if (ret == 0)
		ret = daemon->json ? print_json(result) : print_text(daemon, result);
	json_object_put(result);
	return ret;
}

int
vucctl_stats_command(int argc, char *argv[])
{
	static const struct option options[] = {
		VUCCTL_DAEMON_LONG_OPTIONS,
		{"watch", no_argument, NULL, 'w'},
		{"interval", required_argument, NULL, 'i'},
		{"count", required_argument, NULL, 'c'},
		{NULL, 0, NULL, 0},
	};
	static const struct vucctl_daemon_command command = {
		.name = COMMAND,
		.short_options = ":" VUCCTL_DAEMON_SHORT_OPTIONS "wi:c:",
		.options = options,
		.print_help = print_help,
		.take_option = take_option,
		.take_arguments = take_arguments,
		.run = stats_command_run,
	};
	struct vucctl_stats stats = {.device = NULL};

	return vucctl_daemon_command_run(&command, &stats, argc, argv);
}
