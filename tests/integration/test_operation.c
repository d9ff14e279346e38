/* SPDX-License-Identifier: BSD-3-Clause */

/* The rules that all operations follow: lib/device/operation.h. */

#include <vuc/feature.h>

#include "operation_rig.h"

/* ---- an operation of the test's own, which counts ---- */

struct own {
	struct operation op;
	struct operation_message message;
	unsigned int left; /* messages, one after the other */
	bool sent;
};

static int
own_run(struct operation *op)
{
	struct own *o = (struct own *)op;
	struct vfio_user_device_feature feature = {.argsz = sizeof(feature)};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_FEATURE, .body = &feature, .len = sizeof(feature)};
	int rc;

	if (op->status != 0 || o->left == 0)
		return 0;
	if (o->sent)
		return -EAGAIN;
	rc = operation_send(op, &o->message, &req);
	if (rc != 0)
		return rc;
	o->sent = true;
	return -EAGAIN;
}

static void
own_replied(struct operation_message *message, const struct vuc_session_reply *reply)
{
	struct own *o = (struct own *)message->op;

	o->sent = false;
	o->left--;
	if (reply->status != 0)
		operation_fail(&o->op, reply->status, "%s", reply->reason);
}

static void
own_free(struct operation *op)
{
	nr_freed++;
	free(op);
}

static const struct operation_ops own_ops = {.name = "own", .run = own_run, .free = own_free};
static const struct operation_ops own_barrier = {
	.name = "own", .barrier = true, .run = own_run, .free = own_free};

static struct operation *
make_own(struct setup *s, const struct operation_ops *ops, unsigned int messages)
{
	struct own *o = calloc(1, sizeof(*o));

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	operation_init(&o->op, ops, s->dev, LONG_MS);
	o->message.replied = own_replied;
	o->left = messages;
	return &o->op;
}

static void
start_own(struct setup *s, struct job *job, const struct operation_ops *ops, unsigned int messages)
{
	CU_ASSERT_EQUAL_FATAL(operation_start(make_own(s, ops, messages), on_done, job, NULL), 0);
	CU_ASSERT_EQUAL(job->calls, 0);
}

static void
expect_in_order(const struct job *jobs, unsigned int nr, int status)
{
	for (unsigned int i = 0; i < nr; i++) {
		CU_ASSERT_EQUAL(jobs[i].calls, 1);
		CU_ASSERT_EQUAL(jobs[i].status, status);
		CU_ASSERT_EQUAL(jobs[i].order, i + 1);
	}
}

/* ---- order ---- */

struct reset_request {
	struct vuc_request req;
	struct job *job;
};

/* What is started, a letter each, and what became of it. */
struct script {
	struct job jobs[4];
	unsigned int nr_jobs;
	struct writes writes[2];
	unsigned int nr_writes;
	struct reset_request reset;
};

static void
reset_done(struct vuc_request *req, int status)
{
	on_done(((struct reset_request *)req)->job, status, &(struct vuc_error){.text = ""});
}

static void
start_step(struct script *t, char step)
{
	struct job *job = &t->jobs[t->nr_jobs];

	if (step == 'w' || step == 'W') {
		submit_writes(&dut, &t->writes[t->nr_writes++],
			step == 'w' ? VUC_OP_WRITE_POSTED : VUC_OP_WRITE);
		return;
	}
	t->nr_jobs++;
	if (step == 'f') {
		start_feature(&dut, job);
	} else if (step == 'u') {
		start_message(&dut, job, VFIO_USER_DMA_UNMAP, LONG_MS);
	} else if (step == 'm') {
		map_page(dut.dev, 1, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit_start(dut.dev, on_done, job), 0);
	} else if (step == 'r') {
		CU_ASSERT_EQUAL(vuc_device_reset_start(dut.dev, on_done, job), 0);
	} else if (step == 'R') {
		t->reset = (struct reset_request){
			.req = {.op = VUC_OP_RESET, .done = reset_done}, .job = job};
		CU_ASSERT_EQUAL(vuc_device_submit(dut.dev, &t->reset.req), 0);
	} else {
		start_own(&dut, job, step == 'b' ? &own_barrier : &own_ops, step == 'n' ? 0 : 2);
	}
}

