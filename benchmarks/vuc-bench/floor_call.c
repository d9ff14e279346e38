/* SPDX-License-Identifier: BSD-3-Clause */
#include "fds.h"
#include "floor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

static struct bench_floor_call *
floor_of(struct bench_way *way)
{
	return (struct bench_floor_call *)way;
}

static int
floor_call(struct bench_floor_call *f, struct bench_message *msg, struct vuc_loopback_msg *reply)
{
	struct vuc_loopback_msg req = {
		.bytes = msg->bytes,
		.len = msg->len,
		.size = sizeof(msg->bytes),
	};

	reply->bytes = f->reply;
	reply->size = sizeof(f->reply);
	reply->len = 0;
	reply->nr_fds = 0;
	return f->server->handle(f->server->arg, &req, reply);
}

static int
reply_check(const struct bench_message *msg, int ret, struct vuc_loopback_msg *reply,
	struct vuc_error *err)
{
	/* No message of the floor asks for any. */
	vuc_fds_close(reply->fds, reply->nr_fds);
	if (ret != 0)
		return bench_fail(err, ret, "floor: the server gave up: %s", strerror(-ret));
	if (reply->len == 0 && msg->reply_len == 0)
		return 0;
	return bench_message_check(msg, reply->bytes, reply->len, err);
}

static int
call_once(struct bench_floor_call *f, struct bench_message *msg, struct vuc_error *err)
{
	struct vuc_loopback_msg reply;

	bench_message_number(msg, ++f->id);
	return reply_check(msg, floor_call(f, msg, &reply), &reply, err);
}

static int
floor_burst(struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err)
{
	struct bench_floor_call *f = floor_of(way);

	for (unsigned int i = 0; i < nr; i++) {
		struct vuc_loopback_msg reply;
		uint64_t start;
		int ret = 0;

		bench_message_number(&f->access, ++f->id);
		start = bench_clock_ticks(f->clock);
		for (uint32_t n = 0; n < f->together && ret == 0; n++)
			ret = floor_call(f, &f->access, &reply);
		ticks[i] = bench_clock_ticks(f->clock) - start;
		ret = reply_check(&f->access, ret, &reply, err);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int
floor_settle(struct bench_way *way, struct vuc_error *err)
{
	struct bench_floor_call *f = floor_of(way);

	return call_once(f, &f->settle, err);
}

static int
floor_open(struct bench_way *way, struct vuc_error *err)
{
	struct bench_message version;

	bench_message_version(&version);
	return call_once(floor_of(way), &version, err);
}

static void
floor_close(struct bench_way *way)
{
	struct bench_floor_call *f = floor_of(way);

	if (f->server->disconnect != NULL)
		f->server->disconnect(f->server->arg);
}

static const struct bench_way_ops floor_call_ops = {
	.open = floor_open,
	.close = floor_close,
	.burst = floor_burst,
	.settle = floor_settle,
};

void
bench_floor_call_init(struct bench_floor_call *floor, const struct bench_clock *clock,
	const struct bench_access *access, const struct vuc_loopback_server *server)
{
	*floor = (struct bench_floor_call){
		.way.ops = &floor_call_ops,
		.clock = clock,
		.server = server,
		.together = access->together,
	};
	bench_message_access(&floor->access, access);
	bench_message_access(&floor->settle, &bench_settle_access);
}
