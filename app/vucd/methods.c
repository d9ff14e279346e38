/* SPDX-License-Identifier: BSD-3-Clause */
#include "methods.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "capture_ring.h"
#include "daemon.h"
#include "error.h"

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
static struct vucd_rpc_param add_params[VUCD_RPC_MAX_PARAMS + 1];

static void
fill_add_params(void)
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

/* Set a key. Returns 0 or a negative errno, with err filled. */
static int
set_param(struct vucd_device_config *config, const struct vucd_key *key, enum vucd_rpc_type type,
	struct json_object *value, struct vuc_error *err)
{
	char text[VUCD_VALUE_SIZE], why[VUC_ERROR_MAX];

	if (!param_text(type, value, text))
		return vuc_error_set_utf8(err, -EINVAL,
			"%s: expected at most %d bytes, and no comma in a name", key->name,
			VUCD_VALUE_SIZE - 1);
	if (vucd_key_set(key, config, text))
		return 0;
	vucd_key_explain(key, text, why, sizeof(why));
	return vuc_error_set_utf8(err, -EINVAL, "%s = %.64s: %s", key->name, text, why);
}

static void
call_devices_add(struct vucd_rpc_call *call)
{
	const struct vucd_section *section = &vucd_section_device;
	struct vucd_daemon *d = call->arg;
	struct vucd_device_config config;
	struct vuc_error err = {""};
	size_t i;
	int rc;

	vucd_section_init(section, &config, sizeof(config));
	rc = set_param(&config, &section->key, VUCD_RPC_STRING, call->params[0], &err);
	for (i = 0; rc == 0 && i < section->nr_keys; i++) {
		if (call->params[i + 1] != NULL)
			rc = set_param(&config, &section->keys[i], key_rpc_type(&section->keys[i]),
				call->params[i + 1], &err);
	}
	if (rc == 0 && config.retry_min_ms > config.retry_max_ms)
		rc = vuc_error_set(&err, -EINVAL, VUCD_TIMES_DISAGREE, config.retry_min_ms,
			config.retry_max_ms);
	if (rc != 0) {
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

static void
call_devices_remove(struct vucd_rpc_call *call)
{
	struct vucd_daemon *d = call->arg;
	const char *name = json_object_get_string(call->params[0]);
	bool force = json_object_get_boolean(call->params[1]);

	vucd_log(d->log, VUC_LOG_NOTICE, "management (%s): remove device %s%s", call->who, name,
		force ? ", by force" : "");
	vucd_devices_remove(&d->devices, name, force, call_done, call);
}

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

static void
capture_release(void *arg)
{
	vuc_control_capture_stop(arg);
}

static void
call_devices_capture(struct vucd_rpc_call *call)
{
	struct vucd_daemon *d = call->arg;
	const char *name = json_object_get_string(call->params[0]);
	uint64_t snaplen = json_object_get_uint64(call->params[1]);
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
			rc == -EBUSY ? "this connection already has a capture"
				     : "too many captures");
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

/* ---- the table ---- */

/* Methods find their params by their place here. */
static const struct vucd_rpc_param device_param[] = {{"device", VUCD_RPC_STRING, true}, {""}};
static const struct vucd_rpc_param level_param[] = {{"level", VUCD_RPC_STRING, true}, {""}};
static const struct vucd_rpc_param remove_params[] = {
	{"name", VUCD_RPC_STRING, true}, {"force", VUCD_RPC_BOOL}, {""}};
static const struct vucd_rpc_param capture_params[] = {
	{"name", VUCD_RPC_STRING, true}, {"snaplen", VUCD_RPC_NUMBER, true}, {""}};
static const struct vucd_rpc_param stats_params[] = {
	{"device", VUCD_RPC_STRING}, {"poller", VUCD_RPC_STRING}, {""}};

static const struct vucd_rpc_method methods[] = {
	{"status", vucd_call_status, .monitor = true},
	{"devices.list", vucd_call_devices_list, .monitor = true},
	{"devices.add", call_devices_add, add_params},
	{"devices.remove", call_devices_remove, remove_params},
	{"devices.capture", call_devices_capture, capture_params},
	{"vmms.list", vucd_call_vmms_list},
	{"vmms.detach", call_vmms_detach, device_param},
	{"stats.get", vucd_call_stats_get, stats_params, .monitor = true},
	{"reload", call_reload},
	{"log.set_level", call_log_set_level, level_param},
	{0},
};

const struct vucd_rpc_method *
vucd_methods(void)
{
	fill_add_params();
	return methods;
}