/* A letter for each command that has come. */
static void
expect_seen(const char *expected)
{
	char seen[FAKE_MAX_SEEN + 1] = "";

	for (unsigned int i = 0; i < dut.server->nr_seen; i++)
		seen[i] = dut.server->seen[i] == VFIO_USER_DEVICE_FEATURE ? 'f'
			: dut.server->seen[i] == VFIO_USER_DMA_UNMAP      ? 'u'
			: dut.server->seen[i] == VFIO_USER_DMA_MAP        ? 'm'
			: dut.server->seen[i] == VFIO_USER_DEVICE_RESET   ? 'r'
			: dut.server->seen[i] == VFIO_USER_REGION_WRITE   ? 'w'
									  : '?';
	CU_ASSERT_STRING_EQUAL(seen, expected);
}

/* Operations of a device run one after the other, behind what was submitted before; nothing passes
 * a barrier, as a reset is, however it is asked for. */
static void
test_order(void)
{
	static const struct {
		const char *name;
		uint16_t room; /* for requests */
		uint16_t held;
		const char *steps; /* own ones: o, b for a barrier, n without messages; W awaited */
		const char *held_back, *once_released, *in_the_end; /* what has come by then */
	} rows[] = {
		{"operations", 16, VFIO_USER_DEVICE_FEATURE, "foun", "f", "ff", "fffu"},
		{"behind requests", 2, 0, "Wf", "wwwwwf", "wwwwwf", "wwwwwf"},
		{"no barrier", 16, VFIO_USER_DEVICE_FEATURE, "ow", "fwwwww", "fwwwwwf", "fwwwwwf"},
		{"a barrier", 16, VFIO_USER_DEVICE_FEATURE, "bw", "f", "ff", "ffwwwww"},
		{"a barrier between", 16, VFIO_USER_DEVICE_FEATURE, "fbu", "f", "ff", "fffu"},
		{"a reset", 16, VFIO_USER_DEVICE_RESET, "wrwm", "wwwwwr", "wwwwwrwwwwwm",
			"wwwwwrwwwwwm"},
		{"VUC_OP_RESET", 16, VFIO_USER_DEVICE_RESET, "wRwm", "wwwwwr", "wwwwwrwwwwwm",
			"wwwwwrwwwwwm"},
	};

	for (unsigned int i = 0; i < NR(rows); i++) {
		struct script t = {.nr_jobs = 0};

		next_row("%s", rows[i].name);
		close_setup(&dut);
		open_setup(&dut, rows[i].room);
		dut.server->held = 1u << rows[i].held;
		for (const char *step = rows[i].steps; *step != '\0'; step++)
			start_step(&t, *step);
		poll_often();
		expect_seen(rows[i].held_back);
		release_one();
		poll_often();
		expect_seen(rows[i].once_released);
		release_all();
		poll_often();
		expect_seen(rows[i].in_the_end);
		expect_in_order(t.jobs, t.nr_jobs, 0);
		for (unsigned int j = 0; j < t.nr_writes; j++)
			CU_ASSERT_EQUAL(t.writes[j].done, NR_WRITES);
	}
}

/* Those of different devices never wait for each other. */
static void
test_devices_apart(void)
{
	struct setup hung;
	struct job jobs[2] = {{0}};

	open_setup(&hung, 16);
	hung.server->held = UINT32_MAX;
	start_feature(&hung, &jobs[0]);
	start_own(&dut, &jobs[1], &own_ops, 3);
	poll_until_done(&jobs[1]);
	CU_ASSERT_EQUAL(jobs[1].status, 0);
	CU_ASSERT_EQUAL(jobs[0].calls, 0);
	close_setup(&hung);
	CU_ASSERT_EQUAL(jobs[0].calls, 1);
	CU_ASSERT_EQUAL(jobs[0].status, -ECANCELED);
}

