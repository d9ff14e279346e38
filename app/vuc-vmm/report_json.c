/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "fail.h"
#include "json_build.h"
#include "report.h"

static void
add_machine(struct app_json *json, const struct machine *machine)
{
	struct json_object *root = json->root;
	uint32_t ids = pci_ids(&machine->pci);

	app_json_text(json, root, "measurement", "guest");
	app_json_text(json, root, "device", machine->device->name);
	app_json_hex(json, root, "vendor_id", 4, ids & 0xffff);
	app_json_hex(json, root, "device_id", 4, ids >> 16);
	app_json_text(json, root, "result", report_result(machine->guest.result));
	app_json_number(json, root, "rounds", machine->guest.rounds);
	app_json_number(json, root, "exits", machine->guest.exits);
	app_json_number(json, root, "tsc_khz", machine->vcpu.tsc_khz);
	app_json_number(json, root, "mapped_areas", bus_count_mapped(&machine->bus));
	app_json_number(json, root, "eventfds", bus_count_eventfds(&machine->bus));
	app_json_number(json, root, "failed_accesses", machine->device->failed_accesses);
}

static void
add_steps(struct app_json *json, const struct guest *guest)
{
	struct json_object *steps = app_json_array(json, json->root, "steps");

	for (uint32_t i = 0; i < guest->nr_steps; i++)
		app_json_text(json, steps, NULL, guest_step_name(guest->steps[i]));
	if (guest->result == GUEST_FAIL) {
		app_json_number(json, json->root, "seen", guest->seen);
		app_json_number(json, json->root, "expected", guest->expected);
	}
}

static int
add_one_series(struct app_json *json, struct json_object *parent, const struct machine *machine,
	uint32_t index, const char *name)
{
	struct json_object *object = app_json_object(json, parent, name);
	uint32_t khz = machine->vcpu.tsc_khz;
	struct series series = {0};
	int rc = report_series(machine, index, &series);

	if (rc != 0)
		return rc;
	app_json_number(json, object, "min_ticks", series.min);
	app_json_number(json, object, "median_ticks", series.median);
	app_json_number(json, object, "p99_ticks", series.p99);
	app_json_number(json, object, "max_ticks", series.max);
	if (khz != 0)
		app_json_number(json, object, "median_ns", series_ns(series.median, khz));
	return 0;
}

static int
add_series(struct app_json *json, const struct machine *machine)
{
	static const char *const names[GUEST_NR_SERIES] = {
		[GUEST_SERIES_EXIT] = "exit",
		[GUEST_SERIES_READ] = "read",
		[GUEST_SERIES_POST] = "post",
		[GUEST_SERIES_MAPPED] = "mapped",
	};
	struct json_object *object = app_json_object(json, json->root, "series");
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < GUEST_NR_SERIES; i++) {
		if (machine->guest.series[i])
			rc = add_one_series(json, object, machine, i, names[i]);
	}
	return rc;
}

int
report_json(const struct machine *machine)
{
	struct app_json json;
	int rc;

	app_json_init(&json);
	add_machine(&json, machine);
	add_steps(&json, &machine->guest);
	rc = add_series(&json, machine);
	if (rc == 0) {
		rc = app_json_print(stdout, &json);
		if (rc != 0)
			vmm_fail(rc, "no memory for the report");
	}
	app_json_finish(&json);
	return rc;
}
