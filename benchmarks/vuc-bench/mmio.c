/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench mmio: the round trip of one register access. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vuc/eal.h>

#include "floor.h"
#include "target.h"

static const char *const floors[] = {"own", "shared", NULL};
static const char *const clients[] = {"blocking", "handover", NULL};

#define NR_CLIENTS 2

struct mmio {
	struct bench_target target;
	struct bench_access access;
	bool shared; /* the floor uses vuc's connection, which is one for the whole run */
	int shared_fd;
	struct bench_floor floor;
	struct bench_floor each; /* posted writes, a send for each */
	struct bench_floor clients[NR_CLIENTS];
	struct bench_subject subject;
};

static const struct bench_option mmio_options[] = {
	BENCH_OPTION_SOCKET,
	BENCH_OPTION_TRANSPORT("uring, posix or loopback (what vuc chooses)"),
	BENCH_OPTION_PATH(
		"inline: vuc polls in this thread; poller: by a queue, on a CPU of its own; shm: "
		"the same in another process (inline)"),
	BENCH_OPTION_OP,
	{"burst", "N", "posted writes that are submitted together (32)", BENCH_NUMBER,
		BENCH_FIELD(together), 1, BENCH_MAX_BURST},
	BENCH_OPTION_OPS(10000000, "accesses of each series in a round (2000)"),
	{"region", "N", "region to access, with --offset (BAR0; with --socket config space)",
		BENCH_NUMBER64, BENCH_FIELD(region), 0, UINT32_MAX},
	{"offset", "N", "offset in it (vuc-refdev's scratch register; with --socket 0)",
		BENCH_NUMBER64, BENCH_FIELD(offset), 0, UINT64_MAX - BENCH_ACCESS_MAX},
	BENCH_OPTION_SIZE,
	{"compare", "NAME,NAME",
		"measure the ways of other clients in the same run: blocking sleeps in recv, "
		"handover receives on an I/O thread",
		BENCH_WORDS, BENCH_FIELD(compare), 0, 0, clients},
	{"floor", "NAME", "own: a connection of its own each round; shared: vuc's, one for the run",
		BENCH_WORD, BENCH_FIELD(floor), 0, 0, floors},
	{0},
};

static bool
is_compared(const struct bench_options *o, const char *client)
{
	return o->compare != NULL && strstr(o->compare, client) != NULL;
}

static int
check_access(struct mmio *m, const struct bench_options *o, struct vuc_error *err)
{
	bool given = o->region != BENCH_NOT_GIVEN;

	m->access = bench_scratch_access;
	m->access.op = (enum bench_access_op)o->op;
	m->access.size = o->size;
	m->access.together = o->together;
	if (given != (o->offset != BENCH_NOT_GIVEN))
		return bench_fail(err, -EINVAL, "--region and --offset go together");
	if (given) {
		m->access.region = (uint32_t)o->region;
		m->access.offset = o->offset;
		m->access.server = o->socket;
	} else if (m->target.kind == BENCH_SERVER_FOREIGN) {
		m->access.region = VFIO_PCI_CONFIG_REGION_INDEX;
		m->access.offset = 0;
		if (o->op != BENCH_READ)
			return bench_fail(err, -EINVAL,
				"--op %s to a device that is not ours needs --region and --offset",
				bench_op_names[o->op]);
	}
	return 0;
}

static int
check_floor(struct mmio *m, const struct bench_options *o, struct vuc_error *err)
{
	bool has_poller = o->path != BENCH_PATH_INLINE;

	if (m->target.kind == BENCH_SERVER_LOOPBACK && o->floor != NULL)
		return bench_fail(err, -EINVAL, "--transport loopback takes no --floor");
	m->shared = o->floor != NULL ? strcmp(o->floor, "shared") == 0
				     : o->socket != NULL && !has_poller;
	/* The poller would read the floor's replies. */
	if (m->shared && has_poller)
		return bench_fail(err, -EINVAL, "--floor shared is for --path inline");
	if (o->compare == NULL)
		return 0;
	if (o->op == BENCH_POSTED)
		return bench_fail(err, -EINVAL, "--compare is for --op read and write");
	if (m->target.kind == BENCH_SERVER_LOOPBACK)
		return bench_fail(err, -EINVAL, "--compare is for servers on a socket");
	if (m->shared)
		return bench_fail(err, -EINVAL,
			"--compare needs connections of its own; with --socket that takes "
			"--floor own");
	return 0;
}

