/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench dma-message: memory that the device accesses by message. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/dma.h>

#include "dma.h"

#define PER_SAMPLE       16
#define MIN_SIZE         4096
#define MAX_SIZE         1048576 /* what vuc lets a message carry */
#define MAX_DEPTH        32
#define MAX_TRANSFERS    100000
#define MIN_BYTES_PER_MS 10000 /* slower than that is a timeout */
#define MAX_COMMAND      4096u /* of the negotiation */
#define POLLS_PER_LOOK   8192u
#define LOOK_MS          5 /* between two looks of a thread that sleeps */

/* Bytes of memory have this value on either side. */
#define FILL 0x5a

/* The head of an access or its reply; data follows. */
struct head {
	struct vfio_user_header header;
	struct vfio_user_dma_region_access access;
};

/* ---- on the device's thread ---- */

static int
device_answer(struct bench_dma_device *d, const struct vfio_user_header *command, const void *body,
	size_t len)
{
	const struct vfio_user_header header = {
		.msg_id = command->msg_id,
		.cmd = command->cmd,
		.msg_size = (uint32_t)(sizeof(header) + len),
		.flags = VFIO_USER_F_TYPE_REPLY,
	};

	return bench_wire_send_data(&d->wire, &header, sizeof(header), body, len);
}

/* Just enough of a server for vuc to open it: no regions, no interrupts. */
static int
device_handle(struct bench_dma_device *d, const struct vfio_user_header *command)
{
	static const char json[] = "{\"capabilities\":{\"max_data_xfer_size\":1048576}}";
	const struct vfio_user_version version = {
		.major = VFIO_USER_MAJOR, .minor = VFIO_USER_MINOR};
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info), .flags = VFIO_DEVICE_FLAGS_PCI};
	uint8_t body[sizeof(version) + sizeof(json)];

	switch (command->cmd) {
	case VFIO_USER_VERSION:
		memcpy(body, &version, sizeof(version));
		memcpy(body + sizeof(version), json, sizeof(json));
		return device_answer(d, command, body, sizeof(body));
	case VFIO_USER_DEVICE_GET_INFO:
		return device_answer(d, command, &info, sizeof(info));
	case VFIO_USER_DMA_MAP:
		return device_answer(d, command, NULL, 0);
	default:
		return -ENOTSUP;
	}
}

/* Answer commands until memory has been mapped. */
static int
device_negotiate(struct bench_dma_device *d)
{
	struct vfio_user_header command = {0};
	int ret = 0;

	while (ret == 0 && command.cmd != VFIO_USER_DMA_MAP) {
		uint8_t body[MAX_COMMAND];

		ret = bench_wire_receive_all(&d->wire, &command, sizeof(command));
		if (ret != 0)
			return ret;
		if (command.msg_size < sizeof(command) ||
			command.msg_size - sizeof(command) > sizeof(body))
			return -EMSGSIZE;
		ret = bench_wire_receive_all(&d->wire, body, command.msg_size - sizeof(command));
		if (ret == 0)
			ret = device_handle(d, &command);
	}
	return ret;
}

static void
head_fill(struct head *head, const struct bench_dma_plan *plan, uint32_t i, bool reply)
{
	bool data = plan->write != reply;

	*head = (struct head){
		.header = {.msg_id = (uint16_t)i,
			.cmd = plan->write ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
			.msg_size = (uint32_t)sizeof(struct head) + (data ? plan->size : 0),
			.flags = reply ? VFIO_USER_F_TYPE_REPLY : VFIO_USER_F_TYPE_COMMAND},
		.access = {.addr = (uint64_t)(i % plan->depth) * plan->size, .count = plan->size},
	};
}

static int
device_send(struct bench_dma_device *d, uint32_t i)
{
	const struct bench_dma_plan *plan = d->plan;
	struct head head;

	head_fill(&head, plan, i, false);
	return bench_wire_send_data(
		&d->wire, &head, sizeof(head), d->data, plan->write ? plan->size : 0);
}

static int
device_receive(struct bench_dma_device *d, uint32_t i)
{
	const struct bench_dma_plan *plan = d->plan;
	struct head head, expected;
	int ret = bench_wire_receive_all(&d->wire, &head, sizeof(head));

	if (ret != 0)
		return ret;
	head_fill(&expected, plan, i, true);
	if (memcmp(&head, &expected, sizeof(head)) != 0)
		return -EPROTO;
	if (plan->write)
		return 0;
	ret = bench_wire_receive_all(&d->wire, d->data, plan->size);
	if (ret != 0)
		return ret;
	return d->data[0] == FILL && d->data[plan->size - 1] == FILL ? 0 : -EBADMSG;
}

