/* SPDX-License-Identifier: BSD-3-Clause */
#include "subject.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sync.h"

static struct bench_queue_way *
queue_of(struct bench_way *way)
{
	return (struct bench_queue_way *)way;
}

static struct bench_subject *
subject_of(struct bench_way *way)
{
	return (struct bench_subject *)way;
}

static int
access_failed(const char *who, const struct bench_access *a, int ret, const char *reason,
	struct vuc_error *err)
{
	return bench_fail(err, ret,
		"%s: %s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 ": %s", who,
		a->op == BENCH_READ ? "read" : "write", a->size, a->region, a->offset,
		reason[0] != '\0' ? reason : strerror(-ret));
}

static int
queue_one_by_one(struct bench_queue_way *q, unsigned int nr, uint64_t *ticks)
{
	const struct bench_access *a = q->access;
	int ret = 0;

	for (unsigned int i = 0; i < nr && ret == 0; i++) {
		uint64_t start = bench_clock_ticks(q->clock);

		if (a->op == BENCH_READ)
			ret = vuc_queue_read(q->queue, a->region, a->offset, q->data, a->size);
		else
			ret = vuc_queue_write(q->queue, a->region, a->offset, q->data, a->size);
		ticks[i] = bench_clock_ticks(q->clock) - start;
	}
	return ret;
}

/* Take what has been answered, at least one. Returns how many, or a negative errno. */
static int
queue_take_results(struct bench_queue_way *q)
{
	struct vuc_queue_result results[BENCH_MAX_BURST];
	unsigned int n = vuc_queue_poll(q->queue, results, q->access->together);

	if (n == 0) {
		int ret = vuc_queue_wait(q->queue, -1);

		if (ret != 0)
			return ret;
		n = vuc_queue_poll(q->queue, results, q->access->together);
	}
	for (unsigned int i = 0; i < n; i++) {
		if (results[i].status != 0)
			return results[i].status;
	}
	return (int)n;
}

/* When a quarter has been answered, as many new requests follow in one burst. A sample ends with
 * the last answer of as many requests as are outstanding at a time. */
static int
queue_keep_outstanding(struct bench_queue_way *q, unsigned int nr, uint64_t *ticks)
{
	const unsigned int depth = q->access->together;
	const unsigned int burst = (depth + 3) / 4;
	const unsigned int total = nr * depth;
	unsigned int submitted = 0, answered = 0, samples = 0;
	uint64_t start = bench_clock_ticks(q->clock);

	while (answered < total) {
		unsigned int room = depth - (submitted - answered);
		int n;

		if (room > total - submitted)
			room = total - submitted;
		else if (room < burst)
			room = 0;
		n = room > 0 ? vuc_queue_submit(q->queue, q->requests, room) : 0;
		if (n < 0)
			return n;
		submitted += (unsigned int)n;
		n = queue_take_results(q);
		if (n < 0)
			return n;
		answered += (unsigned int)n;
		if (answered / depth > samples) {
			uint64_t now = bench_clock_ticks(q->clock);

			ticks[samples++] = now - start;
			start = now;
		}
	}
	return 0;
}

/* Nobody answers; only room has to be waited for. */
static int
queue_post(struct bench_queue_way *q)
{
	unsigned int left = q->access->together;

	while (left > 0) {
		int n = vuc_queue_submit(q->queue, q->requests, left);

		if (n < 0)
			return n;
		if (n == 0)
			queue_pause();
		left -= (unsigned int)n;
	}
	return 0;
}

static int
queue_post_bursts(struct bench_queue_way *q, unsigned int nr, uint64_t *ticks)
{
	int ret = 0;

	for (unsigned int i = 0; i < nr && ret == 0; i++) {
		uint64_t start = bench_clock_ticks(q->clock);

		ret = queue_post(q);
		ticks[i] = bench_clock_ticks(q->clock) - start;
	}
	return ret;
}

int
bench_queue_way_burst(
	struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_queue_way *q = queue_of(way);
	int ret;

	if (q->access->op == BENCH_POSTED)
		ret = queue_post_bursts(q, nr, ticks);
	else if (q->access->together > 1)
		ret = queue_keep_outstanding(q, nr, ticks);
	else
		ret = queue_one_by_one(q, nr, ticks);
	return ret != 0 ? access_failed("queue", q->access, ret, "", err) : 0;
}

