/* SPDX-License-Identifier: BSD-3-Clause */
#include "methods.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "method_device.h"
#include "service.h"

/* A list that is being built. */
struct list {
	struct app_json *json;
	struct json_object *array;
};

static const char *
state_name(enum vuc_control_state state)
{
	switch (state) {
	case VUC_CONTROL_AWAY:
		return "away";
	case VUC_CONTROL_FREE:
		return "free";
	case VUC_CONTROL_ATTACHED:
		return "attached";
	case VUC_CONTROL_NOT_ANSWERING:
		return "not-answering";
	case VUC_CONTROL_STALE:
		return "stale";
	default:
		return "cleaning";
	}
}

static const char *
idle_name(enum vuc_idle idle)
{
	switch (idle) {
	case VUC_IDLE_SPIN:
		return "spin";
	case VUC_IDLE_YIELD:
		return "yield";
	default:
		return "sleep";
	}
}

/* ---- status ---- */

/* Devices by their state. */
static void
count_device(void *arg, const struct vuc_control_device *device)
{
	unsigned int *counts = arg;

	counts[device->state]++;
}

static unsigned int
count_pollers(const struct vucd_service *s)
{
	struct vucd_poller_view poller;
	unsigned int n = 0;

	while (s->ops->look_at_poller(s->arg, n, &poller) == 0)
		n++;
	return n;
}

static void
call_status(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;
	struct app_json *json = call->answer;
	struct json_object *result = call->result, *devices;
	unsigned int counts[VUC_CONTROL_STATES] = {0};
	struct vucd_status status;
	int state;

	s->ops->status(s->arg, &status);
	s->ops->list_devices(s->arg, count_device, counts);
	app_json_text(json, result, "version", status.version);
	app_json_number(json, result, "pid", (uint64_t)status.pid);
	app_json_number(json, result, "uptime_ms", status.uptime_ms);
	app_json_text(json, result, "state", status.starting ? "starting" : "running");
	app_json_text(json, result, "directory", status.directory);
	app_json_text(json, result, "vmm_socket", status.vmm_socket);
	app_json_text(json, result, "log_level", vucd_log_level_name(status.log_level));
	app_json_number(json, result, "connections", status.connections);
	app_json_number(json, result, "pollers", count_pollers(s));
	devices = app_json_object(json, result, "devices");
	for (state = 0; state < VUC_CONTROL_STATES; state++)
		app_json_number(
			json, devices, state_name((enum vuc_control_state)state), counts[state]);
	vucd_rpc_return(call);
}

/* ---- devices ---- */

static void
add_vmm(struct app_json *json, struct json_object *obj, const struct vuc_control_device *device)
{
	app_json_number(json, obj, "pid", (uint64_t)device->vmm_pid);
	app_json_number(json, obj, "uid", device->vmm_uid);
	app_json_text(json, obj, "name", device->vmm_name);
	app_json_number(json, obj, "queues", device->queues);
	app_json_number(json, obj, "dma_maps", device->dma_maps);
	app_json_number(json, obj, "attached_ms", device->attached_ms);
}

static void
list_device(void *arg, const struct vuc_control_device *device)
{
	const struct list *list = arg;
	struct app_json *json = list->json;
	struct json_object *obj = app_json_object(json, list->array, NULL);

	app_json_text(json, obj, "name", device->name);
	app_json_text(json, obj, "socket", device->socket);
	app_json_text(json, obj, "poller", device->poller);
	app_json_text(json, obj, "state", state_name(device->state));
	app_json_number(json, obj, "since_ms", device->since_ms);
	app_json_text_or_null(json, obj, "reason", device->reason);
	app_json_number(json, obj, "generation", device->generation);
	if (device->vmm_pid != 0)
		add_vmm(json, app_json_object(json, obj, "vmm"), device);
	else
		app_json_null(json, obj, "vmm");
}

static void
call_devices_list(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;
	struct list list = {call->answer, app_json_array(call->answer, call->result, "devices")};

	s->ops->list_devices(s->arg, list_device, &list);
	vucd_rpc_return(call);
}

/* ---- VMMs ---- */

static void
list_vmm(void *arg, const struct vuc_control_device *device)
{
	const struct list *list = arg;
	struct app_json *json = list->json;
	struct json_object *obj;

	if (device->vmm_pid == 0)
		return;
	obj = app_json_object(json, list->array, NULL);
	app_json_text(json, obj, "device", device->name);
	add_vmm(json, obj, device);
}

