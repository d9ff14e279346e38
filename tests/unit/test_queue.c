/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue_pair.h"

#define CHUNK       PAIR_CHUNK
#define BATCHES     4u /* of depth requests each: more than 3 laps */
#define POLL_BURST  5u
#define UNTOUCHED   0x5a
#define ANSWER_SEED UINT64_C(0x1000000000)

/* A request of a batch, and how far it has come. */
struct item {
	struct vuc_queue_request request;
	uint16_t id;
	unsigned int results;
	uint8_t data[CHUNK];
};

/* Where completions come in another order than requests. */
enum order {
	IN_ORDER,
	REVERSED,
	EVERY_THIRD,
};

static const uint32_t sizes[] = {1, 32, 33, 48, 49, 64, CHUNK, 8};

static void
test_geometry(void)
{
	const struct {
		struct vuc_queue_geometry geometry;
		bool valid;
	} cases[] = {
		{{0, 64}, false},
		{{1, 64}, true},
		{{3, 64}, false},
		{{4096, 64}, true},
		{{8192, 64}, false},
		{{UINT32_C(1) << 31, 64}, false},
		{{64, 0}, false},
		{{64, 32}, false},
		{{64, 65}, false},
		{{64, 96}, false},
		{{64, 128}, true},
		{{4096, 1024 * 1024}, true},
		{{64, 1024 * 1024 + 64}, false},
		{{64, UINT32_MAX - 63}, false},
	};

	for (size_t i = 0; i < NR(cases); i++)
		CU_ASSERT_EQUAL(vuc_queue_geometry_valid(&cases[i].geometry), cases[i].valid);
}

static void
test_sizes(void)
{
	const struct vuc_queue_geometry least = {1, 64}, some = {64, 4096},
					most = {4096, 1024 * 1024};

	CU_ASSERT_EQUAL(vuc_queue_requests_size(&least), 64 + 128);
	CU_ASSERT_EQUAL(vuc_queue_completions_size(&least), 128 + 128);
	CU_ASSERT_EQUAL(vuc_queue_requests_size(&some), 64 + 64 * 64 + 64 * 4096);
	CU_ASSERT_EQUAL(vuc_queue_completions_size(&some), 128 + 64 * 64 + 64 * 4096);
	CU_ASSERT_EQUAL(vuc_queue_requests_size(&most), UINT64_C(64) + 4096 * 64 + (1ull << 32));
	CU_ASSERT_EQUAL(
		vuc_queue_completions_size(&most), UINT64_C(128) + 4096 * 64 + (1ull << 32));
}

static void
test_limits_told(void)
{

	pair_reopen(16, 192);
	CU_ASSERT_EQUAL(vuc_queue_depth(q.front), 16);
	CU_ASSERT_EQUAL(vuc_queue_max_data(q.front), 192);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 0);
	CU_ASSERT(vuc_queue_back_is_empty(&q.back));
	vuc_queue_destroy(NULL);
}

static void
fill_item(struct item *item, uint32_t seq)
{
	struct vuc_queue_request *r = &item->request;

	memset(item, 0, sizeof(*item));
	r->op = VUC_QUEUE_READ + seq % 3;
	r->region = seq % 7 == 0 ? UINT16_MAX : seq % 7;
	r->offset = UINT64_MAX - seq;
	r->count = sizes[seq % 8];
	r->data = item->data;
	r->arg = item;
	if (r->op == VUC_QUEUE_READ)
		memset(item->data, UNTOUCHED, sizeof(item->data));
	else
		payload_fill(item->data, r->count, seq);
}

