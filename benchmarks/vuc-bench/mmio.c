/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench mmio: the round trip of one register access. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "error.h"
#include "floor.h"
#include "handshake.h"
#include "refdev_regs.h"
#include "rounds.h"
#include "server.h"
#include "subject.h"

#define DEFAULT_SIZE 4

/* Where the floor gets its connection from. */
enum floor_kind {
	FLOOR_DEFAULT,
	FLOOR_OWN,    /* one of its own, each round anew */
	FLOOR_SHARED, /* vuc's, which is one for the whole run */
};

struct mmio {
	const char *socket;
	const char *transport;
	bool has_region;
	bool has_offset;
	enum floor_kind floor_kind;
	enum bench_server_kind server_kind;
	struct bench_access access;

	char socket_text[128]; /* for the reports, like the next one */
	char transport_text[16];
	struct bench_server server;
	int shared_fd;
	union {
		struct bench_way way;
		struct bench_floor_socket socket;
		struct bench_floor_call call;
	} floor;
	struct bench_subject subject;
};

static int
parse_socket(void *state, const char *text, struct vuc_error *err)
{
	if (text[0] == '\0')
		return bench_fail(err, -EINVAL, "--socket: an empty path");
	((struct mmio *)state)->socket = text;
	return 0;
}

static int
parse_transport(void *state, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"uring", "posix", "loopback", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("transport", text, words, &i, err);

	if (ret == 0)
		((struct mmio *)state)->transport = words[i];
	return ret;
}

