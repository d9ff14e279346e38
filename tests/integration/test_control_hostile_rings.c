/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that write what they like to the memory that they share with the daemon. */

#include <pthread.h>
#include <stdatomic.h>

#include "hostile.h"

#define DEPTH    64u
#define CHUNK    256u
#define REWRITES 3000u /* requests that are rewritten while they are read */
#define SCRIBBLE 30u   /* connections that write at random */
#define POSTS    20000u
#define QUEUES   16u

static struct shm_queue *
attach_with_queue(uint32_t depth, uint32_t max_data)
{
	rig_attach(&client, RIG_NAME);
	return rig_open_queue(&client, depth, max_data);
}

static struct vuc_shm_request *
slot_at(const struct shm_queue *q, uint32_t position)
{
	return (struct vuc_shm_request *)(q->requests + sizeof(struct vuc_shm_front) +
		(size_t)(position % q->depth) * VUC_SHM_SLOT_SIZE);
}

static const struct vuc_shm_back *
back_of(const struct shm_queue *q)
{
	return (const struct vuc_shm_back *)q->completions;
}

static void
ring(struct shm_queue *q)
{
	const uint64_t one = 1;
	ssize_t n;

	__atomic_fetch_or(&client.bell->rung, UINT64_C(1) << q->index, __ATOMIC_SEQ_CST);
	n = write(client.attach_fds[VUC_SHM_FD_KICK], &one, sizeof(one));
	(void)n;
}

static bool
is_closed(const struct shm_queue *q)
{
	return __atomic_load_n(&back_of(q)->closed, __ATOMIC_ACQUIRE) != 0;
}

/* Whether so many requests have been taken, or the queue is closed. */
static bool
becomes_taken(const struct shm_queue *q, uint32_t n)
{
	unsigned int ms = 0;

	while (!is_closed(q) && shm_taken(q) != n)
		if (!rig_wait(&ms))
			return false;
	return true;
}

/* ---- slots that are rewritten while they are read ---- */

/* Fields of a slot as they may be, and as they may not be. */
struct rewriter {
	pthread_t thread;
	struct vuc_shm_request *slot;
	bool good; /* only values that may be there */
	_Atomic bool stop;
};

static void
rewrite(struct rewriter *r, uint64_t *state)
{
	static const uint32_t good_counts[] = {1, 4, 8, CHUNK};
	struct vuc_shm_request *s = r->slot;
	uint32_t count = good_counts[hostile_below(state, 4)];
	uint16_t op = (uint16_t)(1 + hostile_below(state, 2));
	uint16_t region = (uint16_t)hostile_below(state, 9);

	if (!r->good && hostile_below(state, 4) == 0) {
		count = (uint32_t)hostile_random(state);
		op = (uint16_t)hostile_random(state);
		region = (uint16_t)hostile_random(state);
		__atomic_store_n(&s->id, (uint16_t)hostile_random(state), __ATOMIC_RELAXED);
	}
	__atomic_store_n(&s->count, count, __ATOMIC_RELAXED);
	__atomic_store_n(&s->op, op, __ATOMIC_RELAXED);
	__atomic_store_n(&s->region, region, __ATOMIC_RELAXED);
	__atomic_store_n(&s->offset, hostile_random(state) % 0x2000, __ATOMIC_RELAXED);
}

static void *
rewrite_all_the_time(void *arg)
{
	struct rewriter *r = arg;
	uint64_t state = 99;

	while (!atomic_load(&r->stop))
		rewrite(r, &state);
	return NULL;
}

/* The daemon answers what it saw, whatever that was: a read of no more than may be read. */
static void
check_completion(const struct vuc_shm_completion *c)
{
	CU_ASSERT_TRUE(c->status <= 0);
	CU_ASSERT_TRUE(c->count <= CHUNK);
	if (c->status != 0)
		CU_ASSERT_EQUAL(c->count, 0);
}

