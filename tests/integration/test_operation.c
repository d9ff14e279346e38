/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The rules that all operations follow: lib/device/operation.h. The server is within the process
 * and keeps a log of what reaches it; answers that it withholds come when the test says so.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vuc/dirty.h>
#include <vuc/dma.h>
#include <vuc/feature.h>
#include <vuc/irq.h>
#include <vuc/migration.h>
#include <vuc/region_map.h>

#include "clock.h"
#include "fake_server.h"
#include "fd_count.h"
#include "message.h"
#include "tap.h"

#define AN_HOUR    3600000u
#define NR_POLLS   200u /* more than any rule would need to be broken */
#define LONG_MS    60000u
#define SHORT_MS   30u
#define MAX_SEEN   1024u
#define NR_PAGES   1000u
#define PAGE       4096u
#define STASH_SIZE 4096u
#define DATA_SIZE  1500000u /* of migration data: more than a message holds */

struct setup {
	struct fake_server server;
	struct vuc_device *dev;
	uint16_t seen[MAX_SEEN]; /* commands, in order */
	unsigned int nr_seen;
	uint32_t withheld;          /* a bit for each command whose answer is kept back */
	uint32_t refused;           /* the same for those that are answered by EIO */
	bool seen_lost;             /* by note_connected() */
	bool hang_up;               /* with the next command */
	unsigned int withhold_from; /* this message on, all answers are kept back; 0: none */
	uint8_t stash[STASH_SIZE];
	size_t stash_len;
	bool release;         /* the stash, inside the next poll */
	uint32_t last_vector; /* of SET_IRQS */
	uint8_t region[64];
	uint8_t config[256];
	size_t data;    /* bytes of migration data so far, read or written */
	size_t wrong;   /* of those that were written */
	uint32_t state; /* of migration */
};

/* An operation and what became of it. */
struct job {
	unsigned int calls;
	int status;
	unsigned int order; /* of the callbacks, from 1 on */
	struct vuc_error err;
	struct vuc_device *dev;
	int inside; /* what a synchronous call got within the callback ... */
	int polled; /* ... and a poll */
};

static struct vuc_poll_group *group;
static unsigned int nr_done, nr_freed;
static unsigned int fds_before;
static int region_fd; /* a file that can be mapped */

static void
put_feature(struct fake_reply *reply, uint32_t flags, const void *data, size_t len)
{
	const struct vfio_user_device_feature feature = {
		.argsz = (uint32_t)(sizeof(feature) + len), .flags = flags};

	memcpy(reply->body, &feature, sizeof(feature));
	memcpy(reply->body + sizeof(feature), data, len);
	reply->len = feature.argsz;
}

/* A report says that the first page was written. */
static void
answer_report(const struct vuc_loopback_msg *request, uint32_t flags, struct fake_reply *reply)
{
	struct {
		struct vfio_user_device_feature feature;
		struct vfio_user_device_feature_dma_logging_report report;
	} asked;
	uint8_t data[sizeof(asked.report) + sizeof(uint64_t)] = {0};

	fake_server_body(request, &asked, sizeof(asked));
	memcpy(data, &asked.report, sizeof(asked.report));
	data[sizeof(asked.report)] = 1;
	put_feature(reply, flags, data, sizeof(data));
}

/* What is got of a feature that nobody knows is its number. */
static void
answer_feature(struct setup *s, const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	const uint64_t migration = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY;
	struct {
		struct vfio_user_device_feature feature;
		struct vfio_user_device_feature_mig_state state;
	} asked = {.feature = {.flags = 0}};
	size_t len = request->len - sizeof(struct vfio_user_header);
	uint32_t flags, number;

	reply->len = len;
	memcpy(reply->body, request->bytes + sizeof(struct vfio_user_header), len);
	fake_server_body(request, &asked, len < sizeof(asked) ? len : sizeof(asked));
	flags = asked.feature.flags;
	number = flags & 0xffff;
	if ((flags & VFIO_DEVICE_FEATURE_PROBE) != 0)
		return;
	if (number == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE && (flags & VUC_FEATURE_SET) != 0)
		s->state = asked.state.device_state;
	if ((flags & VUC_FEATURE_GET) == 0)
		return;
	asked.state = (struct vfio_user_device_feature_mig_state){.device_state = s->state};
	if (number == VFIO_DEVICE_FEATURE_MIGRATION)
		put_feature(reply, flags, &migration, sizeof(migration));
	else if (number == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
		put_feature(reply, flags, &asked.state, sizeof(asked.state));
	else if (number == VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)
		answer_report(request, flags, reply);
	else
		put_feature(reply, flags, &number, sizeof(number));
}

/* With the pages that were written, if they are asked for: the first one. */
static void
answer_unmap(const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	size_t len = request->len - sizeof(struct vfio_user_header);
	struct vfio_user_dma_unmap unmap;

	fake_server_body(request, &unmap, sizeof(unmap));
	memcpy(reply->body, request->bytes + sizeof(struct vfio_user_header), len);
	reply->len = sizeof(unmap);
	if ((unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) == 0)
		return;
	memset(reply->body + len, 0, sizeof(uint64_t));
	reply->body[len] = 1;
	reply->len = len + sizeof(uint64_t);
}

/* A byte of migration data. */
static uint8_t
data_byte(size_t i)
{
	return (uint8_t)(i * 7 + i / 256);
}

static void
answer_data(struct setup *s, const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	struct vfio_user_mig_data data;

	fake_server_body(request, &data, sizeof(data));
	if (data.size > DATA_SIZE - s->data)
		data.size = (uint32_t)(DATA_SIZE - s->data);
	data.argsz = (uint32_t)sizeof(data) + data.size;
	memcpy(reply->body, &data, sizeof(data));
	for (size_t i = 0; i < data.size; i++)
		reply->body[sizeof(data) + i] = data_byte(s->data + i);
	s->data += data.size;
	reply->len = data.argsz;
}

static void
take_data(struct setup *s, const struct vuc_loopback_msg *request)
{
	const uint8_t *bytes = request->bytes + sizeof(struct vfio_user_header) +
		sizeof(struct vfio_user_mig_data);
	struct vfio_user_mig_data data;

	fake_server_body(request, &data, sizeof(data));
	for (size_t i = 0; i < data.size; i++)
		s->wrong += bytes[i] != data_byte(s->data + i);
	s->data += data.size;
}

static int
answer(void *arg, const struct vuc_loopback_msg *request, const struct vfio_user_header *header,
	struct fake_reply *reply)
{
	struct setup *s = arg;
	struct vfio_user_irq_set set;

	if ((s->refused & 1u << header->cmd) != 0)
		return EIO;
	if (header->cmd == VFIO_USER_DEVICE_SET_IRQS) {
		const uint64_t one = 1;

		fake_server_body(request, &set, sizeof(set));
		s->last_vector = set.start;
		if (request->nr_fds == 1)
			CU_ASSERT_EQUAL(write(request->fds[0], &one, sizeof(one)), sizeof(one));
	} else if (header->cmd == VFIO_USER_DEVICE_FEATURE) {
		answer_feature(s, request, reply);
	} else if (header->cmd == VFIO_USER_MIG_DATA_READ) {
		answer_data(s, request, reply);
	} else if (header->cmd == VFIO_USER_MIG_DATA_WRITE) {
		take_data(s, request);
	} else if (header->cmd == VFIO_USER_DMA_UNMAP) {
		answer_unmap(request, reply);
	}
	return 0;
}

static int
watch(void *arg, const struct vuc_loopback_msg *request, struct vuc_loopback_msg *message)
{
	struct setup *s = arg;
	struct vfio_user_header header;

	memcpy(&header, request->bytes, sizeof(header));
	if (s->hang_up)
		return -ECONNRESET;
	CU_ASSERT_FATAL(s->nr_seen < MAX_SEEN);
	s->seen[s->nr_seen++] = header.cmd;
	if (s->withhold_from != 0 && s->nr_seen >= s->withhold_from)
		s->withheld = UINT32_MAX;
	if ((s->withheld & 1u << header.cmd) != 0) {
		CU_ASSERT_FATAL(message->len <= STASH_SIZE - s->stash_len);
		memcpy(s->stash + s->stash_len, message->bytes, message->len);
		s->stash_len += message->len;
		message->len = 0;
	}
	return 0;
}

/* Within a poll, as everything that comes. */
static void
deliver(void *arg)
{
	struct setup *s = arg;
	struct vuc_conn *conn = s->dev->main.conn;

	if (!s->release)
		return;
	s->release = false;
	conn->events->received(conn, s->stash, s->stash_len, NULL, 0);
	s->stash_len = 0;
}

static void
init_server(struct setup *s)
{
	*s = (struct setup){.server = {.max_msg_fds = 8,
				    .flags = VFIO_DEVICE_FLAGS_RESET,
				    .command = answer,
				    .deviate = watch,
				    .arg = s}};
	s->server.irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 8;
	s->server.irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	s->server.regions[0] = (struct fake_region){.size = sizeof(s->region),
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			VFIO_REGION_INFO_FLAG_MMAP,
		.nr_fds = 1,
		.fds = {region_fd},
		.bytes = s->region};
	s->server.regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct fake_region){
		.size = sizeof(s->config), .flags = VFIO_REGION_INFO_FLAG_READ, .bytes = s->config};
}