static int
mmio_check(struct bench *bench, void *state, struct vuc_error *err)
{
	struct bench_options *o = &bench->options;
	struct mmio *m = state;
	int ret = bench_target_check(&m->target, o, err);

	if (ret == 0)
		ret = check_floor(m, o, err);
	if (ret == 0 && o->op != BENCH_POSTED && o->together > 1)
		ret = bench_fail(err, -EINVAL, "--burst %" PRIu32 " is for --op posted, not %s",
			o->together, bench_op_names[o->op]);
	if (ret == 0)
		ret = bench_comparison_check(o, err);
	return ret == 0 ? check_access(m, o, err) : ret;
}

static bool
is_loopback(const struct mmio *m)
{
	return m->target.kind == BENCH_SERVER_LOOPBACK;
}

static void
describe_path(const struct mmio *m, const struct bench_options *o, struct bench_result *result)
{
	size_t len = strlen(result->headline);

	if (o->path == BENCH_PATH_INLINE)
		return;
	snprintf(result->headline + len, sizeof(result->headline) - len,
		"; through a queue and %s on CPU %u",
		o->path == BENCH_PATH_SHM ? "another process's poller" : "a poller",
		m->target.poller_cpu);
	if (is_loopback(m))
		snprintf(result->note, sizeof(result->note),
			"the figure is of the loopback device: with two CPUs no server can spin "
			"beside the poller and this thread");
}

static void
mmio_describe(struct mmio *m, const struct bench *bench, struct bench_result *result)
{
	const struct bench_options *o = &bench->options;
	const struct bench_access *a = &m->access;

	snprintf(result->headline, sizeof(result->headline),
		"%s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 "; %" PRIu32
		" rounds of %" PRIu32,
		bench_comparison_what(o), a->size, a->region, a->offset, o->rounds, o->ops);
	result->unit = "access";
	result->units = "accesses";
	bench_target_describe(&m->target, bench, result);
	if (is_loopback(m))
		snprintf(result->floor, sizeof(result->floor),
			"a call of the server's message handler, no socket");
	else
		snprintf(result->floor, sizeof(result->floor), "%s, over %s",
			a->op == BENCH_POSTED ? "one send of the whole burst"
					      : "send and spin on recv",
			m->shared ? "vuc's connection" : "a connection of its own");
	describe_path(m, o, result);
	bench_comparison_describe(o, result);
	bench_result_add_number(result, "region", a->region);
	bench_result_add_number(result, "offset", a->offset);
	if (a->together > 1)
		snprintf(result->timed, sizeof(result->timed),
			"from the first call until all %" PRIu32
			" writes of a burst are submitted, divided by %" PRIu32,
			a->together, a->together);
	if (a->op == BENCH_POSTED)
		bench_result_add_number(result, "burst", a->together);
	bench_result_add_text(result, "floor", is_loopback(m) ? "call" : floors[m->shared ? 1 : 0]);
}

static void
floor_set_up(struct mmio *m, const struct bench *bench, struct bench_floor *floor,
	enum bench_floor_how how)
{
	bench_floor_init(floor, how, &bench->clock, &m->access);
	floor->server = &m->target.loopback;
	floor->path = m->shared ? NULL : m->target.path;
	floor->wire.fd = m->shared_fd;
}

