/* SPDX-License-Identifier: BSD-3-Clause */

/* Ends whose peer writes anything at any time. The memory of a queue is as long as it has to be, to
 * the byte: under AddressSanitizer no step beyond it goes unseen. */

#include <limits.h>
#include <pthread.h>
#include <sched.h>

#include "queue_pair.h"
#include "sync.h"

#define CHUNK     128u
#define DEPTH     8u
#define ROUNDS    200000u
#define RACES     200u
#define GUARD     64u
#define UNTOUCHED 0x5a

/* What the back has taken and not answered. */
struct served {
	bool busy[DEPTH];
	uint32_t count[DEPTH]; /* of a read, else 0 */
	unsigned int nr;
	unsigned int refused;
	unsigned int wrong;
	uint8_t sum; /* so that every byte of a payload is looked at */
};

static void
scribble(void *memory, size_t size, uint64_t *state)
{
	size_t words = size / sizeof(uint32_t);
	_Atomic uint32_t *word = (_Atomic uint32_t *)memory;

	for (uint32_t n = 1 + random_below(state, 4); n > 0; n--)
		atomic_store_explicit(&word[random_below(state, (uint32_t)words)],
			(uint32_t)random_next(state), memory_order_relaxed);
}

/* Something near to a request, so that not everything ends at the first check. */
static void
forge_request(uint64_t *state)
{
	uint32_t position = q.back.head;
	struct queue_request_slot *slot = pair_request_slot(position);

	slot->offset = random_next(state);
	slot->count = random_below(state, CHUNK + 8);
	slot->op = (uint16_t)random_below(state, 5);
	slot->region = (uint16_t)random_next(state);
	slot->id = (uint16_t)random_below(state, DEPTH + 2);
	if (random_below(state, 4) == 0)
		scribble(slot, sizeof(*slot), state);
	if (random_below(state, 8) != 0)
		atomic_store(&slot->tag, queue_tag(q.back.ring, position));
}

/* Answered, but not where the front can see it. */
static bool
is_staged(const uint16_t id)
{
	for (unsigned int i = 0; i < q.back.nr_staged; i++) {
		if (q.back.staged[i] == id)
			return true;
	}
	return false;
}

static bool
is_good_request(const struct queue_request_slot *slot, const struct served *s)
{
	if (slot->count < 1 || slot->count > CHUNK)
		return false;
	if (slot->op == VUC_QUEUE_WRITE_POSTED)
		return true;
	return (slot->op == VUC_QUEUE_READ || slot->op == VUC_QUEUE_WRITE ||
		       slot->op == VUC_QUEUE_WRITE_PCI) &&
		slot->id < DEPTH && !s->busy[slot->id] && !is_staged(slot->id);
}

static void
take_forged(struct served *s)
{
	struct vuc_queue_taken taken;
	int rc = vuc_queue_back_peek(&q.back, &taken);

	if (rc <= 0) {
		s->refused += rc == -EPROTO;
		s->wrong += rc != 0 && rc != -EPROTO;
		s->wrong += rc == -EPROTO && is_good_request(pair_request_slot(q.back.head), s);
		return;
	}
	s->wrong += !is_good_request(&taken.slot, s);
	for (uint32_t i = 0; i < taken.slot.count; i++)
		s->sum ^= taken.payload[i];
	vuc_queue_back_take(&q.back, &taken);
	if (taken.slot.op == VUC_QUEUE_WRITE_POSTED)
		return;
	s->busy[taken.slot.id] = true;
	s->count[taken.slot.id] = taken.slot.op == VUC_QUEUE_READ ? taken.slot.count : 0;
	s->nr++;
}

static void
answer_forged(struct served *s, uint16_t id)
{
	uint32_t count = s->count[id];

	if (!s->busy[id])
		return;
	if (count > 0)
		memset(vuc_queue_back_room(&q.back, id, count), id, count);
	vuc_queue_back_complete(&q.back, id, 0, count);
	s->busy[id] = false;
	s->nr--;
}

static void
test_front(void)
{
	struct served s = {0};
	uint64_t state = 1;

	pair_reopen(DEPTH, CHUNK);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		if (random_below(&state, 16) == 0)
			scribble(q.requests, vuc_queue_requests_size(&q.geometry), &state);
		forge_request(&state);
		take_forged(&s);
		answer_forged(&s, (uint16_t)random_below(&state, DEPTH));
		if (random_below(&state, 8) == 0)
			vuc_queue_back_flush(&q.back);
		s.wrong += q.back.outstanding != s.nr;
	}
	CU_ASSERT_EQUAL(s.wrong, 0);
	/* Both ways were gone many times. */
	CU_ASSERT(s.refused > ROUNDS / 10);
	CU_ASSERT(q.back.head > ROUNDS / 10);
}

