/* SPDX-License-Identifier: BSD-3-Clause */

/* When the front gets to see what the back has answered. */

#include "queue_pair.h"

#define CHUNK PAIR_CHUNK
#define READS 32u

/* Reads of one byte that the back has taken; the ids are those of the front, in order. */
static void
take_reads(uint16_t *ids, uint8_t *data)
{
	pair_reopen(READS, CHUNK);
	for (uint32_t i = 0; i < READS; i++) {
		const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, i, 1, &data[i], &data[i]};
		struct vuc_queue_taken taken;

		CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
		pair_take(&taken);
		ids[i] = taken.slot.id;
	}
}

static void
answer_read(uint16_t id, uint8_t value)
{
	memcpy(vuc_queue_back_room(&q.back, id, 1), &value, 1);
	vuc_queue_back_complete(&q.back, id, 0, 1);
}

/* Take what is there; each has the value that it was answered with, one after the other. */
static unsigned int
poll_reads(const uint8_t *data, unsigned int first)
{
	struct vuc_queue_result results[READS];
	unsigned int n = vuc_queue_poll(q.front, results, READS);

	for (unsigned int i = 0; i < n; i++) {
		CU_ASSERT_PTR_EQUAL(results[i].arg, &data[first + i]);
		CU_ASSERT_EQUAL(results[i].status, 0);
		CU_ASSERT_EQUAL(data[first + i], first + i);
	}
	return n;
}

/* Answers are told when enough of them have come, by a flush, and when no other one can come. */
static void
test_answers_together(void)
{
	const unsigned int some = VUC_QUEUE_BACK_STAGED - 1;
	uint8_t data[READS] = {0};
	uint16_t ids[READS];
	unsigned int n = 0;

	take_reads(ids, data);
	for (; n < some; n++)
		answer_read(ids[n], (uint8_t)n);
	CU_ASSERT_EQUAL(poll_reads(data, 0), 0);
	answer_read(ids[n], (uint8_t)n);
	n++;
	CU_ASSERT_EQUAL(poll_reads(data, 0), n);
	answer_read(ids[n], (uint8_t)n);
	CU_ASSERT_EQUAL(poll_reads(data, n), 0);
	vuc_queue_back_flush(&q.back);
	CU_ASSERT_EQUAL(poll_reads(data, n), 1);
	for (n++; n < READS - some; n++)
		answer_read(ids[n], (uint8_t)n);
	vuc_queue_back_flush(&q.back);
	CU_ASSERT_EQUAL(poll_reads(data, some + 2), READS - 2 * some - 2);
	for (; n < READS; n++)
		answer_read(ids[n], (uint8_t)n);
	CU_ASSERT_EQUAL(poll_reads(data, READS - some), some);
}

/* What was answered before the queue is closed is told. */
static void
test_answers_before_close(void)
{
	uint8_t data[READS] = {0};
	uint16_t ids[READS];

	take_reads(ids, data);
	for (unsigned int i = 0; i < 3; i++)
		answer_read(ids[i], (uint8_t)i);
	CU_ASSERT_EQUAL(poll_reads(data, 0), 0);
	vuc_queue_back_close(&q.back, -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), 0);
	CU_ASSERT_EQUAL(poll_reads(data, 0), 3);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ECONNRESET);
}

/* One that nothing else is outstanding with waits for nothing, wherever it lies in the ring. */
static void
test_lone_answer(void)
{
	struct vuc_queue_taken taken;
	uint8_t data;

	pair_start_at(UINT32_MAX - 5);
	for (unsigned int i = 0; i < 12; i++) {
		const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, i, 1, &data, NULL};
		struct vuc_queue_result result;

		data = UINT8_MAX;
		CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
		pair_take(&taken);
		answer_read(taken.slot.id, (uint8_t)i);
		CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
		CU_ASSERT_EQUAL(data, i);
	}
}

const struct tap_suite tap_suite = {"queue answers", pair_set_up, pair_tear_down,
	{
		{"answers are told together", test_answers_together},
		{"a lone answer is told at once", test_lone_answer},
		{"answers before the end", test_answers_before_close},
	}};