/* Submit a batch in two bursts, of which the second one finds less room than it asks for. */
static unsigned int
submit_batch(struct item *items, uint32_t seq)
{
	uint32_t depth = q.geometry.depth;
	struct vuc_queue_request *requests = calloc(depth + 1, sizeof(*requests));
	unsigned int first = depth / 3, wrong = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(requests);
	for (uint32_t i = 0; i < depth; i++) {
		fill_item(&items[i], seq + i);
		requests[i] = items[i].request;
	}
	requests[depth] = requests[0];
	wrong += vuc_queue_submit(q.front, requests, first) != (int)first;
	wrong += vuc_queue_submit(q.front, requests + first, depth - first + 1) !=
		(int)(depth - first);
	wrong += vuc_queue_submit(q.front, requests, 1) != 0;
	free(requests);
	return wrong;
}

static bool
is_taken_right(const struct vuc_queue_taken *taken, const struct item *item, uint32_t seq)
{
	const struct vuc_queue_request *r = &item->request;

	return taken->slot.op == r->op && taken->slot.region == r->region &&
		taken->slot.offset == r->offset && taken->slot.count == r->count &&
		(r->op == VUC_QUEUE_READ || payload_matches(taken->payload, r->count, seq));
}

static unsigned int
take_batch(struct item *items, uint32_t seq)
{
	unsigned int wrong = 0;

	for (uint32_t i = 0; i < q.geometry.depth; i++) {
		struct vuc_queue_taken taken;

		wrong += vuc_queue_back_is_empty(&q.back);
		pair_take(&taken);
		wrong += !is_taken_right(&taken, &items[i], seq + i);
		items[i].id = taken.slot.id;
		/* What the front is told of a write was its own: nobody needs it any more. */
		memset(items[i].data, UNTOUCHED, CHUNK);
	}
	return wrong + !vuc_queue_back_is_empty(&q.back);
}

/* The request that is completed as the n-th one. */
static uint32_t
nth(enum order order, uint32_t n, uint32_t depth)
{
	switch (order) {
	case REVERSED:
		return depth - 1 - n;
	case EVERY_THIRD: /* 3 and a power of two have no divisor in common */
		return n * 3 % depth;
	default:
		return n;
	}
}

/* Every fifth request fails: what was read is not to be seen then. */
static int
status_of(uint32_t seq)
{
	return seq % 5 == 0 ? -EIO - (int)(seq % 3) : 0;
}

static void
complete_batch(const struct item *items, uint32_t seq, enum order order)
{
	uint32_t depth = q.geometry.depth;

	for (uint32_t n = 0; n < depth; n++) {
		uint32_t i = nth(order, n, depth);
		const struct vuc_queue_request *r = &items[i].request;
		int status = status_of(seq + i);
		uint32_t count = 0;

		if (r->op == VUC_QUEUE_WRITE_POSTED)
			continue;
		if (r->op == VUC_QUEUE_READ) {
			payload_fill(vuc_queue_back_room(&q.back, items[i].id, r->count), r->count,
				seq + i + ANSWER_SEED);
			count = status == 0 ? r->count : 0;
		}
		vuc_queue_back_complete(&q.back, items[i].id, status, count);
	}
	vuc_queue_back_flush(&q.back);
}

static unsigned int
poll_batch(struct item *items, uint32_t seq)
{
	struct vuc_queue_result results[POLL_BURST];
	unsigned int n, wrong = 0;

	while ((n = vuc_queue_poll(q.front, results, POLL_BURST)) > 0) {
		for (unsigned int i = 0; i < n; i++) {
			struct item *item = results[i].arg;

			item->results++;
			wrong += results[i].status != status_of(seq + (uint32_t)(item - items));
		}
	}
	return wrong;
}

/* Each result came once, none of a posted write, and data only where a read went well. */
static unsigned int
check_batch(const struct item *items, uint32_t depth, uint32_t seq)
{
	unsigned int wrong = 0;

	for (uint32_t i = 0; i < depth; i++) {
		const struct vuc_queue_request *r = &items[i].request;
		uint32_t count = r->op == VUC_QUEUE_READ && status_of(seq + i) == 0 ? r->count : 0;

		wrong += items[i].results != (r->op != VUC_QUEUE_WRITE_POSTED);
		wrong += !payload_matches(items[i].data, count, seq + i + ANSWER_SEED);
		for (uint32_t at = count; at < CHUNK; at++)
			wrong += items[i].data[at] != UNTOUCHED;
	}
	return wrong;
}

