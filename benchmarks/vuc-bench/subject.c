/* SPDX-License-Identifier: BSD-3-Clause */
#include "subject.h"

#include <inttypes.h>
#include <string.h>

#include "error.h"

static struct bench_subject *
subject_of(struct bench_way *way)
{
	return (struct bench_subject *)way;
}

static int
write_posted(struct bench_subject *s, const struct bench_access *a, const void *data)
{
	int ret = 0;

	for (uint32_t i = 0; i < a->together && ret == 0; i++)
		ret = vuc_device_write_posted(s->dev, a->region, a->offset, data, a->size);
	if (ret != 0)
		return ret;
	ret = vuc_poll_group_poll(s->group);
	return ret < 0 ? ret : 0;
}

static int
take_sample(struct bench_subject *s, uint8_t *data)
{
	const struct bench_access *a = s->access;

	switch (a->op) {
	case BENCH_READ:
		return vuc_device_read(s->dev, a->region, a->offset, data, a->size);
	case BENCH_WRITE:
		return vuc_device_write(s->dev, a->region, a->offset, data, a->size);
	case BENCH_POSTED:
		return write_posted(s, a, data);
	}
	return 0;
}

static int
access_failed(
	const struct bench_subject *s, const struct bench_access *a, int ret, struct vuc_error *err)
{
	const char *reason = vuc_device_reason(s->dev);

	if (reason[0] == '\0')
		reason = strerror(-ret);
	return bench_fail(err, ret,
		"vuc: %s of %" PRIu32 " bytes at region %" PRIu32 ", offset 0x%" PRIx64 ": %s",
		a->op == BENCH_READ ? "read" : "write", a->size, a->region, a->offset, reason);
}

static int
subject_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_subject *s = subject_of(way);
	uint64_t before = vuc_poll_group_syscalls(s->group);
	uint8_t data[BENCH_ACCESS_MAX] = {0};

	for (unsigned int i = 0; i < nr; i++) {
		uint64_t start = bench_clock_ticks(s->clock);
		int ret = take_sample(s, data);

		ticks[i] = bench_clock_ticks(s->clock) - start;
		if (ret != 0)
			return access_failed(s, s->access, ret, err);
	}
	way->syscalls += vuc_poll_group_syscalls(s->group) - before;
	return 0;
}

static int
subject_settle(struct bench_way *way, struct vuc_error *err)
{
	const struct bench_access *a = &bench_settle_access;
	struct bench_subject *s = subject_of(way);
	uint8_t data[BENCH_ACCESS_MAX];
	int ret = vuc_device_read(s->dev, a->region, a->offset, data, a->size);

	return ret != 0 ? access_failed(s, a, ret, err) : 0;
}

static int
subject_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_subject *s = subject_of(way);
	struct vuc_error why = {0};
	const struct vuc_region *region;
	int ret = vuc_device_open(&s->opts, &s->dev, &why);

	if (ret != 0)
		return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
	region = vuc_device_region(s->dev, s->access->region);
	ret = bench_access_check(s->access, region != NULL ? region->size : 0, err);
	if (ret != 0) {
		vuc_device_close(s->dev);
		s->dev = NULL;
	}
	return ret;
}

static void
subject_close(struct bench_way *way)
{
	struct bench_subject *s = subject_of(way);

	vuc_device_close(s->dev);
	s->dev = NULL;
}

static const struct bench_way_ops subject_ops = {
	.open = subject_open,
	.close = subject_close,
	.burst = subject_burst,
	.settle = subject_settle,
};

int
bench_subject_init(struct bench_subject *subject, const struct bench_clock *clock,
	const struct bench_access *access, const char *transport, struct vuc_error *err)
{
	struct vuc_poll_group_opts opts;
	int ret;

	*subject = (struct bench_subject){
		.way.ops = &subject_ops,
		.clock = clock,
		.access = access,
	};
	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.log = bench_log;
	opts.transport = transport;
	vuc_device_opts_init(&subject->opts, sizeof(subject->opts));
	subject->opts.timeout_ms = BENCH_TIMEOUT_MS;
	ret = vuc_poll_group_create(&opts, &subject->group, err);
	subject->opts.group = subject->group;
	return ret;
}

void
bench_subject_fini(struct bench_subject *subject)
{
	vuc_device_close(subject->dev);
	subject->dev = NULL;
	vuc_poll_group_destroy(subject->group);
	subject->group = NULL;
}