static void
call_vmms_list(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;
	struct list list = {call->answer, app_json_array(call->answer, call->result, "vmms")};

	s->ops->list_devices(s->arg, list_vmm, &list);
	vucd_rpc_return(call);
}

/* ---- statistics ---- */

static void
add_accesses(struct app_json *json, struct json_object *obj, const struct vuc_access_stats *stats)
{
	struct json_object *sizes;
	size_t i;

	app_json_number(json, obj, "reads", stats->reads);
	app_json_number(json, obj, "writes", stats->writes);
	app_json_number(json, obj, "posted", stats->posted);
	app_json_number(json, obj, "read_bytes", stats->read_bytes);
	app_json_number(json, obj, "written_bytes", stats->written_bytes);
	app_json_number(json, obj, "retries", stats->retries);
	app_json_number(json, obj, "errors", stats->errors);
	app_json_number(json, obj, "timeouts", stats->timeouts);
	app_json_number(json, obj, "broken_queues", stats->broken_queues);
	app_json_number(json, obj, "bursts", stats->bursts);
	sizes = app_json_array(json, obj, "burst_sizes");
	for (i = 0; i < VUC_BURST_SIZES; i++)
		app_json_number(json, sizes, NULL, stats->burst_sizes[i]);
}

static void
list_poller_stats(struct list *list, const struct vucd_poller_view *poller)
{
	struct app_json *json = list->json;
	struct json_object *obj = app_json_object(json, list->array, NULL);

	app_json_text(json, obj, "name", poller->name);
	if (poller->cpu >= 0)
		app_json_number(json, obj, "cpu", (uint64_t)poller->cpu);
	else
		app_json_null(json, obj, "cpu");
	app_json_text(json, obj, "idle", idle_name(poller->idle));
	app_json_text(json, obj, "transport", poller->transport);
	app_json_text(json, obj, "placement", poller->placement);
	app_json_number(json, obj, "devices", poller->stats.devices);
	app_json_number(json, obj, "queues", poller->stats.queues);
	app_json_number(json, obj, "loops_busy", poller->stats.loops_busy);
	app_json_number(json, obj, "loops_empty", poller->stats.loops_empty);
	app_json_number(json, obj, "sleeps", poller->stats.sleeps);
	app_json_number(json, obj, "calls", poller->stats.calls);
	add_accesses(json, obj, &poller->stats.accesses);
}

static void
list_device_stats(void *arg, const struct vuc_control_device *device)
{
	const struct list *list = arg;
	struct app_json *json = list->json;
	struct json_object *obj = app_json_object(json, list->array, NULL);

	app_json_text(json, obj, "name", device->name);
	app_json_text(json, obj, "state", state_name(device->state));
	app_json_number(json, obj, "generation", device->generation);
	app_json_number(json, obj, "queues", device->queues);
	app_json_number(json, obj, "dma_maps", device->dma_maps);
	app_json_number(json, obj, "reads", device->reads);
	app_json_number(json, obj, "writes", device->writes);
	app_json_number(json, obj, "posted", device->posted);
	app_json_number(json, obj, "errors", device->errors);
	app_json_number(json, obj, "timeouts", device->timeouts);
	app_json_number(json, obj, "attaches", device->attaches);
}

/* Pollers of this name, or all; returns how many. */
static unsigned int
list_pollers(const struct vucd_service *s, const char *name, struct list *list)
{
	struct vucd_poller_view poller;
	unsigned int i, n = 0;

	for (i = 0; s->ops->look_at_poller(s->arg, i, &poller) == 0; i++) {
		if (name == NULL || strcmp(poller.name, name) == 0) {
			list_poller_stats(list, &poller);
			n++;
		}
	}
	return n;
}

static void
add_time(struct vucd_rpc_call *call)
{
	app_json_number(call->answer, call->result, "time_ms", vuc_clock_ms());
}

enum {
	STATS_DEVICE,
	STATS_POLLER
};

static const struct vucd_rpc_param stats_params[] = {
	[STATS_DEVICE] = {"device", VUCD_RPC_STRING, false},
	[STATS_POLLER] = {"poller", VUCD_RPC_STRING, false},
	{NULL, VUCD_RPC_STRING, false},
};