/* Each field by itself, next to a value that is right. */
static void
test_front_fields(void)
{
	const struct {
		uint32_t count;
		uint16_t op;
		uint16_t id;
		int rc;
	} cases[] = {
		{1, VUC_QUEUE_READ, DEPTH - 1, 1}, {CHUNK, VUC_QUEUE_WRITE, 0, 1},
		{CHUNK, VUC_QUEUE_WRITE_PCI, 0, 1}, {1, VUC_QUEUE_WRITE_PCI, 3, -EPROTO},
		{CHUNK, VUC_QUEUE_WRITE_POSTED, UINT16_MAX, 1}, {0, VUC_QUEUE_READ, 0, -EPROTO},
		{0, VUC_QUEUE_WRITE_POSTED, 0, -EPROTO}, {CHUNK + 1, VUC_QUEUE_READ, 0, -EPROTO},
		{CHUNK + 1, VUC_QUEUE_WRITE_POSTED, 0, -EPROTO},
		{UINT32_MAX, VUC_QUEUE_WRITE, 0, -EPROTO}, {1, 0, 0, -EPROTO},
		{1, VUC_QUEUE_WRITE_PCI + 1, 0, -EPROTO}, {1, UINT16_MAX, 0, -EPROTO},
		{1, VUC_QUEUE_READ, DEPTH, -EPROTO}, {1, VUC_QUEUE_WRITE, UINT16_MAX, -EPROTO},
		{1, VUC_QUEUE_READ, 3, -EPROTO}, /* outstanding */
	};
	struct vuc_queue_taken taken = {.slot = {.op = VUC_QUEUE_READ, .id = 3, .count = 1}};

	pair_reopen(DEPTH, CHUNK);
	vuc_queue_back_take(&q.back, &taken);
	for (size_t i = 0; i < NR(cases); i++) {
		struct queue_request_slot *slot = pair_request_slot(1);

		slot->count = cases[i].count;
		slot->op = cases[i].op;
		slot->id = cases[i].id;
		atomic_store(&slot->tag, 1);
		CU_ASSERT_EQUAL(vuc_queue_back_peek(&q.back, &taken), cases[i].rc);
	}
}

/* An id is the front's again when it can see the answer, and not before. */
static void
test_front_id_of_staged(void)
{
	struct vuc_queue_taken taken = {.slot = {.op = VUC_QUEUE_READ, .id = 3, .count = 1}};
	struct queue_request_slot *slot;

	pair_reopen(DEPTH, CHUNK);
	vuc_queue_back_take(&q.back, &taken);
	taken.slot.id = 4;
	vuc_queue_back_take(&q.back, &taken);
	vuc_queue_back_complete(&q.back, 3, -EIO, 0);
	slot = pair_request_slot(2);
	slot->op = VUC_QUEUE_READ;
	slot->id = 3;
	slot->count = 1;
	atomic_store(&slot->tag, 1);
	CU_ASSERT_EQUAL(vuc_queue_back_peek(&q.back, &taken), -EPROTO);
	vuc_queue_back_flush(&q.back);
	CU_ASSERT_EQUAL(vuc_queue_back_peek(&q.back, &taken), 1);
}

/* A front that has reads outstanding, into buffers with guards around them. */
struct victim {
	uint8_t data[DEPTH][GUARD + CHUNK + GUARD];
	uint32_t count[DEPTH];
	bool awaited[DEPTH];
	unsigned int wrong;
	unsigned int results;
};

static void
victim_open(struct victim *v, uint64_t *state)
{
	pair_reopen(DEPTH, CHUNK);
	vuc_queue_set_spin(q.front, random_below(state, 2) * 10);
	memset(v->data, UNTOUCHED, sizeof(v->data));
	for (uint32_t i = 0; i < DEPTH; i++) {
		const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0,
			1 + random_below(state, CHUNK), v->data[i] + GUARD, &v->awaited[i]};

		v->count[i] = r.count;
		v->awaited[i] = true;
		v->wrong += vuc_queue_submit(q.front, &r, 1) != 1;
	}
}

/* Whether only the bytes of reads that are to be written now have been written. */
static bool
is_unharmed(const struct victim *v, uint32_t i, bool written)
{
	uint32_t end = GUARD + (written ? v->count[i] : 0);

	for (uint32_t at = 0; at < sizeof(v->data[i]); at++) {
		if ((at < GUARD || at >= end) && v->data[i][at] != UNTOUCHED)
			return false;
	}
	return true;
}

