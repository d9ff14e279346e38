/* SPDX-License-Identifier: BSD-3-Clause */

/* Devices that callbacks close, and what was posted before. */

#include <vuc/dma.h>

#include "outcome.h"
#include "peer.h"
#include "wait_server.h"

#define NO_TIMEOUT 600000u
#define NR_WRITES  10u

/* What a device has for requests. */
#define SEND_BUFFER (128u * 1024 - 4096)

static struct vuc_poll_group *group;

static void
note_request(struct vuc_request *req, int status)
{
	note(req->arg, status, &(struct vuc_error){0});
}

/* A device with a request that is never answered, and one that is. */
struct scene {
	struct wait_server server;
	struct vuc_device *dev;
	struct vuc_request never, now;
	struct outcome never_outcome, now_outcome;
	uint64_t never_value, now_value;
};

static struct scene scenes[2];
static void (*act)(void); /* when `now` is answered */

static void
act_on_answer(struct vuc_request *req, int status)
{
	note(req->arg, status, &(struct vuc_error){0});
	if (status == 0)
		act();
}

static void
submit(struct scene *s, struct vuc_request *req, enum vuc_op op, uint64_t offset, uint64_t *value)
{
	req->op = op;
	req->region = WAIT_REGION;
	req->offset = offset;
	req->data = value;
	req->count = sizeof(*value);
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(s->dev, req), 0);
}

static void
submit_now(struct scene *s, enum vuc_op op)
{
	submit(s, &s->now, op, op == VUC_OP_READ ? WAIT_READ : WAIT_DATA, &s->now_value);
}

static void
open_scenes(void)
{
	struct vuc_device_opts opts;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.timeout_ms = NO_TIMEOUT;
	group = peer_create_group();
	for (struct scene *s = scenes; s < scenes + 2; s++) {
		memset(s, 0, sizeof(*s));
		s->dev = wait_server_open(&s->server, group, &opts);
		s->never.done = note_request;
		s->never.arg = &s->never_outcome;
		submit(s, &s->never, VUC_OP_READ, WAIT_READ_NEVER, &s->never_value);
		s->now.done = act_on_answer;
		s->now.arg = &s->now_outcome;
	}
}

/* What waited for an answer was told before the call returned, and nothing can be asked now. */
static void
close_now(struct scene *s)
{
	CU_ASSERT_EQUAL(s->never_outcome.calls, 0);
	vuc_device_close(s->dev);
	s->dev = NULL;
	CU_ASSERT_EQUAL(s->never_outcome.calls, 1);
	CU_ASSERT_EQUAL(s->never_outcome.status, -ECANCELED);
}

static void
close_first(void)
{
	close_now(&scenes[0]);
}

static void
close_both(void)
{
	close_now(&scenes[0]);
	close_now(&scenes[1]);
}

static void
close_all(void)
{
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), -EBUSY);
	close_both();
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	group = NULL;
}

/* What was posted before goes out, whatever waits for an answer. */
static void
post_and_close(void)
{
	struct outcome written[NR_WRITES] = {{0}};
	struct vuc_request writes[NR_WRITES];
	uint64_t value = 1;

	for (unsigned int i = 0; i < NR_WRITES; i++) {
		writes[i] = (struct vuc_request){.done = note_request, .arg = &written[i]};
		submit(&scenes[0], &writes[i], VUC_OP_WRITE_POSTED, WAIT_DATA, &value);
	}
	close_first();
	for (unsigned int i = 0; i < NR_WRITES; i++) {
		CU_ASSERT_EQUAL(written[i].calls, 1);
		CU_ASSERT_EQUAL(written[i].status, 0);
	}
}

static void
poll_first(void)
{
	submit_now(&scenes[0], VUC_OP_READ);
	poll_until_called(group, &scenes[0].now_outcome);
}

/* A posted write is complete as soon as it is given to the socket, which a wait does as well. */
static void
wait_first(void)
{
	submit_now(&scenes[0], VUC_OP_WRITE_POSTED);
	while (scenes[0].now_outcome.calls == 0)
		CU_ASSERT_EQUAL(vuc_poll_group_wait(group, -1, 1000), 1);
}

