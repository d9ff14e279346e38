/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench hung: what hung servers take from a healthy device on the same poller. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dma.h"

#define MAX_HUNG       64
#define MAX_TIMEOUT_MS 60000
#define MAPS           1024
#define HEALTHY        "healthy"
#define ADDED          "added"
#define SETTLE_MS      20 /* until a request is under way */
#define CONFIG_MAX     (MAX_HUNG + 1) * 256
#define WRITE_SIZE     4096 /* of the posted writes that fill a socket */

/* How servers hang. */
enum kind {
	KIND_NONE,    /* the floor: there are none */
	KIND_STOPPED, /* before VERSION */
	KIND_RESET,   /* of the daemon, once it has connected */
	KIND_FULL,    /* after a VMM has attached, whose posted writes fill the socket */
	KIND_MAPS,    /* after a VMM has attached, which maps memory */
	NR_KINDS
};

static const char *const kind_names[NR_KINDS] = {"none", "stopped", "reset", "full", "maps"};

/* Of vuc-refdev. */
static const char *const kind_faults[NR_KINDS] = {
	[KIND_RESET] = "drop@device_reset", [KIND_MAPS] = "drop@dma_map"};

/* The VMM of a server that hangs later. */
struct hung_vmm {
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
	enum kind kind;
	const struct bench_dma_memory *memory;
	pthread_t thread;
	bool running;
};

struct hung {
	const struct bench *bench;
	struct bench_refdev healthy; /* of two devices, one of which is added */
	struct bench_dma_memory memory;

	/* The turn under way. */
	enum kind kind;
	struct bench_refdev servers;
	struct bench_vucd vucd;
	struct vuc_vmm_device *dev;
	struct hung_vmm vmms[MAX_HUNG];
};

static const struct bench_option hung_options[] = {
	BENCH_OPTION_NUMBER("hung", "hung servers, 1 to 64 (10)", nr_hung, 1, MAX_HUNG),
	BENCH_OPTION_NUMBER("timeout-ms",
		"the daemon's timeout for replies of hung servers, in ms (300)", timeout_ms, 1,
		MAX_TIMEOUT_MS),
	{0},
};

/* ---- servers that hang ---- */

static bool
has_vmms(const struct hung *h)
{
	return h->kind == KIND_FULL || h->kind == KIND_MAPS;
}

static int
start_servers(struct hung *h, struct vuc_error *err)
{
	const struct bench_refdev_opts opts = {
		.cpu = h->bench->env.cpus.cpu[1],
		.block = true,
		.sockets = h->bench->options.nr_hung,
		.fault = kind_faults[h->kind],
	};
	int ret;

	if (h->kind == KIND_NONE)
		return 0;
	ret = bench_refdev_start(&h->servers, &opts, err);
	if (ret == 0 && h->kind == KIND_STOPPED)
		kill(h->servers.child.pid, SIGSTOP);
	return ret;
}

/* What never returns while the server hangs. */
static void *
use_hung_device(void *arg)
{
	static const uint8_t bytes[WRITE_SIZE];
	struct hung_vmm *v = arg;

	if (v->kind == KIND_MAPS)
		(void)bench_dma_act_vmm(v->dev, v->memory, 1, false, NULL);
	while (v->kind == KIND_FULL &&
		vuc_queue_post(v->queue, VFIO_PCI_BAR2_REGION_INDEX, 0, bytes, WRITE_SIZE) == 0)
		;
	return NULL;
}

static int
attach_vmms(struct hung *h, struct vuc_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < h->bench->options.nr_hung && ret == 0; i++) {
		struct hung_vmm *v = &h->vmms[i];
		char name[16];

		snprintf(name, sizeof(name), "hung%" PRIu32, i);
		v->kind = h->kind;
		v->memory = &h->memory;
		ret = bench_attach(
			h->vucd.vmm_socket, name, VUC_VMM_DEFAULT_TIMEOUT_MS, &v->dev, err);
		if (ret == 0)
			ret = vuc_vmm_open_queue(v->dev, NULL, &v->queue, err);
	}
	return ret;
}