static void
submit_rewritten(struct shm_queue *q, unsigned int requests)
{
	struct vuc_shm_completion completion;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < requests; i++) {
		__atomic_store_n(&slot_at(q, 0)->tag, i + 1, __ATOMIC_SEQ_CST);
		q->tail++;
		ring(q);
		rc = shm_complete(q, &completion, RIG_WAIT_MS);
		if (rc == 0)
			check_completion(&completion);
	}
	CU_ASSERT_TRUE(rc == 0 || rc == -EPROTO);
}

/* A queue of nothing but what is allowed is as good as any. */
static void
check_rewritten(bool good)
{
	struct rewriter r = {.good = good};
	struct shm_queue *q = attach_with_queue(1, CHUNK);

	r.slot = slot_at(q, 0);
	r.slot->op = VUC_SHM_READ;
	r.slot->count = 4;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&r.thread, NULL, rewrite_all_the_time, &r), 0);
	submit_rewritten(q, REWRITES);
	atomic_store(&r.stop, true);
	pthread_join(r.thread, NULL);
	if (good)
		CU_ASSERT_EQUAL(shm_close_queue(q), 0);
	if (!good)
		CU_ASSERT_TRUE(shm_is_ended(&client));
	shm_close(&client);
	hostile_survived();
}

static void
test_rewritten(void)
{
	check_rewritten(true);
	check_rewritten(false);
}

/* A long write's bytes, which the daemon takes from where they lie. */
static void
test_payload_rewritten(void)
{
	const struct vuc_shm_request request = {
		.op = VUC_SHM_WRITE, .region = BAR0, .offset = REFDEV_RAM_OFFSET, .count = CHUNK};
	struct vuc_shm_completion completion;
	uint64_t state = 3;
	struct shm_queue *q = attach_with_queue(2, CHUNK);

	for (unsigned int i = 0; i < REWRITES; i++) {
		uint8_t *chunk = q->requests + sizeof(struct vuc_shm_front) +
			2 * VUC_SHM_SLOT_SIZE + (size_t)(q->tail % 2) * CHUNK;

		shm_submit(q, &request);
		hostile_fill(&state, chunk, CHUNK);
		CU_ASSERT_EQUAL_FATAL(shm_complete(q, &completion, RIG_WAIT_MS), 0);
		CU_ASSERT_EQUAL(completion.status, 0);
	}
	CU_ASSERT_EQUAL(shm_close_queue(q), 0);
}

/* ---- anything, anywhere ---- */

static void
forge(struct shm_queue *q, uint32_t position, uint64_t *state)
{
	struct vuc_shm_request *s = slot_at(q, position);

	s->offset = hostile_random(state);
	s->count = 1 + hostile_below(state, q->max_data + 1);
	s->op = (uint16_t)(1 + hostile_below(state, 4));
	s->region = (uint16_t)hostile_below(state, 12);
	s->id = (uint16_t)hostile_below(state, q->depth + 1);
	__atomic_store_n(&s->tag,
		hostile_below(state, 8) != 0 ? position / q->depth + 1
					     : (uint32_t)hostile_random(state),
		__ATOMIC_SEQ_CST);
}

static void
scribble(struct shm_queue *q, uint64_t *state)
{
	uint32_t *words = (uint32_t *)(void *)q->requests;

	for (uint32_t n = hostile_below(state, 32); n > 0; n--)
		__atomic_store_n(&words[hostile_below(state, (uint32_t)(q->requests_size / 4))],
			(uint32_t)hostile_random(state), __ATOMIC_RELAXED);
	__atomic_store_n(&client.bell->rung, hostile_random(state), __ATOMIC_RELAXED);
}

