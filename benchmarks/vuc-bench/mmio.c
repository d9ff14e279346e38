/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench mmio: the round trip of one register access. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <string.h>
#include <unistd.h>

#include "floor.h"
#include "subject.h"

static const char *const floors[] = {"own", "shared", NULL};
static const char *const clients[] = {"blocking", "handover", NULL};

#define NR_CLIENTS 2

struct mmio {
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
	BENCH_OPTION_TRANSPORT(bench_transport_names, "uring, posix or loopback (vuc's choice)"),
	BENCH_OPTION_PATH(
		"inline: the measuring thread polls; poller: through a queue to a poller; shm: "
		"through shared memory to a poller of another process (inline)"),
	BENCH_OPTION_OP,
	BENCH_OPTION_NUMBER("burst", "posted writes that are submitted together (32)", together, 1,
		BENCH_MAX_BURST),
	BENCH_OPTION_NUMBER("ops", "accesses per series and round (2000)", ops, 1, 10000000),
	{"region", "N", "region to access, with --offset (BAR0; with --socket config space)",
		BENCH_NUMBER64, BENCH_FIELD(region), 0, UINT32_MAX},
	{"offset", "N", "offset in the region (vuc-refdev's scratch register; with --socket 0)",
		BENCH_NUMBER64, BENCH_FIELD(offset), 0, UINT64_MAX - BENCH_ACCESS_MAX},
	BENCH_OPTION_SIZE,
	{"compare", "NAME,NAME",
		"also measure the methods of other clients: blocking sleeps in recv, handover receives on an I/O thread",
		BENCH_WORDS, BENCH_FIELD(compare), 0, 0, clients},
	BENCH_OPTION_FLOOR(floors,
		"own: the floor has a connection of its own, a new one in each round; shared: one "
		"connection for both, for the whole run"),
	{0},
};

static int
mmio_check_access(struct bench *b, struct vuc_error *err)
{
	struct mmio *m = b->state;
	struct bench_options *o = &b->options;
	bool given = o->region != BENCH_NOT_GIVEN;

	if (given != (o->offset != BENCH_NOT_GIVEN))
		return bench_fail(err, -EINVAL, "--region and --offset require each other");
	m->access = bench_access_of(o);
	if (given) {
		m->access.region = (uint32_t)o->region;
		m->access.offset = o->offset;
		m->access.server = o->socket;
	} else if (b->target.kind == BENCH_SERVER_FOREIGN) {
		m->access.region = VFIO_PCI_CONFIG_REGION_INDEX;
		m->access.offset = 0;
		if (o->op != BENCH_READ)
			return bench_fail(err, -EINVAL,
				"--op %s with --socket requires --region and --offset",
				bench_op_names[o->op]);
	}
	o->region = m->access.region;
	o->offset = m->access.offset;
	return 0;
}

static int
mmio_check_floor(struct bench *b, struct vuc_error *err)
{
	struct mmio *m = b->state;
	struct bench_options *o = &b->options;
	bool has_poller = o->path != BENCH_PATH_INLINE;

	if (bench_is_loopback(b) && o->floor != NULL)
		return bench_fail(err, -EINVAL, "--floor cannot be used with --transport loopback");
	m->shared = o->floor != NULL ? strcmp(o->floor, "shared") == 0
				     : o->socket != NULL && !has_poller;
	/* The poller would read the floor's replies. */
	if (m->shared && has_poller)
		return bench_fail(err, -EINVAL, "--floor shared requires --path inline");
	o->floor = bench_is_loopback(b) ? "call" : floors[m->shared ? 1 : 0];
	if (o->compare == NULL)
		return 0;
	if (o->op == BENCH_POSTED)
		return bench_fail(err, -EINVAL, "--compare requires --op read or write");
	if (bench_is_loopback(b))
		return bench_fail(err, -EINVAL, "--compare requires a server on a socket");
	if (m->shared)
		return bench_fail(err, -EINVAL,
			"--compare requires separate connections; with --socket, use --floor own");
	return 0;
}

static int
mmio_check(struct bench *b, struct vuc_error *err)
{
	struct bench_options *o = &b->options;
	int ret = mmio_check_floor(b, err);

	if (ret == 0 && o->op != BENCH_POSTED && o->together > 1)
		ret = bench_fail(err, -EINVAL, "--burst %" PRIu32 " requires --op posted, not %s",
			o->together, bench_op_names[o->op]);
	if (ret == 0)
		ret = mmio_check_access(b, err);
	return ret == 0 ? bench_rounds_check(o, o->together, err) : ret;
}

