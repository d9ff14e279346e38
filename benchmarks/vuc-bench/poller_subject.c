/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "queue_way.h"

static struct bench_poller_subject *
subject_of(struct bench_way *way)
{
	return (struct bench_poller_subject *)way;
}

static int
open_poller(struct bench_poller_subject *s, struct vuc_error *err)
{
	int ret = vuc_poller_create(&s->poller_opts, &s->poller, err);

	if (ret == 0)
		snprintf(s->transport, sizeof(s->transport), "%s",
			vuc_poll_group_transport(vuc_poller_poll_group(s->poller)));
	return ret;
}

static int
open_queue(struct bench_poller_subject *s, struct vuc_error *err)
{
	struct vuc_queue_opts opts;

	bench_queue_way_opts(&s->queue, &opts);
	return vuc_poller_open_queue(s->poller, s->dev, &opts, &s->queue.queue, err);
}

static void
subject_close(struct bench_way *way)
{
	struct bench_poller_subject *s = subject_of(way);

	if (s->queue.queue != NULL)
		vuc_poller_close_queue(s->poller, s->queue.queue);
	if (s->dev != NULL)
		vuc_poller_close_device(s->poller, s->dev);
	vuc_poller_destroy(s->poller);
	s->queue.queue = NULL;
	s->dev = NULL;
	s->poller = NULL;
}

static int
subject_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_poller_subject *s = subject_of(way);
	struct vuc_error why = {0};
	int ret = open_poller(s, &why);

	if (ret == 0)
		ret = vuc_poller_open_device(s->poller, &s->device_opts, &s->dev, &why);
	if (ret == 0)
		ret = open_queue(s, &why);
	if (ret == 0) {
		bench_queue_way_opened(&s->queue);
		return 0;
	}
	subject_close(way);
	return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
}

/* On the poller's thread, whose the group is. */
static int
read_syscalls(void *arg)
{
	struct bench_poller_subject *s = arg;

	s->queue.way.syscalls = vuc_poll_group_syscalls(vuc_poller_poll_group(s->poller));
	return 0;
}

static int
subject_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_poller_subject *s = subject_of(way);
	int ret = bench_queue_way_burst(way, nr, ticks, err);

	if (ret == 0 && s->counts)
		vuc_poller_call(s->poller, read_syscalls, s);
	return ret;
}

static const struct bench_way_ops subject_ops = {
	.open = subject_open,
	.close = subject_close,
	.burst = subject_burst,
	.settle = bench_queue_way_settle,
};

void
bench_poller_subject_init(struct bench_poller_subject *s, const struct bench_clock *clock,
	const struct bench_access *access, const char *transport, unsigned int cpu)
{
	*s = (struct bench_poller_subject){0};
	bench_queue_way_init(&s->queue, &subject_ops, clock, access);
	/* Asking the poller behind posted writes would be in the way of their end. */
	s->counts = access->op != BENCH_POSTED &&
		(transport == NULL || strcmp(transport, "loopback") != 0);
	vuc_poller_opts_init(&s->poller_opts, sizeof(s->poller_opts));
	s->poller_opts.name = "bench";
	s->poller_opts.cpu = (int)cpu;
	s->poller_opts.transport = transport;
	vuc_device_opts_init(&s->device_opts, sizeof(s->device_opts));
	s->device_opts.timeout_ms = BENCH_TIMEOUT_MS;
}