/* Requests that are nearly right, and words that are nothing, until the daemon has enough of it. */
static void
test_random(void)
{
	uint64_t state = 2463534242;

	for (unsigned int i = 0; i < SCRIBBLE; i++) {
		uint32_t depth = 1u << hostile_below(&state, 8);
		struct shm_queue *q = attach_with_queue(depth, 64u << hostile_below(&state, 4));

		for (unsigned int n = 0; n < 300 && !is_closed(q); n++) {
			forge(q, shm_taken(q), &state);
			if (hostile_below(&state, 16) == 0)
				scribble(q, &state);
			ring(q);
		}
		shm_close(&client);
		CU_ASSERT_TRUE_FATAL(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	}
}

static void
expect_broken(const struct shm_queue *q)
{
	CU_ASSERT_TRUE(shm_is_ended(&client));
	CU_ASSERT_EQUAL(back_of(q)->closed, -EPROTO);
	shm_close(&client);
}

/* Each field that a request can have wrong, alone. */
static void
test_wrong_requests(void)
{
	static const struct vuc_shm_request wrong[] = {
		{.op = 0, .count = 4},
		{.op = 5, .count = 4},
		{.op = UINT16_MAX, .count = 4},
		{.op = VUC_SHM_READ, .count = 0},
		{.op = VUC_SHM_READ, .count = CHUNK + 1},
		{.op = VUC_SHM_WRITE, .count = UINT32_MAX},
		{.op = VUC_SHM_WRITE_POSTED, .count = 0},
		{.op = VUC_SHM_WRITE_POSTED, .count = CHUNK + 1},
		{.op = VUC_SHM_READ, .count = 4, .id = DEPTH},
		{.op = VUC_SHM_WRITE, .count = 4, .id = UINT16_MAX},
	};

	for (size_t i = 0; i < NR(wrong); i++) {
		struct shm_queue *q = attach_with_queue(DEPTH, CHUNK);

		shm_submit(q, &wrong[i]);
		expect_broken(q);
	}
}

/* Regions and offsets that there are not are the device's to refuse; the queue goes on. */
static void
test_wrong_places(void)
{
	static const uint64_t offsets[] = {0, 0xfff, 0x1000, UINT32_MAX, INT64_MAX, UINT64_MAX - 3};
	static const uint16_t regions[] = {BAR0, VFIO_PCI_BAR1_REGION_INDEX, 9, 255, UINT16_MAX};
	uint32_t value;
	struct shm_queue *q = attach_with_queue(DEPTH, CHUNK);

	for (size_t r = 0; r < NR(regions); r++) {
		for (size_t o = 0; o < NR(offsets); o++)
			CU_ASSERT_EQUAL(shm_read(q, regions[r], offsets[o], &value, 4),
				r == 0 && o == 0 ? 0 : -EINVAL);
	}
	CU_ASSERT_EQUAL(rig_read(q, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	CU_ASSERT_EQUAL(shm_close_queue(q), 0);
}

/* ---- too much ---- */

/* The same id twice at a time: the second request is there before the first one is seen. */
static void
test_id_twice(void)
{
	const struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .count = 4, .id = 3};
	struct shm_queue *q = attach_with_queue(DEPTH, CHUNK);

	*slot_at(q, 1) = request;
	*slot_at(q, 0) = request;
	__atomic_store_n(&slot_at(q, 1)->tag, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&slot_at(q, 0)->tag, 1, __ATOMIC_SEQ_CST);
	ring(q);
	expect_broken(q);
}

/* More than the ring holds: slots are written again before they were taken. What is lost is the
 * VMM's own. */
static void
test_overrun(void)
{
	const struct vuc_shm_request request = {.op = VUC_SHM_WRITE_POSTED,
		.region = BAR0,
		.offset = REFDEV_REG_SCRATCH,
		.count = 8};
	struct shm_queue *q = attach_with_queue(4, 64);

	for (unsigned int i = 0; i < POSTS; i++)
		shm_submit(q, &request);
	hostile_neighbour_goes_on();
	CU_ASSERT_EQUAL(shm_close_queue(q), 0);
}

/* As many reads as there can be, again and again, and no look at an answer. */
static void
test_never_polls(void)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_ID, .count = 4};
	struct shm_queue *q = attach_with_queue(VUC_SHM_MAX_DEPTH, 64);

	for (unsigned int round = 1; round <= 4 && !is_closed(q); round++) {
		for (uint32_t i = 0; i < VUC_SHM_MAX_DEPTH; i++) {
			request.id = (uint16_t)i;
			shm_submit(q, &request);
		}
		CU_ASSERT_TRUE(becomes_taken(q, round * VUC_SHM_MAX_DEPTH));
	}
	hostile_neighbour_goes_on();
	/* An id that was still outstanding has ended the connection; or else it goes on. */
	if (!is_closed(q))
		CU_ASSERT_EQUAL(shm_close_queue(q), 0);
}