int
bench_queue_way_settle(struct bench_way *way, struct vuc_error *err)
{
	const struct bench_access *a = &bench_settle_access;
	uint8_t data[BENCH_ACCESS_MAX];
	int ret = vuc_queue_read(queue_of(way)->queue, a->region, a->offset, data, a->size);

	return ret != 0 ? access_failed("queue", a, ret, "", err) : 0;
}

void
bench_queue_way_init(struct bench_queue_way *q, const struct bench_way_ops *ops,
	const struct bench_clock *clock, const struct bench_access *access)
{
	static const enum vuc_queue_op op_of[] = {
		[BENCH_READ] = VUC_QUEUE_READ,
		[BENCH_WRITE] = VUC_QUEUE_WRITE,
		[BENCH_POSTED] = VUC_QUEUE_WRITE_POSTED,
	};

	*q = (struct bench_queue_way){.way.ops = ops, .clock = clock, .access = access};
	for (unsigned int i = 0; i < BENCH_MAX_BURST; i++) {
		q->requests[i] = (struct vuc_queue_request){
			.op = op_of[access->op],
			.region = access->region,
			.offset = access->offset,
			.count = access->size,
			.data = q->data,
		};
	}
}

/* How device i is opened in this process. */
static struct vuc_device_opts
device_opts(const struct bench_subject *s, unsigned int i, char path[BENCH_SOCKET_MAX])
{
	struct vuc_device_opts opts;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.group = s->group;
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	if (s->dma_by_message)
		opts.dma = VUC_DMA_MESSAGE;
	if (s->loopback != NULL)
		opts.loopback = &s->loopback[i];
	else if (s->fd >= 0)
		opts.fd = s->fd;
	else if (s->socket != NULL)
		opts.path = i == 0 ? s->socket : bench_refdev_socket(s->others, i - 1, path);
	return opts;
}

static struct vuc_queue_opts
queue_opts(const struct bench_subject *s)
{
	struct vuc_queue_opts opts;

	vuc_queue_opts_init(&opts, sizeof(opts));
	opts.depth = s->depth != 0 ? s->depth : 1;
	while (s->depth == 0 && opts.depth < s->queue.access->together)
		opts.depth *= 2;
	opts.max_data = BENCH_QUEUE_DATA;
	return opts;
}

static int
open_shm_device(struct bench_subject *s, struct bench_device *d, unsigned int i,
	const struct vuc_device_opts *opts, struct vuc_error *err)
{
	const struct vuc_queue_opts queue = queue_opts(s);
	char name[BENCH_DAEMON_NAME_MAX];
	int ret;

	snprintf(name, sizeof(name), "device%hu", (unsigned short)i);
	ret = bench_daemon_add(s->daemon, name, opts->path, err);
	if (ret == 0)
		ret = bench_attach(s->daemon->socket, name, BENCH_TIMEOUT_MS, &d->vmm, err);
	if (ret == 0 && s->queues)
		ret = vuc_vmm_open_queue(d->vmm, &queue, &d->queue, err);
	return ret;
}

static int
open_poller_device(struct bench_subject *s, struct bench_device *d,
	const struct vuc_device_opts *opts, struct vuc_error *err)
{
	const struct vuc_queue_opts queue = queue_opts(s);
	int ret = vuc_poller_open_device(s->poller, opts, &d->dev, err);

	if (ret == 0 && s->queues)
		ret = vuc_poller_open_queue(s->poller, d->dev, &queue, &d->queue, err);
	return ret;
}

/* A server of others may not have the register. */
static int
access_check(const struct bench_subject *s, struct vuc_error *err)
{
	const struct bench_access *a = s->queue.access;
	const struct vuc_region *region = vuc_device_region(s->devices[0].dev, a->region);
	uint64_t size = region != NULL ? region->size : 0;

	if (a->server == NULL || (a->size <= size && a->offset <= size - a->size))
		return 0;
	return bench_fail(err, -EINVAL,
		"%s: %" PRIu32 " bytes at offset 0x%" PRIx64 " are not within region %" PRIu32
		", which has 0x%" PRIx64 " bytes",
		a->server, a->size, a->offset, a->region, size);
}

static int
open_device(struct bench_subject *s, unsigned int i, struct vuc_error *err)
{
	struct bench_device *d = &s->devices[i];
	char path[BENCH_SOCKET_MAX];
	const struct vuc_device_opts opts = device_opts(s, i, path);
	int ret;

	*d = (struct bench_device){.subject = s};
	s->nr_open = i + 1;
	switch (s->path) {
	case BENCH_PATH_SHM:
		return open_shm_device(s, d, i, &opts, err);
	case BENCH_PATH_POLLER:
		return open_poller_device(s, d, &opts, err);
	case BENCH_PATH_INLINE:
		break;
	}
	ret = vuc_device_open(&opts, &d->dev, err);
	return ret == 0 && i == 0 ? access_check(s, err) : ret;
}

