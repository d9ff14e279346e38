/* SPDX-License-Identifier: BSD-3-Clause */

/* The methods that show what there is, and change nothing. */

#include "methods.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <vuc/stats.h>

#include "clock.h"
#include "daemon.h"
#include "names.h"

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

/* ---- the fields of a device ---- */

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

void
vucd_call_status(struct vucd_rpc_call *call)
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

void
vucd_call_devices_list(struct vucd_rpc_call *call)
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

void
vucd_call_vmms_list(struct vucd_rpc_call *call)
{
	const struct vucd_daemon *d = call->arg;
	struct list list = list_begin(call, "vmms");

	vuc_control_list(d->control, list_vmm, &list);
	vucd_rpc_return(call);
}

/* ---- stats.get ---- */

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
void
vucd_call_stats_get(struct vucd_rpc_call *call)
{
	const struct vucd_daemon *d = call->arg;
	const char *device = json_object_get_string(call->params[0]);
	const char *poller = json_object_get_string(call->params[1]);
	bool all = device == NULL && poller == NULL, missing = poller != NULL;
	struct vuc_control_device found;
	struct list list;
	unsigned int i;

	if (device != NULL && vuc_control_look(d->control, device, &found) != 0) {
		vucd_rpc_fail(call, VUCD_RPC_FAILED, -ENOENT, "there is no device %.64s", device);
		return;
	}
	app_json_number(call->answer, call->result, "time_ms", vuc_clock_ms());
	list = list_begin(call, "devices");
	if (device != NULL)
		list_device_stats(&list, &found);
	else if (all)
		vuc_control_list(d->control, list_device_stats, &list);
	list = list_begin(call, "pollers");
	for (i = 0; i < d->pollers.nr; i++) {
		const struct vucd_poller *p = &d->pollers.all[i];

		if (!all && (poller == NULL || strcmp(vuc_poller_name(p->poller), poller) != 0))
			continue;
		list_poller_stats(&list, p);
		missing = false;
	}
	if (missing)
		vucd_rpc_fail(call, VUCD_RPC_FAILED, -ENOENT, "there is no poller %.64s", poller);
	else
		vucd_rpc_return(call);
}
