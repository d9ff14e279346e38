/* SPDX-License-Identifier: BSD-3-Clause */

/* vuc-bench dma: mapping and unmapping memory for a device. */

#include "dma.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vuc/dma.h>

#include "memfd.h"

#define MAX_MAPS 65535 /* what vuc-refdev takes by default */
#define CYCLES   2     /* that a turn counts, behind one that it does not */
#define WINDOW   BENCH_DMA_WINDOW

/* Loops of a poller that shares its CPU before it sleeps: whoever called it waits for that CPU. */
#define IDLE_LOOPS 1

enum way {
	WAY_FLOOR,
	WAY_VUC,
	WAY_ONE_BY_ONE, /* what a client that waits for each reply takes */
	NR_WAYS
};

struct dma {
	struct bench_dma_memory memory;
	struct bench_dma_floor floors[NR_WAYS]; /* that of WAY_VUC is not used */
	struct bench_subject subject;
	uint64_t syscalls; /* of vuc's poll group, when it was last used */
};

static const char *const layouts[] = {"adjacent", "apart", NULL};

static const struct bench_option dma_options[] = {
	BENCH_OPTION_SOCKET,
	BENCH_OPTION_TRANSPORT(bench_socket_transport_names, "uring or posix (vuc's choice)"),
	BENCH_OPTION_PATH(
		"inline: the measuring thread maps; poller: the thread of a poller; shm: a daemon, "
		"asked by messages (inline)"),
	BENCH_OPTION_NUMBER(
		"maps", "number of mappings, each a page of a file (1024)", ops, 1, MAX_MAPS),
	{"layout", "NAME", "adjacent, or apart, so that no two mappings can be merged (adjacent)",
		BENCH_WORD, BENCH_FIELD(layout), 0, 0, layouts},
	{0},
};

static int
mappings_make(struct bench_dma_memory *memory, bool apart, struct vuc_error *err)
{
	memory->mappings = calloc(memory->nr, sizeof(*memory->mappings));
	if (memory->mappings == NULL)
		return bench_fail(err, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < memory->nr; i++) {
		memory->mappings[i] = (struct vuc_vmm_dma){
			.argsz = sizeof(memory->mappings[i]),
			.iova = (apart ? 2 : 1) * i * memory->size,
			.size = memory->size,
			.offset = i * memory->size,
			.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
			.fd = memory->fd,
		};
	}
	return 0;
}

int
bench_dma_memory_make(
	struct bench_dma_memory *memory, uint32_t nr, bool apart, struct vuc_error *err)
{
	uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);

	*memory = (struct bench_dma_memory){.nr = nr, .size = size};
	memory->fd = vuc_memfd_create("vuc-bench", nr * size, 0);
	if (memory->fd < 0)
		return bench_fail(
			err, memory->fd, "cannot create memory to map: %s", strerror(-memory->fd));
	return mappings_make(memory, apart, err);
}

void
bench_dma_memory_free(struct bench_dma_memory *memory)
{
	if (memory->fd >= 0)
		close(memory->fd);
	free(memory->mappings);
	*memory = (struct bench_dma_memory){.fd = -1};
}

int
bench_dma_act(
	struct vuc_device *dev, const struct bench_dma_memory *memory, uint32_t nr, bool unmap)
{
	int ret = 0;

	for (uint32_t i = 0; i < nr && ret == 0; i++) {
		const struct vuc_vmm_dma *m = &memory->mappings[i];
		const struct vuc_dma_mapping mapping = {
			.iova = m->iova,
			.size = m->size,
			.flags = VUC_DMA_READ | VUC_DMA_WRITE,
			.fd = m->fd,
			.offset = m->offset,
		};

		if (unmap)
			ret = vuc_dma_unmap(dev, mapping.iova, mapping.size);
		else
			ret = vuc_dma_map(dev, &mapping);
	}
	return ret == 0 ? vuc_dma_commit(dev) : ret;
}

int
bench_dma_act_vmm(struct vuc_vmm_device *dev, const struct bench_dma_memory *memory, uint32_t nr,
	bool unmap, struct vuc_error *err)
{
	int ret = 0;

	if (!unmap)
		ret = vuc_vmm_dma_map(dev, memory->mappings, nr, err);
	for (uint32_t i = 0; i < nr && ret == 0 && unmap; i++)
		ret = vuc_vmm_dma_unmap(dev, memory->mappings[i].iova, memory->size, err);
	return ret == 0 ? vuc_vmm_dma_commit(dev, err) : ret;
}

/* The message of mapping i of those that began behind id `base`. */
static void
floor_aim(struct bench_dma_floor *f, struct bench_message *msg, uint16_t base, uint32_t i)
{
	const struct vuc_vmm_dma *mapping = &f->memory->mappings[i];

	bench_message_number(msg, (uint16_t)(base + 1 + i));
	if (msg == &f->map)
		bench_message_dma_map_set(msg, mapping->iova, mapping->offset);
	else
		bench_message_dma_unmap_set(msg, mapping->iova);
}