/* Many queues that all break at once. */
static void
test_many_broken(void)
{
	const struct vuc_shm_request wrong = {.op = 99, .count = 1};

	rig_attach(&client, RIG_NAME);
	for (unsigned int i = 0; i < QUEUES; i++)
		rig_open_queue(&client, DEPTH, CHUNK);
	for (unsigned int i = 0; i < QUEUES; i++)
		shm_submit(&client.queues[i], &wrong);
	CU_ASSERT_TRUE(shm_is_ended(&client));
}

/* Queues until there is no memory for more: what the budget allows, and not a byte beyond it. What
 * is closed makes room for as much, and what is refused takes nothing. */
static void
test_queue_memory(void)
{
	static const uint32_t bad[][2] = {
		{3, 64}, {0, 64}, {UINT32_MAX, 64}, {4, 0}, {4, UINT32_MAX}};
	struct shm_queue queues[VUC_SHM_MAX_QUEUES + 1], *more;
	unsigned int n = 0;
	uint64_t sum = 0;
	int rc;

	rig_attach(&client, RIG_NAME);
	while ((rc = shm_open_queue(&client, VUC_SHM_MAX_DEPTH, 4096, &queues[n])) == 0) {
		sum += queues[n].requests_size + queues[n].completions_size;
		n++;
	}
	more = &queues[n];
	CU_ASSERT_EQUAL(rc, -ENOSPC);
	CU_ASSERT_TRUE(n > 0 && sum <= UINT64_C(64) << 20);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(shm_close_queue(&queues[0]), 0);
		CU_ASSERT_EQUAL_FATAL(
			shm_open_queue(&client, VUC_SHM_MAX_DEPTH, 4096, &queues[0]), 0);
		CU_ASSERT_EQUAL(shm_open_queue(&client, VUC_SHM_MAX_DEPTH, 4096, more), -ENOSPC);
	}
	for (size_t i = 0; i < NR(bad); i++)
		CU_ASSERT_EQUAL(shm_open_queue(&client, bad[i][0], bad[i][1], more), -EINVAL);
	while (n > 0)
		shm_forget_queue(&queues[--n]);
}

/* It says that it sleeps, always, and rings all bells, all the time: that costs wake-ups. */
static void
test_noise(void)
{
	const uint64_t full = UINT64_MAX - 1;
	struct shm_queue *q;
	int kick;

	rig_attach(&client, RIG_NAME);
	kick = client.attach_fds[VUC_SHM_FD_KICK];
	q = rig_open_queue(&client, DEPTH, CHUNK);
	((struct vuc_shm_front *)(void *)q->requests)->sleeps = UINT32_MAX;
	(void)!write(kick, &full, sizeof(full));
	CU_ASSERT_EQUAL(fcntl(kick, F_SETFL, O_NONBLOCK), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		__atomic_store_n(&client.bell->rung, UINT64_MAX, __ATOMIC_SEQ_CST);
		rig_read(q, REFDEV_REG_ID, 4);
	}
	hostile_neighbour_goes_on();
	CU_ASSERT_EQUAL(shm_close_queue(q), 0);
}

const struct tap_suite tap_suite = {NULL, hostile_set_up, hostile_stop,
	{
		{"rewritten", test_rewritten},
		{"payload_rewritten", test_payload_rewritten},
		{"random", test_random},
		{"wrong_requests", test_wrong_requests},
		{"wrong_places", test_wrong_places},
		{"id_twice", test_id_twice},
		{"overrun", test_overrun},
		{"never_polls", test_never_polls},
		{"many_broken", test_many_broken},
		{"queue_memory", test_queue_memory},
		{"noise", test_noise},
	}};
