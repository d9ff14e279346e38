/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench hop: from a thread to a polling core and back. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>

#include "accesses.h"
#include "eal.h"
#include "error.h"
#include "hop_floor.h"
#include "queue_way.h"
#include "refdev_regs.h"
#include "shm.h"

#define DEFAULT_OPS  10000
#define DEFAULT_SIZE 4

enum floor_kind {
	FLOOR_DEFAULT,
	FLOOR_ECHO,
	FLOOR_RING,
	FLOOR_POLLER,
};

struct hop {
	struct bench_accesses all;
	uint32_t spins; /* 0: as the queue has it */
	enum floor_kind floor_kind;
	union {
		struct bench_way way;
		struct bench_floor_echo echo;
		struct bench_floor_ring ring;
		struct bench_poller_subject poller;
	} floor;
	union {
		struct bench_way way;
		struct bench_poller_subject poller;
		struct bench_shm_subject shm;
	} subject;
};

static int
parse_depth(void *state, const char *text, struct vuc_error *err)
{
	uint32_t *depth = &((struct hop *)state)->all.access.together;
	int ret = bench_parse_count("depth", text, BENCH_MAX_DEPTH, depth, err);

	if (ret == 0 && (*depth & (*depth - 1)) != 0)
		ret = bench_fail(err, -EINVAL, "--depth: %s is no power of two", text);
	return ret;
}

static const char *const floors[] = {"echo", "ring", "poller", NULL};

static int
parse_spin(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count("spin", text, UINT32_MAX, &((struct hop *)state)->spins, err);
}

static int
parse_floor(void *state, const char *text, struct vuc_error *err)
{
	unsigned int i = 0;
	int ret = bench_parse_word("floor", text, floors, &i, err);

	if (ret == 0)
		((struct hop *)state)->floor_kind = (enum floor_kind)(FLOOR_ECHO + i);
	return ret;
}

static const struct bench_option hop_options[] = {
	{"path", "NAME", "poller: in this process; shm: in another one, by shared memory (poller)",
		bench_target_parse_path},
	{"op", "NAME", "read, write or posted (read); writes write zero", bench_accesses_parse_op},
	{"depth", "N", "requests outstanding at a time, and slots (1; with posted 32)",
		parse_depth},
	{"size", "N", "bytes of an access: 1, 2, 4 or 8 (4)", bench_accesses_parse_size},
	{"ops", "N", "requests of each series in a round (10000)", bench_accesses_parse_ops},
	{"spin", "N", "looks at an answer before the thread sleeps (as the library has it)",
		parse_spin},
	{"floor", "NAME",
		"echo: a cache line to and fro; ring: an empty queue; poller: the same in this "
		"process (by path, depth and op)",
		parse_floor},
	{0},
};

static void
hop_init(void *state)
{
	struct hop *h = state;

	h->all.target.transport = "loopback";
	h->all.target.path = BENCH_PATH_POLLER;
	h->all.ops = DEFAULT_OPS;
	h->all.access = (struct bench_access){
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.offset = REFDEV_REG_SCRATCH,
		.size = DEFAULT_SIZE,
	};
}

static const char *
floor_name(const struct hop *h)
{
	return floors[h->floor_kind - FLOOR_ECHO];
}

static bool
is_shm(const struct hop *h)
{
	return h->all.target.path == BENCH_PATH_SHM;
}

/* A cache line goes to and fro one at a time. */
static int
choose_floor(struct hop *h, struct vuc_error *err)
{
	bool alone = h->all.access.op != BENCH_POSTED && h->all.access.together == 1;

	if (h->floor_kind == FLOOR_DEFAULT)
		h->floor_kind = is_shm(h) ? FLOOR_POLLER : alone ? FLOOR_ECHO : FLOOR_RING;
	if (h->floor_kind == FLOOR_POLLER && !is_shm(h))
		return bench_fail(err, -EINVAL, "--floor poller is for --path shm");
	if (h->floor_kind == FLOOR_ECHO && !alone)
		return bench_fail(
			err, -EINVAL, "--floor echo is for --op read or write at --depth 1");
	return 0;
}

static int
hop_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct hop *h = state;
	int ret;

	if (h->all.target.path == BENCH_PATH_INLINE)
		return bench_fail(err, -EINVAL,
			"--path inline: a hop goes to a poller; without one there is vuc-bench "
			"mmio --transport loopback");
	ret = bench_target_check(&h->all.target, err);
	if (ret == 0)
		ret = bench_accesses_settle(&h->all, bench, err);
	return ret != 0 ? ret : choose_floor(h, err);
}

