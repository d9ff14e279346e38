/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_GUEST_H
#define VMM_GUEST_H

/*
 * The program that the guest runs, and what it has to say by its ports.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/abi.h"

/* The guest's memory: a file without a name, so that it can be given to others. The guest has it at
 * address 0. */
struct memory {
	int fd;
	uint8_t *bytes;
	uint64_t size;
};

/* Returns 0, or a negative errno, having said why. size: a multiple of the page size. */
int memory_create(struct memory *memory, uint64_t size);
void memory_destroy(struct memory *memory);

struct guest {
	uint32_t program; /* GUEST_DRIVE, GUEST_TORMENT or GUEST_RECOVER */
	uint32_t rounds;
	uint32_t exits;  /* counted by the VMM */
	uint32_t resets; /* resets of the device, counted by the VMM */
	uint32_t areas;  /* parts of BARs that are guest memory, counted by the VMM */
	uint32_t steps[GUEST_NR_STEPS]; /* GUEST_STEP_*, in the order in which they were begun */
	uint32_t nr_steps;
	uint32_t seen;
	uint32_t expected;
	uint32_t result; /* GUEST_PASS, GUEST_FAIL or GUEST_NO_DRIVER; 0: it has not ended */
	bool series[GUEST_NR_SERIES]; /* those whose tables are complete */
};

/* Put the program into the guest's memory. */
void guest_load(const struct memory *memory);

/* An access to a port. False: that is none of the guest program's. */
bool guest_port_read(const struct guest *guest, uint16_t port, void *data, uint32_t count);
bool guest_port_write(struct guest *guest, uint16_t port, const void *data, uint32_t count);

/* What a step is about. */
const char *guest_step_name(uint32_t step);

/* The times of a series, in ticks of the time stamp counter: guest->rounds of them. */
uint32_t *guest_ticks(const struct memory *memory, uint32_t series);

/* Times that the guest has taken, in ticks of its time stamp counter. */
struct series {
	uint32_t min;
	uint32_t median;
	uint32_t p99;
	uint32_t max;
};

/* nr: at least 1. Sorts ticks. */
void series_compute(struct series *series, uint32_t *ticks, size_t nr);

/* khz: ticks in a millisecond, not 0. */
uint64_t series_ns(uint32_t ticks, uint32_t khz);

#endif /* VMM_GUEST_H */
