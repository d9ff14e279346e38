/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench mmio: the round trip of one register access. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eal.h"
#include "error.h"
#include "floor.h"
#include "handshake.h"
#include "queue_way.h"
#include "refdev_regs.h"
#include "rounds.h"
#include "subject.h"
#include "target.h"

#define DEFAULT_OPS   2000
#define DEFAULT_SIZE  4
#define DEFAULT_BURST 32
#define MAX_OPS       10000000
#define MAX_SAMPLES   20000000 /* of a series: 160 MB */

/* So few that a send buffer of the default size takes them all, one by one, from either way. */
#define MAX_BURST 256

/* Where the floor gets its connection from. */
enum floor_kind {
	FLOOR_DEFAULT,
	FLOOR_OWN,    /* one of its own, each round anew */
	FLOOR_SHARED, /* vuc's, which is one for the whole run */
};

struct mmio {
	struct bench_target target;
	uint32_t ops;     /* of each series in a round */
	uint32_t samples; /* that they make */
	bool has_region;
	bool has_offset;
	enum floor_kind floor_kind;
	struct bench_access access;

	char transport_text[16]; /* for the reports */
	int shared_fd;
	bool eal; /* is initialised */
	union {
		struct bench_way way;
		struct bench_floor_socket socket;
		struct bench_floor_call call;
	} floor;
	struct bench_subject subject; /* one of both */
	struct bench_poller_subject poller;
};

static int
parse_ops(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count("ops", text, MAX_OPS, &((struct mmio *)state)->ops, err);
}

static int
parse_burst(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"burst", text, MAX_BURST, &((struct mmio *)state)->access.together, err);
}

static int
parse_op(void *state, const char *text, struct vuc_error *err)
{
	return bench_access_parse_op(&((struct mmio *)state)->access, text, err);
}

static int
parse_region(void *state, const char *text, struct vuc_error *err)
{
	struct mmio *m = state;
	uint64_t value;
	int ret = bench_parse_number("region", text, 0, UINT32_MAX, &value, err);

	if (ret == 0) {
		m->access.region = (uint32_t)value;
		m->has_region = true;
	}
	return ret;
}

static int
parse_offset(void *state, const char *text, struct vuc_error *err)
{
	struct mmio *m = state;
	int ret = bench_parse_number(
		"offset", text, 0, UINT64_MAX - BENCH_ACCESS_MAX, &m->access.offset, err);

	m->has_offset = true;
	return ret;
}

static int
parse_size(void *state, const char *text, struct vuc_error *err)
{
	return bench_access_parse_size(&((struct mmio *)state)->access, text, err);
}

static int
parse_floor(void *state, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"own", "shared", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("floor", text, words, &i, err);

	if (ret == 0)
		((struct mmio *)state)->floor_kind = i == 0 ? FLOOR_OWN : FLOOR_SHARED;
	return ret;
}

static const char *const paths[] = {"inline", "poller", NULL};

static int
parse_path(void *state, const char *text, struct vuc_error *err)
{
	unsigned int i = 0;
	int ret = bench_parse_word("path", text, paths, &i, err);

	if (ret == 0)
		((struct mmio *)state)->target.poller = i == 1;
	return ret;
}

static bool
has_poller(const struct mmio *m)
{
	return m->target.poller;
}

static const struct bench_option mmio_options[] = {
	{"socket", "PATH", "a server that listens there (a vuc-refdev is started)",
		bench_target_parse_socket},
	{"transport", "NAME", "uring, posix or loopback (what vuc chooses)",
		bench_target_parse_transport},
	{"path", "NAME",
		"inline: vuc polls in this thread; poller: by a queue, on a CPU of its own "
		"(inline)",
		parse_path},
	{"op", "NAME", "read, write or posted (read); writes write zero", parse_op},
	{"burst", "N", "posted writes that are handed over together (32)", parse_burst},
	{"ops", "N", "accesses of each series in a round (2000)", parse_ops},
	{"region", "N", "region to access, with --offset (BAR0; with --socket config space)",
		parse_region},
	{"offset", "N", "offset in it (vuc-refdev's scratch register; with --socket 0)",
		parse_offset},
	{"size", "N", "bytes of an access: 1, 2, 4 or 8 (4)", parse_size},
	{"floor", "NAME", "own: a connection of its own each round; shared: vuc's, one for the run",
		parse_floor},
	{0},
};

static void
mmio_init(void *state)
{
	struct mmio *m = state;

	m->ops = DEFAULT_OPS;
	m->access.size = DEFAULT_SIZE;
	m->shared_fd = -1;
}

static int
choose_register(struct mmio *m, struct vuc_error *err)
{
	if (m->has_region != m->has_offset)
		return bench_fail(err, -EINVAL, "--region and --offset go together");
	if (m->has_region)
		return 0;
	if (m->target.kind != BENCH_SERVER_FOREIGN) {
		m->access.region = VFIO_PCI_BAR0_REGION_INDEX;
		m->access.offset = REFDEV_REG_SCRATCH;
		return 0;
	}
	if (m->access.op != BENCH_READ)
		return bench_fail(err, -EINVAL,
			"--op %s to a device that is not ours needs --region and --offset",
			bench_access_op_name(m->access.op));
	m->access.region = VFIO_PCI_CONFIG_REGION_INDEX;
	m->access.offset = 0;
	return 0;
}

