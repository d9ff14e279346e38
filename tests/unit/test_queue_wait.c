/* SPDX-License-Identifier: BSD-3-Clause */

/* What a queue does beside its slots: synchronous calls, sleeping, ringing, the end. */

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "sync.h"
#include "memfd.h"
#include "queue_pair.h"

#define CHUNK PAIR_CHUNK
#define DEPTH PAIR_DEPTH

/* What a thread that serves the back is to do. */
struct server {
	unsigned int nr;       /* requests to answer */
	bool only_when_asleep; /* the front has to sleep before each answer */
	int close;             /* with this error at the end, if it is one */
	unsigned int answered;
};

static void
await_sleeper(void)
{
	while (atomic_load(&pair_front_header()->sleeps) == 0)
		sched_yield();
}

static void
serve_one(struct server *s)
{
	struct vuc_queue_back *b = &q.back;
	struct vuc_queue_taken taken;
	const struct queue_request_slot *slot = &taken.slot;

	while (vuc_queue_back_is_empty(b))
		sched_yield();
	if (s->only_when_asleep)
		await_sleeper();
	if (vuc_queue_back_peek(b, &taken) != 1)
		return;
	vuc_queue_back_take(b, &taken);
	if (slot->op == VUC_QUEUE_READ)
		payload_fill(
			vuc_queue_back_room(b, slot->id, slot->count), slot->count, slot->offset);
	if (slot->op != VUC_QUEUE_WRITE_POSTED)
		vuc_queue_back_complete(b, slot->id, slot->offset == 13 ? -EIO : 0,
			slot->op == VUC_QUEUE_READ && slot->offset != 13 ? slot->count : 0);
	vuc_queue_back_flush(b);
	s->answered++;
}

static void *
serve(void *arg)
{
	struct server *s = arg;

	while (s->answered < s->nr)
		serve_one(s);
	if (s->close != 0) {
		await_sleeper();
		vuc_queue_back_close(&q.back, s->close);
	}
	return NULL;
}

static pthread_t
start(struct server *s)
{
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, serve, s), 0);
	return thread;
}

static void
run_calls(unsigned int spins, bool only_when_asleep)
{
	struct server s = {.nr = 60, .only_when_asleep = only_when_asleep};
	uint8_t data[CHUNK] = {0};
	unsigned int wrong = 0;
	pthread_t thread;

	vuc_queue_set_spin(q.front, spins);
	thread = start(&s);
	for (uint32_t i = 1; i <= 30; i++) {
		int status = i == 13 ? -EIO : 0;

		wrong += vuc_queue_read(q.front, 1, i, data, 4 * i) != status;
		wrong += status == 0 && !payload_matches(data, 4 * i, i);
		wrong += vuc_queue_write(q.front, 1, i, data, 4 * i) != status;
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 0);
}

static void
test_calls_spinning(void)
{
	run_calls(UINT_MAX, false);
}

static void
test_calls_asleep(void)
{
	run_calls(0, true);
}

/* A posted write without room sleeps too, and is woken by the count of what was taken. */
static void
test_post_asleep(void)
{
	struct server s = {.nr = 3 * DEPTH, .only_when_asleep = true};
	uint8_t data[CHUNK] = {0};
	unsigned int wrong = 0;
	pthread_t thread;

	vuc_queue_set_spin(q.front, 10);
	thread = start(&s);
	for (uint32_t i = 0; i < 4 * DEPTH; i++)
		wrong += vuc_queue_post(q.front, 1, 0, data, CHUNK) != 0;
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(s.answered, 3 * DEPTH);
}

static void
test_busy(void)
{
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;
	uint8_t data[4] = {0};

	CU_ASSERT_EQUAL(submit_read(data, 4, &q), 1);
	CU_ASSERT_EQUAL(vuc_queue_read(q.front, 0, 0, data, 4), -EBUSY);
	CU_ASSERT_EQUAL(vuc_queue_write(q.front, 0, 0, data, 4), -EBUSY);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 1);
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), 0);
	pair_take(&taken);
	vuc_queue_back_complete(&q.back, taken.slot.id, -EPERM, 0);
	/* Also when its result is there. */
	CU_ASSERT_EQUAL(vuc_queue_read(q.front, 0, 0, data, 4), -EBUSY);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
	CU_ASSERT_PTR_EQUAL(result.arg, &q);
	CU_ASSERT_EQUAL(result.status, -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_queue_reason(q.front), "are outstanding"));
}

static void
test_wait(void)
{
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;
	uint8_t data[4];

	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ENOENT);
	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), 1);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 0), -ETIMEDOUT);
	vuc_queue_set_spin(q.front, 0);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 0), -ETIMEDOUT);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 5), -ETIMEDOUT);
	CU_ASSERT_EQUAL(atomic_load(&pair_front_header()->sleeps), 0);
	pair_take(&taken);
	vuc_queue_back_complete(&q.back, taken.slot.id, -EIO, 0);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 0), 0);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ENOENT);
}