static void
open_setup(struct setup *s, uint16_t max_requests)
{
	const struct vuc_poll_source source = {.begin = deliver, .arg = s};
	struct vuc_device_opts opts;

	init_server(s);
	fake_server_opts(&s->server, &opts);
	opts.group = group;
	opts.max_requests = max_requests;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &s->dev, NULL), 0);
	vuc_poll_group_set_source(group, &source);
	s->nr_seen = 0;
}

static void
close_setup(struct setup *s)
{
	vuc_poll_group_set_source(group, NULL);
	/* What is withheld is not waited for. */
	s->dev->timeout_ms = SHORT_MS;
	vuc_device_close(s->dev);
}

static void
open_group(void)
{
	struct vuc_poll_group_opts opts;

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = "loopback";
	fds_before = fd_count();
	region_fd = memfd_create("region", MFD_CLOEXEC);
	CU_ASSERT_FATAL(region_fd >= 0);
	nr_done = 0;
	nr_freed = 0;
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&opts, &group, NULL), 0);
}

static void
close_group(void)
{
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	close(region_fd);
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static void
poll_often(void)
{
	for (unsigned int i = 0; i < NR_POLLS; i++)
		vuc_poll_group_poll(group);
}

static void
release(struct setup *s)
{
	s->withheld = 0;
	s->release = true;
}

static void
poll_until_done(const struct job *job)
{
	while (job->calls == 0)
		vuc_poll_group_poll(group);
}

static struct operation *
make_message(struct setup *s, uint16_t cmd, uint32_t timeout_ms)
{
	struct vfio_user_device_feature feature = {.argsz = sizeof(feature)};
	struct vfio_user_dma_unmap unmap = {.argsz = sizeof(unmap), .size = 4096};
	struct vuc_session_request req = {.cmd = cmd, .timeout_ms = timeout_ms};
	struct message_operation *m;
	int rc;

	if (cmd == VFIO_USER_DMA_UNMAP) {
		req.body = &unmap;
		req.len = sizeof(unmap);
	} else if (cmd == VFIO_USER_DEVICE_FEATURE) {
		req.body = &feature;
		req.len = sizeof(feature);
	}
	m = message_operation_create(s->dev, sizeof(*m), &req, NULL, &rc, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	return &m->op;
}

static void
on_done(void *arg, int status, const struct vuc_error *err)
{
	struct job *job = arg;

	job->calls++;
	job->status = status;
	job->err = *err;
	job->order = ++nr_done;
	if (job->dev != NULL) {
		job->inside = vuc_feature_probe(job->dev, 1, 0);
		job->polled = vuc_poll_group_poll(vuc_device_poll_group(job->dev));
	}
}

static void
start_message(struct setup *s, struct job *job, uint16_t cmd, uint32_t timeout_ms)
{
	CU_ASSERT_EQUAL_FATAL(
		operation_start(make_message(s, cmd, timeout_ms), on_done, job, NULL), 0);
	CU_ASSERT_EQUAL(job->calls, 0);
}

static void
start_feature(struct setup *s, struct job *job)
{
	start_message(s, job, VFIO_USER_DEVICE_FEATURE, LONG_MS);
}

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

/* ---- order ---- */

static void
test_order(void)
{
	struct job jobs[3] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	s.withheld = 1u << VFIO_USER_DEVICE_FEATURE;
	start_feature(&s, &jobs[0]);
	start_own(&s, &jobs[1], &own_ops, 2);
	start_message(&s, &jobs[2], VFIO_USER_DMA_UNMAP, LONG_MS);
	poll_often();
	CU_ASSERT_EQUAL(s.nr_seen, 1);
	release(&s);
	poll_until_done(&jobs[2]);
	CU_ASSERT_EQUAL(s.nr_seen, 4);
	CU_ASSERT_EQUAL(s.seen[3], VFIO_USER_DMA_UNMAP);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(jobs[i].calls, 1);
		CU_ASSERT_EQUAL(jobs[i].status, 0);
		CU_ASSERT_EQUAL(jobs[i].order, i + 1);
	}
	CU_ASSERT_EQUAL(nr_freed, 1);
	close_setup(&s);
}

static void
test_devices_apart(void)
{
	struct setup hung, other;
	struct job jobs[2] = {{0}};

	open_setup(&hung, 16);
	open_setup(&other, 16);
	hung.withheld = UINT32_MAX;
	start_feature(&hung, &jobs[0]);
	start_own(&other, &jobs[1], &own_ops, 3);
	poll_until_done(&jobs[1]);
	CU_ASSERT_EQUAL(jobs[1].status, 0);
	CU_ASSERT_EQUAL(jobs[0].calls, 0);
	close_setup(&hung);
	CU_ASSERT_EQUAL(jobs[0].calls, 1);
	CU_ASSERT_EQUAL(jobs[0].status, -ECANCELED);
	close_setup(&other);
}

#define NR_WRITES 5u

struct writes {
	struct vuc_request req[NR_WRITES];
	uint32_t value;
	unsigned int done;
};

static void
write_done(struct vuc_request *req, int status)
{
	struct writes *w = req->arg;

	(void)status;
	w->done++;
}

static void
submit_writes(struct setup *s, struct writes *w, enum vuc_op op)
{
	*w = (struct writes){.value = 1};
	for (unsigned int i = 0; i < NR_WRITES; i++) {
		w->req[i] = (struct vuc_request){.op = op,
			.data = &w->value,
			.count = sizeof(w->value),
			.done = write_done,
			.arg = w};
		CU_ASSERT_EQUAL_FATAL(vuc_device_submit(s->dev, &w->req[i]), 0);
	}
}

/* Whatever was submitted before goes out before, also where it has to wait for room. */
static void
test_behind_requests(void)
{
	struct job job = {0};
	struct writes w;
	struct setup s;

	open_setup(&s, 2);
	submit_writes(&s, &w, VUC_OP_WRITE);
	start_feature(&s, &job);
	poll_until_done(&job);
	CU_ASSERT_EQUAL_FATAL(s.nr_seen, NR_WRITES + 1);
	CU_ASSERT_EQUAL(s.seen[NR_WRITES], VFIO_USER_DEVICE_FEATURE);
	CU_ASSERT_EQUAL(w.done, NR_WRITES);
	close_setup(&s);
}

static uint8_t memory[2 * NR_PAGES * PAGE] __attribute__((aligned(PAGE)));

static void
map_page(struct setup *s, uint64_t n, uint32_t flags)
{
	const struct vuc_dma_mapping mapping = {.iova = n * PAGE,
		.size = PAGE,
		.flags = flags,
		.fd = -1,
		.addr = memory + n * PAGE};

	CU_ASSERT_EQUAL_FATAL(vuc_dma_map(s->dev, &mapping), 0);
}

static int
call_map(struct setup *s)
{
	map_page(s, 1, VUC_DMA_READ);
	return vuc_dma_commit(s->dev);
}

static int
call_unmap(struct setup *s)
{
	CU_ASSERT_EQUAL(vuc_dma_unmap(s->dev, PAGE, PAGE), 0);
	return vuc_dma_commit(s->dev);
}

static int
call_irqs(struct setup *s)
{
	const struct vuc_irq_range range = {.index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 1};

	return vuc_irq_act(s->dev, &range, VUC_IRQ_TRIGGER);
}

static int
call_feature(struct setup *s)
{
	return vuc_feature_probe(s->dev, 1, 0);
}

static int
call_reset(struct setup *s)
{
	return vuc_device_reset(s->dev);
}

/* The public functions follow that rule. */
static void
test_behind_posted_writes(void)
{
	static const struct {
		int (*call)(struct setup *s);
		uint16_t cmd;
	} rows[] = {
		{call_map, VFIO_USER_DMA_MAP},
		{call_unmap, VFIO_USER_DMA_UNMAP},
		{call_irqs, VFIO_USER_DEVICE_SET_IRQS},
		{call_feature, VFIO_USER_DEVICE_FEATURE},
		{call_reset, VFIO_USER_DEVICE_RESET},
	};
	struct writes w;
	struct setup s;

	open_setup(&s, 16);
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		s.nr_seen = 0;
		submit_writes(&s, &w, VUC_OP_WRITE_POSTED);
		CU_ASSERT_EQUAL(rows[i].call(&s), 0);
		CU_ASSERT_EQUAL_FATAL(s.nr_seen, NR_WRITES + 1);
		CU_ASSERT_EQUAL(s.seen[NR_WRITES], rows[i].cmd);
	}
	close_setup(&s);
}