/* Messages from..to - 1: a descriptor rides on a message of its own, others go together. */
static int
floor_send(struct bench_dma_floor *f, struct bench_message *msg, uint16_t base, uint32_t from,
	uint32_t to)
{
	uint8_t together[WINDOW * BENCH_MESSAGE_MAX];
	size_t len = 0;
	int ret = 0;

	for (uint32_t i = from; i < to && ret == 0; i++) {
		floor_aim(f, msg, base, i);
		if (msg == &f->map) {
			ret = bench_wire_send_fd(&f->wire, msg->bytes, msg->len, f->memory->fd);
			continue;
		}
		memcpy(together + len, msg->bytes, msg->len);
		len += msg->len;
	}
	return len > 0 ? bench_wire_send(&f->wire, together, len) : ret;
}

/* Receive what there is and take the replies that are whole. Returns how many, or a negative errno.
 */
static int
floor_receive(struct bench_dma_floor *f, struct bench_message *msg, uint16_t base, uint32_t done,
	struct vuc_error *err)
{
	ssize_t n = bench_wire_receive(
		&f->wire, f->replies + f->received, sizeof(f->replies) - f->received);
	size_t at = 0;
	int taken = 0;

	if (n < 0)
		return bench_wire_check(msg, NULL, n, err);
	f->received += (size_t)n;
	while (bench_message_is_whole(f->replies + at, f->received - at)) {
		struct vfio_user_header header;
		int ret;

		memcpy(&header, f->replies + at, sizeof(header));
		floor_aim(f, msg, base, done + (uint32_t)taken);
		ret = bench_message_check(msg, f->replies + at, header.msg_size, err);
		if (ret != 0)
			return ret;
		at += header.msg_size;
		taken++;
	}
	f->received -= at;
	memmove(f->replies, f->replies + at, f->received);
	return taken;
}

int
bench_dma_floor_act(struct bench_dma_floor *f, bool unmap, struct vuc_error *err)
{
	struct bench_message *msg = unmap ? &f->unmap : &f->map;
	uint32_t nr = f->memory->nr, sent = 0, done = 0;
	uint16_t base = f->id;

	while (done < nr) {
		uint32_t to = done + f->window < nr ? done + f->window : nr;
		int ret;

		bench_wire_begin(&f->wire, BENCH_TIMEOUT_MS);
		ret = floor_send(f, msg, base, sent, to);
		if (ret != 0)
			return bench_wire_check(msg, NULL, ret, err);
		sent = to;
		ret = floor_receive(f, msg, base, done, err);
		if (ret < 0)
			return ret;
		done += (uint32_t)ret;
	}
	f->id = (uint16_t)(base + nr);
	return 0;
}

int
bench_dma_floor_open(struct bench_dma_floor *f, const char *path, struct vuc_error *err)
{
	int ret = bench_connect(path, err);

	if (ret < 0)
		return ret;
	f->wire.fd = ret;
	f->received = 0;
	ret = bench_negotiate(&f->wire, err);
	if (ret != 0)
		close(f->wire.fd);
	return ret;
}

void
bench_dma_floor_init(struct bench_dma_floor *f, const struct bench_clock *clock,
	const struct bench_dma_memory *memory, unsigned int window)
{
	f->window = window;
	f->memory = memory;
	f->wire.clock = clock;
	bench_message_dma_map(&f->map, memory->size);
	bench_message_dma_unmap(&f->unmap, memory->size);
}

struct act_call {
	struct dma *dma;
	bool unmap;
};

/* On the thread that drives the device. */
static int
act_there(void *arg)
{
	const struct act_call *call = arg;
	struct dma *d = call->dma;
	int ret = bench_dma_act(d->subject.devices[0].dev, &d->memory, d->memory.nr, call->unmap);

	d->syscalls = vuc_poll_group_syscalls(d->subject.group);
	return ret;
}

static int
way_act(struct dma *d, enum way way, bool unmap, struct vuc_error *err)
{
	struct act_call call = {.dma = d, .unmap = unmap};
	struct bench_subject *s = &d->subject;
	int ret;

	if (way != WAY_VUC)
		return bench_dma_floor_act(&d->floors[way], unmap, err);
	if (s->path == BENCH_PATH_SHM)
		return bench_dma_act_vmm(s->devices[0].vmm, &d->memory, d->memory.nr, unmap, err);
	ret = s->path == BENCH_PATH_POLLER ? vuc_poller_call(s->poller, act_there, &call)
					   : act_there(&call);
	return ret != 0 ? bench_subject_fail(s, ret, err) : 0;
}

static uint64_t
way_syscalls(struct dma *d, enum way way)
{
	if (way != WAY_VUC)
		return d->floors[way].wire.syscalls;
	/* Asking a poller would wake it just before it is timed. */
	if (d->subject.path != BENCH_PATH_SHM)
		return d->syscalls;
	return bench_subject_syscalls(&d->subject);
}