static void
post_in_callback(struct vuc_request *req, int status)
{
	const uint32_t value = 1;
	int *rc = req->arg;

	CU_ASSERT_EQUAL(status, 0);
	*rc = vuc_device_write_posted(req->priv.dev, 0, 0, &value, sizeof(value));
}

/* A posted write waits behind a reset, as nobody can in a callback. */
static void
test_post_in_callback(void)
{
	for (unsigned int reset = 0; reset < 2; reset++) {
		struct job job = {0};
		uint32_t value;
		int rc = 1;
		struct vuc_request req = {.op = VUC_OP_READ,
			.data = &value,
			.count = sizeof(value),
			.done = post_in_callback,
			.arg = &rc};

		next_row("%s a reset", reset ? "behind" : "without");
		dut.server->held = 1u << VFIO_USER_DEVICE_RESET;
		CU_ASSERT_EQUAL_FATAL(vuc_device_submit(dut.dev, &req), 0);
		if (reset)
			CU_ASSERT_EQUAL(vuc_device_reset_start(dut.dev, on_done, &job), 0);
		poll_often();
		CU_ASSERT_EQUAL(rc, reset ? -EDEADLK : 0);
		CU_ASSERT_EQUAL(dut.region[0], reset ? 0 : 1);
		close_setup(&dut);
		CU_ASSERT_EQUAL(job.calls, reset);
	}
}

/* ---- the end ---- */

static void
end_by_closing(void)
{
	close_setup(&dut);
}

/* Behind the barrier nothing goes out; a posted write past the list does. */
static void
end_by_loss(void)
{
	uint32_t value = 1;
	const struct vuc_session_access access = {.data = &value, .count = sizeof(value)};

	dut.server->hang_up = true;
	CU_ASSERT_EQUAL(vuc_session_region_write(dut.dev->session, &access, true), 0);
	device_mark_dirty(dut.dev);
	poll_often();
}

static void
end_by_cancel(void)
{
	device_cancel_operations(dut.dev, -ECANCELED, "the test gives up");
}

/* Those behind the first say which they are, too. */
static void
expect_four_ended(const struct job jobs[4], int status)
{
	expect_in_order(jobs, 4, status);
	CU_ASSERT_NOT_EQUAL(jobs[0].err.text[0], '\0');
	for (unsigned int i = 1; i < 4; i++)
		CU_ASSERT_EQUAL(strncmp(jobs[i].err.text, "own: ", 5), 0);
	CU_ASSERT_EQUAL(nr_freed, 3);
}

/* A connection that goes on drops what was held; one that has ended starts nothing. */
static void
expect_connected(bool connected, int status)
{
	struct job later = {0};

	CU_ASSERT_EQUAL(vuc_device_connected(dut.dev), connected);
	if (connected) {
		start_feature(&dut, &later);
		release_all();
		poll_until_done(&later);
		CU_ASSERT_EQUAL(later.status, 0);
		return;
	}
	CU_ASSERT_EQUAL(vuc_feature_probe(dut.dev, 1, 0), status);
	CU_ASSERT_EQUAL(
		operation_start(make_own(&dut, &own_ops, 1), on_done, &later, NULL), status);
	CU_ASSERT_EQUAL(later.calls, 0);
	CU_ASSERT_EQUAL(nr_freed, 4);
	nr_freed--;
}

/* One that runs, one whose turn has come but for that, a barrier, and one behind that all end at
 * once, each once; if the server may do harm later, the connection ends with them. */
