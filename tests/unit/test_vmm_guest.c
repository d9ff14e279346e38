/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"
#include "tap.h"

static uint32_t
port_in(const struct guest *guest, uint16_t port)
{
	uint32_t value = 0;

	CU_ASSERT(guest_port_read(guest, port, &value, sizeof(value)));
	return value;
}

static void
port_out(struct guest *guest, uint16_t port, uint32_t value)
{
	CU_ASSERT(guest_port_write(guest, port, &value, sizeof(value)));
}

static void
test_ports(void)
{
	struct guest guest = {
		.program = GUEST_TORMENT, .rounds = 12, .exits = 34, .resets = 56, .areas = 78};

	CU_ASSERT_EQUAL(port_in(&guest, GUEST_PORT_PROGRAM), GUEST_TORMENT);
	CU_ASSERT_EQUAL(port_in(&guest, GUEST_PORT_ROUNDS), 12);
	CU_ASSERT_EQUAL(port_in(&guest, GUEST_PORT_EXITS), 34);
	CU_ASSERT_EQUAL(port_in(&guest, GUEST_PORT_RESETS), 56);
	CU_ASSERT_EQUAL(port_in(&guest, GUEST_PORT_AMISS), 56);
	CU_ASSERT_EQUAL(port_in(&guest, GUEST_PORT_AREAS), 78);
	port_out(&guest, GUEST_PORT_STEP, GUEST_STEP_SCAN);
	port_out(&guest, GUEST_PORT_STEP, GUEST_STEP_DMA);
	CU_ASSERT(guest.nr_steps == 2 && guest.steps[1] == GUEST_STEP_DMA);
	port_out(&guest, GUEST_PORT_STEP, GUEST_STEP_SCAN);
	CU_ASSERT(guest.nr_steps == 1 && guest.steps[0] == GUEST_STEP_SCAN);
	port_out(&guest, GUEST_PORT_SERIES, GUEST_SERIES_POST);
	CU_ASSERT(guest.series[GUEST_SERIES_POST] && !guest.series[GUEST_SERIES_READ]);
	port_out(&guest, GUEST_PORT_SEEN, 5);
	port_out(&guest, GUEST_PORT_EXPECTED, 6);
	port_out(&guest, GUEST_PORT_RESULT, GUEST_FAIL);
	CU_ASSERT(guest.seen == 5 && guest.expected == 6 && guest.result == GUEST_FAIL);
}

/* Whatever the guest says, it stays within what there is. */
static void
test_nonsense(void)
{
	struct guest guest = {.rounds = 1};
	uint32_t value = 0;

	for (uint32_t i = 0; i < 2 * GUEST_NR_STEPS; i++)
		port_out(&guest, GUEST_PORT_STEP, UINT32_MAX - i);
	CU_ASSERT_EQUAL(guest.nr_steps, GUEST_NR_STEPS);
	CU_ASSERT(strlen(guest_step_name(guest.steps[0])) > 0);
	CU_ASSERT(strlen(guest_step_name(0)) > 0);
	port_out(&guest, GUEST_PORT_SERIES, GUEST_NR_SERIES);
	port_out(&guest, GUEST_PORT_SERIES, UINT32_MAX);
	for (uint32_t i = 0; i < GUEST_NR_SERIES; i++)
		CU_ASSERT_FALSE(guest.series[i]);
	port_out(&guest, GUEST_PORT_RESULT, 0); /* or it would never end */
	CU_ASSERT_EQUAL(guest.result, GUEST_FAIL);
	CU_ASSERT_FALSE(guest_port_read(&guest, GUEST_PORT_ROUNDS, &value, 2));
	CU_ASSERT_FALSE(guest_port_read(&guest, GUEST_PORT_RESULT, &value, 4));
	CU_ASSERT_FALSE(guest_port_write(&guest, GUEST_PORT_RESULT, &value, 1));
	CU_ASSERT_FALSE(guest_port_write(&guest, GUEST_PORT_ROUNDS, &value, 4));
	CU_ASSERT_FALSE(guest_port_write(&guest, GUEST_PORT_RESULT + 2, &value, 4));
}

static void
test_image(void)
{
	struct memory memory;

	CU_ASSERT_EQUAL_FATAL(memory_create(&memory, GUEST_RAM_SIZE), 0);
	guest_load(&memory);
	CU_ASSERT_EQUAL(memory.bytes[GUEST_IMAGE], 0xbc); /* mov $GUEST_STACK, %esp */
	CU_ASSERT_EQUAL(memory.bytes[GUEST_IMAGE - 1], 0);
	CU_ASSERT_PTR_EQUAL(guest_ticks(&memory, GUEST_NR_SERIES), memory.bytes + memory.size);
	memory_destroy(&memory);
}

static void
test_series(void)
{
	uint32_t one[] = {7};
	uint32_t many[200];
	struct series series;

	series_compute(&series, one, 1);
	CU_ASSERT(series.min == 7 && series.median == 7 && series.p99 == 7 && series.max == 7);
	for (uint32_t i = 0; i < 200; i++)
		many[i] = (i * 37) % 200 + 1;
	series_compute(&series, many, 200);
	CU_ASSERT(
		series.min == 1 && series.median == 101 && series.p99 == 199 && series.max == 200);
	CU_ASSERT_EQUAL(series_ns(2100, 2100000), 1000);
	CU_ASSERT_EQUAL(series_ns(UINT32_MAX, 1000), UINT64_C(4294967295000));
}

const struct tap_suite tap_suite = {"guest", NULL, NULL,
	{
		{"ports", test_ports},
		{"nonsense", test_nonsense},
		{"image", test_image},
		{"series", test_series},
	}};
