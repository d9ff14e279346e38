/* SPDX-License-Identifier: BSD-3-Clause */
#include "methods.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vuc/stats.h>

#include "capture_ring.h"
#include "clock.h"
#include "daemon.h"
#include "names.h"
#include "text.h"

static const char *const state_names[VUC_CONTROL_STATES] = {
	[VUC_CONTROL_AWAY] = "away",
	[VUC_CONTROL_FREE] = "free",
	[VUC_CONTROL_ATTACHED] = "attached",
	[VUC_CONTROL_CLEANING] = "cleaning",
	[VUC_CONTROL_NOT_ANSWERING] = "not-answering",
	[VUC_CONTROL_STALE] = "stale",
	[VUC_CONTROL_FENCED] = "fenced",
	[VUC_CONTROL_RESTORING] = "restoring",
};

/* The end of what a method has begun. */
static void
call_done(void *arg, int rc, const char *why)
{
	struct vucd_rpc_call *call = arg;

	if (rc == 0)
		vucd_rpc_return(call);
	else
		vucd_rpc_fail(call, VUCD_RPC_FAILED, rc, "%s", why);
}

/* ---- what there is to say of a device ---- */

enum field_type {
	TEXT,
	TEXT_OR_NULL,
	NUMBER_32,
	NUMBER_64,
	STATE,
	PLANE,
	LATENCY,
};

/* Which replies have a field. */
#define LIST  0x1u /* a device of devices.list */
#define VMM   0x2u /* its VMM, there and in vmms.list */
#define STATS 0x4u /* a device of stats.get */

#define FIELD(name) offsetof(struct vuc_control_device, name)

static const struct field {
	const char *name;
	enum field_type type;
	size_t offset; /* in a struct vuc_control_device */
	unsigned int replies;
} device_fields[] = {
	{"name", TEXT, FIELD(name), LIST | STATS},
	{"socket", TEXT, FIELD(socket), LIST},
	{"poller", TEXT, FIELD(poller), LIST},
	{"state", STATE, FIELD(state), LIST | STATS},
	{"since_ms", NUMBER_64, FIELD(since_ms), LIST},
	{"reason", TEXT_OR_NULL, FIELD(reason), LIST},
	{"generation", NUMBER_64, FIELD(generation), LIST | STATS},
	{"export", TEXT_OR_NULL, FIELD(export_path), LIST},
	{"pid", NUMBER_32, FIELD(vmm_pid), VMM},
	{"uid", NUMBER_32, FIELD(vmm_uid), VMM},
	{"name", TEXT, FIELD(vmm_name), VMM},
	{"plane", PLANE, FIELD(vmm_exported), VMM},
	{"queues", NUMBER_32, FIELD(queues), VMM | STATS},
	{"dma_maps", NUMBER_32, FIELD(dma_maps), VMM | STATS},
	{"attached_ms", NUMBER_64, FIELD(attached_ms), VMM},
	{"reads", NUMBER_64, FIELD(reads), STATS},
	{"writes", NUMBER_64, FIELD(writes), STATS},
	{"posted", NUMBER_64, FIELD(posted), STATS},
	{"errors", NUMBER_64, FIELD(errors), STATS},
	{"timeouts", NUMBER_64, FIELD(timeouts), STATS},
	{"attaches", NUMBER_64, FIELD(attaches), STATS},
	{"outages", NUMBER_64, FIELD(outages), STATS},
	{"outage_ms", NUMBER_64, FIELD(outage_ms), STATS},
	{"outage_last_ms", NUMBER_64, FIELD(outage_last_ms), STATS},
	{"held_reads", NUMBER_64, FIELD(held_reads), STATS},
	{"dropped_writes", NUMBER_64, FIELD(dropped_writes), STATS},
	{"read_bytes", NUMBER_64, FIELD(read_bytes), STATS},
	{"written_bytes", NUMBER_64, FIELD(written_bytes), STATS},
	{"latency", LATENCY, FIELD(latency), STATS},
};