static int
hang_vmms(struct hung *h, struct vuc_error *err)
{
	int ret = attach_vmms(h, err);

	if (ret == 0 && h->kind == KIND_FULL)
		kill(h->servers.child.pid, SIGSTOP);
	for (uint32_t i = 0; i < h->bench->options.nr_hung && ret == 0; i++) {
		struct hung_vmm *v = &h->vmms[i];

		ret = -pthread_create(&v->thread, NULL, use_hung_device, v);
		if (ret != 0)
			return bench_fail(err, ret, "cannot start a thread: %s", strerror(-ret));
		v->running = true;
	}
	vuc_clock_sleep_ms(SETTLE_MS);
	return ret;
}

/* The daemon has ended, so nobody waits any more. */
static void
detach_vmms(struct hung *h)
{
	for (uint32_t i = 0; i < h->bench->options.nr_hung; i++) {
		struct hung_vmm *v = &h->vmms[i];

		if (v->running)
			pthread_join(v->thread, NULL);
		if (v->queue != NULL)
			vuc_vmm_close_queue(v->dev, v->queue);
		vuc_vmm_detach(v->dev);
		*v = (struct hung_vmm){0};
	}
}

/* ---- what is timed ---- */

static size_t
add_section(char *config, size_t len, const char *name, const char *socket, uint32_t timeout_ms)
{
	return len +
		(size_t)snprintf(config + len, CONFIG_MAX - len,
			"[device %s]\nsocket = %s\ntimeout-ms = %" PRIu32
			"\nlong-timeout-ms = %" PRIu32 "\nretry-min-ms = 10\nretry-max-ms = 10\n",
			name, socket, timeout_ms, timeout_ms);
}

/* Until READY=1. */
static int
daemon_start(struct hung *h, struct vuc_error *err)
{
	static char config[CONFIG_MAX];
	char path[BENCH_SOCKET_MAX], name[16];
	size_t len = (size_t)snprintf(config, sizeof(config),
		"max-vmms = %u\nmax-vmms-per-user = %u\n", MAX_HUNG + 2, MAX_HUNG + 2);

	for (uint32_t i = 0; i < h->bench->options.nr_hung && h->kind != KIND_NONE; i++) {
		snprintf(name, sizeof(name), "hung%" PRIu32, i);
		len = add_section(config, len, name, bench_refdev_socket(&h->servers, i, path),
			h->bench->options.timeout_ms);
	}
	add_section(config, len, HEALTHY, h->healthy.socket, BENCH_TIMEOUT_MS);
	return bench_vucd_start(&h->vucd, config, err);
}

static int
healthy_attach(struct hung *h, struct vuc_error *err)
{
	return bench_attach(h->vucd.vmm_socket, HEALTHY, VUC_VMM_DEFAULT_TIMEOUT_MS, &h->dev, err);
}

static int
healthy_map(struct hung *h, struct vuc_error *err)
{
	return bench_dma_act_vmm(h->dev, &h->memory, MAPS, false, err);
}

static int
healthy_reset(struct hung *h, struct vuc_error *err)
{
	return vuc_vmm_reset(h->dev, err);
}

static int
healthy_detach(struct hung *h, struct vuc_error *err)
{
	(void)err;
	vuc_vmm_detach(h->dev);
	h->dev = NULL;
	return 0;
}

/* Add a device, or remove it where there is no socket. */
static int
daemon_change(struct hung *h, const char *method, const char *socket, struct vuc_error *err)
{
	struct app_json params;

	app_json_init(&params);
	app_json_text(&params, params.root, "name", ADDED);
	if (socket != NULL)
		app_json_text(&params, params.root, "socket", socket);
	return bench_vucd_call(&h->vucd, method, &params, err);
}

static int
daemon_add(struct hung *h, struct vuc_error *err)
{
	char path[BENCH_SOCKET_MAX];

	return daemon_change(h, "devices.add", bench_refdev_socket(&h->healthy, 1, path), err);
}