/* However long it would spin, time and the end of the queue are not overlooked. */
static void
test_wait_spinning(void)
{
	uint8_t data[4];

	vuc_queue_set_spin(q.front, UINT_MAX);
	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), 1);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 2), -ETIMEDOUT);
	vuc_queue_back_close(&q.back, -ENODEV);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ENODEV);
}

/* Every call says so, once the results from before are delivered. */
static void
test_close(void)
{
	struct vuc_queue_result results[4];
	struct vuc_queue_taken taken[3];
	uint8_t data[3][4] = {{0}};

	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(submit_read(data[i], 4, data[i]), 1);
	for (unsigned int i = 0; i < 3; i++)
		pair_take(&taken[i]);
	payload_fill(vuc_queue_back_room(&q.back, taken[1].slot.id, 4), 4, 1);
	vuc_queue_back_complete(&q.back, taken[1].slot.id, 0, 4);
	vuc_queue_back_close(&q.back, -ENODEV);
	CU_ASSERT_EQUAL(submit_read(data[0], 4, NULL), -ENODEV);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, results, 4), 1);
	CU_ASSERT_PTR_EQUAL(results[0].arg, data[1]);
	CU_ASSERT(payload_matches(data[1], 4, 1));
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, -1), -ENODEV);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, results, 4), 0);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 2);
	CU_ASSERT_EQUAL(vuc_queue_read(q.front, 0, 0, data[0], 4), -ENODEV);
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data[0], 4), -ENODEV);
}

/* An error may have any name, also that of a wait that has taken too long. */
static void
test_close_timed_out(void)
{
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;
	uint8_t data[4] = {0};

	CU_ASSERT_EQUAL(submit_read(data, 4, NULL), 1);
	pair_take(&taken);
	CU_ASSERT_EQUAL(vuc_queue_wait(q.front, 0), -ETIMEDOUT);
	vuc_queue_back_complete(&q.back, taken.slot.id, 0, 4);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
	vuc_queue_back_close(&q.back, -ETIMEDOUT);
	CU_ASSERT_EQUAL(vuc_queue_read(q.front, 0, 0, data, 4), -ETIMEDOUT);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 0);
}

/* Whoever sleeps when the queue is closed wakes up: in a wait, a call, a posted write. */
static void
test_close_wakes(void)
{
	for (unsigned int i = 0; i < 3; i++) {
		struct server s = {.close = -ENODEV};
		uint8_t data[4] = {0};
		pthread_t thread;
		int rc = 0;

		pair_reopen(DEPTH, CHUNK);
		vuc_queue_set_spin(q.front, 0);
		thread = start(&s);
		if (i == 0 && submit_read(data, 4, NULL) == 1)
			rc = vuc_queue_wait(q.front, -1);
		if (i == 1)
			rc = vuc_queue_read(q.front, 0, 0, data, 4);
		for (unsigned int n = 0; i == 2 && n <= DEPTH; n++)
			rc = vuc_queue_post(q.front, 0, 0, data, 4);
		CU_ASSERT_EQUAL(rc, -ENODEV);
		pthread_join(thread, NULL);
		CU_ASSERT_EQUAL(atomic_load(&pair_front_header()->sleeps), 0);
	}
}

static bool
was_kicked(void)
{
	uint64_t kicks;

	return read(q.kick_fd, &kicks, sizeof(kicks)) == sizeof(kicks) && kicks == 1;
}

static void
test_bell(void)
{
	uint8_t data[4] = {0};
	const struct vuc_queue_request posts[] = {
		{VUC_QUEUE_WRITE_POSTED, 0, 0, 4, data, NULL},
		{VUC_QUEUE_WRITE_POSTED, 0, 0, 4, data, NULL},
	};

	/* Not asked to ring: who sleeps and has not turned it on gets nothing. */
	atomic_store(&q.sleeps, 1);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, posts, 1), 1);
	CU_ASSERT_EQUAL(atomic_load(&q.bells), 0);
	CU_ASSERT(!was_kicked());
	/* It rings for someone who is awake, and spares him the kick. */
	atomic_store(&q.sleeps, 0);
	atomic_store(&q.bells, 1);
	vuc_queue_back_set_bell(&q.back, true);
	CU_ASSERT(!vuc_queue_back_is_empty(&q.back));
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, posts, 1), 1);
	CU_ASSERT_EQUAL(atomic_exchange(&q.bells, 0), PAIR_BELL_BIT | 1);
	CU_ASSERT(!was_kicked());
	/* One kick for a burst. */
	atomic_store(&q.sleeps, 1);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, posts, 2), 2);
	CU_ASSERT_EQUAL(atomic_exchange(&q.bells, 0), PAIR_BELL_BIT);
	CU_ASSERT(was_kicked());
	/* Nothing was taken, nothing is rung. */
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, posts, 2), 0);
	CU_ASSERT_EQUAL(atomic_load(&q.bells), 0);
	CU_ASSERT(!was_kicked());
}