struct reset_request {
	struct vuc_request req;
	struct job job;
};

static void
reset_done(struct vuc_request *req, int status)
{
	on_done(&((struct reset_request *)req)->job, status, &(struct vuc_error){.text = ""});
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
		struct setup s;
		uint32_t value;
		int rc = 1;
		struct vuc_request req = {.op = VUC_OP_READ,
			.data = &value,
			.count = sizeof(value),
			.done = post_in_callback,
			.arg = &rc};

		open_setup(&s, 16);
		s.withheld = 1u << VFIO_USER_DEVICE_RESET;
		CU_ASSERT_EQUAL_FATAL(vuc_device_submit(s.dev, &req), 0);
		if (reset)
			CU_ASSERT_EQUAL(vuc_device_reset_start(s.dev, on_done, &job), 0);
		poll_often();
		CU_ASSERT_EQUAL(rc, reset ? -EDEADLK : 0);
		CU_ASSERT_EQUAL(s.region[0], reset ? 0 : 1);
		close_setup(&s);
		CU_ASSERT_EQUAL(job.calls, reset);
	}
}

/* Nothing passes a reset, however it is asked for. */
static void
test_reset(void)
{
	for (unsigned int by_request = 0; by_request < 2; by_request++) {
		struct reset_request r = {.req = {.op = VUC_OP_RESET, .done = reset_done}};
		struct job later = {0};
		struct writes before, behind;
		struct setup s;
		int rc;

		open_setup(&s, 16);
		s.withheld = 1u << VFIO_USER_DEVICE_RESET;
		submit_writes(&s, &before, VUC_OP_WRITE_POSTED);
		rc = by_request ? vuc_device_submit(s.dev, &r.req)
				: vuc_device_reset_start(s.dev, on_done, &r.job);
		CU_ASSERT_EQUAL(rc, 0);
		submit_writes(&s, &behind, VUC_OP_WRITE_POSTED);
		map_page(&s, 1, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit_start(s.dev, on_done, &later), 0);
		poll_often();
		CU_ASSERT_EQUAL(s.nr_seen, NR_WRITES + 1);
		CU_ASSERT_EQUAL(s.seen[NR_WRITES], VFIO_USER_DEVICE_RESET);
		CU_ASSERT_EQUAL(before.done, NR_WRITES);
		CU_ASSERT_EQUAL(behind.done, 0);
		release(&s);
		poll_until_done(&later);
		CU_ASSERT_EQUAL(r.job.calls, 1);
		CU_ASSERT_EQUAL(r.job.status, 0);
		CU_ASSERT_EQUAL(s.nr_seen, 2 * NR_WRITES + 2);
		CU_ASSERT_EQUAL(s.seen[2 * NR_WRITES + 1], VFIO_USER_DMA_MAP);
		close_setup(&s);
	}
}

/* What is submitted behind a barrier waits for its end, behind others it does not. */
static void
test_barrier(void)
{
	const struct operation_ops *ops[] = {&own_ops, &own_barrier};

	for (unsigned int barrier = 0; barrier < 2; barrier++) {
		struct job job = {0};
		struct writes w;
		struct setup s;

		open_setup(&s, 16);
		s.withheld = 1u << VFIO_USER_DEVICE_FEATURE;
		start_own(&s, &job, ops[barrier], 1);
		submit_writes(&s, &w, VUC_OP_WRITE_POSTED);
		poll_often();
		CU_ASSERT_EQUAL(s.nr_seen, barrier ? 1 : 1 + NR_WRITES);
		CU_ASSERT_EQUAL(job.calls, 0);
		release(&s);
		poll_until_done(&job);
		while (w.done < NR_WRITES)
			vuc_poll_group_poll(group);
		poll_often();
		CU_ASSERT_EQUAL(s.nr_seen, 1 + NR_WRITES);
		CU_ASSERT_EQUAL(s.seen[0], VFIO_USER_DEVICE_FEATURE);
		close_setup(&s);
	}
}

/* A barrier waits for operations before it, and one behind it for the barrier. */
static void
test_barrier_between_operations(void)
{
	struct job jobs[3] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	s.withheld = 1u << VFIO_USER_DEVICE_FEATURE;
	start_feature(&s, &jobs[0]);
	start_own(&s, &jobs[1], &own_barrier, 1);
	start_message(&s, &jobs[2], VFIO_USER_DMA_UNMAP, LONG_MS);
	poll_often();
	CU_ASSERT_EQUAL(s.nr_seen, 1);
	s.release = true;
	poll_until_done(&jobs[0]);
	poll_often();
	CU_ASSERT_EQUAL(s.nr_seen, 2);
	CU_ASSERT_EQUAL(jobs[1].calls, 0);
	release(&s);
	poll_until_done(&jobs[2]);
	CU_ASSERT_EQUAL(jobs[1].order, 2);
	CU_ASSERT_EQUAL(jobs[2].order, 3);
	close_setup(&s);
}

/* ---- the end ---- */

/* One that runs, one whose turn has come but for that, a barrier, and one behind that. */
static void
start_four(struct setup *s, struct job jobs[4], uint16_t first)
{
	s->withheld = UINT32_MAX;
	start_message(s, &jobs[0], first, LONG_MS);
	start_own(s, &jobs[1], &own_ops, 1);
	start_own(s, &jobs[2], &own_barrier, 1);
	start_own(s, &jobs[3], &own_ops, 1);
	poll_often();
	CU_ASSERT_EQUAL(s->nr_seen, 1);
}

static void
check_four(const struct job jobs[4], int status)
{
	for (unsigned int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(jobs[i].calls, 1);
		CU_ASSERT_EQUAL(jobs[i].status, status);
		CU_ASSERT_NOT_EQUAL(jobs[i].err.text[0], '\0');
		/* Those behind the first say which they are, too. */
		CU_ASSERT(i == 0 || strncmp(jobs[i].err.text, "own", 3) == 0);
		CU_ASSERT_EQUAL(jobs[i].order, i + 1);
	}
	CU_ASSERT_EQUAL(nr_freed, 3);
}

static void
test_close(void)
{
	struct job jobs[4] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	start_four(&s, jobs, VFIO_USER_DEVICE_FEATURE);
	close_setup(&s);
	check_four(jobs, -ECANCELED);
}

static void
test_loss(void)
{
	uint32_t value = 1;
	const struct vuc_session_access access = {.data = &value, .count = sizeof(value)};
	struct job jobs[4] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	start_four(&s, jobs, VFIO_USER_DEVICE_FEATURE);
	s.hang_up = true;
	/* Behind the barrier nothing goes out; a posted write past the list does. */
	CU_ASSERT_EQUAL(vuc_session_region_write(s.dev->session, &access, true), 0);
	device_mark_dirty(s.dev);
	poll_until_done(&jobs[3]);
	check_four(jobs, -ECONNRESET);
	CU_ASSERT_EQUAL(vuc_feature_probe(s.dev, 1, 0), -ECONNRESET);
	CU_ASSERT_EQUAL(
		operation_start(make_own(&s, &own_ops, 1), on_done, jobs, NULL), -ECONNRESET);
	CU_ASSERT_EQUAL(nr_freed, 4);
	nr_freed--;
	close_setup(&s);
	check_four(jobs, -ECONNRESET);
}