/* One device, one poller, or, when neither is named, all of both. */
static void
call_stats_get(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;
	const char *device = json_object_get_string(call->params[STATS_DEVICE]);
	const char *poller = json_object_get_string(call->params[STATS_POLLER]);
	bool all = device == NULL && poller == NULL;
	struct vuc_control_device found;
	struct list list = {.json = call->answer};

	add_time(call);
	list.array = app_json_array(call->answer, call->result, "devices");
	if (device != NULL && s->ops->look_at_device(s->arg, device, &found) != 0) {
		vucd_rpc_fail(call, VUCD_RPC_FAILED, -ENOENT, "there is no device %.64s", device);
		return;
	}
	if (device != NULL)
		list_device_stats(&list, &found);
	else if (all)
		s->ops->list_devices(s->arg, list_device_stats, &list);
	list.array = app_json_array(call->answer, call->result, "pollers");
	if ((poller != NULL || all) && list_pollers(s, poller, &list) == 0 && !all)
		vucd_rpc_fail(call, VUCD_RPC_FAILED, -ENOENT, "there is no poller %.64s", poller);
	else
		vucd_rpc_return(call);
}

/* ---- reload ---- */

#define NR_RELOAD_KINDS (VUCD_RELOAD_FAILED + 1)

/* The arrays of an answer, by what has happened to those in them. */
struct reloading {
	struct vucd_rpc_call *call;
	struct json_object *arrays[NR_RELOAD_KINDS];
};

static void
list_reload(void *arg, enum vucd_reload_kind kind, const char *what, const char *why)
{
	const struct reloading *reloading = arg;
	struct app_json *json = reloading->call->answer;
	struct json_object *array = reloading->arrays[kind], *obj;

	if (kind != VUCD_RELOAD_RESTART && kind != VUCD_RELOAD_FAILED) {
		app_json_text(json, array, NULL, what);
		return;
	}
	obj = app_json_object(json, array, NULL);
	app_json_text(json, obj, "what", what);
	app_json_text_or_null(json, obj, "reason", why);
}

static void
end_reload(void *arg, int rc, const char *why)
{
	struct reloading *reloading = arg;

	if (rc == 0)
		vucd_rpc_return(reloading->call);
	else
		vucd_rpc_fail(reloading->call, VUCD_RPC_FAILED, rc, "%s", why);
	free(reloading);
}

static void
call_reload(struct vucd_rpc_call *call)
{
	static const char *const names[NR_RELOAD_KINDS] = {
		"added", "removed", "changed", "restart", "failed"};
	const struct vucd_service *s = call->service;
	struct reloading *reloading = calloc(1, sizeof(*reloading));
	size_t i;

	if (reloading == NULL) {
		vucd_rpc_fail(call, VUCD_RPC_INTERNAL_ERROR, 0, "out of memory");
		return;
	}
	reloading->call = call;
	for (i = 0; i < NR_RELOAD_KINDS; i++)
		reloading->arrays[i] = app_json_array(call->answer, call->result, names[i]);
	s->ops->reload(s->arg, call->who, list_reload, end_reload, reloading);
}

/* ---- log ---- */

static const struct vucd_rpc_param log_params[] = {
	{"level", VUCD_RPC_STRING, true},
	{NULL, VUCD_RPC_STRING, false},
};

static void
call_log_set_level(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;
	const char *name = json_object_get_string(call->params[0]);
	enum vuc_log_level before;
	int level = VUC_LOG_ERROR;

	while (level <= VUC_LOG_DEBUG &&
		strcmp(vucd_log_level_name((enum vuc_log_level)level), name) != 0)
		level++;
	if (level > VUC_LOG_DEBUG) {
		vucd_rpc_fail(call, VUCD_RPC_INVALID_PARAMS, 0,
			"level = %.64s: expected error, warning, notice or debug", name);
		return;
	}
	before = s->ops->set_log_level(s->arg, call->who, (enum vuc_log_level)level);
	app_json_text(call->answer, call->result, "level", name);
	app_json_text(call->answer, call->result, "before", vucd_log_level_name(before));
	vucd_rpc_return(call);
}

const struct vucd_rpc_method vucd_methods[] = {
	{"status", call_status, NULL},
	{"devices.list", call_devices_list, NULL},
	{"devices.add", vucd_call_devices_add, vucd_devices_add_params},
	{"devices.remove", vucd_call_devices_remove, vucd_devices_remove_params},
	{"vmms.list", call_vmms_list, NULL},
	{"vmms.detach", vucd_call_vmms_detach, vucd_vmms_detach_params},
	{"stats.get", call_stats_get, stats_params},
	{"reload", call_reload, NULL},
	{"log.set_level", call_log_set_level, log_params},
	{NULL, NULL, NULL},
};