static void
add_numbers(struct app_json *json, struct json_object *obj, const char *name,
	const uint64_t *numbers, size_t nr)
{
	struct json_object *array = app_json_array(json, obj, name);
	size_t i;

	for (i = 0; i < nr; i++)
		app_json_number(json, array, NULL, numbers[i]);
}

/* null if they were never measured. */
static void
add_latency(struct app_json *json, struct json_object *obj, const char *name,
	const struct vuc_latency_histogram *latency)
{
	uint64_t count = 0;
	size_t i;

	for (i = 0; i <= VUC_LATENCY_BOUNDS; i++)
		count += latency->counts[i];
	if (!latency->on && count == 0) {
		app_json_null(json, obj, name);
		return;
	}
	obj = app_json_object(json, obj, name);
	app_json_number(json, obj, "sum_us", latency->sum_us);
	add_numbers(json, obj, "bounds_ns", latency->bounds_ns, VUC_LATENCY_BOUNDS);
	add_numbers(json, obj, "counts", latency->counts, VUC_LATENCY_BOUNDS + 1);
}

static void
add_field(struct app_json *json, struct json_object *obj, const struct field *field,
	const void *value)
{
	switch (field->type) {
	case TEXT:
		app_json_text(json, obj, field->name, value);
		break;
	case TEXT_OR_NULL:
		app_json_text_or_null(json, obj, field->name, value);
		break;
	case NUMBER_32:
		app_json_number(json, obj, field->name, *(const uint32_t *)value);
		break;
	case NUMBER_64:
		app_json_number(json, obj, field->name, *(const uint64_t *)value);
		break;
	case STATE:
		app_json_text(json, obj, field->name,
			state_names[*(const enum vuc_control_state *)value]);
		break;
	case PLANE:
		app_json_text(json, obj, field->name,
			*(const bool *)value ? "vfio-user" : "shared-memory");
		break;
	case LATENCY:
		add_latency(json, obj, field->name, value);
		break;
	}
}

/* Add the fields that a reply has. */
static void
add_device(struct app_json *json, struct json_object *obj, unsigned int reply,
	const struct vuc_control_device *device)
{
	size_t i;

	for (i = 0; i < sizeof(device_fields) / sizeof(device_fields[0]); i++) {
		const struct field *field = &device_fields[i];

		if ((field->replies & reply) != 0)
			add_field(json, obj, field, (const char *)device + field->offset);
	}
}

/* An array of a reply. */
struct list {
	struct app_json *json;
	struct json_object *array;
};

static struct list
list_begin(struct vucd_rpc_call *call, const char *name)
{
	return (struct list){call->answer, app_json_array(call->answer, call->result, name)};
}

/* ---- status, devices.list and vmms.list ---- */

static void
count_state(void *arg, const struct vuc_control_device *device)
{
	unsigned int *counts = arg;

	counts[device->state]++;
}

static void
call_status(struct vucd_rpc_call *call)
{
	const struct vucd_daemon *d = call->arg;
	struct app_json *json = call->answer;
	struct json_object *result = call->result, *devices;
	unsigned int counts[VUC_CONTROL_STATES] = {0};
	int state;

	vuc_control_list(d->control, count_state, counts);
	app_json_text(json, result, "version", d->version);
	app_json_number(json, result, "pid", (uint64_t)getpid());
	app_json_number(json, result, "uptime_ms", vuc_clock_ms() - d->started_ms);
	app_json_text(json, result, "state", d->coming > 0 ? "starting" : "running");
	app_json_text(json, result, "directory", d->dir.path);
	app_json_text(json, result, "vmm_socket", d->vmm_socket);
	app_json_text(json, result, "log_level", vucd_log_level_name(vucd_log_level(d->log)));
	app_json_number(json, result, "connections", vuc_control_connections(d->control));
	app_json_number(json, result, "pollers", d->pollers.nr);
	devices = app_json_object(json, result, "devices");
	for (state = 0; state < VUC_CONTROL_STATES; state++)
		app_json_number(json, devices, state_names[state], counts[state]);
	vucd_rpc_return(call);
}

