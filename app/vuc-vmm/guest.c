/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fail.h"
#include "memfd.h"

/* Of guest/guest.S. */
extern const uint8_t guest_image[];
extern const uint8_t guest_image_end[];

void
guest_load(const struct memory *memory)
{
	size_t size = (size_t)(guest_image_end - guest_image);

	assert(size <= GUEST_IMAGE_MAX);
	memcpy(memory->bytes + GUEST_IMAGE, guest_image, size);
}

bool
guest_port_read(const struct guest *guest, uint16_t port, void *data, uint32_t count)
{
	const struct {
		uint16_t port;
		uint32_t value;
	} ports[] = {
		{GUEST_PORT_AREAS, guest->areas},
		{GUEST_PORT_AMISS, guest->resets},
		{GUEST_PORT_RESETS, guest->resets},
		{GUEST_PORT_PROGRAM, guest->program},
		{GUEST_PORT_ROUNDS, guest->rounds},
		{GUEST_PORT_EXITS, guest->exits},
	};

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (ports[i].port != port || count != sizeof(ports[i].value))
			continue;
		memcpy(data, &ports[i].value, count);
		return true;
	}
	return false;
}

/* A step that begins again is not passed yet, nor are the steps after it. */
static void
begin_step(struct guest *guest, uint32_t step)
{
	for (uint32_t i = 0; i < guest->nr_steps; i++) {
		if (guest->steps[i] == step)
			guest->nr_steps = i;
	}
	if (guest->nr_steps < GUEST_NR_STEPS)
		guest->steps[guest->nr_steps++] = step;
}

bool
guest_port_write(struct guest *guest, uint16_t port, const void *data, uint32_t count)
{
	uint32_t value;

	if (count != sizeof(value))
		return false;
	memcpy(&value, data, sizeof(value));
	switch (port) {
	case GUEST_PORT_STEP:
		begin_step(guest, value);
		return true;
	case GUEST_PORT_SEEN:
		guest->seen = value;
		return true;
	case GUEST_PORT_EXPECTED:
		guest->expected = value;
		return true;
	case GUEST_PORT_SERIES:
		if (value < GUEST_NR_SERIES)
			guest->series[value] = true;
		return true;
	case GUEST_PORT_RESULT:
		guest->result =
			value == GUEST_PASS || value == GUEST_NO_DRIVER ? value : GUEST_FAIL;
		return true;
	default:
		return false;
	}
}

const char *
guest_step_name(uint32_t step)
{
#define STEP_NAME(name, number, text) [number] = (text),
	static const char *const names[GUEST_NR_STEPS] = {GUEST_STEPS(STEP_NAME)};

	if (step >= GUEST_NR_STEPS || names[step] == NULL)
		return "unknown step";
	return names[step];
}

uint32_t *
guest_ticks(const struct memory *memory, uint32_t series)
{
	return (uint32_t *)(void *)(memory->bytes + GUEST_TICKS) + series * GUEST_MAX_ROUNDS;
}

static int
number_compare(const void *a, const void *b)
{
	const uint32_t *x = a;
	const uint32_t *y = b;

	return (*x > *y) - (*x < *y);
}

void
series_compute(struct series *series, uint32_t *ticks, size_t nr)
{
	qsort(ticks, nr, sizeof(*ticks), number_compare);
	*series = (struct series){
		.min = ticks[0],
		.median = ticks[nr / 2],
		.p99 = ticks[nr * 99 / 100],
		.max = ticks[nr - 1],
	};
}

uint64_t
series_ns(uint32_t ticks, uint32_t khz)
{
	return (uint64_t)ticks * 1000000 / khz;
}

/* ---- memory ---- */

/* Whoever maps the file needs to know that it never shrinks beneath them. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

int
memory_create(struct memory *memory, uint64_t size)
{
	void *bytes;
	int rc;

	*memory = (struct memory){.fd = vuc_memfd_create("guest", size, SEALS), .size = size};
	if (memory->fd < 0)
		return vmm_fail(memory->fd, "cannot create %llu bytes of guest memory: %s",
			(unsigned long long)size, strerror(-memory->fd));
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	if (bytes != MAP_FAILED) {
		memory->bytes = bytes;
		return 0;
	}
	rc = vmm_fail(-errno, "cannot map the guest memory: %s", strerror(errno));
	memory_destroy(memory);
	return rc;
}

void
memory_destroy(struct memory *memory)
{
	if (memory->bytes != NULL)
		munmap(memory->bytes, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	*memory = (struct memory){.fd = -1};
}