/* The first one is read from while a callback of the other closes it. */
static void
call_first(void)
{
	uint64_t value;

	submit_now(&scenes[1], VUC_OP_READ);
	CU_ASSERT_EQUAL(
		vuc_device_read(scenes[0].dev, WAIT_REGION, WAIT_READ_NEVER, &value, sizeof(value)),
		-ECANCELED);
	CU_ASSERT_EQUAL(scenes[1].now_outcome.calls, 1);
}

/* Without waiting for the answer that never comes. */
static void
close_start_other(struct scene *s)
{
	struct outcome closed = {.calls = 0};

	CU_ASSERT_EQUAL(vuc_device_close_start(s->dev, note, &closed), 0);
	CU_ASSERT_EQUAL(s->never_outcome.calls, 1);
	CU_ASSERT_EQUAL(closed.calls, 0);
	poll_until_called(group, &closed);
	s->dev = NULL;
}

/* A callback may close its device, others and the group, whatever the loop is about. */
static void
test_close_in_callback(void)
{
	static const struct {
		const char *name;
		void (*act)(void);
		void (*run)(void);
		uint64_t written; /* to the first; 0: not looked at */
	} rows[] = {
		{"the first", close_first, poll_first, 0},
		{"the first, during a call", close_first, call_first, 0},
		{"the first, behind posted writes", post_and_close, poll_first,
			NR_WRITES * sizeof(uint64_t)},
		{"both", close_both, poll_first, 0},
		{"the group", close_all, poll_first, 0},
		{"the group, in a wait", close_all, wait_first, 0},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		vuc_tap_row("%s", rows[i].name);
		act = rows[i].act;
		open_scenes();
		rows[i].run();
		CU_ASSERT_PTR_NULL(scenes[0].dev);
		if (scenes[1].dev != NULL)
			close_start_other(&scenes[1]);
		if (group != NULL)
			CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
		for (struct scene *s = scenes; s < scenes + 2; s++) {
			CU_ASSERT_EQUAL(s->never_outcome.calls, 1);
			CU_ASSERT_EQUAL(s->never_outcome.status, -ECANCELED);
			wait_server_close(&s->server, NULL);
		}
		if (rows[i].written != 0)
			CU_ASSERT_EQUAL(scenes[0].server.written, rows[i].written);
	}
}

/* What is posted has no answers, and may go out all at once when it is flushed: whatever room it
 * has left in the send buffer, an operation behind it goes on. */
static void
test_behind_posted_writes(void)
{
	static uint8_t memory[4096] __attribute__((aligned(4096)));
	const struct vuc_dma_mapping map = {0, sizeof(memory), VUC_DMA_READ, -1, 0, memory};
	const uint8_t bytes[64] = {0};

	for (unsigned int size = 32; size <= 64; size += 4) {
		struct peer *p = peer_start(1, NULL);
		struct vuc_device *dev = peer_open(p, 0);
		unsigned int n = SEND_BUFFER / (32 + size);

		for (unsigned int i = 0; i < n; i++)
			CU_ASSERT_EQUAL(
				vuc_device_write_posted(dev, BAR0, REFDEV_RAM_OFFSET, bytes, size),
				0);
		CU_ASSERT_EQUAL(vuc_dma_map(dev, &map), 0);
		CU_ASSERT_EQUAL(vuc_dma_commit(dev), 0);
		vuc_device_close(dev);
		peer_stop(p);
	}
}

/* A device with a group of its own, which goes with it. */
static void
test_own_group(void)
{
	struct peer *p = peer_start(1, NULL);
	struct outcome closed = {.calls = 0};
	struct vuc_device *dev;

	peer_call_back(peer_open(p, 0), vuc_device_close);
	dev = peer_open(p, 0);
	group = vuc_device_poll_group(dev);
	CU_ASSERT_EQUAL(vuc_device_close_start(dev, note, &closed), 0);
	poll_until_called(group, &closed);
	CU_ASSERT_EQUAL(closed.status, 0);
	peer_stop(p);
}

const struct tap_suite tap_suite = {"closing", NULL, NULL,
	{
		{"in a callback", test_close_in_callback},
		{"behind posted writes", test_behind_posted_writes},
		{"a group of its own", test_own_group},
	},
	.begin = peer_begin};