/* Cancelled at once, and what the server answers later is dropped; but if it may do harm later, the
 * connection ends. */
static void
test_cancel(void)
{
	static const uint16_t commands[] = {VFIO_USER_DEVICE_FEATURE, VFIO_USER_DMA_UNMAP};

	for (unsigned int vital = 0; vital < 2; vital++) {
		struct job jobs[4] = {{0}}, later = {0};
		struct setup s;

		nr_done = 0;
		nr_freed = 0;
		open_setup(&s, 16);
		start_four(&s, jobs, commands[vital]);
		device_cancel_operations(s.dev, -ECANCELED, "the test gives up");
		check_four(jobs, -ECANCELED);
		CU_ASSERT_EQUAL(vuc_device_connected(s.dev), vital == 0);
		if (vital == 0) {
			start_feature(&s, &later);
			release(&s);
			poll_until_done(&later);
			CU_ASSERT_EQUAL(later.status, 0);
		}
		check_four(jobs, -ECANCELED);
		close_setup(&s);
	}
}

/* One that has a reply outstanding when it is cancelled is freed then; the late reply, if there is
 * one, finds nothing. */
static void
test_cancelled_memory(void)
{
	for (unsigned int answered = 0; answered < 2; answered++) {
		struct job job = {0};
		struct setup s;

		nr_freed = 0;
		open_setup(&s, 16);
		s.withheld = UINT32_MAX;
		start_own(&s, &job, &own_ops, 1);
		poll_often();
		device_cancel_operations(s.dev, -ECANCELED, "the test gives up");
		CU_ASSERT_EQUAL(job.calls, 1);
		CU_ASSERT_EQUAL(nr_freed, 1);
		if (answered) {
			release(&s);
			vuc_poll_group_poll(group);
			CU_ASSERT(vuc_device_connected(s.dev));
		}
		close_setup(&s);
		CU_ASSERT_EQUAL(nr_freed, 1);
		CU_ASSERT_EQUAL(job.calls, 1);
	}
}

/* ---- the deadline ---- */

/* It runs while another operation does, and of two it is one and the same time. */
static void
test_deadline_from_start(void)
{
	struct job first = {0}, second = {0};
	struct setup s;

	open_setup(&s, 16);
	s.withheld = UINT32_MAX;
	start_feature(&s, &first);
	start_message(&s, &second, VFIO_USER_DEVICE_FEATURE, SHORT_MS);
	poll_until_done(&second);
	CU_ASSERT_EQUAL(second.status, -ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(second.err.text, "VFIO_USER_DEVICE_FEATURE: not begun within 30 ms");
	CU_ASSERT_EQUAL(first.calls, 0);
	CU_ASSERT_EQUAL(s.nr_seen, 1);
	release(&s);
	poll_until_done(&first);
	CU_ASSERT_EQUAL(first.status, 0);
	CU_ASSERT_EQUAL(s.nr_seen, 1);
	close_setup(&s);
}

/* It does not begin anew with its turn: one of another device, started later, ends later. */
static void
test_deadline_after_turn(void)
{
	struct job first = {0}, second = {0}, later = {0};
	struct setup s, other;
	uint64_t started_ms;

	open_setup(&other, 16);
	open_setup(&s, 16);
	s.withheld = UINT32_MAX;
	other.withheld = UINT32_MAX;
	start_feature(&s, &first);
	start_message(&s, &second, VFIO_USER_DEVICE_FEATURE, 10 * SHORT_MS);
	started_ms = vuc_clock_coarse_ms();
	while (vuc_clock_coarse_ms() < started_ms + SHORT_MS)
		vuc_poll_group_poll(group);
	start_message(&other, &later, VFIO_USER_DEVICE_FEATURE, 10 * SHORT_MS);
	while (vuc_clock_coarse_ms() < started_ms + 2 * SHORT_MS)
		vuc_poll_group_poll(group);
	s.release = true;
	poll_until_done(&second);
	CU_ASSERT_EQUAL(first.calls, 1);
	CU_ASSERT_EQUAL(second.status, -ETIMEDOUT);
	poll_until_done(&later);
	CU_ASSERT(second.order < later.order);
	close_setup(&s);
	close_setup(&other);
}

/* Those that hang together time out together: no second one is sent. */
static void
test_deadlines_do_not_add_up(void)
{
	struct job jobs[8] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	s.withheld = UINT32_MAX;
	for (unsigned int i = 0; i < 8; i++)
		start_message(&s, &jobs[i], VFIO_USER_DEVICE_FEATURE, SHORT_MS);
	poll_until_done(&jobs[7]);
	for (unsigned int i = 0; i < 8; i++) {
		CU_ASSERT_EQUAL(jobs[i].calls, 1);
		CU_ASSERT_EQUAL(jobs[i].status, -ETIMEDOUT);
	}
	CU_ASSERT_PTR_NOT_NULL(strstr(jobs[0].err.text, "no answer to VFIO_USER_DEVICE_FEATURE"));
	CU_ASSERT_EQUAL(s.nr_seen, 1);
	CU_ASSERT(vuc_device_connected(s.dev));
	close_setup(&s);
}

static void
test_vital_deadline(void)
{
	static const uint16_t commands[] = {VFIO_USER_DMA_UNMAP, VFIO_USER_DEVICE_RESET};

	for (unsigned int i = 0; i < 2; i++) {
		struct job job = {0};
		struct setup s;

		open_setup(&s, 16);
		s.withheld = UINT32_MAX;
		start_message(&s, &job, commands[i], SHORT_MS);
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, -ETIMEDOUT);
		CU_ASSERT_PTR_NOT_NULL(strstr(job.err.text, "no answer to VFIO_USER_D"));
		CU_ASSERT(!vuc_device_connected(s.dev));
		close_setup(&s);
		CU_ASSERT_EQUAL(job.calls, 1);
	}
}

/* A sleeping group looks at deadlines, too. */
static void
test_deadline_asleep(void)
{
	struct job jobs[2] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	s.withheld = UINT32_MAX;
	start_own(&s, &jobs[0], &own_barrier, 1);
	start_message(&s, &jobs[1], VFIO_USER_DEVICE_FEATURE, SHORT_MS);
	while (jobs[1].calls == 0) {
		CU_ASSERT_FATAL(vuc_poll_group_wait(group, -1, LONG_MS) >= 0);
		vuc_poll_group_poll(group);
	}
	CU_ASSERT_EQUAL(jobs[1].status, -ETIMEDOUT);
	close_setup(&s);
}

/* ---- commits ---- */

/* Nothing is mapped where the server may still have something else. */
static void
test_map_over_unmap(void)
{
	static const struct {
		uint32_t refused;
		int status;
		unsigned int seen;
	} rows[] = {{0, 0, 3}, {1u << VFIO_USER_DMA_UNMAP, -EIO, 2}};

	for (unsigned int i = 0; i < 2; i++) {
		struct job job = {0};
		struct setup s;

		open_setup(&s, 16);
		map_page(&s, 1, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
		s.withheld = 1u << VFIO_USER_DMA_UNMAP;
		s.refused = rows[i].refused;
		CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, PAGE, PAGE), 0);
		map_page(&s, 1, VUC_DMA_READ | VUC_DMA_WRITE);
		CU_ASSERT_EQUAL(vuc_dma_commit_start(s.dev, on_done, &job), 0);
		poll_often();
		CU_ASSERT_EQUAL(s.nr_seen, 2);
		release(&s);
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, rows[i].status);
		CU_ASSERT_EQUAL(s.nr_seen, rows[i].seen);
		/* The next one unmaps what was refused. */
		s.refused = 0;
		CU_ASSERT_EQUAL(vuc_dma_unmap_all(s.dev), 0);
		CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
		CU_ASSERT_EQUAL(s.nr_seen, rows[i].seen + 2);
		CU_ASSERT_EQUAL(vuc_dma_count(s.dev), 0);
		close_setup(&s);
	}
}

/* Each commit does what was queued before it was started, and says what came of that. */
static void
test_two_commits(void)
{
	struct job jobs[2] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	s.withheld = 1u << VFIO_USER_DMA_MAP;
	map_page(&s, 1, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(s.dev, on_done, &jobs[0]), 0);
	map_page(&s, 3, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(s.dev, on_done, &jobs[1]), 0);
	poll_often();
	CU_ASSERT_EQUAL(s.nr_seen, 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, PAGE, PAGE), -EBUSY);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(s.dev), -EBUSY);
	s.refused = 1u << VFIO_USER_DMA_MAP;
	release(&s);
	poll_until_done(&jobs[1]);
	CU_ASSERT_EQUAL(jobs[0].status, 0);
	CU_ASSERT_EQUAL(jobs[1].status, -EIO);
	CU_ASSERT_EQUAL(vuc_dma_count(s.dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, PAGE, PAGE), 0);
	close_setup(&s);
}