static void
describe_time(const struct hop *h, struct bench_result *result)
{
	const struct bench_access *a = &h->all.access;
	char *buf = result->timed;
	size_t size = sizeof(result->timed);

	if (a->op == BENCH_POSTED)
		snprintf(buf, size,
			"from the first write until all %" PRIu32
			" are in the queue, divided by %" PRIu32,
			a->together, a->together);
	else if (a->together > 1)
		snprintf(buf, size, "%" PRIu32 " answers one behind the other, divided by %" PRIu32,
			a->together, a->together);
}

static void
describe_floor(const struct hop *h, unsigned int cpu, struct bench_result *result)
{
	char *buf = result->floor;
	size_t size = sizeof(result->floor);

	if (h->floor_kind == FLOOR_ECHO)
		snprintf(buf, size, "a word to CPU %u and another one back, each on its cache line",
			cpu);
	else if (h->floor_kind == FLOOR_RING)
		snprintf(buf, size, "the queue alone: a thread on CPU %u takes and answers", cpu);
	else
		snprintf(buf, size, "the same inside this process, its poller on CPU %u", cpu);
	bench_result_add_text(result, "floor", floor_name(h));
}

static void
hop_describe(struct hop *h, const struct bench *bench, struct bench_result *result)
{
	const struct bench_access *a = &h->all.access;
	unsigned int cpu = bench_target_poller_cpu(&h->all.target, bench);

	snprintf(result->headline, sizeof(result->headline),
		"%s of %" PRIu32 " bytes through a queue and a poller, depth %" PRIu32 "; %" PRIu32
		" rounds of %" PRIu32,
		bench_accesses_what(&h->all), a->size, a->together, bench->options.rounds,
		h->all.ops);
	result->unit = "request";
	result->units = "requests";
	bench_target_describe(&h->all.target, bench, result);
	snprintf(result->server, sizeof(result->server),
		"the reference device inside %s process, its poller on CPU %u",
		is_shm(h) ? "another" : "this", cpu);
	describe_floor(h, cpu, result);
	describe_time(h, result);
	bench_accesses_describe(&h->all, bench, result);
	bench_result_add_number(result, "depth", a->together);
}

static void
set_up_poller(struct hop *h, const struct bench *bench, struct bench_poller_subject *poller)
{
	bench_poller_subject_init(poller, &bench->clock, &h->all.access, "loopback",
		bench_target_poller_cpu(&h->all.target, bench));
	poller->queue.spins = h->spins;
	poller->device_opts.loopback = &h->all.target.server.loopback;
}

static void
set_up_ways(struct hop *h, const struct bench *bench)
{
	const struct bench_access *a = &h->all.access;
	unsigned int cpu = bench_target_poller_cpu(&h->all.target, bench);

	if (h->floor_kind == FLOOR_ECHO)
		bench_floor_echo_init(&h->floor.echo, &bench->clock, cpu);
	else if (h->floor_kind == FLOOR_RING)
		bench_floor_ring_init(&h->floor.ring, &bench->clock, a, cpu);
	else
		set_up_poller(h, bench, &h->floor.poller);
	if (!is_shm(h)) {
		set_up_poller(h, bench, &h->subject.poller);
		return;
	}
	bench_shm_subject_init(
		&h->subject.shm, &bench->clock, a, &h->all.target.daemon, "loopback", cpu);
	h->subject.shm.queue.spins = h->spins;
}

static int
hop_measure(struct hop *h, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const struct bench_pair pair = {
		.floor = &h->floor.way,
		.subject = &h->subject.way,
		.floor_name = floor_name(h),
		.subject_name = is_shm(h) ? "shm" : "loopback",
		.by_rate = h->floor_kind == FLOOR_RING || h->all.access.together > 1,
		/* Each burst of posted writes finds an empty queue. */
		.apart = h->all.access.op == BENCH_POSTED,
	};
	int ret = bench_eal_init(err);

	if (ret != 0)
		return ret;
	hop_describe(h, bench, result);
	set_up_ways(h, bench);
	ret = bench_accesses_run(&h->all, bench, &pair, result, err);
	if (is_shm(h))
		bench_shm_tell(h->subject.shm.untraced, result, &result->series[1]);
	bench_eal_fini();
	return ret;
}

static int
hop_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct hop *h = state;
	int ret = bench_target_start(&h->all.target, bench, err);

	if (ret != 0)
		return ret;
	ret = hop_measure(h, bench, result, err);
	bench_target_stop(&h->all.target);
	return ret;
}

const struct bench_ops bench_hop = {
	.name = "hop",
	.summary = "How long a request takes from a thread to a polling core and back",
	.options = hop_options,
	.state_size = sizeof(struct hop),
	.init = hop_init,
	.check = hop_check,
	.run = hop_run,
};