static void
device_record(struct bench_dma_device *d, uint32_t done)
{
	uint64_t now;

	if (done % d->plan->per_sample != 0)
		return;
	now = bench_clock_ticks(d->wire.clock);
	d->ticks[done / d->plan->per_sample - 1] = now - d->last;
	d->last = now;
}

static int
device_access(struct bench_dma_device *d)
{
	uint32_t total = d->plan->samples * d->plan->per_sample;
	uint32_t sent = 0, done = 0;
	int ret = 0;

	d->last = bench_clock_ticks(d->wire.clock);
	while (ret == 0 && done < total) {
		if (sent < total && sent - done < d->plan->depth) {
			ret = device_send(d, sent++);
			continue;
		}
		ret = device_receive(d, done++);
		if (ret == 0)
			device_record(d, done);
	}
	return ret;
}

/* The status tells of failures; there is nobody else to hear of them. */
static void *
device_run(void *arg)
{
	struct bench_dma_device *d = arg;
	int ret = d->plan->negotiate ? device_negotiate(d) : 0;

	if (ret == 0)
		ret = device_access(d);
	/* Pairs with peer_status(). */
	atomic_store_explicit(&d->status, ret != 0 ? ret : 1, memory_order_release);
	return NULL;
}

/* ---- who answers ---- */

/* 0 while the device is at work, 1 when it is done, a negative errno. */
static int
peer_status(const struct bench_dma_peer *p)
{
	/* Pairs with device_run(). */
	return atomic_load_explicit(&p->device.status, memory_order_acquire);
}

static int
peer_start(struct bench_dma_peer *p, struct vuc_error *err)
{
	struct bench_dma_device *d = &p->device;
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return bench_fail(err, -errno, "cannot create a socket pair: %s", strerror(errno));
	p->fd = fds[0];
	d->status = 0;
	d->wire = (struct bench_wire){.clock = p->clock, .fd = fds[1]};
	bench_wire_begin(&d->wire, p->plan.timeout_ms);
	ret = bench_cpu_thread(&d->thread, p->cpu, device_run, d, err);
	if (ret != 0) {
		close(fds[0]);
		close(fds[1]);
	}
	return ret;
}

/* End the device at once, also in the middle of its work. */
static void
peer_stop(struct bench_dma_peer *p)
{
	shutdown(p->device.wire.fd, SHUT_RDWR);
	pthread_join(p->device.thread, NULL);
	close(p->device.wire.fd);
	close(p->fd);
}

/* The floor: take a head, copy the data from or to where it belongs, send a head. */
static int
answer_floor(struct bench_dma_peer *p, struct vuc_error *err)
{
	const struct bench_dma_plan *plan = &p->plan;
	uint32_t transfers = plan->samples * plan->per_sample;
	struct bench_wire w = {.clock = p->clock, .fd = p->fd};
	int ret = 0;

	bench_wire_begin(&w, plan->timeout_ms);
	for (uint32_t i = 0; i < transfers && ret == 0; i++) {
		uint8_t *memory = p->memory + (size_t)(i % plan->depth) * plan->size;
		struct head head;

		ret = bench_wire_receive_all(&w, &head, sizeof(head));
		if (ret == 0 && plan->write)
			ret = bench_wire_receive_all(&w, memory, plan->size);
		if (ret != 0)
			break;
		head.header.msg_size = (uint32_t)sizeof(head) + (plan->write ? 0 : plan->size);
		head.header.flags = VFIO_USER_F_TYPE_REPLY;
		ret = bench_wire_send_data(
			&w, &head, sizeof(head), memory, plan->write ? 0 : plan->size);
	}
	p->syscalls = w.syscalls;
	return ret != 0 ? bench_fail(err, ret, "floor: %s", strerror(-ret)) : 0;
}

/* What follows is called on the thread that drives vuc's device; arg is the peer. */

/* From here on its system calls are counted. */
static int
answer_map(void *arg)
{
	struct bench_dma_peer *p = arg;
	struct vuc_device *dev = p->subject.devices[0].dev;
	const struct vuc_dma_mapping mapping = {
		.size = p->memory_size,
		.flags = VUC_DMA_READ | VUC_DMA_WRITE,
		.fd = -1,
		.addr = p->memory,
	};
	int ret;

	p->syscalls = vuc_poll_group_syscalls(p->subject.group);
	ret = vuc_dma_map(dev, &mapping);
	return ret == 0 ? vuc_dma_commit(dev) : ret;
}

