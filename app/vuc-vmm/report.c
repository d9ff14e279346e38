/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

const char *
report_result(uint32_t result)
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
int
report_series(const struct machine *machine, uint32_t index, struct series *series)
{
	size_t nr = machine->guest.rounds;
	uint32_t *copy = calloc(nr, sizeof(*copy));

	if (copy == NULL)
		return vmm_fail(-ENOMEM, "no memory for %zu times", nr);
	memcpy(copy, guest_ticks(&machine->memory, index), nr * sizeof(*copy));
	series_compute(series, copy, nr);
	free(copy);
	return 0;
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
	printf("  mapped parts: %u of %zu, writes by eventfd: %u\n",
		bus_count_mapped(&machine->bus), machine->device->nr_areas,
		bus_count_eventfds(&machine->bus));
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
	printf("  %-26s %10u %10u %10u %10u", name, series.min, series.median, series.p99,
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
	static const char *const names[GUEST_NR_SERIES] = {
		[GUEST_SERIES_EXIT] = "exit to the VMM",
		[GUEST_SERIES_READ] = "read by the queue",
		[GUEST_SERIES_POST] = "posted write by the queue",
		[GUEST_SERIES_MAPPED] = "read of a mapped BAR",
	};
	int rc = 0;

	if (!has_times(&machine->guest))
		return 0;
	printf("ticks that an access takes, %u times\n", machine->guest.rounds);
	printf("  %-26s %10s %10s %10s %10s %12s\n", "", "min", "median", "p99", "max",
		"median ns");
	for (uint32_t i = 0; rc == 0 && i < GUEST_NR_SERIES; i++) {
		if (machine->guest.series[i])
			rc = print_series(machine, i, names[i]);
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
