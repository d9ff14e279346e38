/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench hung: what hung servers take from a healthy device on the same poller. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <vuc/vmm.h>

#include "bench.h"
#include "error.h"
#include "interrupt.h"
#include "memfd.h"
#include "refdev_proc.h"
#include "turns.h"
#include "vucd_proc.h"
#include "way.h"

#define DEFAULT_ROUNDS     10
#define DEFAULT_HUNG       10
#define MAX_HUNG           64
#define DEFAULT_TIMEOUT_MS 300
#define MAX_TIMEOUT_MS     60000
#define MAPS               1024
#define PAGE               4096u
#define HEALTHY            "healthy"
#define ADDED              "added"
#define SETTLE_NS          20000000 /* until a request is under way */
#define RETRY_NS           1000000  /* between attempts to attach to a device that is away */
#define CONFIG_MAX         (MAX_HUNG + 1) * 256

/* How servers hang. */
enum kind {
	KIND_NONE,    /* the floor: there are none */
	KIND_STOPPED, /* before VERSION */
	KIND_RESET,   /* of the daemon, once it has connected */
	KIND_FULL,    /* after a VMM has attached, whose posted writes fill the socket */
	KIND_MAPS,    /* after a VMM has attached, which maps memory */
	NR_KINDS
};

static const struct {
	const char *name;
	const char *fault; /* of vuc-refdev; NULL: none */
} kinds[NR_KINDS] = {
	[KIND_NONE] = {"none", NULL},
	[KIND_STOPPED] = {"stopped", NULL},
	[KIND_RESET] = {"reset", "drop@device_reset"},
	[KIND_FULL] = {"full", NULL},
	[KIND_MAPS] = {"maps", "drop@dma_map"},
};

struct hung;

/* What a turn times, in this order. */
static int start_daemon(struct hung *h, struct vuc_error *err);
static int attach(struct hung *h, struct vuc_error *err);
static int map_memory(struct hung *h, struct vuc_error *err);
static int reset(struct hung *h, struct vuc_error *err);
static int detach(struct hung *h, struct vuc_error *err);
static int add_device(struct hung *h, struct vuc_error *err);
static int remove_device(struct hung *h, struct vuc_error *err);
static int end_daemon(struct hung *h, struct vuc_error *err);

static const struct {
	const char *name;
	int (*act)(struct hung *h, struct vuc_error *err);
} actions[] = {
	{"ready", start_daemon},
	{"attach", attach},
	{"map 1,024", map_memory},
	{"reset", reset},
	{"detach", detach},
	{"add", add_device},
	{"remove", remove_device},
	{"end", end_daemon},
};

#define NR_ACTIONS (sizeof(actions) / sizeof(actions[0]))

_Static_assert(NR_ACTIONS *NR_KINDS <= BENCH_MAX_SERIES, "all fit");

/* The VMM of a server that hangs later. */
struct hung_vmm {
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
	enum kind kind;
	int memory;
	pthread_t thread;
	bool running;
};

struct hung {
	uint32_t nr_hung;
	uint32_t timeout_ms;

	struct bench *bench;
	struct bench_result *result;
	struct bench_refdev_proc healthy; /* of two devices, one of which is added */
	int memory;

	/* The turn under way. */
	enum kind kind;
	struct bench_refdev_proc servers;
	struct bench_vucd vucd;
	struct vuc_vmm_device *dev;
	struct hung_vmm vmms[MAX_HUNG];
};

static int
parse_hung(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count("hung", text, MAX_HUNG, &((struct hung *)state)->nr_hung, err);
}

static int
parse_timeout(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"timeout-ms", text, MAX_TIMEOUT_MS, &((struct hung *)state)->timeout_ms, err);
}

static const struct bench_option hung_options[] = {
	{"hung", "N", "hung servers, 1 to 64 (10)", parse_hung},
	{"timeout-ms", "N", "that the daemon gives them for each request (300)", parse_timeout},
	{0},
};

static void
hung_init(void *state)
{
	struct hung *h = state;

	h->nr_hung = DEFAULT_HUNG;
	h->timeout_ms = DEFAULT_TIMEOUT_MS;
	h->memory = -1;
}

static int
hung_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	(void)bench;
	(void)state;
	(void)err;
	return 0;
}

static void
pause_for(long ns)
{
	const struct timespec time = {.tv_nsec = ns};

	nanosleep(&time, NULL);
}

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
		.sockets = h->nr_hung,
		.fault = kinds[h->kind].fault,
	};
	int ret;

	if (h->kind == KIND_NONE)
		return 0;
	ret = bench_refdev_start(&h->servers, &opts, err);
	if (ret == 0 && h->kind == KIND_STOPPED)
		kill(h->servers.pid, SIGSTOP);
	return ret;
}

