/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <unistd.h>

#include "dma_way.h"
#include "handshake.h"

static struct bench_dma_floor *
floor_of(struct bench_dma_way *way)
{
	return (struct bench_dma_floor *)way;
}

/* The message of mapping i of those that began behind id `base`. */
static void
aim_message(struct bench_dma_floor *f, struct bench_message *msg, uint16_t base, uint32_t i)
{
	const struct bench_dma_memory *memory = f->way.memory;

	bench_message_number(msg, (uint16_t)(base + 1 + i));
	if (msg == &f->map)
		bench_message_dma_map_set(
			msg, bench_dma_iova(memory, i), bench_dma_offset(memory, i));
	else
		bench_message_dma_unmap_set(msg, bench_dma_iova(memory, i));
}

/* Messages from..to - 1: a descriptor rides on a message of its own, others go together. */
static int
send_messages(struct bench_dma_floor *f, struct bench_message *msg, uint16_t base, uint32_t from,
	uint32_t to)
{
	uint8_t together[BENCH_DMA_WINDOW * BENCH_MESSAGE_MAX];
	size_t len = 0;
	int ret = 0;

	for (uint32_t i = from; i < to && ret == 0; i++) {
		aim_message(f, msg, base, i);
		if (msg == &f->map) {
			ret = bench_spin_send_fd(&f->spin, msg, f->way.memory->fd);
			continue;
		}
		memcpy(together + len, msg->bytes, msg->len);
		len += msg->len;
	}
	return len > 0 ? bench_spin_send_bytes(&f->spin, together, len) : ret;
}

/* Take the replies that are there as a whole. Returns how many, or a negative errno. */
static int
take_replies(struct bench_dma_floor *f, struct bench_message *msg, uint16_t base, uint32_t done,
	struct vuc_error *err)
{
	size_t at = 0;
	int taken = 0;

	while (bench_message_is_whole(f->replies + at, f->received - at)) {
		struct vfio_user_header header;
		int ret;

		memcpy(&header, f->replies + at, sizeof(header));
		aim_message(f, msg, base, done + (uint32_t)taken);
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

static int
receive_replies(struct bench_dma_floor *f, struct bench_message *msg, uint16_t base, uint32_t done,
	struct vuc_error *err)
{
	ssize_t n = bench_spin_receive_some(
		&f->spin, f->replies + f->received, sizeof(f->replies) - f->received);

	if (n < 0)
		return bench_spin_check(&f->spin, msg, n, err);
	f->received += (size_t)n;
	return take_replies(f, msg, base, done, err);
}

static int
exchange_all(struct bench_dma_floor *f, struct bench_message *msg, struct vuc_error *err)
{
	uint32_t nr = f->way.memory->nr;
	uint32_t sent = 0, done = 0;
	uint16_t base = f->id;

	while (done < nr) {
		uint32_t to = done + f->window < nr ? done + f->window : nr;
		int ret;

		bench_spin_begin(&f->spin);
		ret = send_messages(f, msg, base, sent, to);
		if (ret != 0)
			return bench_spin_check(&f->spin, msg, ret, err);
		sent = to;
		ret = receive_replies(f, msg, base, done, err);
		if (ret < 0)
			return ret;
		done += (uint32_t)ret;
	}
	f->id = (uint16_t)(base + nr);
	f->way.syscalls = f->spin.syscalls;
	return 0;
}

static int
floor_map(struct bench_dma_way *way, struct vuc_error *err)
{
	return exchange_all(floor_of(way), &floor_of(way)->map, err);
}

static int
floor_unmap(struct bench_dma_way *way, struct vuc_error *err)
{
	return exchange_all(floor_of(way), &floor_of(way)->unmap, err);
}

static int
floor_open(struct bench_dma_way *way, struct vuc_error *err)
{
	struct bench_dma_floor *f = floor_of(way);
	int ret = bench_connect(way->path, err);

	if (ret < 0)
		return ret;
	f->spin.fd = ret;
	f->received = 0;
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
bench_dma_floor_init(struct bench_dma_floor *floor, unsigned int window,
	const struct bench_clock *clock, const struct bench_dma_memory *memory, const char *path)
{
	*floor = (struct bench_dma_floor){
		.way = {.ops = &floor_ops, .memory = memory, .path = path},
		.window = window,
	};
	bench_spin_init(&floor->spin, clock, -1);
	bench_message_dma_map(&floor->map, memory->size);
	bench_message_dma_unmap(&floor->unmap, memory->size);
}