static void
subject_set_up(struct mmio *m, const struct bench *bench, enum bench_path path)
{
	const struct bench_options *o = &bench->options;
	struct bench_subject *s = &m->subject;

	bench_subject_init(s, path, &bench->clock, &m->access, o->transport, m->target.poller_cpu);
	s->daemon = &m->target.daemon;
	s->trace = path == BENCH_PATH_SHM;
	s->keeps_group = true;
	if (is_loopback(m))
		s->loopback = path == BENCH_PATH_SHM ? NULL : &m->target.loopback;
	else if (m->shared)
		s->fd = m->shared_fd;
	else
		s->socket = m->target.path;
}

/* A server of others may not have the register. Where both ways have one connection that shows when
 * vuc opens the device; else it has to be found before the floor's turn. */
static int
try_register(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	int ret;

	if (m->access.server == NULL || m->shared)
		return 0;
	subject_set_up(m, bench, BENCH_PATH_INLINE);
	ret = bench_subject_open(&m->subject, err);
	bench_subject_fini(&m->subject);
	return ret;
}

static void
comparison_add(
	struct bench_comparison *c, struct bench_way *way, const char *name, const char *transport)
{
	c->ways[c->nr_ways] = way;
	c->names[c->nr_ways] = name;
	c->transports[c->nr_ways++] = transport;
}

static int
mmio_compare(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const struct bench_options *o = &bench->options;
	struct bench_comparison c = {
		.by_rate = o->op == BENCH_POSTED,
		.apart = o->together > 1,
		.keep_open = m->shared,
	};
	int ret;

	floor_set_up(m, bench, &m->floor, is_loopback(m) ? BENCH_FLOOR_CALL : BENCH_FLOOR_SPIN);
	comparison_add(&c, &m->floor.way, "floor", is_loopback(m) ? "call" : "socket");
	subject_set_up(m, bench, (enum bench_path)o->path);
	comparison_add(&c, &m->subject.queue.way, "vuc", m->subject.transport);
	if (!is_loopback(m) && o->together > 1) {
		floor_set_up(m, bench, &m->each, BENCH_FLOOR_EACH);
		comparison_add(&c, &m->each.way, "each", "socket");
	}
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		if (!is_compared(o, clients[i]))
			continue;
		floor_set_up(m, bench, &m->clients[i], BENCH_FLOOR_BLOCKING + i);
		comparison_add(&c, &m->clients[i].way, clients[i], "socket");
	}
	ret = bench_comparison_run(&c, bench, result, err);
	if (m->subject.trace)
		bench_subject_tell_traced(&m->subject, result, &result->series[1]);
	bench_subject_fini(&m->subject);
	return ret;
}

static int
mmio_measure(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	bool poller = bench->options.path == BENCH_PATH_POLLER;
	int ret = try_register(m, bench, err);

	m->shared_fd = -1;
	if (ret == 0 && m->shared)
		m->shared_fd = bench_connect(m->target.path, err);
	if (ret == 0 && m->shared && m->shared_fd < 0)
		return m->shared_fd;
	if (ret == 0 && poller)
		ret = bench_eal_init(err);
	if (ret == 0) {
		ret = mmio_compare(m, bench, result, err);
		if (poller)
			vuc_eal_fini();
	}
	if (m->shared_fd >= 0)
		close(m->shared_fd);
	return ret;
}

static int
mmio_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct mmio *m = state;
	int ret = bench_target_start(&m->target, bench, err);

	if (ret != 0)
		return ret;
	mmio_describe(m, bench, result);
	ret = mmio_measure(m, bench, result, err);
	bench_target_stop(&m->target, bench);
	return ret;
}

const struct bench_ops bench_mmio = {
	.name = "mmio",
	.summary = "How long a register access takes next to the least a socket can cost",
	.options = mmio_options,
	.defaults = {.rounds = 100,
		.size = 4,
		.ops = 2000,
		.region = BENCH_NOT_GIVEN,
		.offset = BENCH_NOT_GIVEN},
	.state_size = sizeof(struct mmio),
	.check = mmio_check,
	.run = mmio_run,
};