/* A device that is done has every right to disconnect. */
static int
answer_look(void *arg)
{
	const struct bench_dma_peer *p = arg;
	bool gone = !vuc_device_connected(p->subject.devices[0].dev);

	return gone && peer_status(p) == 0 ? -ECONNRESET : 0;
}

static int
answer_count(void *arg)
{
	struct bench_dma_peer *p = arg;

	p->syscalls = vuc_poll_group_syscalls(p->subject.group) - p->syscalls;
	return 0;
}

/* ---- on the thread that measures ---- */

static int
answer_by_polling(struct bench_dma_peer *p)
{
	int ret = 0;

	for (unsigned int polls = 1; ret >= 0 && peer_status(p) == 0; polls++) {
		ret = vuc_poll_group_poll(p->subject.group);
		if (ret >= 0 && polls % POLLS_PER_LOOK == 0)
			ret = bench_interrupted() ? -EINTR : answer_look(p);
	}
	return ret < 0 ? ret : 0;
}

/* The CPU is the poller's: look seldom. */
static int
answer_by_sleeping(struct bench_dma_peer *p)
{
	int ret = 0;

	while (ret == 0 && peer_status(p) == 0) {
		vuc_clock_sleep_ms(LOOK_MS);
		ret = bench_interrupted() ? -EINTR
					  : vuc_poller_call(p->subject.poller, answer_look, p);
	}
	return ret;
}

static int
answer_vuc(struct bench_dma_peer *p, const char *transport, struct vuc_error *err)
{
	struct bench_subject *s = &p->subject;
	int ret;

	s->poller_opts.transport = transport;
	s->fd = p->fd;
	ret = bench_subject_open(s, err);
	if (ret != 0)
		return ret;
	if (s->path == BENCH_PATH_INLINE) {
		ret = answer_map(p);
		if (ret == 0)
			ret = answer_by_polling(p);
		answer_count(p);
	} else {
		ret = vuc_poller_call(s->poller, answer_map, p);
		if (ret == 0)
			ret = answer_by_sleeping(p);
		vuc_poller_call(s->poller, answer_count, p);
	}
	if (ret != 0)
		bench_subject_fail(s, ret, err);
	bench_subject_close(s);
	return ret;
}

/* Replies may be on their way to the device still. Returns its status. */
static int
peer_wait(const struct bench_dma_peer *p)
{
	uint64_t deadline =
		bench_clock_ticks(p->clock) + bench_clock_from_ms(p->clock, BENCH_TIMEOUT_MS);
	int status;

	while ((status = peer_status(p)) == 0) {
		if (bench_interrupted())
			return -EINTR;
		if (bench_clock_ticks(p->clock) > deadline)
			return -ETIMEDOUT;
	}
	return status;
}

int
bench_dma_peer_turn(struct bench_dma_peer *p, bool floor, const char *transport,
	struct bench_series *series, struct vuc_error *err)
{
	int ret, status;

	p->plan.negotiate = !floor;
	ret = peer_start(p, err);
	if (ret != 0)
		return ret;
	ret = floor ? answer_floor(p, err) : answer_vuc(p, transport, err);
	if (ret == 0) {
		status = peer_wait(p);
		if (status < 0)
			ret = bench_fail(err, status, "%s: the device failed: %s", series->name,
				strerror(-status));
	}
	if (ret == 0) {
		bench_series_add(series, p->device.ticks, p->plan.samples);
		series->syscalls += p->syscalls;
		bench_series_end_round(series);
	}
	peer_stop(p);
	return ret;
}

int
bench_dma_peer_init(
	struct bench_dma_peer *p, struct bench *b, enum bench_path path, struct vuc_error *err)
{
	p->clock = &b->clock;
	p->cpu = b->env.cpus.cpu[1];
	bench_subject_init(&p->subject, b, path, &bench_settle_access);
	/* A poller has this thread's CPU, which sleeps meanwhile. */
	p->subject.poller_opts.cpu = (int)b->env.cpus.cpu[0];
	p->subject.queues = false;
	p->subject.dma_by_message = true;
	p->memory_size = (size_t)p->plan.size * p->plan.depth;
	p->memory = malloc(p->memory_size);
	p->device = (struct bench_dma_device){
		.plan = &p->plan,
		.data = malloc(p->plan.size),
		.ticks = calloc(p->plan.samples, sizeof(*p->device.ticks)),
	};
	if (p->memory == NULL || p->device.data == NULL || p->device.ticks == NULL)
		return bench_fail(err, -ENOMEM, "no memory for %zu bytes", p->memory_size);
	memset(p->memory, FILL, p->memory_size);
	memset(p->device.data, FILL, p->plan.size);
	return 0;
}

