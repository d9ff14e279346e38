/* SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "json_build.h"

static const struct {
	const char *key; /* in JSON */
	const char *text;
} series_names[GUEST_NR_SERIES] = {
	[GUEST_SERIES_EXIT] = {"exit", "exit to the VMM"},
	[GUEST_SERIES_READ] = {"read", "read through the queue"},
	[GUEST_SERIES_POST] = {"post", "posted write through the queue"},
	[GUEST_SERIES_MAPPED] = {"mapped", "read of a mapped BAR"},
};

static const char *
result_name(uint32_t result)
{
	switch (result) {
	case GUEST_PASS:
		return "pass";
	case GUEST_NO_DRIVER:
		return "no driver";
	default:
		return "fail";
	}
}

/* The device may write the guest's memory at any time: what is sorted is a copy. */
static int
report_series(const struct machine *machine, uint32_t index, struct series *series)
{
	size_t nr = machine->guest.rounds;
	uint32_t *copy = calloc(nr, sizeof(*copy));

	if (copy == NULL)
		return vmm_fail(-ENOMEM, "out of memory for %zu measurements", nr);
	memcpy(copy, guest_ticks(&machine->memory, index), nr * sizeof(*copy));
	series_compute(series, copy, nr);
	free(copy);
	return 0;
}

static void
print_outages(const struct device *device)
{
	if (device->resets == 0)
		return;
	printf("  outages: %u, of these restarts of vucd: %u; areas mapped again: %u times\n",
		device->resets, device->reattaches, device->remaps);
	printf("  dropped writes: %llu\n", (unsigned long long)device->dropped_writes);
}

static void
print_device(const struct machine *machine)
{
	uint32_t ids = pci_ids(&machine->pci);

	printf("device %s, %04x:%04x\n", machine->device->name, ids & 0xffff, ids >> 16);
	for (uint32_t i = 0; i < PCI_NR_BARS; i++) {
		const struct pci_bar *bar = &machine->pci.bars[i];

		if (bar->size > 0)
			printf("  BAR%u: 0x%llx bytes of %s, %s bits\n", i,
				(unsigned long long)bar->size, bar->is_io ? "I/O ports" : "memory",
				bar->is_64 ? "64" : "32");
	}
	if (machine->pci.msix != 0)
		printf("  MSI-X: %u vectors\n", machine->msix.nr_vectors);
	printf("  mapped areas: %u of %zu, writes by eventfd: %u\n",
		bus_count_mapped(&machine->bus), machine->device->nr_areas,
		bus_count_eventfds(&machine->bus));
	print_outages(machine->device);
}

/* All steps have passed but the last one, which may have failed. */
static void
print_steps(const struct guest *guest)
{
	printf("guest\n");
	for (uint32_t i = 0; i < guest->nr_steps; i++) {
		bool last = i + 1 == guest->nr_steps;
		bool failed =
			last && guest->result != GUEST_PASS && guest->result != GUEST_NO_DRIVER;

		printf("  %s  %s", failed ? "FAIL" : "pass", guest_step_name(guest->steps[i]));
		if (failed && guest->result == GUEST_FAIL)
			printf(": saw 0x%x, expected 0x%x", guest->seen, guest->expected);
		printf("\n");
	}
}

static int
print_series(const struct machine *machine, uint32_t index, const char *name)
{
	uint32_t khz = machine->vcpu.tsc_khz;
	struct series series = {0};
	int rc = report_series(machine, index, &series);

	if (rc != 0)
		return rc;
	printf("  %-30s %10u %10u %10u %10u", name, series.min, series.median, series.p99,
		series.max);
	if (khz != 0)
		printf(" %12llu", (unsigned long long)series_ns(series.median, khz));
	printf("\n");
	return 0;
}

static bool
has_times(const struct guest *guest)
{
	bool any = false;

	for (uint32_t i = 0; i < GUEST_NR_SERIES; i++)
		any = any || guest->series[i];
	return any;
}

static int
print_times(const struct machine *machine)
{
	int rc = 0;

	if (!has_times(&machine->guest))
		return 0;
	printf("ticks per access, %u samples\n", machine->guest.rounds);
	printf("  %-30s %10s %10s %10s %10s %12s\n", "", "min", "median", "p99", "max",
		"median ns");
	for (uint32_t i = 0; rc == 0 && i < GUEST_NR_SERIES; i++) {
		if (machine->guest.series[i])
			rc = print_series(machine, i, series_names[i].text);
	}
	return rc;
}

int
report_text(const struct machine *machine)
{
	print_device(machine);
	print_steps(&machine->guest);
	return print_times(machine);
}

/* ---- JSON ---- */

static void
add_machine(struct app_json *json, const struct machine *machine)
{
	struct json_object *root = json->root;
	uint32_t ids = pci_ids(&machine->pci);

	app_json_text(json, root, "measurement", "guest");
	app_json_text(json, root, "device", machine->device->name);
	app_json_hex(json, root, "vendor_id", 4, ids & 0xffff);
	app_json_hex(json, root, "device_id", 4, ids >> 16);
	app_json_text(json, root, "result", result_name(machine->guest.result));
	app_json_number(json, root, "rounds", machine->guest.rounds);
	app_json_number(json, root, "exits", machine->guest.exits);
	app_json_number(json, root, "tsc_khz", machine->vcpu.tsc_khz);
	app_json_number(json, root, "mapped_areas", bus_count_mapped(&machine->bus));
	app_json_number(json, root, "eventfds", bus_count_eventfds(&machine->bus));
	app_json_number(json, root, "failed_accesses", machine->device->failed_accesses);
	app_json_number(json, root, "dropped_writes", machine->device->dropped_writes);
	app_json_number(json, root, "outages", machine->device->resets);
	app_json_number(json, root, "reattaches", machine->device->reattaches);
	app_json_number(json, root, "remaps", machine->device->remaps);
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
	struct json_object *object = app_json_object(json, json->root, "series");
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < GUEST_NR_SERIES; i++) {
		if (machine->guest.series[i])
			rc = add_one_series(json, object, machine, i, series_names[i].key);
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
			vmm_fail(rc, "out of memory for the report");
	}
	app_json_finish(&json);
	return rc;
}
