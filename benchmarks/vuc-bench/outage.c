/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench outage: how long a VMM waits for its device once a server listens again. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "dma.h"

#define DEVICE "device"

/* What a turn times. */
enum kind {
	KIND_FRESH, /* the floor: a client that connects at once, maps and reads */
	KIND_READ,  /* a read of a VMM that waited for it */
	KIND_BACK,  /* until the VMM receives VUC_VMM_EVENT_BACK */
	NR_KINDS
};

static const char *const kind_names[NR_KINDS] = {"fresh", "first read", "restored"};

/* Mappings that the device has. */
static const struct {
	const char *name;
	uint32_t maps;
} sizes[] = {
	{"1 map", 1},
	{"64 maps", 64},
	{"1,024 maps", 1024},
};

#define NR_SIZES (sizeof(sizes) / sizeof(sizes[0]))
#define MAX_MAPS 1024

struct outage {
	struct bench *bench;
	struct bench_dma_memory memory;

	/* The turn under way. */
	unsigned int size;
	struct bench_refdev_opts server_opts;
	struct bench_refdev server;
	struct bench_vucd vucd;
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
};

static void
add_time(struct outage *o, enum kind kind, uint64_t began)
{
	struct bench_series *series = &o->bench->result->series[o->size * NR_KINDS + kind];

	bench_series_add_since(o->bench, series, began);
	bench_series_end_round(series);
}

/* Returns the time from which on the server listens, or a negative errno. */
static int
server_start_again(struct outage *o, uint64_t *listens, struct vuc_error *err)
{
	int ret = bench_refdev_start_again(&o->server, &o->server_opts, err);

	*listens = bench_clock_ticks(&o->bench->clock);
	return ret;
}

/* ---- a fresh client ---- */

static int
fresh_use(struct outage *o, struct vuc_device *dev)
{
	const struct bench_access *a = &bench_scratch_access;
	uint32_t value;
	int ret = bench_dma_act(dev, &o->memory, sizes[o->size].maps, false);

	return ret == 0 ? vuc_device_read(dev, a->region, a->offset, &value, sizeof(value)) : ret;
}

static int
fresh_turn(struct outage *o, struct vuc_error *err)
{
	struct vuc_device_opts opts;
	struct vuc_device *dev;
	uint64_t listens;
	int ret;

	bench_child_kill(&o->server.child);
	ret = server_start_again(o, &listens, err);
	if (ret != 0)
		return ret;
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = o->server.socket;
	ret = vuc_device_open(&opts, &dev, err);
	if (ret != 0)
		return ret;
	ret = fresh_use(o, dev);
	if (ret == 0)
		add_time(o, KIND_FRESH, listens);
	else
		bench_fail_why(err, ret, "vuc-refdev", vuc_device_reason(dev));
	vuc_device_close(dev);
	return ret;
}

/* ---- a VMM that keeps its device ---- */

static int
vmm_attach(struct outage *o, struct vuc_error *err)
{
	int ret =
		bench_attach(o->vucd.vmm_socket, DEVICE, VUC_VMM_DEFAULT_TIMEOUT_MS, &o->dev, err);

	if (ret == 0)
		ret = vuc_vmm_open_queue(o->dev, NULL, &o->queue, err);
	return ret != 0 ? ret
			: bench_dma_act_vmm(o->dev, &o->memory, sizes[o->size].maps, false, err);
}

static int
vmm_await_event(struct outage *o, uint32_t event, struct vuc_error *err)
{
	struct pollfd pfd = {.fd = vuc_vmm_event_fd(o->dev), .events = POLLIN};

	for (;;) {
		uint32_t events = vuc_vmm_events(o->dev);
		int ret = bench_interrupt_check(err);

		if (ret != 0 || (events & event) != 0)
			return ret;
		if ((events & (VUC_VMM_EVENT_REMOVED | VUC_VMM_EVENT_GONE | VUC_VMM_EVENT_STALE)) !=
			0)
			return bench_fail(err, -EIO, "the device was not restored");
		if (poll(&pfd, 1, BENCH_TIMEOUT_MS) == 0)
			return bench_fail(err, -ETIMEDOUT, "no event of the device within %u ms",
				BENCH_TIMEOUT_MS);
	}
}

static int
vmm_await_read(struct outage *o, struct vuc_error *err)
{
	struct vuc_queue_result result = {.status = 0};
	int ret = vuc_queue_wait(o->queue, BENCH_TIMEOUT_MS);

	if (ret == 0 && vuc_queue_poll(o->queue, &result, 1) == 1)
		ret = result.status;
	return ret != 0 ? bench_fail(err, ret, "the read that waited failed: %s", strerror(-ret))
			: 0;
}

