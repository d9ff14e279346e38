/* SPDX-License-Identifier: BSD-3-Clause */
#include <sys/eventfd.h>

#include "queue_pair.h"

#define HANGS_S 60u

struct queue_pair q;

static void *
zeroed(size_t size)
{
	void *memory = aligned_alloc(QUEUE_SLOT_SIZE, size);

	CU_ASSERT_PTR_NOT_NULL_FATAL(memory);
	return memset(memory, 0, size);
}

static void
pair_open(uint32_t depth, uint32_t chunk)
{
	struct vuc_queue_geometry *g = &q.geometry;

	memset(&q, 0, sizeof(q));
	*g = (struct vuc_queue_geometry){.depth = depth, .chunk = chunk};
	CU_ASSERT_FATAL(vuc_queue_geometry_valid(g));
	q.requests = zeroed(vuc_queue_requests_size(g));
	q.completions = zeroed(vuc_queue_completions_size(g));
	q.kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CU_ASSERT_FATAL(q.kick_fd >= 0);

	const struct vuc_queue_front_opts front = {
		.geometry = *g,
		.requests = q.requests,
		.completions = q.completions,
		.bell = {.word = &q.bells,
			.bit = PAIR_BELL_BIT,
			.sleeps = &q.sleeps,
			.kick_fd = q.kick_fd},
	};
	const struct vuc_queue_back_opts back = {
		.geometry = *g,
		.requests = q.requests,
		.completions = q.completions,
	};

	q.front = vuc_queue_create(&front);
	CU_ASSERT_PTR_NOT_NULL_FATAL(q.front);
	CU_ASSERT_EQUAL_FATAL(vuc_queue_back_init(&q.back, &back), 0);
}

static void
pair_close(void)
{
	vuc_queue_back_fini(&q.back);
	vuc_queue_destroy(q.front);
	close(q.kick_fd);
	free(q.completions);
	free(q.requests);
}

void
pair_set_up(void)
{
	pair_open(PAIR_DEPTH, PAIR_CHUNK);
	alarm(HANGS_S);
}

void
pair_reopen(uint32_t depth, uint32_t chunk)
{
	pair_close();
	pair_open(depth, chunk);
}

void
pair_tear_down(void)
{
	alarm(0);
	pair_close();
}

struct queue_request_slot *
pair_request_slot(uint32_t position)
{
	return (struct queue_request_slot *)((uint8_t *)q.requests +
		       sizeof(struct queue_front_header)) +
		(position & (q.geometry.depth - 1));
}

struct queue_completion_slot *
pair_completion_slot(uint32_t position)
{
	return (struct queue_completion_slot *)((uint8_t *)q.completions +
		       sizeof(struct queue_back_header)) +
		(position & (q.geometry.depth - 1));
}

struct queue_front_header *
pair_front_header(void)
{
	return q.requests;
}

struct queue_back_header *
pair_back_header(void)
{
	return q.completions;
}

void
pair_set_tags(uint32_t position)
{
	struct queue_ring ring = queue_ring_of(&q.geometry);

	for (uint32_t i = 1; i <= q.geometry.depth; i++) {
		uint32_t tag = queue_tag(ring, position - i);

		atomic_store(&pair_request_slot(position - i)->tag, tag);
		atomic_store(&pair_completion_slot(position - i)->tag, tag);
	}
}

void
pair_start_at(uint32_t position)
{
	pair_set_tags(position);
	q.front->tail = position;
	q.front->taken = position;
	q.front->head = position;
	q.back.head = position;
	q.back.tail = position;
	atomic_store(&pair_back_header()->taken, position);
}

int
submit_read(void *data, uint32_t count, void *arg)
{
	const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, count, data, arg};

	return vuc_queue_submit(q.front, &r, 1);
}

void
pair_take(struct vuc_queue_taken *taken)
{
	CU_ASSERT_EQUAL_FATAL(vuc_queue_back_peek(&q.back, taken), 1);
	vuc_queue_back_take(&q.back, taken);
}

/* The mixing function of splitmix64: any change of its argument changes half of the bits. */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t
random_next(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix(*state);
}

void
payload_fill(void *bytes, size_t count, uint64_t seed)
{
	uint8_t *to = bytes;

	for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
		uint64_t word = random_next(&seed);
		size_t n = count - i < sizeof(word) ? count - i : sizeof(word);

		memcpy(to + i, &word, n);
	}
}

bool
payload_matches(const void *bytes, size_t count, uint64_t seed)
{
	const uint8_t *from = bytes;

	for (size_t i = 0; i < count; i += sizeof(uint64_t)) {
		uint64_t word = random_next(&seed);
		size_t n = count - i < sizeof(word) ? count - i : sizeof(word);

		if (memcmp(from + i, &word, n) != 0)
			return false;
	}
	return true;
}