static void
close_device(struct bench_subject *s, struct bench_device *d)
{
	switch (s->path) {
	case BENCH_PATH_SHM:
		if (d->queue != NULL)
			vuc_vmm_close_queue(d->vmm, d->queue);
		vuc_vmm_detach(d->vmm);
		break;
	case BENCH_PATH_POLLER:
		if (d->queue != NULL)
			vuc_poller_close_queue(s->poller, d->queue);
		if (d->dev != NULL)
			vuc_poller_close_device(s->poller, d->dev);
		break;
	case BENCH_PATH_INLINE:
		vuc_device_close(d->dev);
		break;
	}
	*d = (struct bench_device){0};
}

static int
open_group(struct bench_subject *s, struct vuc_error *err)
{
	struct vuc_poll_group_opts opts;

	if (s->group != NULL)
		return 0;
	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.log = bench_log;
	opts.transport = s->poller_opts.transport;
	return vuc_poll_group_create(&opts, &s->group, err);
}

/* What drives the devices. */
static int
open_driver(struct bench_subject *s, struct vuc_error *err)
{
	int ret;

	if (s->path == BENCH_PATH_SHM)
		return bench_daemon_begin(s->daemon, &s->poller_opts, s->transport, err);
	if (s->path == BENCH_PATH_INLINE)
		ret = open_group(s, err);
	else
		ret = vuc_poller_create(&s->poller_opts, &s->poller, err);
	if (ret != 0)
		return ret;
	if (s->path == BENCH_PATH_POLLER)
		s->group = vuc_poller_poll_group(s->poller);
	snprintf(s->transport, sizeof(s->transport), "%s", vuc_poll_group_transport(s->group));
	return 0;
}

static void
close_driver(struct bench_subject *s)
{
	struct vuc_error ignored;

	switch (s->path) {
	case BENCH_PATH_SHM:
		bench_daemon_end(s->daemon, &ignored);
		return;
	case BENCH_PATH_POLLER:
		vuc_poller_destroy(s->poller);
		s->poller = NULL;
		break;
	case BENCH_PATH_INLINE:
		vuc_poll_group_destroy(s->group);
		break;
	}
	s->group = NULL;
}

int
bench_subject_open(struct bench_subject *s, struct vuc_error *err)
{
	struct vuc_error why = {0};
	int ret = open_driver(s, &why);

	if (ret != 0)
		return bench_fail_why(err, ret, "", why.text);
	for (unsigned int i = 0; i < s->nr && ret == 0; i++)
		ret = open_device(s, i, &why);
	if (ret != 0) {
		bench_subject_close(s);
		return bench_fail_why(err, ret, "", why.text);
	}
	s->queue.queue = s->devices[0].queue;
	if (s->spins != 0)
		vuc_queue_set_spin(s->queue.queue, s->spins);
	if (s->trace)
		s->untraced = bench_tracer_begin(&s->tracer);
	return 0;
}

void
bench_subject_close(struct bench_subject *s)
{
	bench_tracer_end(&s->tracer);
	while (s->nr_open > 0)
		close_device(s, &s->devices[--s->nr_open]);
	s->queue.queue = NULL;
	if (!s->keeps_group || s->path != BENCH_PATH_INLINE)
		close_driver(s);
}

void
bench_subject_fini(struct bench_subject *s)
{
	if (s->group == NULL)
		return;
	bench_subject_close(s);
	if (s->group != NULL)
		close_driver(s);
}

uint64_t
bench_subject_syscalls(struct bench_subject *s)
{
	if (s->path == BENCH_PATH_INLINE)
		return vuc_poll_group_syscalls(s->group);
	/* Without a socket there are none, and asking another thread would be in the way. */
	if (s->socket == NULL && s->fd < 0)
		return 0;
	return s->path == BENCH_PATH_POLLER ? bench_poller_syscalls(s->poller)
					    : bench_daemon_syscalls(s->daemon);
}

int
bench_subject_fail(const struct bench_subject *s, int ret, struct vuc_error *err)
{
	return bench_fail_why(err, ret, "vuc: ", vuc_device_reason(s->devices[0].dev));
}

