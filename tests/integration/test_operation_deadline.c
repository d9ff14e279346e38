/* SPDX-License-Identifier: BSD-3-Clause */

/* The deadline of an operation, those who have less patience, and those who hear of the end. */

#include "clock.h"
#include "operation_rig.h"

#define AN_HOUR 3600000u

/* It runs from the start, while another operation does. */
static void
test_deadline_from_start(void)
{
	struct job first = {0}, second = {0};

	dut.server->held = UINT32_MAX;
	start_feature(&dut, &first);
	start_message(&dut, &second, VFIO_USER_DEVICE_FEATURE, SHORT_MS);
	poll_until_done(&second);
	CU_ASSERT_EQUAL(second.status, -ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(second.err.text, "VFIO_USER_DEVICE_FEATURE: not begun within 30 ms");
	CU_ASSERT_EQUAL(first.calls, 0);
	release_all();
	poll_until_done(&first);
	CU_ASSERT_EQUAL(first.status, 0);
	CU_ASSERT_EQUAL(dut.server->nr_seen, 1);
}

static void
poll_until(uint64_t ms)
{
	while (vuc_clock_coarse_ms() < ms)
		vuc_poll_group_poll(group);
}

/* It does not begin anew with its turn: one of another device, started later, ends later. */
static void
test_deadline_after_turn(void)
{
	struct job first = {0}, second = {0}, later = {0};
	struct setup other;
	uint64_t started_ms;

	open_setup(&other, 16);
	dut.server->held = UINT32_MAX;
	other.server->held = UINT32_MAX;
	start_feature(&dut, &first);
	start_message(&dut, &second, VFIO_USER_DEVICE_FEATURE, 10 * SHORT_MS);
	started_ms = vuc_clock_coarse_ms();
	poll_until(started_ms + SHORT_MS);
	start_message(&other, &later, VFIO_USER_DEVICE_FEATURE, 10 * SHORT_MS);
	poll_until(started_ms + 2 * SHORT_MS);
	release_one();
	poll_until_done(&second);
	CU_ASSERT_EQUAL(first.calls, 1);
	CU_ASSERT_EQUAL(second.status, -ETIMEDOUT);
	poll_until_done(&later);
	CU_ASSERT(second.order < later.order);
	close_setup(&other);
}

/* Those that hang together time out together, and no second one is sent: deadlines do not add up.
 */
static void
test_deadlines(void)
{
	struct job jobs[8] = {{0}};

	dut.server->held = UINT32_MAX;
	for (unsigned int i = 0; i < 8; i++)
		start_message(&dut, &jobs[i], VFIO_USER_DEVICE_FEATURE, SHORT_MS);
	poll_until_done(&jobs[7]);
	for (unsigned int i = 0; i < 8; i++) {
		CU_ASSERT_EQUAL(jobs[i].calls, 1);
		CU_ASSERT_EQUAL(jobs[i].status, -ETIMEDOUT);
	}
	CU_ASSERT_EQUAL(dut.server->nr_seen, 1);
	CU_ASSERT(vuc_device_connected(dut.dev));
}

/* A sleeping group looks at deadlines, too. */
static void
test_deadline_asleep(void)
{
	struct job jobs[2] = {{0}};

	dut.server->held = UINT32_MAX;
	CU_ASSERT_EQUAL(vuc_device_reset_start(dut.dev, on_done, &jobs[0]), 0);
	start_message(&dut, &jobs[1], VFIO_USER_DEVICE_FEATURE, SHORT_MS);
	while (jobs[1].calls == 0) {
		CU_ASSERT_FATAL(vuc_poll_group_wait(group, -1, LONG_MS) >= 0);
		vuc_poll_group_poll(group);
	}
	CU_ASSERT_EQUAL(jobs[1].status, -ETIMEDOUT);
	release_all();
	poll_until_done(&jobs[0]);
	CU_ASSERT_EQUAL(jobs[0].status, 0);
}

/* Until something that was started has been awaited for some ticks, however late they come. */
static void
poll_some_ticks(void)
{
	for (unsigned int ticks = 0; ticks < 5;) {
		uint64_t before_ms = group->ticked_ms;

		vuc_poll_group_poll(group);
		ticks += group->ticked_ms != before_ms;
	}
}

/* Who is about to close a device does not wait for a server that does nothing, nor for long for one
 * that does something. */
static void
test_hurry(void)
{
	static const struct {
		uint32_t patience_ms;
		uint32_t limit_ms;
		bool held; /* the answer */
	} rows[] = {{1, AN_HOUR, true}, {AN_HOUR, 1, true}, {1, AN_HOUR, false},
		{AN_HOUR, 1, false}, {0, 1, false}};

	for (unsigned int i = 0; i < NR(rows); i++) {
		struct job job = {0};

		next_row("patience %u, limit %u", rows[i].patience_ms, rows[i].limit_ms);
		dut.server->held = rows[i].held ? UINT32_MAX : 0;
		vuc_device_hurry(dut.dev, rows[i].patience_ms, rows[i].limit_ms, "it has to go");
		if (!rows[i].held)
			poll_some_ticks();
		start_feature(&dut, &job);
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, rows[i].held ? -ECANCELED : 0);
		CU_ASSERT_EQUAL(strstr(job.err.text, "it has to go") != NULL, rows[i].held);
		CU_ASSERT_EQUAL(vuc_device_connected(dut.dev), !rows[i].held);
	}
}