static int
vmm_submit_read(struct outage *o, uint32_t *value, struct vuc_error *err)
{
	const struct vuc_queue_request read = {.op = VUC_QUEUE_READ,
		.region = bench_scratch_access.region,
		.offset = bench_scratch_access.offset,
		.count = sizeof(*value),
		.data = value};
	int ret = vuc_queue_submit(o->queue, &read, 1);

	return ret == 1 ? 0 : bench_fail(err, ret, "cannot submit a read: %s", strerror(-ret));
}

static int
vmm_lose(struct outage *o, struct vuc_error *err)
{
	bench_child_kill(&o->server.child);
	return vmm_await_event(o, VUC_VMM_EVENT_LOST, err);
}

static int
held_turn(struct outage *o, struct vuc_error *err)
{
	uint64_t listens = 0;
	uint32_t value = 0;
	int ret = vmm_attach(o, err);

	if (ret == 0)
		ret = vmm_lose(o, err);
	if (ret == 0)
		ret = vmm_submit_read(o, &value, err);
	if (ret == 0)
		ret = server_start_again(o, &listens, err);
	if (ret == 0)
		ret = vmm_await_read(o, err);
	if (ret == 0) {
		add_time(o, KIND_READ, listens);
		ret = vmm_await_event(o, VUC_VMM_EVENT_BACK, err);
	}
	if (ret == 0)
		add_time(o, KIND_BACK, listens);
	return ret;
}

static int
daemon_start(struct outage *o, struct vuc_error *err)
{
	char config[256 + BENCH_SOCKET_MAX];

	snprintf(config, sizeof(config),
		"[device " DEVICE "]\nsocket = %s\noutage = hold\nhold-ms = %u\n"
		"retry-min-ms = %" PRIu32 "\nretry-max-ms = %" PRIu32 "\n",
		o->server.socket, BENCH_TIMEOUT_MS, o->bench->options.timeout_ms,
		o->bench->options.timeout_ms);
	return bench_vucd_start(&o->vucd, config, err);
}

/* ---- turns ---- */

static int
outage_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	struct outage *o = b->state;
	bool fresh = i % 2 == 0;
	int ret;

	o->size = i / 2;
	ret = bench_refdev_start(&o->server, &o->server_opts, err);
	if (ret == 0 && !fresh)
		ret = daemon_start(o, err);
	if (ret == 0)
		ret = fresh ? fresh_turn(o, err) : held_turn(o, err);
	if (o->queue != NULL)
		vuc_vmm_close_queue(o->dev, o->queue);
	vuc_vmm_detach(o->dev);
	o->queue = NULL;
	o->dev = NULL;
	bench_vucd_stop(&o->vucd);
	bench_child_stop(&o->server.child);
	return ret;
}

static void
outage_describe(struct bench *b)
{
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"a server is killed and started again under a VMM of vucd; %" PRIu32 " rounds",
		b->options.rounds);
	bench_say(result->server,
		"vuc-refdev, sleeping; vucd tries to connect every %" PRIu32 " ms",
		b->options.timeout_ms);
	bench_say(result->floor,
		"a client that connects as soon as the server listens, maps as much, and reads");
	bench_say(result->timed, "from when the server listens again");
	result->shows_more = true;
	for (unsigned int i = 0; i < NR_SIZES; i++)
		bench_group_append(b, sizes[i].name, kind_names, NR_KINDS, "vucd", 1, 1)
			->transport = "libvuc";
}

static int
outage_run(struct bench *b, struct vuc_error *err)
{
	struct outage *o = b->state;
	int ret;

	o->bench = b;
	o->server_opts =
		(struct bench_refdev_opts){.cpu = b->env.cpus.cpu[1], .block = true, .sockets = 1};
	outage_describe(b);
	ret = bench_dma_memory_make(&o->memory, MAX_MAPS, true, err);
	if (ret == 0)
		ret = bench_turns_run(b, b->ops->name, 2 * NR_SIZES, outage_turn, err);
	bench_dma_memory_free(&o->memory);
	return ret;
}

static const struct bench_option outage_options[] = {
	BENCH_OPTION_NUMBER("retry-ms", "milliseconds between vucd's attempts to connect (10)",
		timeout_ms, 1, 1000),
	{0},
};

const struct bench_ops bench_outage = {
	.name = "outage",
	.summary = "How long a VMM waits for a device whose server was restarted",
	.unit = "return",
	.units = "returns",
	.options = outage_options,
	.defaults = {.rounds = 10, .timeout_ms = 10},
	.setup = BENCH_CPU_PAIR_FREE,
	.too_few = "the server needs one of its own",
	.state_size = sizeof(struct outage),
	.run = outage_run,
};