static unsigned int
run_batch(struct item *items, uint32_t seq, enum order order)
{
	uint32_t depth = q.geometry.depth;
	unsigned int wrong = submit_batch(items, seq), awaited = 0;

	for (uint32_t i = 0; i < depth; i++)
		awaited += items[i].request.op != VUC_QUEUE_WRITE_POSTED;
	wrong += vuc_queue_outstanding(q.front) != awaited;
	wrong += take_batch(items, seq);
	wrong += q.back.outstanding != awaited;
	complete_batch(items, seq, order);
	wrong += q.back.outstanding != 0;
	wrong += poll_batch(items, seq);
	wrong += vuc_queue_outstanding(q.front) != 0;
	return wrong + check_batch(items, depth, seq);
}

static void
run_laps(uint32_t depth, uint32_t start, enum order order)
{
	struct item *items = calloc(depth, sizeof(*items));

	CU_ASSERT_PTR_NOT_NULL_FATAL(items);
	pair_reopen(depth, CHUNK);
	pair_start_at(start);
	for (uint32_t i = 0; i < BATCHES; i++)
		CU_ASSERT_EQUAL(run_batch(items, i * depth, order), 0);
	CU_ASSERT_EQUAL((uint32_t)q.front->tail, start + BATCHES * depth);
	free(items);
}

static const struct laps {
	const char *name;
	enum order order;
} laps[] = {
	{"laps, answered in order", IN_ORDER},
	{"laps, answered in reverse", REVERSED},
	{"laps, answered here and there", EVERY_THIRD},
};

static void
run_all_depths(const void *arg)
{
	enum order order = ((const struct laps *)arg)->order;

	for (uint32_t depth = 1; depth <= 4096; depth = depth == 64 ? 4096 : 2 * depth) {
		run_laps(depth, 0, order);
		/* The second batch begins before the positions wrap, and ends after it. */
		run_laps(depth, 0 - depth - (depth + 1) / 2, order);
	}
}

/* One request after the other through a queue of one, where each position has a tag of its own. */
static void
test_depth_one_wrap(void)
{
	struct item item;
	unsigned int wrong = 0;

	pair_reopen(1, CHUNK);
	pair_start_at(UINT32_MAX - 20);
	for (uint32_t seq = 0; seq < 64; seq++)
		wrong += run_batch(&item, seq, IN_ORDER);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(q.back.head, 43);
}

/* Every size of a payload, in a slot or a chunk, with nothing written next to it. */
static void
run_size(uint32_t count)
{
	uint8_t *written = malloc(count), *read = malloc(count);
	const struct vuc_queue_request requests[] = {
		{VUC_QUEUE_WRITE, 1, 0, count, written, NULL},
		{VUC_QUEUE_WRITE_POSTED, 1, 0, count, written, NULL},
		{VUC_QUEUE_READ, 1, 0, count, read, NULL},
	};
	struct vuc_queue_result results[4];
	struct vuc_queue_taken taken;
	unsigned int wrong = 0;

	CU_ASSERT_FATAL(written != NULL && read != NULL);
	payload_fill(written, count, count);
	wrong += vuc_queue_submit(q.front, requests, 3) != 3;
	for (unsigned int i = 0; i < 3; i++) {
		pair_take(&taken);
		wrong += taken.slot.count != count;
		wrong += i < 2 && !payload_matches(taken.payload, count, count);
		if (i == 0)
			vuc_queue_back_complete(&q.back, taken.slot.id, 0, 0);
	}
	payload_fill(vuc_queue_back_room(&q.back, taken.slot.id, count), count, ~count);
	vuc_queue_back_complete(&q.back, taken.slot.id, 0, count);
	wrong += vuc_queue_poll(q.front, results, 4) != 2;
	wrong += !payload_matches(read, count, ~count);
	CU_ASSERT_EQUAL(wrong, 0);
	free(written);
	free(read);
}

