/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench mmio: the round trip of one register access. */

#include <errno.h>
#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accesses.h"
#include "eal.h"
#include "error.h"
#include "floor.h"
#include "handshake.h"
#include "queue_way.h"
#include "refdev_regs.h"
#include "shm.h"
#include "subject.h"

#define DEFAULT_OPS  2000
#define DEFAULT_SIZE 4

/* Where the floor gets its connection from. */
enum floor_kind {
	FLOOR_DEFAULT,
	FLOOR_OWN,    /* one of its own, each round anew */
	FLOOR_SHARED, /* vuc's, which is one for the whole run */
};

/* Ways of other clients of the protocol. */
#define NR_CLIENTS 2
static const char *const client_names[] = {"blocking", "handover", NULL};
static const enum bench_floor_how client_hows[NR_CLIENTS] = {
	BENCH_FLOOR_BLOCKING, BENCH_FLOOR_HANDOVER};

struct mmio {
	struct bench_accesses all;
	bool has_region;
	bool has_offset;
	enum floor_kind floor_kind;

	bool compare[NR_CLIENTS]; /* with the ways of other clients */

	char transport_text[16]; /* for the reports */
	int shared_fd;
	bool eal; /* is initialised */
	union {
		struct bench_way way;
		struct bench_floor_socket socket;
		struct bench_floor_call call;
	} floor;
	struct bench_floor_socket each; /* posted writes, a send for each */
	struct bench_floor_socket clients[NR_CLIENTS];
	struct bench_subject subject; /* one of these */
	struct bench_poller_subject poller;
	struct bench_shm_subject shm;
};

static int
parse_burst(void *state, const char *text, struct vuc_error *err)
{
	return bench_parse_count(
		"burst", text, BENCH_MAX_BURST, &((struct mmio *)state)->all.access.together, err);
}

static int
parse_region(void *state, const char *text, struct vuc_error *err)
{
	struct mmio *m = state;
	uint64_t value;
	int ret = bench_parse_number("region", text, 0, UINT32_MAX, &value, err);

	if (ret == 0) {
		m->all.access.region = (uint32_t)value;
		m->has_region = true;
	}
	return ret;
}

