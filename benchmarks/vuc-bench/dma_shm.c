/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dma_way.h"
#include "error.h"

#define DEVICE "device"

static struct bench_dma_shm *
shm_of(struct bench_dma_way *way)
{
	return (struct bench_dma_shm *)way;
}

static int
shm_map(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_shm *s = shm_of(way);
	int ret = vuc_vmm_dma_map(s->dev, s->mappings, way->memory->nr, err);

	return ret != 0 ? ret : vuc_vmm_dma_commit(s->dev, err);
}

static int
shm_unmap(struct bench_dma_way *way, struct vuc_error *err)
{
	const struct bench_dma_memory *memory = way->memory;
	struct bench_dma_shm *s = shm_of(way);
	int ret = 0;

	for (uint32_t i = 0; i < memory->nr && ret == 0; i++)
		ret = vuc_vmm_dma_unmap(s->dev, bench_dma_iova(memory, i), memory->size, err);
	return ret != 0 ? ret : vuc_vmm_dma_commit(s->dev, err);
}

static int
shm_count(struct bench_dma_way *way, struct vuc_error *err)
{
	return bench_daemon_syscalls(shm_of(way)->daemon, &way->syscalls, err);
}

static void
shm_close(struct bench_dma_way *way)
{
	struct bench_dma_shm *s = shm_of(way);
	struct vuc_error ignored;

	vuc_vmm_detach(s->dev);
	s->dev = NULL;
	bench_daemon_end(s->daemon, &ignored);
}

static int
shm_open(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_shm *s = shm_of(way);
	int ret = bench_daemon_begin(s->daemon, &s->opts, s->transport, err);

	if (ret != 0)
		return ret;
	ret = bench_daemon_add(s->daemon, DEVICE, way->path, err);
	if (ret == 0)
		ret = bench_shm_attach(s->daemon, DEVICE, &s->dev, err);
	if (ret != 0)
		shm_close(way);
	return ret;
}

static const struct bench_dma_way_ops shm_ops = {
	.open = shm_open,
	.close = shm_close,
	.map = shm_map,
	.unmap = shm_unmap,
	.count = shm_count,
};

int
bench_dma_shm_init(struct bench_dma_shm *shm, const struct bench_dma_memory *memory,
	struct bench_daemon *daemon, const char *path, const char *transport)
{
	*shm = (struct bench_dma_shm){
		.way = {.ops = &shm_ops, .memory = memory, .path = path},
		.daemon = daemon,
	};
	vuc_poller_opts_init(&shm->opts, sizeof(shm->opts));
	shm->opts.transport = transport;
	shm->mappings = calloc(memory->nr, sizeof(*shm->mappings));
	if (shm->mappings == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < memory->nr; i++) {
		shm->mappings[i] = (struct vuc_vmm_dma){
			.iova = bench_dma_iova(memory, i),
			.size = memory->size,
			.offset = bench_dma_offset(memory, i),
			.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
			.fd = memory->fd,
		};
	}
	return 0;
}

void
bench_dma_shm_fini(struct bench_dma_shm *shm)
{
	free(shm->mappings);
	shm->mappings = NULL;
}