/* One that never had its turn has done nothing. */
static void
test_commit_without_turn(void)
{
	struct job jobs[2] = {{0}};
	struct setup s;

	open_setup(&s, 16);
	map_page(&s, 1, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
	s.withheld = UINT32_MAX;
	start_feature(&s, &jobs[0]);
	CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, PAGE, PAGE), 0);
	map_page(&s, 3, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(s.dev, on_done, &jobs[1]), 0);
	CU_ASSERT_EQUAL(vuc_dma_count(s.dev), 1);
	device_cancel_operations(s.dev, -ECANCELED, "the test gives up");
	CU_ASSERT_EQUAL(jobs[1].status, -ECANCELED);
	CU_ASSERT(vuc_device_connected(s.dev));
	CU_ASSERT_EQUAL(vuc_dma_count(s.dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, 3 * PAGE, PAGE), -ENOENT);
	CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, PAGE, PAGE), 0);
	close_setup(&s);
}

struct neighbour {
	struct setup *busy; /* the device that commits */
	struct vuc_request req;
	uint32_t value;
	unsigned int seen; /* of the messages of that, by the last read */
	unsigned int most; /* between two reads */
	bool stopped;
};

static void
neighbour_read(struct vuc_request *req, int status)
{
	struct neighbour *n = req->arg;

	CU_ASSERT_EQUAL(status, 0);
	if (n->busy->nr_seen - n->seen > n->most)
		n->most = n->busy->nr_seen - n->seen;
	n->seen = n->busy->nr_seen;
	n->stopped = n->busy->nr_seen == NR_PAGES;
	if (!n->stopped)
		CU_ASSERT_EQUAL(vuc_device_submit(req->priv.dev, req), 0);
}

/* However much a device has to map, its neighbours are served in between. */
static void
test_commit_storm(void)
{
	struct setup busy, other;
	struct neighbour n = {.busy = &busy};
	struct job job = {0};

	open_setup(&busy, 1024);
	open_setup(&other, 16);
	n.req = (struct vuc_request){.op = VUC_OP_READ,
		.data = &n.value,
		.count = sizeof(n.value),
		.done = neighbour_read,
		.arg = &n};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(other.dev, &n.req), 0);
	for (unsigned int i = 0; i < NR_PAGES; i++)
		map_page(&busy, 2 * i, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(busy.dev, on_done, &job), 0);
	poll_until_done(&job);
	while (!n.stopped)
		vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job.status, 0);
	CU_ASSERT_EQUAL(busy.nr_seen, NR_PAGES);
	printf("# at most %u mappings between two reads of a neighbour\n", n.most);
	/* A window, and one more when the poll serves the two in another order. */
	CU_ASSERT(n.most > 0 && n.most <= 64);
	close_setup(&busy);
	close_setup(&other);
}

/* ---- callbacks and ownership ---- */

static void
test_callback(void)
{
	struct job job = {0}, nothing = {0};
	struct setup s;

	open_setup(&s, 16);
	job.dev = s.dev;
	start_feature(&s, &job);
	/* One without any message does not end within its start either. */
	start_own(&s, &nothing, &own_ops, 0);
	poll_until_done(&nothing);
	CU_ASSERT_EQUAL(job.calls, 1);
	CU_ASSERT_EQUAL(job.inside, -EDEADLK);
	CU_ASSERT_EQUAL(nothing.calls, 1);
	CU_ASSERT_EQUAL(nothing.status, 0);
	CU_ASSERT_STRING_EQUAL(nothing.err.text, "");
	close_setup(&s);
}

static void
drain(struct vuc_device *dev, struct job *closed)
{
	vuc_device_drain_start(dev, on_done, closed);
}

static void
close_start(struct vuc_device *dev, struct job *closed)
{
	CU_ASSERT_EQUAL(vuc_device_close_start(dev, on_done, closed), 0);
}

static void
close_and_wait(struct vuc_device *dev, struct job *closed)
{
	closed->calls++;
	vuc_device_close(dev);
}

/* Those that are called outside of polls have the same rules. */
static void
test_callback_of_closing(void)
{
	static void (*const rows[])(struct vuc_device * dev, struct job * closed) = {
		drain, close_start, close_and_wait};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct job jobs[2] = {{0}}, closed = {0};
		struct setup s;

		open_setup(&s, 16);
		vuc_poll_group_set_source(group, NULL);
		s.withheld = UINT32_MAX;
		for (unsigned int j = 0; j < 2; j++) {
			jobs[j].dev = s.dev;
			start_feature(&s, &jobs[j]);
		}
		poll_often();
		rows[i](s.dev, &closed);
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

struct closer {
	struct vuc_request req;
	struct vuc_device *dev; /* that its end closes */
	uint32_t value;
	unsigned int calls;
	int status;
};

static void
close_on_request(struct vuc_request *req, int status)
{
	struct closer *c = req->arg;

	c->calls++;
	c->status = status;
	vuc_device_close(c->dev);
}

static void
submit_closer(struct closer *c, struct vuc_device *dev, enum vuc_op op)
{
	c->req = (struct vuc_request){.op = op,
		.data = &c->value,
		.count = sizeof(c->value),
		.done = close_on_request,
		.arg = c};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(dev, &c->req), 0);
}

/* Its connection has ended, and those that wait are being told one after the other. */
static void
test_closed_while_lost(void)
{
	struct closer c[2] = {{.calls = 0}};
	struct job jobs[2] = {{0}};
	struct writes w;
	struct setup s;

	open_setup(&s, 16);
	vuc_poll_group_set_source(group, NULL);
	s.withheld = UINT32_MAX;
	c[0].dev = c[1].dev = s.dev;
	submit_closer(&c[0], s.dev, VUC_OP_READ);
	poll_often();
	for (unsigned int i = 0; i < 2; i++) {
		map_page(&s, 2 * i, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit_start(s.dev, on_done, &jobs[i]), 0);
	}
	poll_often();
	/* In whichever order they are told, one of the two is before the commits. */
	submit_closer(&c[1], s.dev, VUC_OP_READ);
	poll_often();
	s.hang_up = true;
	submit_writes(&s, &w, VUC_OP_WRITE);
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
	struct closer *c = arg;

	(void)err;
	c->calls++;
	c->status = status;
	vuc_device_close_start(c->dev, NULL, NULL);
}

/* Its last reply comes, as it were, from within its own callback. */
static void
test_freed_in_callback(void)
{
	struct closer c = {.calls = 0};
	struct setup s;

	open_setup(&s, 16);
	vuc_poll_group_set_source(group, NULL);
	c.dev = s.dev;
	s.withheld = UINT32_MAX;
	CU_ASSERT_EQUAL_FATAL(
		operation_start(make_own(&s, &own_ops, 1), close_on_done, &c, NULL), 0);
	poll_often();
	device_cancel_operations(s.dev, -ECANCELED, "the test gives up");
	poll_often();
	CU_ASSERT_EQUAL(c.calls, 1);
	CU_ASSERT_EQUAL(c.status, -ECANCELED);
	CU_ASSERT_EQUAL(nr_freed, 1);
}

static int
get_flags(struct vuc_device *dev)
{
	uint64_t flags;

	return vuc_migration_supported(dev, &flags);
}

static int
get_state(struct vuc_device *dev)
{
	enum vuc_migration_state state;

	return vuc_migration_get_state(dev, &state);
}

static int
set_state(struct vuc_device *dev)
{
	return vuc_migration_set_state(dev, VUC_MIGRATION_STOP);
}

static int
save(struct vuc_device *dev)
{
	return vuc_migration_save(dev, -1, NULL, NULL);
}

static int
load(struct vuc_device *dev)
{
	return vuc_migration_load(dev, -1, NULL, NULL);
}

static int
dirty_supported(struct vuc_device *dev)
{
	bool supported;

	return vuc_dirty_supported(dev, &supported);
}

static int
dirty_start(struct vuc_device *dev)
{
	uint64_t page_size = PAGE;

	return vuc_dirty_enable(dev, &page_size, NULL, 0);
}