static void
list_device(void *arg, const struct vuc_control_device *device)
{
	const struct list *list = arg;
	struct json_object *obj = app_json_object(list->json, list->array, NULL);

	add_device(list->json, obj, LIST, device);
	if (device->vmm_pid != 0)
		add_device(list->json, app_json_object(list->json, obj, "vmm"), VMM, device);
	else
		app_json_null(list->json, obj, "vmm");
}

static void
call_devices_list(struct vucd_rpc_call *call)
{
	const struct vucd_daemon *d = call->arg;
	struct list list = list_begin(call, "devices");

	vuc_control_list(d->control, list_device, &list);
	vucd_rpc_return(call);
}

static void
list_vmm(void *arg, const struct vuc_control_device *device)
{
	const struct list *list = arg;
	struct json_object *obj;

	if (device->vmm_pid == 0)
		return;
	obj = app_json_object(list->json, list->array, NULL);
	app_json_text(list->json, obj, "device", device->name);
	add_device(list->json, obj, VMM, device);
}

static void
call_vmms_list(struct vucd_rpc_call *call)
{
	const struct vucd_daemon *d = call->arg;
	struct list list = list_begin(call, "vmms");

	vuc_control_list(d->control, list_vmm, &list);
	vucd_rpc_return(call);
}

/* ---- stats.get ---- */

enum {
	STATS_DEVICE,
	STATS_POLLER
};

static const struct vucd_rpc_param stats_params[] = {
	[STATS_DEVICE] = {"device", VUCD_RPC_STRING, false},
	[STATS_POLLER] = {"poller", VUCD_RPC_STRING, false},
	{"", VUCD_RPC_STRING, false},
};

static void
add_counters(struct app_json *json, struct json_object *obj, const struct vuc_counter *counter,
	const void *stats)
{
	for (; counter->name != NULL; counter++)
		app_json_number(json, obj, counter->name, vuc_counter_value(counter, stats));
}

static void
list_poller_stats(struct list *list, const struct vucd_poller *poller)
{
	struct app_json *json = list->json;
	struct json_object *obj = app_json_object(json, list->array, NULL);
	struct vuc_poller_stats stats;
	int cpu = vuc_poller_cpu(poller->poller);

	vuc_poller_get_stats(poller->poller, &stats);
	app_json_text(json, obj, "name", vuc_poller_name(poller->poller));
	if (cpu >= 0)
		app_json_number(json, obj, "cpu", (uint64_t)cpu);
	else
		app_json_null(json, obj, "cpu");
	app_json_text(json, obj, "idle",
		vucd_key_word(&vucd_section_poller, "idle", (uint32_t)poller->idle));
	app_json_text(json, obj, "transport", poller->transport);
	app_json_text(json, obj, "placement", vuc_poller_placement(poller->poller));
	add_counters(json, obj, vuc_poller_counters, &stats);
	add_counters(json, obj, vuc_access_counters, &stats.accesses);
	add_numbers(json, obj, "burst_sizes", stats.accesses.burst_sizes, VUC_BURST_SIZES);
}

static void
list_device_stats(void *arg, const struct vuc_control_device *device)
{
	const struct list *list = arg;

	add_device(list->json, app_json_object(list->json, list->array, NULL), STATS, device);
}

/* One device, one poller, or, when neither is named, all of both. */
static void
call_stats_get(struct vucd_rpc_call *call)
{
	const struct vucd_daemon *d = call->arg;
	const char *device = json_object_get_string(call->params[STATS_DEVICE]);
	const char *poller = json_object_get_string(call->params[STATS_POLLER]);
	bool all = device == NULL && poller == NULL;
	struct vuc_control_device found;
	unsigned int i, n = 0;
	struct list list;

	app_json_number(call->answer, call->result, "time_ms", vuc_clock_ms());
	list = list_begin(call, "devices");
	if (device != NULL && vuc_control_look(d->control, device, &found) != 0) {
		vucd_rpc_fail(call, VUCD_RPC_FAILED, -ENOENT, "there is no device %.64s", device);
		return;
	}
	if (device != NULL)
		list_device_stats(&list, &found);
	else if (all)
		vuc_control_list(d->control, list_device_stats, &list);
	list = list_begin(call, "pollers");
	for (i = 0; i < d->pollers.nr; i++) {
		const struct vucd_poller *p = &d->pollers.all[i];

		if (all || (poller != NULL && strcmp(vuc_poller_name(p->poller), poller) == 0)) {
			list_poller_stats(&list, p);
			n++;
		}
	}
	if (poller != NULL && n == 0)
		vucd_rpc_fail(call, VUCD_RPC_FAILED, -ENOENT, "there is no poller %.64s", poller);
	else
		vucd_rpc_return(call);
}