static int
daemon_remove(struct hung *h, struct vuc_error *err)
{
	return daemon_change(h, "devices.remove", NULL, err);
}

static int
daemon_end(struct hung *h, struct vuc_error *err)
{
	return bench_vucd_end(&h->vucd, err);
}

/* ---- turns ---- */

/* What a turn times, in this order. */
static const struct {
	const char *name;
	int (*act)(struct hung *h, struct vuc_error *err);
} actions[] = {
	{"ready", daemon_start},
	{"attach", healthy_attach},
	{"map 1,024", healthy_map},
	{"reset", healthy_reset},
	{"detach", healthy_detach},
	{"add", daemon_add},
	{"remove", daemon_remove},
	{"end", daemon_end},
};

#define NR_ACTIONS (sizeof(actions) / sizeof(actions[0]))

_Static_assert(NR_ACTIONS *NR_KINDS <= BENCH_MAX_SERIES, "all fit");

static int
time_actions(struct hung *h, struct vuc_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < NR_ACTIONS && ret == 0; i++) {
		struct bench_series *series = &h->bench->result->series[i * NR_KINDS + h->kind];
		uint64_t start = bench_clock_ticks(&h->bench->clock);

		ret = actions[i].act(h, err);
		if (ret == 0) {
			bench_series_add_since(h->bench, series, start);
			bench_series_end_round(series);
			ret = bench_interrupt_check(err);
		}
		if (ret == 0 && i == 0 && has_vmms(h))
			ret = hang_vmms(h, err);
	}
	return ret;
}

static int
hung_turn(struct bench *b, unsigned int i, struct vuc_error *err)
{
	struct hung *h = b->state;
	int ret;

	h->kind = (enum kind)i;
	ret = start_servers(h, err);
	if (ret == 0)
		ret = time_actions(h, err);
	bench_vucd_stop(&h->vucd);
	detach_vmms(h);
	vuc_vmm_detach(h->dev);
	h->dev = NULL;
	bench_child_stop(&h->servers.child);
	return ret;
}

static void
hung_describe(struct bench *b)
{
	const struct bench_options *o = &b->options;
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"a healthy device beside %" PRIu32 " hung ones on one poller of vucd; %" PRIu32
		" rounds",
		o->nr_hung, o->rounds);
	bench_say(result->server,
		"vuc-refdev, sleeping; the hung ones have %" PRIu32 " ms for each request",
		o->timeout_ms);
	bench_say(result->floor, "the same without hung servers");
	bench_say(result->timed,
		"ready and end from start and SIGTERM, the others until the daemon has answered");
	bench_say(result->note,
		"stopped and reset: hung from the start; full and maps: once the daemon was ready");
	result->shows_more = true;
	for (unsigned int i = 0; i < NR_ACTIONS; i++)
		bench_group_append(b, actions[i].name, kind_names, NR_KINDS, "vucd", 1, 1);
}

static int
hung_run(struct bench *b, struct vuc_error *err)
{
	const struct bench_refdev_opts opts = {
		.cpu = b->env.cpus.cpu[1], .block = true, .sockets = 2};
	struct hung *h = b->state;
	int ret;

	hung_describe(b);
	h->bench = b;
	ret = bench_dma_memory_make(&h->memory, MAPS, true, err);
	if (ret == 0)
		ret = bench_refdev_start(&h->healthy, &opts, err);
	if (ret == 0)
		ret = bench_turns_run(b, b->ops->name, NR_KINDS, hung_turn, err);
	bench_child_stop(&h->healthy.child);
	bench_dma_memory_free(&h->memory);
	return ret;
}

const struct bench_ops bench_hung = {
	.name = "hung",
	.summary = "How hung servers delay a healthy device on the same poller",
	.unit = "action",
	.units = "actions",
	.options = hung_options,
	.defaults = {.rounds = 10, .nr_hung = 10, .timeout_ms = 300},
	.setup = BENCH_CPU_PAIR_FREE,
	.too_few = "the servers need one of their own",
	.state_size = sizeof(struct hung),
	.run = hung_run,
};