static int
dirty_report(struct vuc_device *dev)
{
	const struct vuc_dirty_range range = {.iova = PAGE, .size = PAGE};
	uint64_t bitmap = 0;

	return vuc_dirty_report(dev, &range, PAGE, &bitmap, 1);
}

static int
unmap_dirty(struct vuc_device *dev)
{
	uint64_t bitmap = 0;

	return vuc_dma_unmap_dirty(dev, PAGE, PAGE, PAGE, &bitmap, 1);
}

static int
load_region(struct vuc_device *dev)
{
	uint32_t value;

	return vuc_region_load(dev, 0, 0, &value, sizeof(value));
}

static int
store_region(struct vuc_device *dev)
{
	const uint32_t value = 0;

	return vuc_region_store(dev, 0, 0, &value, sizeof(value));
}

static int
map_region(struct vuc_device *dev)
{
	return vuc_region_map(dev, 0, NULL);
}

static int (*const waiting_calls[])(struct vuc_device *dev) = {
	get_flags,
	get_state,
	set_state,
	save,
	load,
	dirty_supported,
	dirty_start,
	vuc_dirty_disable,
	dirty_report,
	unmap_dirty,
	load_region,
	store_region,
	map_region,
	vuc_device_reset,
};

/* Whatever is waited for, a callback may close the device, be it by the last poll of it. */
static void
test_closed_while_waiting(void)
{
	struct setup *s = calloc(1, sizeof(*s)), *other = calloc(1, sizeof(*other));

	for (size_t i = 0; i < sizeof(waiting_calls) / sizeof(waiting_calls[0]); i++) {
		struct closer c = {.calls = 0};

		open_setup(other, 16);
		open_setup(s, 16);
		vuc_poll_group_set_source(group, NULL);
		map_page(s, 1, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit(s->dev), 0);
		c.dev = s->dev;
		submit_closer(&c, other->dev, VUC_OP_WRITE_POSTED);
		s->withheld = UINT32_MAX;
		CU_ASSERT(waiting_calls[i](s->dev) < 0);
		CU_ASSERT_EQUAL(c.calls, 1);
		vuc_device_close(other->dev);
	}
	free(s);
	free(other);
}

/* Its group goes with it. */
static void
test_alone_closed_while_waiting(void)
{
	struct setup *s = calloc(1, sizeof(*s));

	for (size_t i = 0; i < sizeof(waiting_calls) / sizeof(waiting_calls[0]); i++) {
		struct closer c = {.calls = 0};
		struct vuc_device_opts opts;

		init_server(s);
		fake_server_opts(&s->server, &opts);
		CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &s->dev, NULL), 0);
		s->nr_seen = 0;
		map_page(s, 1, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit(s->dev), 0);
		c.dev = s->dev;
		submit_closer(&c, s->dev, VUC_OP_WRITE_POSTED);
		s->withheld = UINT32_MAX;
		CU_ASSERT(waiting_calls[i](s->dev) < 0);
		CU_ASSERT_EQUAL(c.calls, 1);
	}
	free(s);
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
	struct setup s;

	nr_chained = 0;
	open_setup(&s, 16);
	chain(&s, 0, NULL);
	while (nr_chained < 10)
		vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(s.nr_seen, 9);
	close_setup(&s);
}

/* Who started it may be gone, and its memory and descriptors, before anything is sent. */
static void
test_copies(void)
{
	struct vfio_user_irq_set set = {.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = 5,
		.count = 1};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), copy = dup(fd);
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_SET_IRQS,
		.body = &set,
		.len = sizeof(set),
		.fds = &fd,
		.nr_fds = 1,
	};
	struct message_operation *m;
	struct job job = {0};
	uint64_t count = 0;
	struct setup s;
	int rc;

	open_setup(&s, 16);
	m = message_operation_create(s.dev, sizeof(*m), &req, NULL, &rc, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL_FATAL(operation_start(&m->op, on_done, &job, NULL), 0);
	close(fd);
	memset(&set, 0xff, sizeof(set));
	memset(&req, 0xff, sizeof(req));
	poll_until_done(&job);
	CU_ASSERT_EQUAL(job.status, 0);
	CU_ASSERT_EQUAL(s.last_vector, 5);
	CU_ASSERT_EQUAL(read(copy, &count, sizeof(count)), sizeof(count));
	CU_ASSERT_EQUAL(count, 1);
	close(copy);
	close_setup(&s);
}

/* ---- public functions that do not wait ---- */

static void
test_start_irqs(void)
{
	const struct vuc_irq_range range = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = 1, .count = 3};
	bool which[] = {true, false, true};
	struct job jobs[6] = {{0}};
	int fds[3], copies[3];
	uint64_t count;
	struct setup s;

	open_setup(&s, 16);
	for (unsigned int i = 0; i < 3; i++) {
		fds[i] = i == 1 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		copies[i] = i == 1 ? -1 : dup(fds[i]);
	}
	CU_ASSERT_EQUAL(
		vuc_irq_assign_start(s.dev, &range, VUC_IRQ_TRIGGER, fds, on_done, &jobs[0]), 0);
	CU_ASSERT_EQUAL(vuc_irq_act_start(s.dev, &range, VUC_IRQ_MASK, on_done, &jobs[1]), 0);
	CU_ASSERT_EQUAL(
		vuc_irq_select_start(s.dev, &range, VUC_IRQ_UNMASK, which, on_done, &jobs[2]), 0);
	CU_ASSERT_EQUAL(
		vuc_irq_deassign_start(s.dev, &range, VUC_IRQ_TRIGGER, on_done, &jobs[3]), 0);
	CU_ASSERT_EQUAL(vuc_irq_disable_start(s.dev, range.index, on_done, &jobs[4]), 0);
	CU_ASSERT_EQUAL(vuc_irq_disable_start(s.dev, 99, on_done, &jobs[5]), -EINVAL);
	close(fds[0]);
	close(fds[2]);
	memset(fds, 0xff, sizeof(fds));
	memset(which, 0, sizeof(which));
	poll_until_done(&jobs[4]);
	for (unsigned int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(jobs[i].status, 0);
		CU_ASSERT_EQUAL(jobs[i].order, i + 1);
	}
	CU_ASSERT_EQUAL(jobs[5].calls, 0);
	CU_ASSERT_EQUAL(s.nr_seen, 3 + 4);
	for (unsigned int i = 0; i < 3; i += 2) {
		CU_ASSERT_EQUAL(read(copies[i], &count, sizeof(count)), sizeof(count));
		CU_ASSERT_EQUAL(count, 1);
		close(copies[i]);
	}
	close_setup(&s);
}