static void
victim_close(struct victim *v)
{
	for (uint32_t i = 0; i < DEPTH; i++)
		v->wrong += !is_unharmed(v, i, !v->awaited[i]);
}

static void
forge_answer(uint64_t *state)
{
	uint32_t position = (uint32_t)q.front->head;
	struct queue_completion_slot *slot = pair_completion_slot(position);

	slot->id = (uint16_t)random_below(state, DEPTH);
	slot->status = random_below(state, 8) == 0 ? -EIO : 0;
	slot->count = slot->status == 0 ? q.front->pending[slot->id].count : 0;
	if (random_below(state, 8) == 0)
		scribble(slot, sizeof(*slot), state);
	if (random_below(state, 8) != 0)
		atomic_store(&slot->tag, queue_tag(q.front->ring, position));
}

static void
poll_forged(struct victim *v)
{
	struct vuc_queue_result results[2];
	unsigned int n = vuc_queue_poll(q.front, results, 2);

	for (unsigned int i = 0; i < n; i++) {
		bool *awaited = results[i].arg;

		v->wrong += !*awaited || results[i].status > 0 || results[i].status < -4095;
		*awaited = false;
	}
	v->results += n;
}

/* Until the front has seen enough: what is wrong stays wrong, and is said by every call. */
static bool
attack(struct victim *v, uint64_t *state)
{
	uint8_t data[4];
	int rc;

	for (unsigned int i = 0; i < 64 && vuc_queue_outstanding(q.front) > 0; i++) {
		if (random_below(state, 16) == 0)
			scribble(q.completions, vuc_queue_completions_size(&q.geometry), state);
		forge_answer(state);
		rc = vuc_queue_wait(q.front, 0);
		v->wrong += rc > 0 || rc < -4095;
		poll_forged(v);
		if (q.front->error != 0)
			break;
	}
	if (q.front->error == 0)
		return false;
	rc = q.front->error;
	v->wrong += vuc_queue_wait(q.front, -1) != rc;
	v->wrong += vuc_queue_read(q.front, 0, 0, data, 4) != rc;
	v->wrong += vuc_queue_post(q.front, 0, 0, data, 4) != rc;
	forge_answer(state);
	v->wrong += vuc_queue_poll(q.front, &(struct vuc_queue_result){0}, 1) != 0;
	return true;
}

static void
test_back(void)
{
	unsigned int wrong = 0, ended = 0, results = 0;
	uint64_t state = 2;

	for (unsigned int i = 0; i < ROUNDS / 10; i++) {
		struct victim v = {0};

		victim_open(&v, &state);
		ended += attack(&v, &state);
		victim_close(&v);
		results += v.results;
		wrong += v.wrong;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(ended > ROUNDS / 100);
	CU_ASSERT(results > ROUNDS / 10);
}

/* Answer the only request of a front, with one field wrong. */
static int
answer_wrongly(uint16_t id, int status, uint32_t count)
{
	uint8_t data[CHUNK];
	const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, 40, data, NULL};
	struct vuc_queue_result result = {0};
	struct queue_completion_slot *slot;
	int rc;

	pair_reopen(DEPTH, CHUNK);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
	slot = pair_completion_slot(0);
	slot->id = id;
	slot->status = status;
	slot->count = count;
	atomic_store(&slot->tag, 1);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), 0);
	rc = vuc_queue_poll(q.front, &result, 1) == 1 ? result.status : 0;
	if (rc == 0 && result.arg == NULL && vuc_queue_outstanding(q.front) == 1)
		rc = vuc_queue_wait(q.front, 0);
	return rc;
}

static void
test_back_fields(void)
{
	CU_ASSERT_EQUAL(answer_wrongly(0, 0, 40), 0);
	CU_ASSERT_EQUAL(answer_wrongly(0, -EIO, 0), -EIO);
	CU_ASSERT_EQUAL(answer_wrongly(0, -4095, 0), -4095);
	CU_ASSERT_EQUAL(answer_wrongly(1, 0, 40), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(DEPTH, 0, 40), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(UINT16_MAX, 0, 40), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(0, 1, 40), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(0, INT_MAX, 40), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(0, INT_MIN, 40), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(0, -4096, 40), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(0, 0, 39), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(0, 0, 0), -EPROTO);
	CU_ASSERT_EQUAL(answer_wrongly(0, 0, UINT32_MAX), -EPROTO);
}