static int
act_run(struct bench *b, enum way way, bool unmap, bool counts, struct vuc_error *err)
{
	struct dma *d = b->state;
	struct bench_series *series = &b->result->series[unmap * NR_WAYS + way];
	uint64_t syscalls = way_syscalls(d, way);
	uint64_t start = bench_clock_ticks(&b->clock);
	int ret = way_act(d, way, unmap, err);

	if (ret != 0 || !counts)
		return ret;
	bench_series_add_since(b, series, start);
	series->syscalls += way_syscalls(d, way) - syscalls;
	return bench_interrupt_check(err);
}

static int
dma_turn(struct bench *b, unsigned int way, struct vuc_error *err)
{
	struct dma *d = b->state;
	int ret = way == WAY_VUC ? bench_subject_open(&d->subject, err)
				 : bench_dma_floor_open(&d->floors[way], d->subject.socket, err);

	if (ret != 0)
		return ret;
	for (unsigned int act = 0; act < 2 * (CYCLES + 1) && ret == 0; act++)
		ret = act_run(b, way, act % 2 == 1, act >= 2, err);
	if (way == WAY_VUC)
		bench_subject_close(&d->subject);
	else
		close(d->floors[way].wire.fd);
	for (unsigned int unmap = 0; unmap < 2 && ret == 0; unmap++)
		bench_series_end_round(&b->result->series[unmap * NR_WAYS + way]);
	return ret;
}

static void
dma_describe(struct bench *b)
{
	const struct bench_options *o = &b->options;
	struct bench_result *result = b->result;

	bench_say(result->headline,
		"%" PRIu32 " %s mappings with a descriptor each; %" PRIu32 " rounds of %d", o->ops,
		o->layout, o->rounds, CYCLES);
	if (o->path != BENCH_PATH_INLINE)
		bench_say_more(result->headline, "; %s on CPU %u",
			o->path == BENCH_PATH_SHM ? "by a daemon's poller" : "called in a poller",
			b->target.poller_cpu);
	if (b->target.shares_cpu)
		bench_say(result->note,
			"the poller shares the CPU of the calling thread and sleeps between calls: with two CPUs it has none of its own");
	bench_say(result->floor,
		"a message for each mapping, up to %d before their replies, over a connection of "
		"its own",
		WINDOW);
	bench_say(result->timed,
		"from the first call until the server has answered all %" PRIu32
		", divided by %" PRIu32,
		o->ops, o->ops);
	app_json_number(&result->options, result->options.root, "page",
		((struct dma *)b->state)->memory.size);
	app_json_number(&result->options, result->options.root, "cycles", CYCLES);
}

static void
dma_add_series(struct bench *b)
{
	static const char *const names[] = {
		[WAY_FLOOR] = "floor", [WAY_VUC] = "vuc", [WAY_ONE_BY_ONE] = "one by one"};
	struct dma *d = b->state;

	for (unsigned int unmap = 0; unmap < 2; unmap++) {
		struct bench_series *series = bench_group_append(
			b, unmap ? "unmap" : "map", names, NR_WAYS, "socket", CYCLES, d->memory.nr);

		series[WAY_VUC].transport = d->subject.transport;
		for (unsigned int i = 0; i < NR_WAYS; i++)
			series[i].by_rate = true;
	}
}

static void
dma_init_ways(struct bench *b)
{
	struct dma *d = b->state;
	struct bench_subject *s = &d->subject;

	bench_dma_floor_init(&d->floors[WAY_FLOOR], &b->clock, &d->memory, WINDOW);
	bench_dma_floor_init(&d->floors[WAY_ONE_BY_ONE], &b->clock, &d->memory, 1);
	bench_subject_init(s, b, (enum bench_path)b->options.path, &bench_settle_access);
	s->queues = false;
	s->keeps_group = true;
	if (b->target.shares_cpu) {
		s->poller_opts.idle = VUC_IDLE_SLEEP;
		s->poller_opts.idle_loops = IDLE_LOOPS;
	}
}

static int
dma_run(struct bench *b, struct vuc_error *err)
{
	struct dma *d = b->state;
	int ret;

	ret = bench_dma_memory_make(
		&d->memory, b->options.ops, strcmp(b->options.layout, "apart") == 0, err);
	if (ret == 0) {
		dma_init_ways(b);
		dma_add_series(b);
		dma_describe(b);
		ret = bench_turns_run(b, b->ops->name, NR_WAYS, dma_turn, err);
		bench_subject_fini(&d->subject);
	}
	bench_dma_memory_free(&d->memory);
	return ret;
}

const struct bench_ops bench_dma = {
	.name = "dma",
	.summary = "Mapping memory compared with one message per mapping",
	.unit = "mapping",
	.units = "mappings",
	.options = dma_options,
	.defaults = {.rounds = 100, .ops = 1024, .layout = "adjacent"},
	.setup = BENCH_TARGET_WAITS,
	.state_size = sizeof(struct dma),
	.run = dma_run,
};