static void
test_start_features(void)
{
	uint32_t got = 0, set = 0x1234;
	struct job jobs[4] = {{0}};
	size_t len = 0;
	struct setup s;

	open_setup(&s, 16);
	CU_ASSERT_EQUAL(vuc_feature_probe_start(s.dev, 4, VUC_FEATURE_GET, on_done, &jobs[0]), 0);
	CU_ASSERT_EQUAL(
		vuc_feature_get_start(s.dev, 5, &got, sizeof(got), &len, on_done, &jobs[1]), 0);
	CU_ASSERT_EQUAL(vuc_feature_set_start(s.dev, 6, &set, sizeof(set), on_done, &jobs[2]), 0);
	CU_ASSERT_EQUAL(vuc_feature_get_start(
				s.dev, 5, &got, VUC_FEATURE_MAX_DATA + 1, &len, on_done, &jobs[3]),
		-EMSGSIZE);
	poll_until_done(&jobs[2]);
	for (unsigned int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(jobs[i].status, 0);
	CU_ASSERT_EQUAL(got, 5);
	CU_ASSERT_EQUAL(len, sizeof(got));
	CU_ASSERT_EQUAL(s.nr_seen, 3);
	CU_ASSERT_EQUAL(jobs[3].calls, 0);
	close_setup(&s);
}

static void
test_start_migration_data(void)
{
	uint8_t *bytes = malloc(DATA_SIZE + 1);
	struct job written = {0}, read = {0};
	size_t count = 0, wrong = 0;
	struct setup s;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	for (size_t i = 0; i < DATA_SIZE; i++)
		bytes[i] = data_byte(i);
	open_setup(&s, 16);
	CU_ASSERT_EQUAL(vuc_migration_write_start(s.dev, bytes, DATA_SIZE, on_done, &written), 0);
	memset(bytes, 0, DATA_SIZE);
	poll_until_done(&written);
	CU_ASSERT_EQUAL(written.status, 0);
	CU_ASSERT_EQUAL(s.data, DATA_SIZE);
	CU_ASSERT_EQUAL(s.wrong, 0);

	s.data = 0;
	CU_ASSERT_EQUAL(
		vuc_migration_read_start(s.dev, bytes, DATA_SIZE + 1, &count, on_done, &read), 0);
	poll_until_done(&read);
	CU_ASSERT_EQUAL(read.status, 0);
	CU_ASSERT_EQUAL(count, DATA_SIZE);
	for (size_t i = 0; i < DATA_SIZE; i++)
		wrong += bytes[i] != data_byte(i);
	CU_ASSERT_EQUAL(wrong, 0);
	free(bytes);
	close_setup(&s);
}

static void
test_start_migration_states(void)
{
	enum vuc_migration_state state = VUC_MIGRATION_STOP;
	struct job jobs[5] = {{0}};
	uint64_t flags = 0;
	struct setup s;

	open_setup(&s, 16);
	s.state = VUC_MIGRATION_RUNNING;
	CU_ASSERT_EQUAL(vuc_migration_supported_start(s.dev, &flags, on_done, &jobs[0]), 0);
	CU_ASSERT_EQUAL(
		vuc_migration_set_state_start(s.dev, VUC_MIGRATION_PRE_COPY, on_done, &jobs[1]), 0);
	CU_ASSERT_EQUAL(vuc_migration_get_state_start(s.dev, &state, on_done, &jobs[2]), 0);
	CU_ASSERT_EQUAL(
		vuc_migration_set_state_start(s.dev, VUC_MIGRATION_PRE_COPY, on_done, &jobs[3]), 0);
	CU_ASSERT_EQUAL(
		vuc_migration_set_state_start(s.dev, VUC_MIGRATION_ERROR, on_done, &jobs[4]), 0);
	poll_until_done(&jobs[4]);
	for (unsigned int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(jobs[i].order, i + 1);
		CU_ASSERT_EQUAL(jobs[i].status, i < 4 ? 0 : -EINVAL);
	}
	CU_ASSERT_EQUAL(flags, VUC_MIGRATION_CAN_STOP_COPY | VUC_MIGRATION_CAN_PRE_COPY);
	CU_ASSERT_EQUAL(state, VUC_MIGRATION_PRE_COPY);
	CU_ASSERT_STRING_EQUAL(
		jobs[4].err.text, "migration state cannot change from PRE_COPY to ERROR");
	/* The change asks for the state and for PRE_COPY before; one into the same state asks once.
	 */
	CU_ASSERT_EQUAL(s.nr_seen, 1 + 3 + 1 + 1 + 1);
	close_setup(&s);
}

static void
test_start_dirty(void)
{
	struct vuc_dirty_range range = {.iova = PAGE, .size = 2 * PAGE};
	uint64_t page_size = PAGE, bitmap = 2;
	struct job jobs[5] = {{0}};
	bool supported = false;
	struct setup s;

	open_setup(&s, 16);
	CU_ASSERT_EQUAL(vuc_dirty_supported_start(s.dev, &supported, on_done, &jobs[0]), 0);
	CU_ASSERT_EQUAL(vuc_dirty_enable_start(s.dev, &page_size, &range, 1, on_done, &jobs[1]), 0);
	CU_ASSERT_EQUAL(
		vuc_dirty_report_start(s.dev, &range, PAGE, &bitmap, 1, on_done, &jobs[2]), 0);
	CU_ASSERT_EQUAL(vuc_dirty_disable_start(s.dev, on_done, &jobs[3]), 0);
	CU_ASSERT_EQUAL(
		vuc_dirty_report_start(s.dev, &range, 3, &bitmap, 1, on_done, &jobs[4]), -EINVAL);
	memset(&range, 0xff, sizeof(range));
	poll_until_done(&jobs[3]);
	for (unsigned int i = 0; i < 4; i++) {
		CU_ASSERT_EQUAL(jobs[i].order, i + 1);
		CU_ASSERT_EQUAL(jobs[i].status, 0);
	}
	CU_ASSERT(supported);
	CU_ASSERT_EQUAL(bitmap, 3);
	CU_ASSERT_EQUAL(s.nr_seen, 3 + 1 + 1 + 1);
	CU_ASSERT_EQUAL(jobs[4].calls, 0);
	close_setup(&s);
}

/* While it is being unmapped, nothing else is done with the mapping; if the server refuses, it is
 * as before. */
static void
test_start_unmap_dirty(void)
{
	for (unsigned int refused = 0; refused < 2; refused++) {
		const struct vuc_dma_mapping over = {.iova = PAGE,
			.size = PAGE,
			.flags = VUC_DMA_READ,
			.fd = -1,
			.addr = memory};
		struct job job = {0}, second = {0};
		uint64_t bitmap = 0;
		struct setup s;

		open_setup(&s, 16);
		map_page(&s, 1, VUC_DMA_READ);
		CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
		s.withheld = 1u << VFIO_USER_DMA_UNMAP;
		s.refused = refused << VFIO_USER_DMA_UNMAP;
		CU_ASSERT_EQUAL(vuc_dma_unmap_dirty_start(
					s.dev, PAGE, PAGE, PAGE, &bitmap, 1, on_done, &job),
			0);
		CU_ASSERT_EQUAL(vuc_dma_unmap_dirty_start(
					s.dev, PAGE, PAGE, PAGE, &bitmap, 1, on_done, &second),
			-EBUSY);
		CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, PAGE, PAGE), -EBUSY);
		CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(s.dev), "is being unmapped"));
		CU_ASSERT_EQUAL(vuc_dma_unmap_all(s.dev), -EBUSY);
		CU_ASSERT_EQUAL(vuc_dma_map(s.dev, &over), -EEXIST);
		poll_often();
		CU_ASSERT_EQUAL(job.calls, 0);
		release(&s);
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, refused ? -EIO : 0);
		CU_ASSERT_EQUAL(bitmap, refused ? 0 : 1);
		CU_ASSERT_EQUAL(vuc_dma_count(s.dev), refused);
		CU_ASSERT_EQUAL(vuc_dma_unmap(s.dev, PAGE, PAGE), refused ? 0 : -ENOENT);
		s.refused = 0;
		CU_ASSERT_EQUAL(vuc_dma_commit(s.dev), 0);
		CU_ASSERT_EQUAL(second.calls, 0);
		close_setup(&s);
	}
}

/* What results go to. */
static struct {
	uint64_t flags;
	enum vuc_migration_state state;
	bool supported;
	uint64_t page_size;
	uint64_t bitmap;
} results;

static int
start_supported(struct vuc_device *dev, struct job *job)
{
	return vuc_migration_supported_start(dev, &results.flags, on_done, job);
}

static int
start_get_state(struct vuc_device *dev, struct job *job)
{
	return vuc_migration_get_state_start(dev, &results.state, on_done, job);
}

static int
start_set_state(struct vuc_device *dev, struct job *job)
{
	return vuc_migration_set_state_start(dev, VUC_MIGRATION_PRE_COPY, on_done, job);
}

static int
start_dirty_supported(struct vuc_device *dev, struct job *job)
{
	return vuc_dirty_supported_start(dev, &results.supported, on_done, job);
}

static int
start_dirty_enable(struct vuc_device *dev, struct job *job)
{
	results.page_size = PAGE;
	return vuc_dirty_enable_start(dev, &results.page_size, NULL, 0, on_done, job);
}

static int
start_dirty_disable(struct vuc_device *dev, struct job *job)
{
	return vuc_dirty_disable_start(dev, on_done, job);
}

static int
start_dirty_report(struct vuc_device *dev, struct job *job)
{
	const struct vuc_dirty_range range = {.iova = PAGE, .size = PAGE};

	return vuc_dirty_report_start(dev, &range, PAGE, &results.bitmap, 1, on_done, job);
}

static int
start_unmap_dirty(struct vuc_device *dev, struct job *job)
{
	return vuc_dma_unmap_dirty_start(dev, PAGE, PAGE, PAGE, &results.bitmap, 1, on_done, job);
}

