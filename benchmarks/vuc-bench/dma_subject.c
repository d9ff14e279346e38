/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <vuc/dma.h>

#include "dma_way.h"
#include "error.h"

static struct bench_dma_subject *
subject_of(struct bench_dma_way *way)
{
	return (struct bench_dma_subject *)way;
}

static int
device_explain(const struct bench_dma_subject *s, int ret, struct vuc_error *err)
{
	const char *reason = vuc_device_reason(s->dev);

	return bench_fail(err, ret, "vuc: %s", reason[0] != '\0' ? reason : strerror(-ret));
}

static int
maps_commit(struct bench_dma_subject *s, int ret, struct vuc_error *err)
{
	if (ret == 0)
		ret = vuc_dma_commit(s->dev);
	s->way.syscalls = vuc_poll_group_syscalls(s->group);
	return ret != 0 ? device_explain(s, ret, err) : 0;
}

static int
subject_map(struct bench_dma_way *way, struct vuc_error *err)
{
	const struct bench_dma_memory *memory = way->memory;
	struct bench_dma_subject *s = subject_of(way);
	int ret = 0;

	for (uint32_t i = 0; i < memory->nr && ret == 0; i++) {
		const struct vuc_dma_mapping mapping = {
			.iova = bench_dma_iova(memory, i),
			.size = memory->size,
			.flags = VUC_DMA_READ | VUC_DMA_WRITE,
			.fd = memory->fd,
			.offset = bench_dma_offset(memory, i),
		};

		ret = vuc_dma_map(s->dev, &mapping);
	}
	return maps_commit(s, ret, err);
}

static int
subject_unmap(struct bench_dma_way *way, struct vuc_error *err)
{
	const struct bench_dma_memory *memory = way->memory;
	struct bench_dma_subject *s = subject_of(way);
	int ret = 0;

	for (uint32_t i = 0; i < memory->nr && ret == 0; i++)
		ret = vuc_dma_unmap(s->dev, bench_dma_iova(memory, i), memory->size);
	return maps_commit(s, ret, err);
}

static int
subject_open(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_subject *s = subject_of(way);
	struct vuc_device_opts opts;
	struct vuc_error why = {0};
	int ret;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = way->path;
	opts.group = s->group;
	opts.timeout_ms = BENCH_TIMEOUT_MS;
	ret = vuc_device_open(&opts, &s->dev, &why);
	if (ret != 0)
		return bench_fail(err, ret, "%s", why.text[0] != '\0' ? why.text : strerror(-ret));
	/* Opening is no part of mapping. */
	way->syscalls = vuc_poll_group_syscalls(s->group);
	return 0;
}

static void
subject_close(struct bench_dma_way *way)
{
	struct bench_dma_subject *s = subject_of(way);

	vuc_device_close(s->dev);
	s->dev = NULL;
}

static const struct bench_dma_way_ops subject_ops = {
	.open = subject_open,
	.close = subject_close,
	.map = subject_map,
	.unmap = subject_unmap,
};

void
bench_dma_subject_prepare(
	struct bench_dma_subject *subject, const struct bench_dma_memory *memory, const char *path)
{
	*subject = (struct bench_dma_subject){
		.way = {.ops = &subject_ops, .memory = memory, .path = path},
	};
}

int
bench_dma_subject_init(struct bench_dma_subject *subject, const struct bench_dma_memory *memory,
	const char *path, const char *transport, struct vuc_error *err)
{
	struct vuc_poll_group_opts opts;

	bench_dma_subject_prepare(subject, memory, path);
	vuc_poll_group_opts_init(&opts, sizeof(opts));
	opts.log = bench_log;
	opts.transport = transport;
	return vuc_poll_group_create(&opts, &subject->group, err);
}

void
bench_dma_subject_fini(struct bench_dma_subject *subject)
{
	vuc_device_close(subject->dev);
	subject->dev = NULL;
	vuc_poll_group_destroy(subject->group);
	subject->group = NULL;
}