void
bench_dma_peer_fini(struct bench_dma_peer *p)
{
	free(p->memory);
	free(p->device.data);
	free(p->device.ticks);
	p->memory = NULL;
	p->device = (struct bench_dma_device){0};
}

static const char *const ops[] = {"read", "write", NULL};

static const struct bench_option dma_message_options[] = {
	BENCH_OPTION_TRANSPORT(bench_socket_transport_names, "uring or posix (vuc's choice)"),
	BENCH_OPTION_PATH(
		"inline: the measuring thread answers; poller: a poller answers (inline)"),
	{"op", "NAME", "what the device does to memory: read or write (read)", BENCH_CHOICE,
		BENCH_FIELD(op), 0, 0, ops},
	{"size", "N", "bytes of a transfer: 4096 to 1048576 (65536)", BENCH_NUMBER,
		BENCH_FIELD(size), MIN_SIZE, MAX_SIZE, NULL, MIN_SIZE},
	BENCH_OPTION_NUMBER("depth", "outstanding transfers (1)", together, 1, MAX_DEPTH),
	BENCH_OPTION_NUMBER(
		"transfers", "transfers per series and round (512)", ops, 1, MAX_TRANSFERS),
	{0},
};

static int
dma_message_check(struct bench *b, struct vuc_error *err)
{
	struct bench_options *o = &b->options;
	struct bench_dma_plan *plan = &((struct bench_dma_peer *)b->state)->plan;

	if (o->path == BENCH_PATH_SHM)
		return bench_fail(err, -EINVAL,
			"--path shm: not the VMM answers messages of DMA, but the daemon; use --path poller");
	*plan = (struct bench_dma_plan){
		.write = o->op == BENCH_WRITE,
		.size = o->size,
		.depth = o->together,
		.per_sample = PER_SAMPLE,
		.samples = (o->ops - 1) / PER_SAMPLE + 1,
	};
	o->ops = plan->samples * PER_SAMPLE;
	plan->timeout_ms =
		BENCH_TIMEOUT_MS + (unsigned int)((uint64_t)o->ops * plan->size / MIN_BYTES_PER_MS);
	return 0;
}

static void
dma_message_describe(struct bench *b)
{
	const struct bench_options *o = &b->options;
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"DMA_%s of %" PRIu32 " bytes, %" PRIu32 " outstanding; %" PRIu32
		" rounds of %" PRIu32,
		o->op == BENCH_WRITE ? "WRITE" : "READ", o->size, o->together, o->rounds, o->ops);
	if (o->path == BENCH_PATH_POLLER)
		bench_say(result->note,
			"vuc's side is a poller on CPU %u; the thread that has set it up sleeps",
			b->env.cpus.cpu[0]);
	bench_say(result->server, "a separate thread, polling on CPU %u", b->env.cpus.cpu[1]);
	bench_say(result->floor,
		"a copy of the same bytes between socket and memory, nothing is checked");
	bench_say(result->timed,
		"by the server: from one reply to the %dth after it, divided by %d", PER_SAMPLE,
		PER_SAMPLE);
	result->bytes = o->size;
}

static int
dma_message_turn(struct bench *b, unsigned int way, struct vuc_error *err)
{
	return bench_dma_peer_turn(
		b->state, way == 0, b->options.transport, &b->result->series[way], err);
}

static int
dma_message_run(struct bench *b, struct vuc_error *err)
{
	static const char *const names[] = {"floor", "vuc"};
	struct bench_dma_peer *peer = b->state;
	struct bench_series *series;
	int ret = bench_dma_peer_init(peer, b, (enum bench_path)b->options.path, err);

	series = bench_group_append(b, NULL, names, 2, "socket", peer->plan.samples, PER_SAMPLE);
	series[1].transport = peer->subject.transport;
	series[1].by_rate = true;
	dma_message_describe(b);
	if (ret == 0)
		ret = bench_turns_run(b, b->ops->name, 2, dma_message_turn, err);
	bench_dma_peer_fini(peer);
	return ret;
}

const struct bench_ops bench_dma_message = {
	.name = "dma-message",
	.summary = "DMA by messages compared with a copy over the socket",
	.unit = "transfer",
	.units = "transfers",
	.options = dma_message_options,
	.defaults = {.rounds = 100, .size = 65536, .together = 1, .ops = 512},
	.setup = BENCH_CPU_PAIR,
	.too_few = "the server needs one of its own",
	.state_size = sizeof(struct bench_dma_peer),
	.check = dma_message_check,
	.run = dma_message_run,
};
