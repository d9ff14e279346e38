/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "shm.h"

#define DEVICE "device"

static struct bench_shm_subject *
subject_of(struct bench_way *way)
{
	return (struct bench_shm_subject *)way;
}

int
bench_shm_attach(const struct bench_daemon *daemon, const char *name, struct vuc_vmm_device **dev,
	struct vuc_error *err)
{
	struct vuc_vmm_attach_opts opts;

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = daemon->socket;
	opts.device = name;
	opts.name = "vuc-bench";
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	return vuc_vmm_attach(&opts, dev, err);
}

void
bench_shm_tell(int untraced, struct bench_result *result, struct bench_series *series)
{
	series->traced = untraced == 0;
	if (untraced != 0)
		snprintf(result->note, sizeof(result->note),
			"the system calls of this thread could not be counted: ptrace: %s",
			strerror(-untraced));
}

static int
open_queue(struct bench_shm_subject *s, struct vuc_error *err)
{
	struct vuc_queue_opts opts;

	bench_queue_way_opts(&s->queue, &opts);
	return vuc_vmm_open_queue(s->dev, &opts, &s->queue.queue, err);
}

static void
close_device(struct bench_shm_subject *s)
{
	if (s->queue.queue != NULL)
		vuc_vmm_close_queue(s->dev, s->queue.queue);
	vuc_vmm_detach(s->dev);
	s->queue.queue = NULL;
	s->dev = NULL;
}

static int
open_device(struct bench_shm_subject *s, struct vuc_error *err)
{
	int ret = bench_daemon_add(s->daemon, DEVICE, s->path, err);

	if (ret == 0)
		ret = bench_shm_attach(s->daemon, DEVICE, &s->dev, err);
	if (ret == 0)
		ret = open_queue(s, err);
	if (ret == 0)
		bench_queue_way_opened(&s->queue);
	else
		close_device(s);
	return ret;
}

static int
subject_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_shm_subject *s = subject_of(way);
	struct vuc_error why = {0}, ignored;
	int ret = bench_daemon_begin(s->daemon, &s->poller_opts, s->transport, err);

	if (ret != 0)
		return ret;
	ret = open_device(s, &why);
	if (ret != 0) {
		bench_daemon_end(s->daemon, &ignored);
		return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
	}
	if (s->trace)
		s->untraced = bench_tracer_begin(&s->tracer);
	return 0;
}

static void
subject_close(struct bench_way *way)
{
	struct bench_shm_subject *s = subject_of(way);
	struct vuc_error ignored;

	bench_tracer_end(&s->tracer);
	close_device(s);
	bench_daemon_end(s->daemon, &ignored);
}

static int
subject_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_shm_subject *s = subject_of(way);
	struct bench_tracer_counts before = bench_tracer_count(&s->tracer), after;
	int ret = bench_queue_way_burst(way, nr, ticks, err);

	if (ret != 0)
		return ret;
	if (!s->trace)
		return bench_daemon_syscalls(s->daemon, &way->syscalls, err);
	after = bench_tracer_count(&s->tracer);
	way->syscalls += after.syscalls - before.syscalls;
	way->futexes += after.futexes - before.futexes;
	return 0;
}

static const struct bench_way_ops subject_ops = {
	.open = subject_open,
	.close = subject_close,
	.burst = subject_burst,
	.settle = bench_queue_way_settle,
};

void
bench_shm_subject_init(struct bench_shm_subject *s, const struct bench_clock *clock,
	const struct bench_access *access, struct bench_daemon *daemon, const char *transport,
	unsigned int cpu)
{
	*s = (struct bench_shm_subject){.daemon = daemon, .trace = true};
	bench_queue_way_init(&s->queue, &subject_ops, clock, access);
	vuc_poller_opts_init(&s->poller_opts, sizeof(s->poller_opts));
	s->poller_opts.cpu = (int)cpu;
	s->poller_opts.transport = transport;
}