/* ---- devices.add ---- */

static enum vucd_rpc_type
key_rpc_type(const struct vucd_key *key)
{
	switch (key->type) {
	case VUCD_SWITCH:
		return VUCD_RPC_BOOL;
	case VUCD_NUMBER:
		return key->max > 0 && !key->octal ? VUCD_RPC_NUMBER : VUCD_RPC_STRING;
	case VUCD_USERS:
	case VUCD_GROUPS:
		return VUCD_RPC_STRINGS;
	default:
		return VUCD_RPC_STRING;
	}
}

/* The name and the keys of a [device] section, with '_' for '-'. */
static void
fill_add_params(struct vucd_rpc_param add_params[VUCD_RPC_MAX_PARAMS + 1])
{
	const struct vucd_section *section = &vucd_section_device;
	size_t i;

	assert(section->nr_keys + 1 <= VUCD_RPC_MAX_PARAMS);
	add_params[0] = (struct vucd_rpc_param){"name", VUCD_RPC_STRING, true};
	for (i = 0; i < section->nr_keys; i++) {
		struct vucd_rpc_param *param = &add_params[i + 1];
		char *c;

		snprintf(param->name, sizeof(param->name), "%s", section->keys[i].name);
		for (c = strchr(param->name, '-'); c != NULL; c = strchr(c, '-'))
			*c = '_';
		param->type = key_rpc_type(&section->keys[i]);
		param->required = section->keys[i].fallback == NULL;
	}
}

/* A list with commas, or what does not fit a line of the file: false. A word with a comma in it
 * would be two. */
static bool
strings_join(struct json_object *array, char text[VUCD_VALUE_SIZE])
{
	size_t i, n = json_object_array_length(array), len = 0;

	snprintf(text, VUCD_VALUE_SIZE, "%s", n == 0 ? "none" : "");
	for (i = 0; i < n && len < VUCD_VALUE_SIZE; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(array, i));

		if (strchr(word, ',') != NULL)
			return false;
		len += (size_t)snprintf(
			text + len, VUCD_VALUE_SIZE - len, "%s%s", i > 0 ? "," : "", word);
	}
	return len < VUCD_VALUE_SIZE;
}

/* The value of a param as it would stand in the file. */
static bool
param_text(enum vucd_rpc_type type, struct json_object *value, char text[VUCD_VALUE_SIZE])
{
	const char *string = json_object_get_string(value); /* of an integer its digits */

	if (type == VUCD_RPC_STRINGS)
		return strings_join(value, text);
	if (type == VUCD_RPC_BOOL)
		string = json_object_get_boolean(value) ? "on" : "off";
	return snprintf(text, VUCD_VALUE_SIZE, "%s", string) < VUCD_VALUE_SIZE;
}

/* Returns whether a key could be set; else fills err. */
static bool
set_param(struct vucd_device_config *config, const struct vucd_key *key, enum vucd_rpc_type type,
	struct json_object *value, struct vuc_error *err)
{
	char text[VUCD_VALUE_SIZE], why[VUC_ERROR_MAX];

	if (!param_text(type, value, text)) {
		snprintf(err->text, sizeof(err->text),
			"%s: expected at most %d bytes, and no comma in a word", key->name,
			VUCD_VALUE_SIZE - 1);
		return false;
	}
	if (vucd_key_set(key, config, text))
		return true;
	vucd_key_explain(key, text, why, sizeof(why));
	snprintf(err->text, sizeof(err->text), "%s = %.64s: %.180s", key->name, text, why);
	vuc_text_clean_controls(err->text);
	return false;
}