/* Whole bursts are made. */
static int
settle_amounts(struct mmio *m, uint32_t rounds, struct vuc_error *err)
{
	struct bench_access *a = &m->access;
	uint64_t all = (uint64_t)m->ops * rounds;

	if (all > MAX_SAMPLES)
		return bench_fail(err, -EINVAL, "--ops times --rounds: %" PRIu64 ", at most %u",
			all, MAX_SAMPLES);
	if (a->op != BENCH_POSTED && a->together > 1)
		return bench_fail(err, -EINVAL, "--burst %" PRIu32 " is for --op posted, not %s",
			a->together, bench_access_op_name(a->op));
	if (a->together == 0)
		a->together = a->op == BENCH_POSTED ? DEFAULT_BURST : 1;
	m->samples = (m->ops - 1) / a->together + 1;
	m->ops = m->samples * a->together;
	return 0;
}

static int
mmio_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct mmio *m = state;
	int ret = bench_target_check(&m->target, err);

	if (ret != 0)
		return ret;
	if (m->target.kind == BENCH_SERVER_LOOPBACK) {
		if (m->floor_kind != FLOOR_DEFAULT)
			return bench_fail(err, -EINVAL, "--transport loopback takes no --floor");
	} else if (m->floor_kind == FLOOR_DEFAULT) {
		m->floor_kind =
			m->target.socket != NULL && !has_poller(m) ? FLOOR_SHARED : FLOOR_OWN;
	} else if (m->floor_kind == FLOOR_SHARED && has_poller(m)) {
		/* The poller would read the floor's replies. */
		return bench_fail(err, -EINVAL, "--floor shared is for --path inline");
	}
	ret = settle_amounts(m, bench->options.rounds, err);
	return ret != 0 ? ret : choose_register(m, err);
}

static const char *
floor_word(const struct mmio *m)
{
	if (m->target.kind == BENCH_SERVER_LOOPBACK)
		return "call";
	return m->floor_kind == FLOOR_SHARED ? "shared" : "own";
}

static void
describe_floor(const struct mmio *m, struct bench_result *result)
{
	char *buf = result->floor;
	size_t size = sizeof(result->floor);

	if (m->target.kind == BENCH_SERVER_LOOPBACK)
		snprintf(buf, size, "a call of the server's message handler, no socket");
	else
		snprintf(buf, size, "%s, over %s",
			m->access.op == BENCH_POSTED ? "one send for each write"
						     : "send and spin on recv",
			m->floor_kind == FLOOR_SHARED ? "vuc's connection"
						      : "a connection of its own");
}

static void
describe_burst(const struct mmio *m, struct bench_result *result)
{
	uint32_t n = m->access.together;

	if (n > 1)
		snprintf(result->timed, sizeof(result->timed),
			"from the first call until all %" PRIu32
			" writes of a burst are handed over, divided by %" PRIu32,
			n, n);
	bench_result_add_number(result, "burst", n);
}

static void
describe_path(const struct mmio *m, const struct bench *bench, struct bench_result *result)
{
	size_t len = strlen(result->headline);

	bench_result_add_text(result, "path", paths[has_poller(m)]);
	if (!has_poller(m))
		return;
	snprintf(result->headline + len, sizeof(result->headline) - len,
		"; through a queue and a poller on CPU %u",
		bench_target_poller_cpu(&m->target, bench));
	if (m->target.kind == BENCH_SERVER_LOOPBACK)
		snprintf(result->note, sizeof(result->note),
			"the figure is of the loopback device: with two CPUs no server can spin "
			"beside the poller and this thread");
}

static void
describe(struct mmio *m, const struct bench *bench, struct bench_result *result)
{
	const struct bench_access *a = &m->access;

	snprintf(result->headline, sizeof(result->headline),
		"%s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 "; %" PRIu32
		" rounds of %" PRIu32,
		a->op == BENCH_POSTED ? "posted write" : bench_access_op_name(a->op), a->size,
		a->region, a->offset, bench->options.rounds, m->ops);
	result->unit = "access";
	result->units = "accesses";
	bench_target_describe(&m->target, bench, result);
	describe_floor(m, result);
	describe_path(m, bench, result);
	bench_result_add_text(result, "op", bench_access_op_name(a->op));
	bench_result_add_number(result, "region", a->region);
	bench_result_add_number(result, "offset", a->offset);
	bench_result_add_number(result, "size", a->size);
	if (a->op == BENCH_POSTED)
		describe_burst(m, result);
	bench_result_add_number(result, "ops", m->ops);
	bench_result_add_number(result, "rounds", bench->options.rounds);
	bench_result_add_text(result, "floor", floor_word(m));
}