static void
test_payload_sizes(void)
{

	pair_reopen(4, 256);
	for (uint32_t count = 1; count <= 256; count++)
		run_size(count);
	pair_reopen(4, QUEUE_CHUNK_MAX);
	run_size(QUEUE_CHUNK_MAX - 1);
	run_size(QUEUE_CHUNK_MAX);
}

static void
test_invalid(void)
{
	uint8_t data[CHUNK + 1] = {0};
	const struct vuc_queue_request good = {VUC_QUEUE_WRITE, UINT16_MAX, 0, 4, data, NULL};
	struct vuc_queue_request r[3];

	for (unsigned int i = 0; i < 6; i++) {
		r[0] = r[1] = r[2] = good;
		r[1].op = i == 0 ? 0 : i == 1 ? VUC_QUEUE_WRITE_PCI + 1 : r[1].op;
		r[1].region = i == 2 ? UINT16_MAX + 1 : r[1].region;
		r[1].count = i == 3 ? 0 : i == 4 ? CHUNK + 1 : i == 5 ? UINT32_MAX : 4;
		CU_ASSERT_EQUAL(vuc_queue_submit(q.front, r + 1, 1), -EINVAL);
		CU_ASSERT_EQUAL(vuc_queue_submit(q.front, r + 1, 2), -EINVAL);
		CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 0);
	}
	CU_ASSERT(vuc_queue_back_is_empty(&q.back));
	/* What comes before it is taken, and what comes after it is not. */
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, r, 3), 1);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 1);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, r, 0), 0);
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, 0, 0, data, 0), -EINVAL);
	CU_ASSERT_EQUAL(vuc_queue_post(q.front, UINT16_MAX + 1, 0, data, 4), -EINVAL);
}

static int
post(uint32_t value)
{
	const struct vuc_queue_request r = {
		VUC_QUEUE_WRITE_POSTED, 0, 0, sizeof(value), &value, NULL};

	return vuc_queue_submit(q.front, &r, 1);
}

/* Credits come from the back's count, which is looked at when there are none left. */
static void
test_credits(void)
{
	struct vuc_queue_taken taken;

	/* Nobody looks: this would be a credit too many. */
	atomic_store(&pair_back_header()->taken, 3);
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(post(i), 1);
	atomic_store(&pair_back_header()->taken, 0);
	CU_ASSERT_EQUAL(post(4), 0);
	CU_ASSERT_EQUAL(vuc_queue_outstanding(q.front), 0);
	pair_take(&taken);
	pair_take(&taken);
	CU_ASSERT_EQUAL(post(4), 0);
	vuc_queue_back_flush(&q.back);
	CU_ASSERT_EQUAL(post(4), 1);
	CU_ASSERT_EQUAL(post(5), 1);
	CU_ASSERT_EQUAL(post(6), 0);
	for (uint32_t i = 2; i < 6; i++) {
		uint32_t value = 0;

		pair_take(&taken);
		memcpy(&value, taken.payload, sizeof(value));
		CU_ASSERT_EQUAL(value, i);
	}
	CU_ASSERT(vuc_queue_back_is_empty(&q.back));
}

/* A count of more than was submitted, or of less than was taken before, is no credit. */
static void
test_credits_impossible(void)
{

	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(post(i), 1);
	atomic_store(&pair_back_header()->taken, 5);
	CU_ASSERT_EQUAL(post(4), 0);
	atomic_store(&pair_back_header()->taken, UINT32_MAX);
	CU_ASSERT_EQUAL(post(4), 0);
	atomic_store(&pair_back_header()->taken, 4);
	CU_ASSERT_EQUAL(post(4), 1);
}