static void
test_end(void)
{
	static const struct {
		const char *name;
		void (*end)(void);
		uint16_t first;
		int status;
		bool connected;
	} rows[] = {
		{"closed", end_by_closing, VFIO_USER_DEVICE_FEATURE, -ECANCELED, false},
		{"lost", end_by_loss, VFIO_USER_DEVICE_FEATURE, -ECONNRESET, false},
		{"cancelled", end_by_cancel, VFIO_USER_DEVICE_FEATURE, -ECANCELED, true},
		{"an UNMAP cancelled", end_by_cancel, VFIO_USER_DMA_UNMAP, -ECANCELED, false},
		{"a RESET cancelled", end_by_cancel, VFIO_USER_DEVICE_RESET, -ECANCELED, false},
	};

	for (unsigned int i = 0; i < NR(rows); i++) {
		struct job jobs[4] = {{0}};

		next_row("%s", rows[i].name);
		dut.server->held = UINT32_MAX;
		start_message(&dut, &jobs[0], rows[i].first, LONG_MS);
		start_own(&dut, &jobs[1], &own_ops, 1);
		start_own(&dut, &jobs[2], &own_barrier, 1);
		start_own(&dut, &jobs[3], &own_ops, 1);
		poll_often();
		CU_ASSERT_EQUAL(dut.server->nr_seen, 1);
		rows[i].end();
		expect_four_ended(jobs, rows[i].status);
		if (dut.dev != NULL)
			expect_connected(rows[i].connected, rows[i].status);
		close_setup(&dut);
		expect_four_ended(jobs, rows[i].status);
	}
}

/* One that has a reply outstanding when it is cancelled is freed then; the late reply, if there is
 * one, finds nothing. */
static void
test_cancelled_memory(void)
{
	for (unsigned int answered = 0; answered < 2; answered++) {
		struct job job = {0};

		next_row("%s", answered ? "answered" : "not answered");
		dut.server->held = UINT32_MAX;
		start_own(&dut, &job, &own_ops, 1);
		poll_often();
		end_by_cancel();
		CU_ASSERT_EQUAL(job.calls, 1);
		CU_ASSERT_EQUAL(nr_freed, 1);
		if (answered) {
			release_all();
			vuc_poll_group_poll(group);
			CU_ASSERT(vuc_device_connected(dut.dev));
		}
		close_setup(&dut);
		CU_ASSERT_EQUAL(nr_freed, 1);
		CU_ASSERT_EQUAL(job.calls, 1);
	}
}

/* ---- callbacks and ownership ---- */

static int
probe(struct vuc_device *dev)
{
	return vuc_feature_probe(dev, 1, 0);
}

static void
close_by_draining(struct vuc_device *dev, struct job *closed)
{
	vuc_device_drain_start(dev, on_done, closed);
}

static void
close_by_starting(struct vuc_device *dev, struct job *closed)
{
	CU_ASSERT_EQUAL(vuc_device_close_start(dev, on_done, closed), 0);
}

static void
close_by_waiting(struct vuc_device *dev, struct job *closed)
{
	closed->calls++;
	vuc_device_close(dev);
}

/* Callbacks outside of polls have the same rules: neither a synchronous call nor a poll. */
static void
test_callback_of_closing(void)
{
	static const struct {
		const char *name;
		void (*close)(struct vuc_device *dev, struct job *closed);
	} rows[] = {{"vuc_device_drain_start", close_by_draining},
		{"vuc_device_close_start", close_by_starting},
		{"vuc_device_close", close_by_waiting}};

	for (unsigned int i = 0; i < NR(rows); i++) {
		struct job jobs[2] = {{0}}, closed = {0};

		next_row("%s", rows[i].name);
		dut.server->held = UINT32_MAX;
		for (unsigned int j = 0; j < 2; j++) {
			jobs[j].dev = dut.dev;
			jobs[j].call = probe;
			start_feature(&dut, &jobs[j]);
		}
		poll_often();
		rows[i].close(dut.dev, &closed);
		dut.dev = NULL;
		poll_until_done(&closed);
		CU_ASSERT_EQUAL(closed.calls, 1);
		for (unsigned int j = 0; j < 2; j++) {
			CU_ASSERT_EQUAL(jobs[j].calls, 1);
			CU_ASSERT_EQUAL(jobs[j].status, -ECANCELED);
			CU_ASSERT_EQUAL(jobs[j].inside, -EDEADLK);
			CU_ASSERT_EQUAL(jobs[j].polled, -EDEADLK);
		}
	}
}