static int
attach_to(struct hung *h, const char *name, struct vuc_vmm_device **dev, struct vuc_error *err)
{
	struct vuc_vmm_attach_opts opts;
	int ret;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = h->vucd.vmm_socket;
	opts.device = name;
	opts.name = "vuc-bench";
	/* -ENOTCONN: not connected to so far. */
	while ((ret = vuc_vmm_attach(&opts, dev, err)) == -ENOTCONN && !bench_interrupted())
		pause_for(RETRY_NS);
	return ret;
}

/* What never returns while the server hangs. */
static void *
use_hung_device(void *arg)
{
	static const uint8_t bytes[PAGE];
	struct hung_vmm *v = arg;
	const struct vuc_vmm_dma mapping = {
		.size = PAGE, .flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE, .fd = v->memory};

	if (v->kind == KIND_MAPS && vuc_vmm_dma_map(v->dev, &mapping, 1, NULL) == 0)
		(void)vuc_vmm_dma_commit(v->dev, NULL);
	while (v->kind == KIND_FULL &&
		vuc_queue_post(v->queue, VFIO_PCI_BAR2_REGION_INDEX, 0, bytes, PAGE) == 0)
		;
	return NULL;
}

static int
attach_vmms(struct hung *h, struct vuc_error *err)
{
	int ret = 0;

	for (uint32_t i = 0; i < h->nr_hung && ret == 0; i++) {
		struct hung_vmm *v = &h->vmms[i];
		char name[16];

		snprintf(name, sizeof(name), "hung%" PRIu32, i);
		v->kind = h->kind;
		v->memory = h->memory;
		ret = attach_to(h, name, &v->dev, err);
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
		kill(h->servers.pid, SIGSTOP);
	for (uint32_t i = 0; i < h->nr_hung && ret == 0; i++) {
		struct hung_vmm *v = &h->vmms[i];

		ret = -pthread_create(&v->thread, NULL, use_hung_device, v);
		if (ret != 0)
			return bench_fail(err, ret, "pthread_create: %s", strerror(-ret));
		v->running = true;
	}
	pause_for(SETTLE_NS);
	return ret;
}

/* The daemon has ended, so nobody waits any more. */
static void
detach_vmms(struct hung *h)
{
	for (uint32_t i = 0; i < h->nr_hung; i++) {
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
start_daemon(struct hung *h, struct vuc_error *err)
{
	static char config[CONFIG_MAX];
	char path[BENCH_REFDEV_PATH_MAX], name[16];
	int ret;
	size_t len = (size_t)snprintf(config, sizeof(config),
		"max-vmms = %u\nmax-vmms-per-user = %u\n", MAX_HUNG + 2, MAX_HUNG + 2);

	for (uint32_t i = 0; i < h->nr_hung && h->kind != KIND_NONE; i++) {
		snprintf(name, sizeof(name), "hung%" PRIu32, i);
		len = add_section(config, len, name, bench_refdev_socket(&h->servers, i, path),
			h->timeout_ms);
	}
	add_section(config, len, HEALTHY, h->healthy.socket, BENCH_TIMEOUT_MS);
	ret = bench_vucd_start(&h->vucd, config, err);
	return ret == 0 ? bench_vucd_wait_ready(&h->vucd, err) : ret;
}

static int
attach(struct hung *h, struct vuc_error *err)
{
	return attach_to(h, HEALTHY, &h->dev, err);
}

/* So that none can be joined. */
static int
map_memory(struct hung *h, struct vuc_error *err)
{
	static struct vuc_vmm_dma mappings[MAPS];
	int ret;

	for (unsigned int i = 0; i < MAPS; i++)
		mappings[i] = (struct vuc_vmm_dma){
			.iova = (uint64_t)i * 2 * PAGE,
			.size = PAGE,
			.offset = (uint64_t)i * PAGE,
			.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
			.fd = h->memory,
		};
	ret = vuc_vmm_dma_map(h->dev, mappings, MAPS, err);
	return ret == 0 ? vuc_vmm_dma_commit(h->dev, err) : ret;
}

static int
reset(struct hung *h, struct vuc_error *err)
{
	return vuc_vmm_reset(h->dev, err);
}

static int
detach(struct hung *h, struct vuc_error *err)
{
	(void)err;
	vuc_vmm_detach(h->dev);
	h->dev = NULL;
	return 0;
}

static int
add_device(struct hung *h, struct vuc_error *err)
{
	char path[BENCH_REFDEV_PATH_MAX], params[256];

	snprintf(params, sizeof(params), "{\"name\":\"" ADDED "\",\"socket\":\"%s\"}",
		bench_refdev_socket(&h->healthy, 1, path));
	return bench_vucd_ask(&h->vucd, "devices.add", params, err);
}

static int
remove_device(struct hung *h, struct vuc_error *err)
{
	return bench_vucd_ask(&h->vucd, "devices.remove", "{\"name\":\"" ADDED "\"}", err);
}

static int
end_daemon(struct hung *h, struct vuc_error *err)
{
	return bench_vucd_end(&h->vucd, err);
}

/* ---- turns ---- */

static int
time_actions(struct hung *h, struct vuc_error *err)
{
	int ret = 0;

	for (unsigned int i = 0; i < NR_ACTIONS && ret == 0; i++) {
		struct bench_series *series = &h->result->series[i * NR_KINDS + h->kind];
		uint64_t ticks = bench_clock_ticks(&h->bench->clock);

		ret = actions[i].act(h, err);
		ticks = bench_clock_ticks(&h->bench->clock) - ticks;
		if (ret == 0 && bench_interrupted())
			ret = bench_fail(err, -EINTR, "interrupted");
		if (ret == 0) {
			bench_samples_add(&series->samples, &ticks, 1);
			bench_series_end_round(series);
		}
		if (ret == 0 && i == 0 && has_vmms(h))
			ret = hang_vmms(h, err);
	}
	return ret;
}

static int
run_turn(void *arg, unsigned int i, struct vuc_error *err)
{
	struct hung *h = arg;
	int ret;

	h->kind = (enum kind)i;
	ret = start_servers(h, err);
	if (ret == 0)
		ret = time_actions(h, err);
	bench_vucd_stop(&h->vucd);
	detach_vmms(h);
	vuc_vmm_detach(h->dev);
	h->dev = NULL;
	bench_refdev_stop(&h->servers);
	return ret;
}

static void
describe(struct hung *h)
{
	struct bench_result *result = h->result;
	uint32_t rounds = h->bench->options.rounds;

	snprintf(result->headline, sizeof(result->headline),
		"a healthy device beside %" PRIu32 " hung ones on one poller of vucd; %" PRIu32
		" rounds",
		h->nr_hung, rounds);
	snprintf(result->server, sizeof(result->server),
		"vuc-refdev, sleeping; the hung ones have %" PRIu32 " ms for each request",
		h->timeout_ms);
	snprintf(result->floor, sizeof(result->floor), "the same without hung servers");
	snprintf(result->timed, sizeof(result->timed),
		"ready and end from start and SIGTERM, the others until the daemon has answered");
	snprintf(result->note, sizeof(result->note),
		"stopped and reset: hung from the start; full and maps: once the daemon was ready");
	result->unit = "action";
	result->units = "actions";
	result->per_group = NR_KINDS;
	result->shows_more = true;
	bench_result_add_number(result, "hung", h->nr_hung);
	bench_result_add_number(result, "timeout_ms", h->timeout_ms);
	bench_result_add_number(result, "rounds", rounds);
}

static int
set_up_series(struct hung *h, struct vuc_error *err)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = h->bench->clock.ns_per_tick,
		.per_sample = 1,
		.rounds = h->bench->options.rounds,
		.samples_per_round = 1,
	};

	for (unsigned int i = 0; i < NR_ACTIONS * NR_KINDS; i++) {
		struct bench_series *series = &h->result->series[h->result->nr_series++];

		if (bench_series_init(series, kinds[i % NR_KINDS].name, &shape) != 0)
			return bench_fail(err, -ENOMEM, "no memory for the samples");
		series->topic = actions[i / NR_KINDS].name;
		series->subject = series->name;
		series->transport = "vucd";
	}
	return 0;
}

static int
start_healthy(struct hung *h, struct vuc_error *err)
{
	const struct bench_refdev_opts opts = {
		.cpu = h->bench->env.cpus.cpu[1], .block = true, .sockets = 2};

	h->memory = vuc_memfd_create("vuc-bench", MAPS * PAGE, 0);
	if (h->memory < 0)
		return bench_fail(err, h->memory, "memfd: %s", strerror(-h->memory));
	return bench_refdev_start(&h->healthy, &opts, err);
}

static int
measure_hung(struct hung *h, struct vuc_error *err)
{
	const struct bench_turns turns = {
		.name = h->result->measurement,
		.rounds = h->bench->options.rounds,
		.nr_ways = NR_KINDS,
		.turn = run_turn,
		.arg = h,
	};
	int ret = set_up_series(h, err);

	if (ret == 0)
		ret = start_healthy(h, err);
	if (ret == 0)
		ret = bench_turns_run(&turns, err);
	bench_refdev_stop(&h->healthy);
	if (h->memory >= 0)
		close(h->memory);
	if (ret == 0 && bench_result_finish(h->result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
hung_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct hung *h = state;
	int latency;
	int ret;

	h->bench = bench;
	h->result = result;
	bench->env.cpus = bench->options.cpus;
	ret = bench_cpus_settle(&bench->env.cpus, 2, "the servers need one of their own", err);
	if (ret != 0)
		return ret;
	latency = bench_cpu_hold_latency();
	bench_env_set_latency(&bench->env, latency);
	describe(h);
	ret = measure_hung(h, err);
	if (latency >= 0)
		close(latency);
	return ret;
}

const struct bench_ops bench_hung = {
	.name = "hung",
	.summary = "What hung servers take from a healthy device on the same poller",
	.options = hung_options,
	.rounds = DEFAULT_ROUNDS,
	.state_size = sizeof(struct hung),
	.init = hung_init,
	.check = hung_check,
	.run = hung_run,
};