static int
set_up_poller(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	int ret = bench_eal_init(err);

	if (ret != 0)
		return ret;
	m->eal = true;
	bench_poller_subject_init(&m->poller, &bench->clock, &m->access, m->target.transport,
		bench_target_poller_cpu(&m->target, bench));
	return 0;
}

/* Whose connection is the floor's, too, when it is shared. */
static struct vuc_device_opts *
device_opts(struct mmio *m)
{
	return has_poller(m) ? &m->poller.device_opts : &m->subject.opts;
}

static struct bench_way *
vuc_way(struct mmio *m)
{
	return has_poller(m) ? &m->poller.queue.way : &m->subject.way;
}

/* Once there is a connection to share, or none is needed, both ways are told where to go. */
static int
set_up_ways(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	bool shared = m->floor_kind == FLOOR_SHARED;
	int ret;

	if (has_poller(m))
		ret = set_up_poller(m, bench, err);
	else
		ret = bench_subject_init(
			&m->subject, &bench->clock, &m->access, m->target.transport, err);
	if (ret != 0)
		return ret;
	if (m->target.kind == BENCH_SERVER_LOOPBACK) {
		device_opts(m)->loopback = &m->target.server.loopback;
		bench_floor_call_init(
			&m->floor.call, &bench->clock, &m->access, &m->target.server.loopback);
		return 0;
	}
	if (shared) {
		ret = bench_connect(m->target.server.path, err);
		if (ret < 0)
			return ret;
		m->shared_fd = ret;
		device_opts(m)->fd = m->shared_fd;
	} else {
		device_opts(m)->path = m->target.server.path;
	}
	bench_floor_socket_init(&m->floor.socket, &bench->clock, &m->access,
		shared ? NULL : m->target.server.path, m->shared_fd);
	return 0;
}

static int
set_up_series(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const struct bench_series_shape shape = {
		.ns_per_tick = bench->clock.ns_per_tick,
		.per_sample = m->access.together,
		.rounds = bench->options.rounds,
		.samples_per_round = m->samples,
	};
	int ret;

	result->nr_series = 2;
	ret = bench_series_init(&result->series[0], "floor", &shape);
	if (ret == 0)
		ret = bench_series_init(&result->series[1], "vuc", &shape);
	if (ret != 0)
		return bench_fail(err, ret, "no memory for %" PRIu32 " times %" PRIu32 " samples",
			shape.rounds, m->samples);
	result->series[0].transport = m->target.kind == BENCH_SERVER_LOOPBACK ? "call" : "socket";
	if (!has_poller(m))
		snprintf(m->transport_text, sizeof(m->transport_text), "%s",
			vuc_poll_group_transport(m->subject.group));
	result->series[1].transport = has_poller(m) ? m->poller.transport : m->transport_text;
	result->series[1].by_rate = m->access.op == BENCH_POSTED;
	return 0;
}

/* A shared connection is opened by vuc, which negotiates, and then is the floor's as well. */
static int
run_rounds(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	struct bench_way *subject = vuc_way(m);
	const struct bench_rounds rounds = {
		.clock = &bench->clock,
		.ways = {&m->floor.way, subject},
		.series = {&result->series[0], &result->series[1]},
		.nr_ways = 2,
		.rounds = bench->options.rounds,
		.samples = m->samples,
		/* A burst is followed by nothing but its end; single accesses run on for a while.
		 */
		.group = m->access.together > 1 ? 1 : BENCH_MAX_GROUP,
		.keep_open = m->floor_kind == FLOOR_SHARED,
		.settle = m->access.op == BENCH_POSTED,
		.name = result->measurement,
	};
	int ret;

	if (!rounds.keep_open)
		return bench_rounds_run(&rounds, err);
	ret = subject->ops->open(subject, err);
	if (ret != 0)
		return ret;
	ret = bench_rounds_run(&rounds, err);
	subject->ops->close(subject);
	return ret;
}

static int
measure(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	int ret = set_up_ways(m, bench, err);

	if (ret == 0)
		ret = set_up_series(m, bench, result, err);
	if (ret == 0)
		ret = run_rounds(m, bench, result, err);
	bench_subject_fini(&m->subject);
	if (m->eal)
		bench_eal_fini();
	if (m->shared_fd >= 0)
		close(m->shared_fd);
	if (ret == 0 && bench_result_finish(result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
	return ret;
}

static int
mmio_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct mmio *m = state;
	int ret = bench_target_start(&m->target, bench, err);

	if (ret != 0)
		return ret;
	describe(m, bench, result);
	ret = measure(m, bench, result, err);
	bench_target_stop(&m->target);
	return ret;
}

const struct bench_ops bench_mmio = {
	.name = "mmio",
	.summary = "How long a register access takes next to the least a socket can cost",
	.options = mmio_options,
	.state_size = sizeof(struct mmio),
	.init = mmio_init,
	.check = mmio_check,
	.run = mmio_run,
};