static int
parse_offset(void *state, const char *text, struct vuc_error *err)
{
	struct mmio *m = state;
	int ret = bench_parse_number(
		"offset", text, 0, UINT64_MAX - BENCH_ACCESS_MAX, &m->all.access.offset, err);

	m->has_offset = true;
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

static int
parse_compare(void *state, const char *text, struct vuc_error *err)
{
	struct mmio *m = state;
	char words[64], *rest = words, *word;
	int ret = 0;

	if (snprintf(words, sizeof(words), "%s", text) >= (int)sizeof(words))
		return bench_fail(err, -EINVAL, "--compare: '%s' is too long", text);
	while (ret == 0 && (word = strsep(&rest, ",")) != NULL) {
		unsigned int i = 0;

		ret = bench_parse_word("compare", word, client_names, &i, err);
		m->compare[i] |= ret == 0;
	}
	return ret;
}

static bool
has_poller(const struct mmio *m)
{
	return m->all.target.path != BENCH_PATH_INLINE;
}

static bool
is_shm(const struct mmio *m)
{
	return m->all.target.path == BENCH_PATH_SHM;
}

static const struct bench_option mmio_options[] = {
	{"socket", "PATH", "a server that listens there (a vuc-refdev is started)",
		bench_target_parse_socket},
	{"transport", "NAME", "uring, posix or loopback (what vuc chooses)",
		bench_target_parse_transport},
	{"path", "NAME",
		"inline: vuc polls in this thread; poller: by a queue, on a CPU of its own; shm: "
		"the same in another process (inline)",
		bench_target_parse_path},
	{"op", "NAME", "read, write or posted (read); writes write zero", bench_accesses_parse_op},
	{"burst", "N", "posted writes that are handed over together (32)", parse_burst},
	{"ops", "N", "accesses of each series in a round (2000)", bench_accesses_parse_ops},
	{"region", "N", "region to access, with --offset (BAR0; with --socket config space)",
		parse_region},
	{"offset", "N", "offset in it (vuc-refdev's scratch register; with --socket 0)",
		parse_offset},
	{"size", "N", "bytes of an access: 1, 2, 4 or 8 (4)", bench_accesses_parse_size},
	{"compare", "NAME,NAME",
		"the ways of other clients in the same run: blocking sleeps in recv, handover "
		"receives on an I/O thread",
		parse_compare},
	{"floor", "NAME", "own: a connection of its own each round; shared: vuc's, one for the run",
		parse_floor},
	{0},
};

static void
mmio_init(void *state)
{
	struct mmio *m = state;

	m->all.ops = DEFAULT_OPS;
	m->all.access.size = DEFAULT_SIZE;
	m->shared_fd = -1;
}

static int
choose_register(struct mmio *m, struct vuc_error *err)
{
	if (m->has_region != m->has_offset)
		return bench_fail(err, -EINVAL, "--region and --offset go together");
	if (m->has_region) {
		m->all.access.server = m->all.target.socket;
		return 0;
	}
	if (m->all.target.kind != BENCH_SERVER_FOREIGN) {
		m->all.access.region = VFIO_PCI_BAR0_REGION_INDEX;
		m->all.access.offset = REFDEV_REG_SCRATCH;
		return 0;
	}
	if (m->all.access.op != BENCH_READ)
		return bench_fail(err, -EINVAL,
			"--op %s to a device that is not ours needs --region and --offset",
			bench_access_op_name(m->all.access.op));
	m->all.access.region = VFIO_PCI_CONFIG_REGION_INDEX;
	m->all.access.offset = 0;
	return 0;
}

static int
check_burst(const struct mmio *m, struct vuc_error *err)
{
	const struct bench_access *a = &m->all.access;

	if (a->op != BENCH_POSTED && a->together > 1)
		return bench_fail(err, -EINVAL, "--burst %" PRIu32 " is for --op posted, not %s",
			a->together, bench_access_op_name(a->op));
	return 0;
}

static int
check_compare(const struct mmio *m, struct vuc_error *err)
{
	if (!m->compare[0] && !m->compare[1])
		return 0;
	if (m->all.access.op == BENCH_POSTED)
		return bench_fail(err, -EINVAL, "--compare is for --op read and write");
	if (m->all.target.kind == BENCH_SERVER_LOOPBACK)
		return bench_fail(err, -EINVAL, "--compare is for servers on a socket");
	if (m->floor_kind == FLOOR_SHARED)
		return bench_fail(err, -EINVAL,
			"--compare needs connections of its own; with --socket that takes "
			"--floor own");
	return 0;
}

static int
mmio_check(const struct bench *bench, void *state, struct vuc_error *err)
{
	struct mmio *m = state;
	int ret = bench_target_check(&m->all.target, err);

	if (ret != 0)
		return ret;
	if (m->all.target.kind == BENCH_SERVER_LOOPBACK) {
		if (m->floor_kind != FLOOR_DEFAULT)
			return bench_fail(err, -EINVAL, "--transport loopback takes no --floor");
	} else if (m->floor_kind == FLOOR_DEFAULT) {
		m->floor_kind =
			m->all.target.socket != NULL && !has_poller(m) ? FLOOR_SHARED : FLOOR_OWN;
	} else if (m->floor_kind == FLOOR_SHARED && has_poller(m)) {
		/* The poller would read the floor's replies. */
		return bench_fail(err, -EINVAL, "--floor shared is for --path inline");
	}
	ret = check_burst(m, err);
	if (ret == 0)
		ret = check_compare(m, err);
	if (ret == 0)
		ret = bench_accesses_settle(&m->all, bench, err);
	return ret != 0 ? ret : choose_register(m, err);
}

static const char *
floor_word(const struct mmio *m)
{
	if (m->all.target.kind == BENCH_SERVER_LOOPBACK)
		return "call";
	return m->floor_kind == FLOOR_SHARED ? "shared" : "own";
}

static void
describe_floor(const struct mmio *m, struct bench_result *result)
{
	char *buf = result->floor;
	size_t size = sizeof(result->floor);

	if (m->all.target.kind == BENCH_SERVER_LOOPBACK)
		snprintf(buf, size, "a call of the server's message handler, no socket");
	else
		snprintf(buf, size, "%s, over %s",
			m->all.access.op == BENCH_POSTED ? "one send of the whole burst"
							 : "send and spin on recv",
			m->floor_kind == FLOOR_SHARED ? "vuc's connection"
						      : "a connection of its own");
}

static void
describe_burst(const struct mmio *m, struct bench_result *result)
{
	uint32_t n = m->all.access.together;

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

	if (!has_poller(m))
		return;
	snprintf(result->headline + len, sizeof(result->headline) - len,
		"; through a queue and %s on CPU %u",
		is_shm(m) ? "another process's poller" : "a poller",
		bench_target_poller_cpu(&m->all.target, bench));
	if (m->all.target.kind == BENCH_SERVER_LOOPBACK)
		snprintf(result->note, sizeof(result->note),
			"the figure is of the loopback device: with two CPUs no server can spin "
			"beside the poller and this thread");
}

static void
mmio_describe(struct mmio *m, const struct bench *bench, struct bench_result *result)
{
	const struct bench_access *a = &m->all.access;

	snprintf(result->headline, sizeof(result->headline),
		"%s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 "; %" PRIu32
		" rounds of %" PRIu32,
		bench_accesses_what(&m->all), a->size, a->region, a->offset, bench->options.rounds,
		m->all.ops);
	result->unit = "access";
	result->units = "accesses";
	bench_target_describe(&m->all.target, bench, result);
	describe_floor(m, result);
	describe_path(m, bench, result);
	bench_accesses_describe(&m->all, bench, result);
	bench_result_add_number(result, "region", a->region);
	bench_result_add_number(result, "offset", a->offset);
	if (a->op == BENCH_POSTED)
		describe_burst(m, result);
	bench_result_add_text(result, "floor", floor_word(m));
}

static bool
is_loopback(const struct mmio *m)
{
	return m->all.target.kind == BENCH_SERVER_LOOPBACK;
}

static int
set_up_floor(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	const struct bench_server *server = &m->all.target.server;
	const struct bench_access *a = &m->all.access;
	const char *path;

	if (is_loopback(m)) {
		bench_floor_call_init(&m->floor.call, &bench->clock, a, &server->loopback);
		return 0;
	}
	if (m->floor_kind == FLOOR_SHARED) {
		m->shared_fd = bench_connect(server->path, err);
		if (m->shared_fd < 0)
			return m->shared_fd;
	}
	path = m->shared_fd >= 0 ? NULL : server->path;
	bench_floor_socket_init(
		&m->floor.socket, BENCH_FLOOR_SPIN, &bench->clock, a, path, m->shared_fd);
	bench_floor_socket_init(&m->each, BENCH_FLOOR_EACH, &bench->clock, a, path, m->shared_fd);
	for (unsigned int i = 0; i < NR_CLIENTS; i++)
		bench_floor_socket_init(
			&m->clients[i], client_hows[i], &bench->clock, a, path, m->shared_fd);
	return 0;
}

/* Where the floor goes, too. */
static void
aim(const struct mmio *m, struct vuc_device_opts *opts)
{
	if (is_loopback(m))
		opts->loopback = &m->all.target.server.loopback;
	else if (m->shared_fd >= 0)
		opts->fd = m->shared_fd;
	else
		opts->path = m->all.target.server.path;
}

static int
set_up_inline(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	int ret = bench_subject_init(
		&m->subject, &bench->clock, &m->all.access, m->all.target.transport, err);

	if (ret != 0)
		return ret;
	snprintf(m->transport_text, sizeof(m->transport_text), "%s",
		vuc_poll_group_transport(m->subject.group));
	aim(m, &m->subject.opts);
	return 0;
}

static int
set_up_poller(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	int ret = bench_eal_init(err);

	if (ret != 0)
		return ret;
	m->eal = true;
	bench_poller_subject_init(&m->poller, &bench->clock, &m->all.access,
		m->all.target.transport, bench_target_poller_cpu(&m->all.target, bench));
	aim(m, &m->poller.device_opts);
	return 0;
}

static int
set_up_ways(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	struct bench_target *t = &m->all.target;
	int ret = set_up_floor(m, bench, err);

	if (ret != 0)
		return ret;
	switch (t->path) {
	case BENCH_PATH_INLINE:
		return set_up_inline(m, bench, err);
	case BENCH_PATH_POLLER:
		return set_up_poller(m, bench, err);
	case BENCH_PATH_SHM:
		bench_shm_subject_init(&m->shm, &bench->clock, &m->all.access, &t->daemon,
			t->transport, bench_target_poller_cpu(t, bench));
		m->shm.path = t->server.path;
		return 0;
	}
	return -EINVAL;
}

static struct bench_way *
vuc_way(struct mmio *m)
{
	switch (m->all.target.path) {
	case BENCH_PATH_SHM:
		return &m->shm.queue.way;
	case BENCH_PATH_POLLER:
		return &m->poller.queue.way;
	default:
		return &m->subject.way;
	}
}

static const char *
vuc_transport(const struct mmio *m)
{
	switch (m->all.target.path) {
	case BENCH_PATH_SHM:
		return m->shm.transport;
	case BENCH_PATH_POLLER:
		return m->poller.transport;
	default:
		return m->transport_text;
	}
}

/* What else is held next to the floor. */
static void
add_others(struct mmio *m, struct bench_pair *pair)
{
	if (is_loopback(m))
		return;
	if (m->all.access.together > 1) {
		pair->others[pair->nr_others].way = &m->each.way;
		pair->others[pair->nr_others++].name = "each";
	}
	for (unsigned int i = 0; i < NR_CLIENTS; i++) {
		if (!m->compare[i])
			continue;
		pair->others[pair->nr_others].way = &m->clients[i].way;
		pair->others[pair->nr_others++].name = client_names[i];
	}
}

/* A server of others may not have the register. Where both ways have one connection that shows when
 * vuc opens the device; else it has to be before the floor's turn. */
static int
try_register(struct mmio *m, const struct bench *bench, struct vuc_error *err)
{
	struct bench_way *way = &m->subject.way;
	int ret = 0;

	if (m->all.access.server == NULL || m->floor_kind == FLOOR_SHARED)
		return 0;
	if (has_poller(m))
		ret = set_up_inline(m, bench, err);
	if (ret == 0)
		ret = way->ops->open(way, err);
	if (ret == 0)
		way->ops->close(way);
	return ret;
}

static int
run_ways(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	const struct bench_access *a = &m->all.access;
	struct bench_pair pair = {
		.floor = &m->floor.way,
		.subject = vuc_way(m),
		.floor_name = is_loopback(m) ? "call" : "socket",
		.subject_name = vuc_transport(m),
		.by_rate = a->op == BENCH_POSTED,
		.apart = a->together > 1,
		.keep_open = m->floor_kind == FLOOR_SHARED,
	};
	int ret = try_register(m, bench, err);

	add_others(m, &pair);
	if (ret == 0)
		ret = bench_accesses_run(&m->all, bench, &pair, result, err);
	if (is_shm(m))
		bench_shm_tell(m->shm.untraced, result, &result->series[1]);
	return ret;
}

static int
mmio_measure(struct mmio *m, const struct bench *bench, struct bench_result *result,
	struct vuc_error *err)
{
	int ret = set_up_ways(m, bench, err);

	if (ret == 0)
		ret = run_ways(m, bench, result, err);
	bench_subject_fini(&m->subject);
	if (m->eal)
		bench_eal_fini();
	if (m->shared_fd >= 0)
		close(m->shared_fd);
	return ret;
}

static int
mmio_run(struct bench *bench, void *state, struct bench_result *result, struct vuc_error *err)
{
	struct mmio *m = state;
	int ret = bench_target_start(&m->all.target, bench, err);

	if (ret != 0)
		return ret;
	mmio_describe(m, bench, result);
	ret = mmio_measure(m, bench, result, err);
	bench_target_stop(&m->all.target);
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