/* A result tells as well that what came before its request was copied. */
static void
test_credits_of_results(void)
{
	uint32_t value = 0;
	const struct vuc_queue_request r = {VUC_QUEUE_READ, 0, 0, sizeof(value), &value, NULL};
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;

	CU_ASSERT_EQUAL(post(0), 1);
	CU_ASSERT_EQUAL(post(1), 1);
	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
	CU_ASSERT_EQUAL(post(2), 1);
	CU_ASSERT_EQUAL(post(3), 0);
	for (unsigned int i = 0; i < 3; i++)
		pair_take(&taken);
	memcpy(vuc_queue_back_room(&q.back, taken.slot.id, 4), "\1\2\3\4", 4);
	vuc_queue_back_complete(&q.back, taken.slot.id, 0, 4);
	CU_ASSERT_EQUAL(post(3), 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
	for (uint32_t i = 3; i < 6; i++)
		CU_ASSERT_EQUAL(post(i), 1);
	CU_ASSERT_EQUAL(post(6), 0);
}

/* Also when nothing came before it. */
static void
test_credits_of_first_result(void)
{
	uint8_t data[4] = {0};
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;

	CU_ASSERT_EQUAL(submit_read(data, sizeof(data), NULL), 1);
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(post(i), 1);
	pair_take(&taken);
	vuc_queue_back_complete(&q.back, taken.slot.id, -EIO, 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
	CU_ASSERT_EQUAL(post(3), 1);
	CU_ASSERT_EQUAL(post(4), 0);
}

/* One read is outstanding while posted writes take all positions that there are, and come again. */
static void
test_credits_of_old_result(void)
{
	uint32_t value = 0;
	const struct vuc_queue_request r = {VUC_QUEUE_WRITE, 0, 0, sizeof(value), &value, NULL};
	struct vuc_queue_result result;
	struct vuc_queue_taken taken;

	CU_ASSERT_EQUAL(vuc_queue_submit(q.front, &r, 1), 1);
	pair_take(&taken);
	q.front->tail += UINT32_MAX;
	q.front->taken = q.front->tail;
	q.back.head += UINT32_MAX;
	pair_set_tags(q.back.head);
	atomic_store(&pair_back_header()->taken, q.back.head);
	atomic_store(&pair_completion_slot(0)->tag, 0);
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(post(i), 1);
	vuc_queue_back_complete(&q.back, taken.slot.id, 0, 0);
	CU_ASSERT_EQUAL(vuc_queue_poll(q.front, &result, 1), 1);
	CU_ASSERT_EQUAL(post(4), 0);
	pair_take(&taken);
	memcpy(&value, taken.payload, sizeof(value));
	CU_ASSERT_EQUAL(value, 0);
}

/* A request that was looked at stays the next one until it is taken. */
static void
test_peek_again(void)
{
	struct vuc_queue_taken taken;

	pair_reopen(2, CHUNK);
	CU_ASSERT_EQUAL(vuc_queue_back_peek(&q.back, &taken), 0);
	CU_ASSERT_EQUAL(post(7), 1);
	CU_ASSERT_EQUAL(vuc_queue_back_peek(&q.back, &taken), 1);
	CU_ASSERT_EQUAL(vuc_queue_back_peek(&q.back, &taken), 1);
	CU_ASSERT_EQUAL(q.back.head, 0);
	vuc_queue_back_take(&q.back, &taken);
	CU_ASSERT_EQUAL(vuc_queue_back_peek(&q.back, &taken), 0);
}

const struct tap_suite tap_suite = {"queue", pair_set_up, pair_tear_down,
	{
		{"geometry", test_geometry},
		{"sizes", test_sizes},
		{"limits are told", test_limits_told},
		{"depth 1 where positions wrap", test_depth_one_wrap},
		{"payloads of all sizes", test_payload_sizes},
		{"invalid requests", test_invalid},
		{"credits", test_credits},
		{"credits that cannot be", test_credits_impossible},
		{"credits of results", test_credits_of_results},
		{"credits of the first result", test_credits_of_first_result},
		{"credits of a result 2^32 requests late", test_credits_of_old_result},
		{"a request is looked at again", test_peek_again},
	},
	TAP_ROWS(laps, run_all_depths)};