static void
call_devices_add(struct vucd_rpc_call *call)
{
	const struct vucd_section *section = &vucd_section_device;
	struct vucd_daemon *d = call->arg;
	struct vucd_device_config config;
	struct vuc_error err = {""};
	bool ok;
	size_t i;

	vucd_section_init(section, &config, sizeof(config));
	ok = set_param(&config, &section->key, VUCD_RPC_STRING, call->params[0], &err);
	for (i = 0; ok && i < section->nr_keys; i++) {
		if (call->params[i + 1] != NULL)
			ok = set_param(&config, &section->keys[i], key_rpc_type(&section->keys[i]),
				call->params[i + 1], &err);
	}
	if (ok && config.retry_min_ms > config.retry_max_ms) {
		snprintf(err.text, sizeof(err.text), VUCD_TIMES_DISAGREE, config.retry_min_ms,
			config.retry_max_ms);
		ok = false;
	}
	if (!ok) {
		vucd_log(d->log, VUC_LOG_WARNING, "management (%s): cannot add a device: %s",
			call->who, err.text);
		vucd_rpc_fail(call, VUCD_RPC_INVALID_PARAMS, 0, "%s", err.text);
		return;
	}
	vucd_log(d->log, VUC_LOG_NOTICE, "management (%s): add device %s, %s", call->who,
		config.name, config.socket);
	vucd_devices_add(&d->devices, &config, call_done, call);
}

/* ---- devices.remove and vmms.detach ---- */

enum {
	REMOVE_NAME,
	REMOVE_FORCE
};

static const struct vucd_rpc_param remove_params[] = {
	[REMOVE_NAME] = {"name", VUCD_RPC_STRING, true},
	[REMOVE_FORCE] = {"force", VUCD_RPC_BOOL, false},
	{"", VUCD_RPC_STRING, false},
};

static void
call_devices_remove(struct vucd_rpc_call *call)
{
	struct vucd_daemon *d = call->arg;
	const char *name = json_object_get_string(call->params[REMOVE_NAME]);
	bool force = json_object_get_boolean(call->params[REMOVE_FORCE]);

	vucd_log(d->log, VUC_LOG_NOTICE, "management (%s): remove device %s%s", call->who, name,
		force ? ", by force" : "");
	vucd_devices_remove(&d->devices, name, force, call_done, call);
}

static const struct vucd_rpc_param detach_params[] = {
	{"device", VUCD_RPC_STRING, true},
	{"", VUCD_RPC_STRING, false},
};

static void
call_vmms_detach(struct vucd_rpc_call *call)
{
	struct vucd_daemon *d = call->arg;
	const char *name = json_object_get_string(call->params[0]);

	vucd_log(d->log, VUC_LOG_NOTICE, "management (%s): detach device %s from its VMM",
		call->who, name);
	vucd_devices_detach(&d->devices, name, call_done, call);
}

/* ---- devices.capture ---- */

enum {
	CAPTURE_NAME,
	CAPTURE_SNAPLEN
};

static const struct vucd_rpc_param capture_params[] = {
	[CAPTURE_NAME] = {"name", VUCD_RPC_STRING, true},
	[CAPTURE_SNAPLEN] = {"snaplen", VUCD_RPC_NUMBER, true},
	{"", VUCD_RPC_STRING, false},
};

static void
capture_release(void *arg)
{
	vuc_control_capture_stop(arg);
}

static void
call_devices_capture(struct vucd_rpc_call *call)
{
	struct vucd_daemon *d = call->arg;
	const char *name = json_object_get_string(call->params[CAPTURE_NAME]);
	uint64_t snaplen = json_object_get_uint64(call->params[CAPTURE_SNAPLEN]);
	struct vuc_control_capture *capture;
	struct vuc_error err = {""};
	int fd, rc;

	vucd_log(d->log, VUC_LOG_NOTICE, "management (%s): capture device %s", call->who, name);
	rc = vuc_control_capture_start(d->control, name,
		snaplen < UINT32_MAX ? (uint32_t)snaplen : UINT32_MAX, call->who, &capture, &fd,
		&err);
	if (rc != 0) {
		vucd_rpc_fail(call, VUCD_RPC_FAILED, rc, "%s", err.text);
		return;
	}
	rc = vucd_server_keep(call->client, fd, capture_release, capture);
	if (rc != 0) {
		vuc_control_capture_stop(capture);
		vucd_rpc_fail(call, VUCD_RPC_FAILED, rc, "%s",
			rc == -EBUSY ? "the connection has a capture already"
				     : "there are too many captures");
		return;
	}
	app_json_number(call->answer, call->result, "layout", VUC_CAPTURE_LAYOUT);
	vucd_rpc_return(call);
}

