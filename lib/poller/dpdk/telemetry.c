/* SPDX-License-Identifier: BSD-3-Clause */

/* What rte_telemetry can be asked. */

#include "telemetry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_telemetry.h>
#include <rte_version.h>

#include "names.h"
#include "number.h"

#if RTE_VERSION < RTE_VERSION_NUM(23, 3, 0, 0)
#define RTE_TEL_UINT_VAL            RTE_TEL_U64_VAL
#define rte_tel_data_add_dict_uint  rte_tel_data_add_dict_u64
#define rte_tel_data_add_array_uint rte_tel_data_add_array_u64
#endif

/* Telemetry leaves out what makes an answer longer than 16 KiB, so long lists come in pages. */
#define NAMES_BYTES    15000u
#define POLLERS_A_PAGE 12u

/* Callbacks of telemetry have no argument, and no command is ever taken away. */
static const struct vuc_telemetry_source *source;

static void
add_counters(struct rte_tel_data *dict, const struct vuc_counter *counter, const void *stats)
{
	for (; counter->name != NULL; counter++)
		rte_tel_data_add_dict_uint(dict, counter->name, vuc_counter_value(counter, stats));
}

static int
add_accesses(struct rte_tel_data *dict, const struct vuc_access_stats *a)
{
	struct rte_tel_data *sizes = rte_tel_data_alloc();

	if (sizes == NULL)
		return -ENOMEM;
	add_counters(dict, vuc_access_counters, a);
	rte_tel_data_start_array(sizes, RTE_TEL_UINT_VAL);
	for (unsigned int i = 0; i < VUC_BURST_SIZES; i++)
		rte_tel_data_add_array_uint(sizes, a->burst_sizes[i]);
	rte_tel_data_add_dict_container(dict, "burst_sizes", sizes, 0);
	return 0;
}

static int
add_latency(struct rte_tel_data *dict, const struct vuc_latency *l)
{
	struct rte_tel_data *latency = rte_tel_data_alloc();

	if (latency == NULL)
		return -ENOMEM;
	rte_tel_data_start_dict(latency);
	rte_tel_data_add_dict_uint(latency, "count", l->count);
	rte_tel_data_add_dict_uint(latency, "p50_ns", l->p50_ns);
	rte_tel_data_add_dict_uint(latency, "p99_ns", l->p99_ns);
	rte_tel_data_add_dict_uint(latency, "p999_ns", l->p999_ns);
	rte_tel_data_add_dict_uint(latency, "max_ns", l->max_ns);
	rte_tel_data_add_dict_container(dict, "latency", latency, 0);
	return 0;
}

/* How many entries of a list to skip: a decimal number, or none. */
static int
parse_start(const char *params, uint64_t *start)
{
	*start = 0;
	if (params == NULL || params[0] == '\0')
		return 0;
	return vuc_number_parse(params, 10, 0, UINT64_MAX, start) == 0 ? 0 : -EINVAL;
}

struct name_list {
	struct rte_tel_data *array;
	size_t bytes;
};

/* Returns whether there was room for the name. */
static bool
add_name(void *arg, const char *name)
{
	struct name_list *names = arg;

	names->bytes += strlen(name) + sizeof("\"\",") - 1;
	return names->bytes <= NAMES_BYTES &&
		rte_tel_data_add_array_string(names->array, name) == 0;
}

static int
list_devices(const char *cmd, const char *params, struct rte_tel_data *data)
{
	struct name_list names = {.array = data};
	uint64_t skip;

	(void)cmd;
	if (parse_start(params, &skip) != 0)
		return -EINVAL;
	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	source->names(skip, add_name, &names);
	return 0;
}

static const char *
state_name(const struct vuc_device_stats *stats)
{
	if (stats->id == 0)
		return "away";
	if (stats->silent_ms > 0)
		return "silent";
	return stats->connected ? "connected" : "lost";
}

static int
show_device(const char *cmd, const char *params, struct rte_tel_data *data)
{
	struct vuc_device_stats stats;
	char poller[TELEMETRY_NAME_MAX];
	int rc;

	(void)cmd;
	if (params == NULL)
		return -EINVAL;
	rc = source->device(params, &stats, poller);
	if (rc != 0)
		return rc;
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "name", stats.name);
	rte_tel_data_add_dict_uint(data, "id", stats.id);
	rte_tel_data_add_dict_string(data, "poller", poller);
	rte_tel_data_add_dict_string(data, "state", state_name(&stats));
	add_counters(data, vuc_device_counters, &stats);
	rc = add_accesses(data, &stats.accesses);
	return rc == 0 ? add_latency(data, &stats.latency) : rc;
}

static int
add_poller(struct rte_tel_data *pollers, const struct vuc_telemetry_poller *p)
{
	struct rte_tel_data *dict = rte_tel_data_alloc();
	char key[16];

	if (dict == NULL)
		return -ENOMEM;
	rte_tel_data_start_dict(dict);
	rte_tel_data_add_dict_string(dict, "name", p->name);
	rte_tel_data_add_dict_int(dict, "cpu", p->cpu);
	rte_tel_data_add_dict_int(dict, "node", p->node);
	rte_tel_data_add_dict_string(dict, "idle", p->idle);
	rte_tel_data_add_dict_string(dict, "transport", p->transport);
	rte_tel_data_add_dict_string(dict, "latency", p->latency ? "on" : "off");
	add_counters(dict, vuc_poller_counters, &p->stats);
	snprintf(key, sizeof(key), "%u", p->number);
	rte_tel_data_add_dict_container(pollers, key, dict, 0);
	return add_accesses(dict, &p->stats.accesses);
}

static int
list_pollers(const char *cmd, const char *params, struct rte_tel_data *data)
{
	struct vuc_telemetry_poller shown[POLLERS_A_PAGE];
	uint64_t skip;
	unsigned int n;
	int rc = parse_start(params, &skip);

	(void)cmd;
	if (rc != 0)
		return rc;
	n = source->pollers(shown, POLLERS_A_PAGE, skip);
	rte_tel_data_start_dict(data);
	for (unsigned int i = 0; i < n && rc == 0; i++)
		rc = add_poller(data, &shown[i]);
	return rc;
}

static int
switch_latency(const char *cmd, const char *params, struct rte_tel_data *data)
{
	bool on = params != NULL && strcmp(params, "on") == 0;

	(void)cmd;
	if (!on && (params == NULL || strcmp(params, "off") != 0))
		return -EINVAL;
	source->set_latency(on);
	return rte_tel_data_string(data, params);
}

int
vuc_telemetry_register(const struct vuc_telemetry_source *from)
{
	static const struct {
		const char *name;
		telemetry_cb fn;
		const char *help;
	} commands[] = {
		{"/vuc/devices", list_devices,
			"Names of vfio-user devices. Parameters: how many of them to skip (optional)"},
		{"/vuc/device", show_device,
			"State, counters and latencies of a device. Parameters: its name"},
		{"/vuc/pollers", list_pollers,
			"Pollers with their counters. Parameters: how many to skip (optional)"},
		{"/vuc/latency", switch_latency,
			"Whether all pollers time their requests. Parameters: on or off"},
	};
	int rc = 0;

	source = from;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && rc == 0; i++)
		rc = rte_telemetry_register_cmd(commands[i].name, commands[i].fn, commands[i].help);
	return rc;
}