/* Those that ask about memory and migration, and their messages. */
static const struct {
	int (*start)(struct vuc_device *dev, struct job *job);
	unsigned int messages;
} sequences[] = {
	{start_supported, 1},
	{start_get_state, 1},
	{start_set_state, 3},
	{start_dirty_supported, 3},
	{start_dirty_enable, 1},
	{start_dirty_disable, 1},
	{start_dirty_report, 1},
	{start_unmap_dirty, 1},
};

/* For one of them, with an answer that does not come. */
static void
prepare_sequence(struct setup *s, unsigned int unanswered)
{
	open_setup(s, 16);
	s->state = VUC_MIGRATION_RUNNING;
	map_page(s, 1, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit(s->dev), 0);
	s->nr_seen = 0;
	s->dev->timeout_ms = LONG_MS;
	s->dev->long_timeout_ms = LONG_MS;
	s->withhold_from = unanswered;
}

/* However far it is, closing ends it once. */
static void
test_sequence_closed(void)
{
	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		for (unsigned int n = 1; n <= sequences[i].messages; n++) {
			struct job job = {0};
			struct setup s;

			prepare_sequence(&s, n);
			CU_ASSERT_EQUAL(sequences[i].start(s.dev, &job), 0);
			poll_often();
			CU_ASSERT_EQUAL(job.calls, 0);
			CU_ASSERT_EQUAL(s.nr_seen, n);
			close_setup(&s);
			CU_ASSERT_EQUAL(job.calls, 1);
			CU_ASSERT_EQUAL(job.status, -ECANCELED);
		}
	}
}

/* However far it is, it has one deadline for all of it. */
static void
test_sequence_deadline(void)
{
	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		for (unsigned int n = 1; n <= sequences[i].messages; n++) {
			struct job job = {0};
			struct setup s;

			prepare_sequence(&s, n);
			s.dev->timeout_ms = SHORT_MS;
			s.dev->long_timeout_ms = SHORT_MS;
			CU_ASSERT_EQUAL(sequences[i].start(s.dev, &job), 0);
			poll_until_done(&job);
			CU_ASSERT_EQUAL(job.status, -ETIMEDOUT);
			CU_ASSERT_EQUAL(s.nr_seen, n);
			close_setup(&s);
			CU_ASSERT_EQUAL(job.calls, 1);
		}
	}
}

/* Until something that was started has been awaited for some ticks. */
static void
poll_some_ticks(void)
{
	uint64_t end_ms = vuc_clock_ms() + 50;

	while (vuc_clock_ms() < end_ms)
		vuc_poll_group_poll(group);
}

/* Who is about to close a device does not wait for a server that does nothing, nor for long for one
 * that does something. */
static void
test_hurry(void)
{
	static const struct {
		uint32_t patience_ms;
		uint32_t limit_ms;
		bool withheld; /* the answer */
	} rows[] = {{1, AN_HOUR, true}, {AN_HOUR, 1, true}, {1, AN_HOUR, false},
		{AN_HOUR, 1, false}, {0, 1, false}};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct job job = {0};
		struct setup s;

		open_setup(&s, 16);
		s.withheld = rows[i].withheld ? UINT32_MAX : 0;
		vuc_device_hurry(s.dev, rows[i].patience_ms, rows[i].limit_ms, "it has to go");
		if (!rows[i].withheld)
			poll_some_ticks();
		start_feature(&s, &job);
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, rows[i].withheld ? -ECANCELED : 0);
		CU_ASSERT_EQUAL(strstr(job.err.text, "it has to go") != NULL, rows[i].withheld);
		CU_ASSERT_EQUAL(vuc_device_connected(s.dev), !rows[i].withheld);
		close_setup(&s);
	}
}

/* The time of a server that has hung before somebody is in a hurry is over at once. */
static void
test_hurry_behind_silence(void)
{
	struct job job = {0};
	struct setup s;

	open_setup(&s, 16);
	s.withheld = UINT32_MAX;
	start_feature(&s, &job);
	poll_some_ticks();
	vuc_device_hurry(s.dev, 1, AN_HOUR, "it has to go");
	vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job.status, -ECANCELED);
	close_setup(&s);
}

/* Nobody who asks again gives a server more time. */
static void
test_hurry_twice(void)
{
	static const struct {
		uint32_t patience_ms[2], limit_ms[2];
	} rows[] = {
		{{AN_HOUR, AN_HOUR}, {1, AN_HOUR}},
		{{1, AN_HOUR}, {AN_HOUR, AN_HOUR}},
		{{AN_HOUR, 1}, {AN_HOUR, AN_HOUR}},
	};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct job job = {0};
		struct setup s;

		open_setup(&s, 16);
		s.withheld = UINT32_MAX;
		start_feature(&s, &job);
		poll_often();
		for (unsigned int n = 0; n < 2; n++)
			vuc_device_hurry(
				s.dev, rows[i].patience_ms[n], rows[i].limit_ms[n], "it has to go");
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, -ECANCELED);
		close_setup(&s);
	}
}

static void
note_connected(void *arg)
{
	struct setup *s = arg;

	s->seen_lost = s->seen_lost || !vuc_device_connected(s->dev);
}

/* Who watches connections hears of an end in the poll after it, however many polls there are. */
static void
test_source_hears_of_loss(void)
{
	struct vuc_poll_source source = {.changed = note_connected};
	struct job job = {0};
	struct setup s;

	open_setup(&s, 16);
	source.arg = &s;
	vuc_poll_group_set_source(group, &source);
	s.hang_up = true;
	start_feature(&s, &job);
	/* Of which none looks at the clock. */
	for (group->polls = 0; job.calls == 0 && group->polls + 2 < TICK_INTERVAL;)
		vuc_poll_group_poll(group);
	vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job.calls, 1);
	CU_ASSERT_TRUE(s.seen_lost);
	close_setup(&s);
}

static CU_TestInfo start_tests[] = {
	{"interrupts", test_start_irqs},
	{"features", test_start_features},
	{"migration data", test_start_migration_data},
	{"migration states", test_start_migration_states},
	{"dirty pages", test_start_dirty},
	{"unmapping with dirty pages", test_start_unmap_dirty},
	{"closed in the middle", test_sequence_closed},
	{"one deadline for all messages", test_sequence_deadline},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo order_tests[] = {
	{"one after the other", test_order},
	{"devices apart", test_devices_apart},
	{"behind requests that came before", test_behind_requests},
	{"behind posted writes", test_behind_posted_writes},
	{"a reset", test_reset},
	{"a posted write in a callback", test_post_in_callback},
	{"a barrier, and none", test_barrier},
	{"a barrier between operations", test_barrier_between_operations},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo end_tests[] = {
	{"the device is closed", test_close},
	{"the connection ends", test_loss},
	{"in a hurry", test_hurry},
	{"in a hurry behind silence", test_hurry_behind_silence},
	{"in a hurry twice", test_hurry_twice},
	{"a source hears of it", test_source_hears_of_loss},
	{"cancelled", test_cancel},
	{"memory of a cancelled one", test_cancelled_memory},
	{"the deadline runs from the start", test_deadline_from_start},
	{"the deadline goes on with the turn", test_deadline_after_turn},
	{"deadlines do not add up", test_deadlines_do_not_add_up},
	{"the deadline of an unmapping and a reset", test_vital_deadline},
	{"the deadline in a sleeping group", test_deadline_asleep},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo commit_tests[] = {
	{"mapping over what is unmapped", test_map_over_unmap},
	{"two commits", test_two_commits},
	{"one without its turn", test_commit_without_turn},
	{"a storm", test_commit_storm},
	CU_TEST_INFO_NULL,
};

static CU_TestInfo ownership_tests[] = {
	{"a synchronous call in a callback", test_callback},
	{"callbacks of closing", test_callback_of_closing},
	{"closed while its connection ends", test_closed_while_lost},
	{"freed in its own callback", test_freed_in_callback},
	{"closed while it is waited for", test_closed_while_waiting},
	{"alone, and closed while it is waited for", test_alone_closed_while_waiting},
	{"started in callbacks", test_started_in_callback},
	{"copies of all", test_copies},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"order", NULL, NULL, open_group, close_group, order_tests},
		{"end", NULL, NULL, open_group, close_group, end_tests},
		{"commits", NULL, NULL, open_group, close_group, commit_tests},
		{"without waiting", NULL, NULL, open_group, close_group, start_tests},
		{"callbacks and ownership", NULL, NULL, open_group, close_group, ownership_tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