/* ---- reload ---- */

/* The arrays of the reply, by what has happened to those in them. */
static const char *const reload_names[] = {
	[VUCD_RELOAD_ADDED] = "added",
	[VUCD_RELOAD_REMOVED] = "removed",
	[VUCD_RELOAD_CHANGED] = "changed",
	[VUCD_RELOAD_RESTART] = "restart",
	[VUCD_RELOAD_FAILED] = "failed",
};

#define NR_RELOAD_NAMES (sizeof(reload_names) / sizeof(reload_names[0]))

static void
list_reload(void *arg, enum vucd_reload_kind kind, const char *what, const char *why)
{
	const struct vucd_rpc_call *call = arg;
	struct app_json *json = call->answer;
	struct json_object *array = json_object_object_get(call->result, reload_names[kind]), *obj;

	if (kind != VUCD_RELOAD_RESTART && kind != VUCD_RELOAD_FAILED) {
		app_json_text(json, array, NULL, what);
		return;
	}
	obj = app_json_object(json, array, NULL);
	app_json_text(json, obj, "what", what);
	app_json_text_or_null(json, obj, "reason", why);
}

static void
call_reload(struct vucd_rpc_call *call)
{
	struct vucd_daemon *d = call->arg;
	size_t i;

	for (i = 0; i < NR_RELOAD_NAMES; i++)
		app_json_array(call->answer, call->result, reload_names[i]);
	vucd_log(d->log, VUC_LOG_NOTICE, "management (%s): reload", call->who);
	vucd_reload_start(&d->reload, list_reload, call_done, call);
}

/* ---- log.set_level ---- */

static const struct vucd_rpc_param log_params[] = {
	{"level", VUCD_RPC_STRING, true},
	{"", VUCD_RPC_STRING, false},
};

static void
call_log_set_level(struct vucd_rpc_call *call)
{
	struct vucd_daemon *d = call->arg;
	const struct vucd_key *key = vucd_section_key(&vucd_section_vucd, "log-level");
	const char *name = json_object_get_string(call->params[0]);
	enum vuc_log_level before = vucd_log_level(d->log);
	struct vucd_settings settings;
	char expected[64];

	if (!vucd_key_set(key, &settings, name)) {
		vucd_key_expected(key, expected, sizeof(expected));
		vucd_rpc_fail(call, VUCD_RPC_INVALID_PARAMS, 0, "level = %.64s: expected %s", name,
			expected);
		return;
	}
	vucd_log(d->log, VUC_LOG_NOTICE, "management (%s): log level %s", call->who, name);
	vucd_log_set_level(d->log, (enum vuc_log_level)settings.log_level);
	app_json_text(call->answer, call->result, "level", name);
	app_json_text(call->answer, call->result, "before", vucd_log_level_name(before));
	vucd_rpc_return(call);
}

const struct vucd_rpc_method *
vucd_methods(void)
{
	static struct vucd_rpc_param add_params[VUCD_RPC_MAX_PARAMS + 1];
	static const struct vucd_rpc_method methods[] = {
		{"status", call_status, .monitor = true},
		{"devices.list", call_devices_list, .monitor = true},
		{"devices.add", call_devices_add, add_params},
		{"devices.remove", call_devices_remove, remove_params},
		{"devices.capture", call_devices_capture, capture_params},
		{"vmms.list", call_vmms_list, NULL},
		{"vmms.detach", call_vmms_detach, detach_params},
		{"stats.get", call_stats_get, stats_params, .monitor = true},
		{"reload", call_reload, NULL},
		{"log.set_level", call_log_set_level, log_params},
		{NULL, NULL, NULL},
	};

	fill_add_params(add_params);
	return methods;
}