/* Off again, and for a back that is polled all the time, there is neither ring nor kick. */
static void
test_bell_off(void)
{
	uint8_t data[4] = {0};

	atomic_store(&q.sleeps, 1);
	vuc_queue_back_set_bell(&q.back, true);
	vuc_queue_back_set_bell(&q.back, false);
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), 0);
	vuc_queue_back_set_bell(&q.back, true);
	q.front->bell.word = NULL;
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), 0);
	CU_ASSERT_EQUAL(atomic_load(&q.bells), 0);
	CU_ASSERT(!was_kicked());
}

/* A wake costs a system call: only after something was done, and only for one who sleeps. */
static void
test_flush(void)
{
	struct vuc_queue_taken taken;
	uint8_t data[4] = {0};
	_Atomic uint32_t *wakes;

	wakes = &pair_back_header()->wakes;
	atomic_store(&pair_front_header()->sleeps, 1);
	vuc_queue_back_flush(&q.back);
	CU_ASSERT_EQUAL(atomic_load(wakes), 0);
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), 0);
	pair_take(&taken);
	vuc_queue_back_flush(&q.back);
	vuc_queue_back_flush(&q.back);
	CU_ASSERT_EQUAL(atomic_load(wakes), 1);
	CU_ASSERT_EQUAL(atomic_load(&pair_back_header()->taken), 1);
	atomic_store(&pair_front_header()->sleeps, 0);
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 4), 0);
	pair_take(&taken);
	vuc_queue_back_flush(&q.back);
	CU_ASSERT_EQUAL(atomic_load(wakes), 1);
	CU_ASSERT_EQUAL(atomic_load(&pair_back_header()->taken), 2);
}

/* Memory as two processes have it: each end maps what the other one writes read-only. */
struct areas {
	int fd;
	size_t size;
	void *writable;
	void *readable;
};

static void
areas_map(struct areas *a, const char *name, size_t size)
{
	a->size = size;
	a->fd = vuc_memfd_create(name, size, 0);
	CU_ASSERT_FATAL(a->fd >= 0);
	a->writable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	a->readable = mmap(NULL, size, PROT_READ, MAP_SHARED, a->fd, 0);
	CU_ASSERT_FATAL(a->writable != MAP_FAILED && a->readable != MAP_FAILED);
}

static void
areas_unmap(struct areas *a)
{
	munmap(a->writable, a->size);
	munmap(a->readable, a->size);
	close(a->fd);
}

static void
test_read_only_peers(void)
{
	const struct vuc_queue_geometry g = {DEPTH, CHUNK};
	struct areas requests, completions;
	const struct queue_pair usual = q;
	struct server s = {.nr = 40, .only_when_asleep = true};
	uint8_t data[CHUNK];
	unsigned int wrong = 0;
	pthread_t thread;

	areas_map(&requests, "requests", vuc_queue_requests_size(&g));
	areas_map(&completions, "completions", vuc_queue_completions_size(&g));
	q = (struct queue_pair){.geometry = g, .requests = requests.writable};
	q.front = vuc_queue_create(&(struct vuc_queue_front_opts){
		.geometry = g, .requests = requests.writable, .completions = completions.readable});
	CU_ASSERT_PTR_NOT_NULL_FATAL(q.front);
	CU_ASSERT_EQUAL_FATAL(vuc_queue_back_init(&q.back,
				      &(struct vuc_queue_back_opts){.geometry = g,
					      .requests = requests.readable,
					      .completions = completions.writable}),
		0);
	vuc_queue_set_spin(q.front, 0);
	/* It sleeps there, rather than being refused and coming back at once. */
	CU_ASSERT_EQUAL(queue_futex_wait(completions.readable, 0, 5), -ETIMEDOUT);
	thread = start(&s);
	for (uint32_t i = 14; i < 54; i++) {
		wrong += vuc_queue_read(q.front, 1, i, data, 2 * i) != 0;
		wrong += !payload_matches(data, 2 * i, i);
	}
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(wrong, 0);
	vuc_queue_back_fini(&q.back);
	vuc_queue_destroy(q.front);
	q = usual;
	areas_unmap(&requests);
	areas_unmap(&completions);
}

const struct tap_suite tap_suite = {"queue", pair_set_up, pair_tear_down,
	{
		{"calls that spin", test_calls_spinning},
		{"calls that sleep", test_calls_asleep},
		{"posted writes that sleep for room", test_post_asleep},
		{"calls are refused while others are outstanding", test_busy},
		{"wait", test_wait},
		{"wait with the longest spin", test_wait_spinning},
		{"close", test_close},
		{"close with the error of a timeout", test_close_timed_out},
		{"close wakes who sleeps", test_close_wakes},
		{"bell", test_bell},
		{"bell off", test_bell_off},
		{"flush", test_flush},
		{"areas that the other end cannot write", test_read_only_peers},
	}};
