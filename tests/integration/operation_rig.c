/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <sys/mman.h>

#include "operation_rig.h"
#include "outcome.h"

#define NR_POLLS 200u

struct vuc_poll_group *group;
struct setup dut;
unsigned int nr_done, nr_freed;

static int region_fd; /* a file that can be mapped */
static uint8_t memory[2 * NR_PAGES * PAGE] __attribute__((aligned(PAGE)));

/* ---- the server ---- */

static void
take_irqs(struct setup *s, const struct vuc_loopback_msg *request)
{
	const uint64_t one = 1;
	struct vfio_user_irq_set set;

	fake_server_body(request, &set, sizeof(set));
	s->last_vector = set.start;
	for (unsigned int i = 0; i < request->nr_fds; i++)
		CU_ASSERT_EQUAL(write(request->fds[i], &one, sizeof(one)), sizeof(one));
}

/* What is got of a feature that nobody knows is its number. Returns whether it is one. */
static bool
answer_unknown_feature(const struct vuc_loopback_msg *request, struct fake_reply *reply)
{
	struct vfio_user_device_feature feature;
	uint32_t number;

	fake_server_body(request, &feature, sizeof(feature));
	number = feature.flags & VFIO_DEVICE_FEATURE_MASK;
	if (number == VFIO_DEVICE_FEATURE_MIGRATION ||
		number == VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE ||
		number >= VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
		return false;
	reply->len = request->len - sizeof(struct vfio_user_header);
	memcpy(reply->body, request->bytes + sizeof(struct vfio_user_header), reply->len);
	if ((feature.flags & VFIO_DEVICE_FEATURE_GET) == 0 ||
		(feature.flags & VFIO_DEVICE_FEATURE_PROBE) != 0)
		return true;
	feature.argsz = (uint32_t)(sizeof(feature) + sizeof(number));
	memcpy(reply->body, &feature, sizeof(feature));
	memcpy(reply->body + sizeof(feature), &number, sizeof(number));
	reply->len = feature.argsz;
	return true;
}

/* A fake_command_fn. */
static int
answer(void *arg, const struct vuc_loopback_msg *request, const struct vfio_user_header *header,
	struct fake_reply *reply)
{
	struct setup *s = arg;

	if (header->cmd == VFIO_USER_DEVICE_SET_IRQS)
		take_irqs(s, request);
	else if (header->cmd != VFIO_USER_DEVICE_FEATURE || !answer_unknown_feature(request, reply))
		return mig_server_command(&s->mig, request, header, reply);
	return 0;
}

static void
init_server(struct setup *s, struct vuc_device_opts *opts)
{
	*s = (struct setup){.server = &s->mig.server};
	mig_server_init(&s->mig);
	s->server->max_msg_fds = 8;
	s->server->flags = VFIO_DEVICE_FLAGS_RESET;
	s->server->command = answer;
	s->server->deviate = NULL;
	s->server->arg = s;
	s->server->irqs[VFIO_PCI_MSIX_IRQ_INDEX] =
		(struct fake_irq){.count = 8, .flags = VFIO_IRQ_INFO_EVENTFD};
	s->server->regions[0] = (struct fake_region){.size = sizeof(s->region),
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			VFIO_REGION_INFO_FLAG_MMAP,
		.nr_fds = 1,
		.fds = {region_fd},
		.bytes = s->region};
	s->server->regions[VFIO_PCI_CONFIG_REGION_INDEX] = (struct fake_region){
		.size = sizeof(s->config), .flags = VFIO_REGION_INFO_FLAG_READ, .bytes = s->config};
	fake_server_opts(s->server, opts);
}

static bool released; /* the stash, inside the next poll */

/* A vuc_poll_source's: within a poll, as everything that comes. */
static void
deliver(void *arg)
{
	struct vuc_conn *conn;

	(void)arg;
	if (!released)
		return;
	released = false;
	conn = dut.dev->main.conn;
	conn->events->received(conn, dut.server->stash, dut.server->stash_len, NULL, 0);
	dut.server->stash_len = 0;
}

void
release_one(void)
{
	released = true;
}

void
release_all(void)
{
	dut.server->held = 0;
	released = true;
}

/* ---- the device ---- */

void
open_setup(struct setup *s, uint16_t max_requests)
{
	struct vuc_device_opts opts;

	init_server(s, &opts);
	opts.group = max_requests != ALONE ? group : NULL;
	if (max_requests != ALONE)
		opts.max_requests = max_requests;
	s->dev = open_well(&opts);
	s->server->nr_seen = 0;
}

void
close_setup(struct setup *s)
{
	if (s->dev != NULL)
		s->dev->timeout_ms = SHORT_MS;
	vuc_device_close(s->dev);
	s->dev = NULL;
}

void
set_up(void)
{
	const struct vuc_poll_source source = {.begin = deliver};
	struct vuc_poll_group_opts opts;

	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.transport = "loopback";
	region_fd = memfd_create("region", MFD_CLOEXEC);
	CU_ASSERT_FATAL(region_fd >= 0);
	CU_ASSERT_EQUAL_FATAL(vuc_poll_group_create(&opts, &group, NULL), 0);
	vuc_poll_group_set_source(group, &source);
	next_row("%s", "");
}

void
tear_down(void)
{
	close_setup(&dut);
	CU_ASSERT_EQUAL(vuc_poll_group_destroy(group), 0);
	close(region_fd);
}

void
next_row(const char *fmt, ...)
{
	char name[96];
	va_list args;

	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	vuc_tap_row("%s", name);
	close_setup(&dut);
	open_setup(&dut, 16);
	nr_done = nr_freed = 0;
	released = false;
}

void
poll_often(void)
{
	for (unsigned int i = 0; i < NR_POLLS; i++)
		vuc_poll_group_poll(group);
}

void
poll_until_done(const struct job *job)
{
	while (job->calls == 0)
		vuc_poll_group_poll(group);
}

/* ---- operations and requests ---- */

void
on_done(void *arg, int status, const struct vuc_error *err)
{
	struct job *job = arg;

	job->calls++;
	job->status = status;
	job->err = *err;
	job->order = ++nr_done;
	if (job->dev != NULL) {
		job->inside = job->call(job->dev);
		job->polled = vuc_poll_group_poll(vuc_device_poll_group(job->dev));
	}
	if (job->closes)
		close_setup(&dut);
}

struct operation *
make_message(struct setup *s, uint16_t cmd, uint32_t timeout_ms)
{
	struct vfio_user_device_feature feature = {.argsz = sizeof(feature)};
	struct vfio_user_dma_unmap unmap = {.argsz = sizeof(unmap), .size = PAGE};
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

void
start_message(struct setup *s, struct job *job, uint16_t cmd, uint32_t timeout_ms)
{
	CU_ASSERT_EQUAL_FATAL(
		operation_start(make_message(s, cmd, timeout_ms), on_done, job, NULL), 0);
	CU_ASSERT_EQUAL(job->calls, 0);
}

void
start_feature(struct setup *s, struct job *job)
{
	start_message(s, job, VFIO_USER_DEVICE_FEATURE, LONG_MS);
}

static void
write_done(struct vuc_request *req, int status)
{
	struct writes *w = req->arg;

	(void)status;
	w->done++;
}

void
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

static void
close_on_request(struct vuc_request *req, int status)
{
	struct closer *c = req->arg;

	c->calls++;
	c->status = status;
	close_setup(&dut);
}

void
submit_closer(struct closer *c, struct vuc_device *dev, enum vuc_op op)
{
	c->req = (struct vuc_request){.op = op,
		.data = &c->value,
		.count = sizeof(c->value),
		.done = close_on_request,
		.arg = c};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(dev, &c->req), 0);
}

void
map_page(struct vuc_device *dev, uint64_t n, uint32_t flags)
{
	const struct vuc_dma_mapping mapping = {.iova = n * PAGE,
		.size = PAGE,
		.flags = flags,
		.fd = -1,
		.addr = memory + n * PAGE};

	CU_ASSERT_EQUAL_FATAL(vuc_dma_map(dev, &mapping), 0);
}