static void
mmio_describe(struct bench *b)
{
	const struct mmio *m = b->state;
	const struct bench_options *o = &b->options;
	const struct bench_access *a = &m->access;
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"%s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 "; %" PRIu32
		" rounds of %" PRIu32,
		bench_access_name(o), a->size, a->region, a->offset, o->rounds, o->ops);
	if (bench_is_loopback(b))
		bench_say(result->floor, "a call of the server's message handler, no socket");
	else
		bench_say(result->floor, "%s, over %s",
			a->op == BENCH_POSTED ? "one send of the whole burst"
					      : "send and spin on recv",
			m->shared ? "vuc's connection" : "a connection of its own");
	if (a->together > 1)
		bench_say(result->timed,
			"from the first call until all %" PRIu32
			" writes of a burst are submitted, divided by %" PRIu32,
			a->together, a->together);
	if (o->path == BENCH_PATH_INLINE)
		return;
	bench_say_more(result->headline, "; through a queue and %s on CPU %u",
		o->path == BENCH_PATH_SHM ? "another process's poller" : "a poller",
		b->target.poller_cpu);
	if (bench_is_loopback(b))
		bench_say(result->note,
			"the figure is of the loopback device: with two CPUs no server can spin "
			"beside the poller and this thread");
}

static void
mmio_add_floor(struct bench *b, struct bench_rounds *r, struct bench_floor *floor, const char *name,
	enum bench_floor_how how)
{
	struct mmio *m = b->state;
	bool by_rate = r->nr_ways > 0 && m->access.op == BENCH_POSTED;

	bench_floor_init(floor, how, &b->clock, &m->access);
	floor->server = &b->target.loopback;
	floor->path = m->shared ? NULL : b->target.path;
	floor->wire.fd = m->shared_fd;
	bench_rounds_add(b, r, &floor->way, name, bench_is_loopback(b) ? "call" : "socket")
		->by_rate = by_rate;
}

static void
mmio_init_subject(struct bench *b, enum bench_path path)
{
	struct mmio *m = b->state;

	bench_subject_init(&m->subject, b, path, &m->access);
	m->subject.trace = path == BENCH_PATH_SHM;
	m->subject.keeps_group = true;
	m->subject.fd = m->shared_fd;
}

/* A server of others may not have the register. Where both ways have one connection that shows when
 * vuc opens the device; else it has to be found before the floor's turn. */
static int
mmio_try_register(struct bench *b, struct vuc_error *err)
{
	struct mmio *m = b->state;
	int ret;

	if (m->access.server == NULL || m->shared)
		return 0;
	mmio_init_subject(b, BENCH_PATH_INLINE);
	ret = bench_subject_open(&m->subject, err);
	bench_subject_fini(&m->subject);
	return ret;
}

static int
mmio_compare(struct bench *b, struct vuc_error *err)
{
	struct mmio *m = b->state;
	const struct bench_options *o = &b->options;
	struct bench_rounds r = bench_rounds_of(b);
	struct bench_series *series;
	int ret;

	r.apart = o->together > 1;
	r.keep_open = m->shared;
	mmio_add_floor(b, &r, &m->floor, "floor",
		bench_is_loopback(b) ? BENCH_FLOOR_CALL : BENCH_FLOOR_SPIN);
	mmio_init_subject(b, (enum bench_path)o->path);
	series = bench_rounds_add(b, &r, &m->subject.queue.way, "vuc", m->subject.transport);
	series->by_rate = o->op == BENCH_POSTED;
	if (!bench_is_loopback(b) && o->together > 1)
		mmio_add_floor(b, &r, &m->each, "each", BENCH_FLOOR_EACH);
	for (unsigned int i = 0; i < NR_CLIENTS && o->compare != NULL; i++) {
		if (strstr(o->compare, clients[i]) != NULL)
			mmio_add_floor(b, &r, &m->clients[i], clients[i], BENCH_FLOOR_BLOCKING + i);
	}
	b->result->per_group = r.nr_ways;
	ret = bench_rounds_run(b, &r, err);
	if (m->subject.trace)
		bench_subject_tell_traced(&m->subject, b->result, series);
	bench_subject_fini(&m->subject);
	return ret;
}

static int
mmio_run(struct bench *b, struct vuc_error *err)
{
	struct mmio *m = b->state;
	int ret;

	m->shared_fd = -1;
	mmio_describe(b);
	ret = mmio_try_register(b, err);
	if (ret == 0 && m->shared)
		ret = m->shared_fd = bench_connect(b->target.path, err);
	if (ret >= 0)
		ret = mmio_compare(b, err);
	if (m->shared_fd >= 0)
		close(m->shared_fd);
	return ret;
}

const struct bench_ops bench_mmio = {
	.name = "mmio",
	.summary = "A register access compared with the minimum over a socket",
	.unit = "access",
	.units = "accesses",
	.options = mmio_options,
	.defaults = {.rounds = 100,
		.size = 4,
		.ops = 2000,
		.region = BENCH_NOT_GIVEN,
		.offset = BENCH_NOT_GIVEN},
	.setup = BENCH_TARGET,
	.state_size = sizeof(struct mmio),
	.check = mmio_check,
	.run = mmio_run,
};
