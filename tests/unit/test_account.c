/* SPDX-License-Identifier: BSD-3-Clause */

/* The time of a device's outages, read while they begin and end. */

#include <time.h>

#include "internal.h"
#include "tap.h"

static struct vuc_poller poller;
static struct poller_account account;
static struct poller_device device;

static uint64_t now_ms;
static void (*at_clock)(void); /* what another thread does during the next look at the clock */

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	void (*fn)(void) = at_clock;
	uint64_t ms = now_ms;

	(void)clock;
	at_clock = NULL;
	if (fn != NULL)
		fn();
	*ts = (struct timespec){
		.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	return 0;
}

static void
set_up(void)
{
	account = (struct poller_account){0};
	device = (struct poller_device){.account = &account, .open = true, .connected = true};
	TAILQ_INIT(&device.remotes);
	TAILQ_INIT(&poller.devices);
	TAILQ_INSERT_TAIL(&poller.devices, &device, link);
	now_ms = 1000;
}

static void
outage_begin(void)
{
	device.connected = false;
	CU_ASSERT_TRUE(poller_account_begin_outage(&poller, &account));
	CU_ASSERT_FALSE(poller_account_begin_outage(&poller, &account));
}

static void
outage_end(void)
{
	device.connected = true;
	poller_account_end_outage(&poller, &account);
	poller_account_end_outage(&poller, &account);
}

static uint64_t
read_ms(void)
{
	struct vuc_device_stats stats;

	vuc_stats_read_account(&poller, &account, &stats);
	return stats.outage_ms;
}

static void
expect(uint64_t outages, uint64_t all_ms, uint64_t last_ms)
{
	struct vuc_device_stats stats;

	vuc_stats_read_account(&poller, &account, &stats);
	CU_ASSERT_EQUAL(stats.outages, outages);
	CU_ASSERT_EQUAL(stats.outage_ms, all_ms);
	CU_ASSERT_EQUAL(stats.outage_last_ms, last_ms);
}

static void
test_outages(void)
{
	expect(0, 0, 0);
	outage_begin();
	expect(1, 0, 0);
	now_ms += 300;
	expect(1, 300, 0);
	outage_end();
	now_ms += 5000;
	expect(1, 300, 300);
	outage_begin();
	now_ms += 20;
	expect(2, 320, 300);
	outage_end();
	expect(2, 320, 20);
	outage_begin();
	outage_end();
	expect(3, 320, 0);
}

static void
end_early(void)
{
	now_ms -= 100;
	outage_end();
	now_ms += 100;
}

/* The reader has taken a later time than the end. */
static void
test_end_while_read(void)
{
	outage_begin();
	now_ms += 600;
	at_clock = end_early;
	CU_ASSERT_EQUAL(read_ms(), 500);
	expect(1, 500, 500);
}

static uint64_t seen_ms;

static void
read_late(void)
{
	now_ms += 100;
	seen_ms = read_ms();
}

/* A reader has seen more than the thread that notes the end: it is not less afterwards. */
static void
test_read_while_ending(void)
{
	outage_begin();
	now_ms += 500;
	at_clock = read_late;
	outage_end();
	CU_ASSERT_EQUAL(seen_ms, 600);
	expect(1, 600, 600);
	outage_begin();
	now_ms += 500;
	expect(2, 1100, 600);
}

static void
end_and_begin(void)
{
	now_ms += 10;
	outage_end();
	now_ms += 70;
	outage_begin();
}

/* It is another outage by now. */
static void
test_next_while_read(void)
{
	outage_begin();
	now_ms += 500;
	at_clock = end_and_begin;
	CU_ASSERT_EQUAL(read_ms(), 510);
	now_ms += 3;
	expect(2, 513, 510);
}

const struct tap_suite tap_suite = {"account", set_up, NULL,
	{
		{"outages are added up", test_outages},
		{"one ends while it is read", test_end_while_read},
		{"one is read while it ends", test_read_while_ending},
		{"the next one begins while it is read", test_next_while_read},
	}};
