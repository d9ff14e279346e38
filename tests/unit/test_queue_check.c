/* SPDX-License-Identifier: BSD-3-Clause */

/* A front that looks whether the process of its back is still there. */

#include <limits.h>
#include <pthread.h>
#include <sched.h>

#include "queue_pair.h"

#define DEPTH PAIR_DEPTH

/* Says whether the other process is there, as often as it is told. */
struct checked {
	unsigned int calls;
	unsigned int good; /* calls after which it has gone */
};

static int
check(void *arg)
{
	struct checked *c = arg;

	return ++c->calls > c->good ? -ECONNRESET : 0;
}

/* The front of the running test looks so. */
static void
set_check(struct checked *c)
{
	q.front->check = check;
	q.front->check_arg = c;
}

/* Nobody wakes the front, which finds out by itself, and then says so in every call. */
static void
test_check(void)
{
	struct checked c = {.good = 2};
	struct vuc_queue_result result;
	uint8_t data[4] = {0};

	set_check(&c);
	CU_ASSERT_EQUAL(vuc_queue_read(q.front, 0, 0, data, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(c.calls, 3);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 0);
	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ECONNRESET);
	CU_ASSERT_EQUAL(c.calls, 3);
}

/* What was answered before is delivered, and then the error. */
static void
test_check_results_first(void)
{
	struct checked c = {.good = 0};
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;
	uint8_t data[4] = {0};

	set_check(&c);
	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), 1);
	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), 1);
	for (uint32_t i = 0; i + 2 < DEPTH; i++)
		CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), 0);
	pair_take(&taken);
	vuc_queue_back_complete(&q.back, taken.slot.id, -EIO, 0);
	/* There is no room for it: it waits, and finds that there never will be. */
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
	CU_ASSERT_EQUAL(result.status, -EIO);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 1);
	CU_ASSERT_EQUAL(c.calls, 1);
}

static void *
answer_one(void *arg)
{
	struct vuc_queue_taken taken;

	(void)arg;
	while (vuc_queue_back_is_empty(&q.back))
		sched_yield();
	if (vuc_queue_back_peek(&q.back, &taken) == 1) {
		vuc_queue_back_take(&q.back, &taken);
		vuc_queue_back_complete(&q.back, taken.slot.id, 0, taken.slot.count);
	}
	return NULL;
}

/* Neither spinning calls it nor polling, and short waits do not call it each time. */
static void
test_check_seldom(void)
{
	struct checked c = {.good = UINT_MAX};
	struct vuc_queue_result result;
	uint8_t data[4] = {0};
	pthread_t thread;

	set_check(&c);
	vuc_queue_set_spin(q.front, UINT_MAX);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, answer_one, NULL), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(q.front, 0, 0, data, 4), 0);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(c.calls, 0);
	vuc_queue_set_spin(q.front, 0);
	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), 1);
	for (unsigned int i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 0);
	CU_ASSERT_EQUAL(c.calls, 0);
	q.front->check_ms = INT64_MAX;
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 1), -ETIMEDOUT);
	CU_ASSERT_EQUAL(c.calls, 0);
	/* Waits that are shorter than the time between two calls find out, too. */
	q.front->check_ms = 0;
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 0), -ETIMEDOUT);
	CU_ASSERT(c.calls >= 1);
	c.good = 0;
	q.front->check_ms = 0;
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 0), -ECONNRESET);
}

/* A wait of more than the time between two calls ends when it is to. */
static void
test_check_and_timeout(void)
{
	struct checked c = {.good = UINT_MAX};
	uint8_t data[4] = {0};

	set_check(&c);
	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), 1);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 150), -ETIMEDOUT);
	CU_ASSERT(c.calls >= 2);
}

const struct tap_suite tap_suite = {"queue", pair_set_up, pair_tear_down,
	{
		{"a back that has gone", test_check},
		{"results come first", test_check_results_first},
		{"seldom", test_check_seldom},
		{"within a timeout", test_check_and_timeout},
	}};