/* An error that is none would be taken for a count of requests. */
static void
test_back_closed(void)
{
	static const int errors[] = {1, 4, INT_MAX, INT_MIN, -4096};

	for (size_t i = 0; i < NR(errors); i++) {
		uint8_t data[4] = {0};
		const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, 4, data, NULL};

		pair_reopen(DEPTH, CHUNK);
		CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
		atomic_store(&pair_back_header()->closed, errors[i]);
		CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), -EPROTO);
		CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), -EPROTO);
		CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -EPROTO);
	}
}

/* Who was told that no result is left to come has let go of its buffer. */
static void
test_back_answers_after_close(void)
{
	uint8_t data[4] = {UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED};
	const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, 4, data, NULL};
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;

	pair_reopen(DEPTH, CHUNK);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
	pair_take(&taken);
	vuc_queue_back_close(&q.back, -ENODEV);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ENODEV);
	memset(vuc_queue_back_room(&q.back, taken.slot.id, 4), 1, 4);
	vuc_queue_back_complete(&q.back, taken.slot.id, 0, 4);
	atomic_store(&pair_back_header()->closed, 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 0);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ENODEV);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), -ENODEV);
	CU_ASSERT_EQUAL(data[0], UNTOUCHED);
}

/* A back that takes its answer away again and again, in a thread of its own. */
struct flicker {
	_Atomic bool stop;
};

static void *
flicker(void *arg)
{
	struct flicker *f = arg;
	_Atomic uint32_t *tag = &pair_completion_slot(0)->tag;

	/* On one core with the front, it leaves the answer there at every second turn. */
	for (uint32_t turn = 0; !atomic_load_explicit(&f->stop, memory_order_relaxed); turn++) {
		for (unsigned int i = 0; i < 100; i++) {
			atomic_store_explicit(tag, 1, memory_order_release);
			queue_pause();
			atomic_store_explicit(tag, 0, memory_order_release);
			queue_pause();
		}
		atomic_store_explicit(tag, turn % 2, memory_order_release);
		sched_yield();
	}
	return NULL;
}

static void
test_back_flickers(void)
{
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < RACES; i++) {
		uint8_t data[4] = {UNTOUCHED, UNTOUCHED, UNTOUCHED, UNTOUCHED};
		struct flicker f = {0};
		pthread_t thread;
		int rc;

		pair_reopen(1, CHUNK);
		vuc_queue_set_spin(q.front, UINT_MAX);
		pair_completion_slot(0)->count = 4;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, flicker, &f), 0);
		rc = vuc_queue_read(q.front, 0, 0, data, 4);
		atomic_store(&f.stop, true);
		pthread_join(thread, NULL);
		wrong += rc == 0 ? data[0] != 0 : rc != -EPROTO;
		wrong += rc == 0 && vuc_queue_outstanding(q.front) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* The words that a sleeper looks at change all the time: the time is up nevertheless. */
static void *
wake_always(void *arg)
{
	struct flicker *f = arg;
	struct queue_back_header *header = pair_back_header();
	uint64_t state = 3;

	while (!atomic_load_explicit(&f->stop, memory_order_relaxed)) {
		atomic_store(&header->wakes, (uint32_t)random_next(&state));
		atomic_store(&header->bell, (uint32_t)random_next(&state));
		atomic_store(&header->taken, (uint32_t)random_next(&state));
		sched_yield();
	}
	return NULL;
}

static void
test_back_wakes_always(void)
{
	uint8_t data[4];
	const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, 4, data, NULL};
	struct flicker f = {0};
	pthread_t thread;

	pair_reopen(DEPTH, CHUNK);
	vuc_queue_set_spin(q.front, 0);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, wake_always, &f), 0);
	for (unsigned int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 5), -ETIMEDOUT);
	atomic_store(&f.stop, true);
	pthread_join(thread, NULL);
}

static const struct tap_suite hostile_back = {"hostile back", pair_set_up, pair_tear_down,
	{
		{"any bytes", test_back},
		{"each field", test_back_fields},
		{"closed with an error that is none", test_back_closed},
		{"an answer after the end", test_back_answers_after_close},
		{"an answer that comes and goes", test_back_flickers},
		{"wakes without a reason", test_back_wakes_always},
	}};

const struct tap_suite tap_suite = {"hostile front", pair_set_up, pair_tear_down,
	{
		{"any bytes", test_front},
		{"each field", test_front_fields},
		{"the id of an answer on its way", test_front_id_of_staged},
	},
	.next = &hostile_back};