/* Its connection has ended, and those that wait are being told one after the other. */
static void
test_closed_while_lost(void)
{
	struct closer c[2] = {{.calls = 0}};
	struct job jobs[2] = {{0}};
	struct writes w;

	dut.server->held = UINT32_MAX;
	submit_closer(&c[0], dut.dev, VUC_OP_READ);
	poll_often();
	for (unsigned int i = 0; i < 2; i++) {
		map_page(dut.dev, 2 * i, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit_start(dut.dev, on_done, &jobs[i]), 0);
	}
	poll_often();
	/* In whichever order they are told, one of the two is before the commits. */
	submit_closer(&c[1], dut.dev, VUC_OP_READ);
	poll_often();
	dut.server->hang_up = true;
	submit_writes(&dut, &w, VUC_OP_WRITE);
	poll_until_done(&jobs[1]);
	poll_often();
	CU_ASSERT_EQUAL(c[0].calls, 1);
	CU_ASSERT_EQUAL(c[1].calls, 1);
	CU_ASSERT_EQUAL(w.done, NR_WRITES);
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(jobs[i].calls, 1);
		CU_ASSERT_EQUAL(jobs[i].status, -ECANCELED);
	}
}

static void
close_on_done(void *arg, int status, const struct vuc_error *err)
{
	on_done(arg, status, err);
	vuc_device_close_start(dut.dev, NULL, NULL);
	dut.dev = NULL;
}

/* Its last reply comes, as it were, from within its own callback. */
static void
test_freed_in_callback(void)
{
	struct job job = {0};

	dut.server->held = UINT32_MAX;
	CU_ASSERT_EQUAL_FATAL(
		operation_start(make_own(&dut, &own_ops, 1), close_on_done, &job, NULL), 0);
	poll_often();
	end_by_cancel();
	poll_often();
	CU_ASSERT_EQUAL(job.calls, 1);
	CU_ASSERT_EQUAL(job.status, -ECANCELED);
	CU_ASSERT_EQUAL(nr_freed, 1);
}

static unsigned int nr_chained;

/* Starts another one each time. */
static void
chain(void *arg, int status, const struct vuc_error *err)
{
	struct setup *s = arg;

	(void)err;
	if (status == 0 && ++nr_chained < 10)
		CU_ASSERT_EQUAL(operation_start(make_message(s, VFIO_USER_DEVICE_FEATURE, LONG_MS),
					chain, s, NULL),
			0);
}

static void
test_started_in_callback(void)
{
	nr_chained = 0;
	chain(&dut, 0, NULL);
	while (nr_chained < 10)
		vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(dut.server->nr_seen, 9);
}

static const struct tap_suite ownership_suite = {"callbacks and ownership", set_up, tear_down,
	{
		{"callbacks of closing", test_callback_of_closing},
		{"closed while its connection ends", test_closed_while_lost},
		{"freed in its own callback", test_freed_in_callback},
		{"started in callbacks", test_started_in_callback},
	}};

static const struct tap_suite end_suite = {"end", set_up, tear_down,
	{
		{"closed, lost, cancelled", test_end},
		{"memory of a cancelled one", test_cancelled_memory},
	},
	.next = &ownership_suite};

const struct tap_suite tap_suite = {"order", set_up, tear_down,
	{
		{"of operations, requests and barriers", test_order},
		{"devices apart", test_devices_apart},
		{"a posted write in a callback", test_post_in_callback},
	},
	.next = &end_suite};