void
bench_subject_tell_traced(
	const struct bench_subject *s, struct bench_result *result, struct bench_series *series)
{
	series->traced = s->untraced == 0;
	if (s->untraced != 0)
		bench_say(result->note,
			"the system calls of this thread could not be counted: ptrace: %s",
			strerror(-s->untraced));
}

static int
way_open(struct bench_way *way, struct vuc_error *err)
{
	return bench_subject_open(subject_of(way), err);
}

static void
way_close(struct bench_way *way)
{
	bench_subject_close(subject_of(way));
}

static int
inline_write_posted(struct bench_subject *s, const struct bench_access *a, const void *data)
{
	struct vuc_device *dev = s->devices[0].dev;
	int ret = 0;

	for (uint32_t i = 0; i < a->together && ret == 0; i++)
		ret = vuc_device_write_posted(dev, a->region, a->offset, data, a->size);
	if (ret != 0)
		return ret;
	ret = vuc_poll_group_poll(s->group);
	return ret < 0 ? ret : 0;
}

static int
inline_access(struct bench_subject *s, const struct bench_access *a, uint8_t *data)
{
	struct vuc_device *dev = s->devices[0].dev;

	switch (a->op) {
	case BENCH_READ:
		return vuc_device_read(dev, a->region, a->offset, data, a->size);
	case BENCH_WRITE:
		return vuc_device_write(dev, a->region, a->offset, data, a->size);
	case BENCH_POSTED:
		return inline_write_posted(s, a, data);
	}
	return 0;
}

static int
inline_failed(
	const struct bench_subject *s, const struct bench_access *a, int ret, struct vuc_error *err)
{
	return access_failed("vuc", a, ret, vuc_device_reason(s->devices[0].dev), err);
}

static int
inline_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_subject *s = subject_of(way);
	const struct bench_access *a = s->queue.access;
	uint64_t before = vuc_poll_group_syscalls(s->group);
	uint8_t data[BENCH_ACCESS_MAX] = {0};

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start = bench_clock_ticks(s->queue.clock);
		int ret = inline_access(s, a, data);

		ticks[i] = bench_clock_ticks(s->queue.clock) - start;
		if (ret != 0)
			return inline_failed(s, a, ret, err);
	}
	way->syscalls += vuc_poll_group_syscalls(s->group) - before;
	return 0;
}

static int
inline_settle(struct bench_way *way, struct vuc_error *err)
{
	struct bench_subject *s = subject_of(way);
	const struct bench_access *a = &bench_settle_access;
	uint8_t data[BENCH_ACCESS_MAX];
	int ret = inline_access(s, a, data);

	return ret != 0 ? inline_failed(s, a, ret, err) : 0;
}

static int
queued_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_subject *s = subject_of(way);
	struct bench_tracer_counts before = bench_tracer_count(&s->tracer), after;
	int ret = bench_queue_way_burst(way, nr, ticks, err);

	if (ret != 0)
		return ret;
	if (s->trace) {
		after = bench_tracer_count(&s->tracer);
		way->syscalls += after.syscalls - before.syscalls;
		way->futexes += after.futexes - before.futexes;
	} else if (s->queue.access->op != BENCH_POSTED) {
		/* Behind posted writes asking would be in the way of their end. */
		way->syscalls = bench_subject_syscalls(s);
	}
	return 0;
}

void
bench_subject_init(struct bench_subject *s, struct bench *b, enum bench_path path,
	const struct bench_access *access)
{
	static const struct bench_way_ops inline_ops = {
		.open = way_open,
		.close = way_close,
		.burst = inline_burst,
		.settle = inline_settle,
	};
	static const struct bench_way_ops queued_ops = {
		.open = way_open,
		.close = way_close,
		.burst = queued_burst,
		.settle = bench_queue_way_settle,
	};

	*s = (struct bench_subject){
		.path = path,
		.fd = -1,
		.nr = 1,
		.queues = true,
		.socket = b->target.path,
		.daemon = &b->target.daemon,
	};
	if (bench_is_loopback(b) && path != BENCH_PATH_SHM)
		s->loopback = &b->target.loopback;
	bench_queue_way_init(&s->queue, path == BENCH_PATH_INLINE ? &inline_ops : &queued_ops,
		&b->clock, access);
	vuc_poller_opts_init(&s->poller_opts, sizeof(s->poller_opts));
	s->poller_opts.name = "bench";
	s->poller_opts.cpu = (int)b->target.poller_cpu;
	s->poller_opts.transport = b->options.transport;
}