static int
parse_op(void *state, const char *text, struct vuc_error *err)
{
	static const char *const words[] = {"read", "write", "posted", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("op", text, words, &i, err);

	if (ret == 0)
		((struct mmio *)state)->access.op = (enum bench_access_op)i;
	return ret;
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
	static const char *const words[] = {"1", "2", "4", "8", NULL};
	unsigned int i = 0;
	int ret = bench_parse_word("size", text, words, &i, err);

	if (ret == 0)
		((struct mmio *)state)->access.size = 1u << i;
	return ret;
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

static const struct bench_option mmio_options[] = {
	{"socket", "PATH", "a server that listens there (a vuc-refdev is started)", parse_socket},
	{"transport", "NAME", "uring, posix or loopback (what vuc chooses)", parse_transport},
	{"op", "NAME", "read, write or posted (read); writes write zero", parse_op},
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

	m->access.size = DEFAULT_SIZE;
	m->shared_fd = -1;
}

static enum bench_server_kind
server_kind_of(const struct mmio *m)
{
	if (m->transport != NULL && strcmp(m->transport, "loopback") == 0)
		return BENCH_SERVER_LOOPBACK;
	return m->socket != NULL ? BENCH_SERVER_FOREIGN : BENCH_SERVER_OWN;
}

static int
choose_register(struct mmio *m, struct vuc_error *err)
{
	if (m->has_region != m->has_offset)
		return bench_fail(err, -EINVAL, "--region and --offset go together");
	if (m->has_region)
		return 0;
	if (m->server_kind != BENCH_SERVER_FOREIGN) {
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

static int
mmio_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct mmio *m = state;

	(void)bench;
	m->server_kind = server_kind_of(m);
	if (m->server_kind == BENCH_SERVER_LOOPBACK) {
		if (m->socket != NULL)
			return bench_fail(err, -EINVAL, "--transport loopback takes no --socket");
		if (m->floor_kind != FLOOR_DEFAULT)
			return bench_fail(err, -EINVAL, "--transport loopback takes no --floor");
	} else if (m->floor_kind == FLOOR_DEFAULT) {
		m->floor_kind = m->socket != NULL ? FLOOR_SHARED : FLOOR_OWN;
	}
	return choose_register(m, err);
}

static const char *
floor_word(const struct mmio *m)
{
	if (m->server_kind == BENCH_SERVER_LOOPBACK)
		return "call";
	return m->floor_kind == FLOOR_SHARED ? "shared" : "own";
}

static void
describe_server(const struct mmio *m, const struct bench *bench, struct bench_result *result)
{
	char *buf = result->server;
	size_t size = sizeof(result->server);

	switch (m->server_kind) {
	case BENCH_SERVER_OWN:
		snprintf(buf, size, "vuc-refdev, polling on CPU %u", bench->env.cpus.cpu[1]);
		break;
	case BENCH_SERVER_FOREIGN:
		snprintf(buf, size, "%s", m->socket_text);
		break;
	case BENCH_SERVER_LOOPBACK:
		snprintf(buf, size, "the reference device inside this process");
		break;
	}
}

static void
describe_floor(const struct mmio *m, struct bench_result *result)
{
	char *buf = result->floor;
	size_t size = sizeof(result->floor);

	if (m->server_kind == BENCH_SERVER_LOOPBACK)
		snprintf(buf, size, "a call of the server's message handler, no socket");
	else
		snprintf(buf, size, "%s, over %s",
			m->access.op == BENCH_POSTED ? "one send" : "send and spin on recv",
			m->floor_kind == FLOOR_SHARED ? "vuc's connection"
						      : "a connection of its own");
}

static void
describe(struct mmio *m, const struct bench *bench, struct bench_result *result)
{
	const struct bench_access *a = &m->access;

	snprintf(m->socket_text, sizeof(m->socket_text), "%s", m->socket != NULL ? m->socket : "");
	bench_text_clean(m->socket_text);
	snprintf(result->headline, sizeof(result->headline),
		"%s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 "; %" PRIu32
		" rounds of %" PRIu32,
		a->op == BENCH_POSTED ? "posted write" : bench_access_op_name(a->op), a->size,
		a->region, a->offset, bench->options.rounds, bench->options.ops);
	describe_server(m, bench, result);
	describe_floor(m, result);
	bench_result_add_text(result, "server", m->socket != NULL ? m->socket_text : "vuc-refdev");
	bench_result_add_text(result, "op", bench_access_op_name(a->op));
	bench_result_add_number(result, "region", a->region);
	bench_result_add_number(result, "offset", a->offset);
	bench_result_add_number(result, "size", a->size);
	bench_result_add_number(result, "ops", bench->options.ops);
	bench_result_add_number(result, "rounds", bench->options.rounds);
	bench_result_add_text(result, "floor", floor_word(m));
}

/* Once there is a connection to share, or none is needed, both ways are told where to go. */
static int
set_up_ways(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	bool shared = m->floor_kind == FLOOR_SHARED;
	int ret = bench_subject_init(&m->subject, &bench->clock, &m->access, m->transport, err);

	if (ret != 0)
		return ret;
	if (m->server_kind == BENCH_SERVER_LOOPBACK) {
		m->subject.opts.loopback = &m->server.loopback;
		bench_floor_call_init(
			&m->floor.call, &bench->clock, &m->access, &m->server.loopback);
		return 0;
	}
	if (shared) {
		ret = bench_connect(m->server.path, err);
		if (ret < 0)
			return ret;
		m->shared_fd = ret;
		m->subject.opts.fd = m->shared_fd;
	} else {
		m->subject.opts.path = m->server.path;
	}
	bench_floor_socket_init(&m->floor.socket, &bench->clock, &m->access,
		shared ? NULL : m->server.path, m->shared_fd);
	return 0;
}

static int
set_up_series(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const struct bench_options *o = &bench->options;
	double ns_per_tick = bench->clock.ns_per_tick;
	int ret;

	result->nr_series = 2;
	ret = bench_series_init(&result->series[0], "floor", ns_per_tick, o->rounds, o->ops);
	if (ret == 0)
		ret = bench_series_init(&result->series[1], "vuc", ns_per_tick, o->rounds, o->ops);
	if (ret != 0)
		return bench_fail(err, ret, "no memory for %" PRIu32 " times %" PRIu32 " samples",
			o->rounds, o->ops);
	result->series[0].transport = m->server_kind == BENCH_SERVER_LOOPBACK ? "call" : "socket";
	snprintf(m->transport_text, sizeof(m->transport_text), "%s",
		vuc_poll_group_transport(m->subject.group));
	result->series[1].transport = m->transport_text;
	return 0;
}

/* A shared connection is opened by vuc, which negotiates, and then is the floor's as well. */
static int
run_rounds(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	struct bench_way *subject = &m->subject.way;
	const struct bench_rounds rounds = {
		.ways = {&m->floor.way, subject},
		.series = {&result->series[0], &result->series[1]},
		.nr_ways = 2,
		.rounds = bench->options.rounds,
		.ops = bench->options.ops,
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
measure(struct mmio *m, struct bench *bench, struct bench_result *result, struct vuc_error *err)
{
	int latency;
	int ret = set_up_ways(m, bench, err);

	if (ret == 0)
		ret = set_up_series(m, bench, result, err);
	if (ret == 0)
		ret = bench_cpu_pin(bench->env.cpus.cpu[0], err);
	if (ret != 0)
		return ret;
	latency = bench_cpu_hold_latency();
	bench_env_set_latency(&bench->env, latency);
	ret = run_rounds(m, bench, result, err);
	if (latency >= 0)
		close(latency);
	return ret;
}

static int
mmio_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct mmio *m = state;
	struct bench_cpus *cpus = &bench->env.cpus;
	int ret;

	*cpus = bench->options.cpus;
	ret = bench_cpus_settle(cpus, m->server_kind == BENCH_SERVER_OWN ? 2 : 1, err);
	if (ret != 0)
		return ret;
	describe(m, bench, result);
	ret = bench_server_start(&m->server, m->server_kind, m->socket, cpus->cpu[1], err);
	if (ret != 0)
		return ret;
	ret = measure(m, bench, result, err);
	bench_subject_fini(&m->subject);
	if (m->shared_fd >= 0)
		close(m->shared_fd);
	bench_server_stop(&m->server);
	if (ret == 0 && bench_result_finish(result) != 0)
		ret = bench_fail(err, -ENOMEM, "out of memory");
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
