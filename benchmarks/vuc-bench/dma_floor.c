/* SPDX-License-Identifier: BSD-3-Clause */
#include <unistd.h>

#include "dma_way.h"
#include "handshake.h"

static struct bench_dma_floor *
floor_of(struct bench_dma_way *way)
{
	return (struct bench_dma_floor *)way;
}

static int
receive(struct bench_dma_floor *f, const struct bench_message *msg, int sent, struct vuc_error *err)
{
	ssize_t len = sent != 0 ? sent : bench_spin_receive(&f->spin, msg);

	return bench_spin_check(&f->spin, msg, len, err);
}

static int
floor_map(struct bench_dma_way *way, struct vuc_error *err)
{
	const struct bench_dma_memory *memory = way->memory;
	struct bench_dma_floor *f = floor_of(way);
	int ret = 0;

	bench_spin_begin(&f->spin);
	for (uint32_t i = 0; i < memory->nr && ret == 0; i++) {
		bench_message_number(&f->map, ++f->id);
		bench_message_dma_map_set(
			&f->map, bench_dma_iova(memory, i), bench_dma_offset(memory, i));
		ret = bench_spin_send_fd(&f->spin, &f->map, memory->fd);
		ret = receive(f, &f->map, ret, err);
	}
	way->syscalls = f->spin.syscalls;
	return ret;
}

static int
floor_unmap(struct bench_dma_way *way, struct vuc_error *err)
{
	const struct bench_dma_memory *memory = way->memory;
	struct bench_dma_floor *f = floor_of(way);
	int ret = 0;

	bench_spin_begin(&f->spin);
	for (uint32_t i = 0; i < memory->nr && ret == 0; i++) {
		bench_message_number(&f->unmap, ++f->id);
		bench_message_dma_unmap_set(&f->unmap, bench_dma_iova(memory, i));
		ret = bench_spin_send(&f->spin, &f->unmap);
		ret = receive(f, &f->unmap, ret, err);
	}
	way->syscalls = f->spin.syscalls;
	return ret;
}

static int
floor_open(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_floor *f = floor_of(way);
	int ret = bench_connect(way->path, err);

	if (ret < 0)
		return ret;
	f->spin.fd = ret;
	ret = bench_negotiate(f->spin.fd, err);
	if (ret != 0)
		way->ops->close(way);
	return ret;
}

static void
floor_close(struct bench_dma_way *way)
{
	struct bench_dma_floor *f = floor_of(way);

	close(f->spin.fd);
	f->spin.fd = -1;
}

static const struct bench_dma_way_ops floor_ops = {
	.open = floor_open,
	.close = floor_close,
	.map = floor_map,
	.unmap = floor_unmap,
};

void
bench_dma_floor_init(struct bench_dma_floor *floor, const struct bench_clock *clock,
	const struct bench_dma_memory *memory, const char *path)
{
	*floor = (struct bench_dma_floor){
		.way = {.ops = &floor_ops, .memory = memory, .path = path},
	};
	bench_spin_init(&floor->spin, clock, -1);
	bench_message_dma_map(&floor->map, memory->size);
	bench_message_dma_unmap(&floor->unmap, memory->size);
}