/* The time of a server that has hung before somebody is in a hurry is over at once. */
static void
test_hurry_behind_silence(void)
{
	struct job job = {0};

	dut.server->held = UINT32_MAX;
	start_feature(&dut, &job);
	poll_some_ticks();
	vuc_device_hurry(dut.dev, 1, AN_HOUR, "it has to go");
	vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job.status, -ECANCELED);
}

/* Nobody who asks again gives a server more time. */
static void
test_hurry_twice(void)
{
	static const struct {
		uint32_t patience_ms[2], limit_ms[2];
	} rows[] = {
		{{AN_HOUR, AN_HOUR}, {1, AN_HOUR}},
		{{1, AN_HOUR}, {AN_HOUR, AN_HOUR}},
		{{AN_HOUR, 1}, {AN_HOUR, AN_HOUR}},
	};

	for (unsigned int i = 0; i < NR(rows); i++) {
		struct job job = {0};

		next_row("row %u", i);
		dut.server->held = UINT32_MAX;
		start_feature(&dut, &job);
		poll_often();
		for (unsigned int n = 0; n < 2; n++)
			vuc_device_hurry(dut.dev, rows[i].patience_ms[n], rows[i].limit_ms[n],
				"it has to go");
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, -ECANCELED);
	}
}

static void
note_connected(void *arg)
{
	bool *seen_lost = arg;

	*seen_lost = *seen_lost || !vuc_device_connected(dut.dev);
}

/* Who watches connections hears of an end in the poll after it, however many polls there are. */
static void
test_source_hears_of_loss(void)
{
	bool seen_lost = false;
	const struct vuc_poll_source source = {.changed = note_connected, .arg = &seen_lost};
	struct job job = {0};

	vuc_poll_group_set_source(group, &source);
	dut.server->hang_up = true;
	start_feature(&dut, &job);
	/* Of which none looks at the clock. */
	for (group->polls = 0; job.calls == 0 && group->polls + 2 < TICK_INTERVAL;)
		vuc_poll_group_poll(group);
	vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job.calls, 1);
	CU_ASSERT_TRUE(seen_lost);
	vuc_poll_group_set_source(group, NULL);
}

const struct tap_suite tap_suite = {"deadline", set_up, tear_down,
	{
		{"runs from the start", test_deadline_from_start},
		{"goes on with the turn", test_deadline_after_turn},
		{"does not add up", test_deadlines},
		{"in a sleeping group", test_deadline_asleep},
		{"in a hurry", test_hurry},
		{"in a hurry behind silence", test_hurry_behind_silence},
		{"in a hurry twice", test_hurry_twice},
		{"a source hears of the end", test_source_hears_of_loss},
	}};
