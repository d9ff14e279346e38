/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The machine of a stock VMM's connection, between a client and a driver that both do what the
 * input says. The input is one byte of configuration and a script: an operation is one byte, the
 * index into the table at the end, and what its function takes. seeds_front.py writes the same
 * layout. Descriptors are numbers only: the machine makes no system call.
 *
 * Whatever happens, each command that asks for a reply gets exactly one, in full, within its time,
 * or the connection ends with a reason; what is handed out is in bounds and in order; each
 * descriptor comes out of the machine once.
 */

#include <errno.h>
#include <stdbool.h>

#include "fuzz.h"
#include "machine.h"

#define HEADER_SIZE sizeof(struct vfio_user_header)
#define MAX_DATA    4096u
#define MAX_BODY    (MAX_DATA + 64u)
#define MAX_KEPT    4096u /* how many commands of an input are tracked */
#define MAX_GIVEN   4096u
#define FIRST_FD    1000
#define MAX_STEPS   1000u
#define NR_REGIONS  9u
#define NR_IRQS     3u
#define REPLY_MS    64u
#define START_MS    1000u

/* A command that the client has sent, as far as it is whole. */
struct command {
	struct vfio_user_header header;
	uint8_t body[32];
	bool answered;
};

struct world {
	struct input in;
	struct front *f;
	uint64_t now;
	bool full_errors;

	/* What the client has sent and has not been parsed yet. */
	uint8_t stream[2 * (HEADER_SIZE + MAX_BODY + 65536)];
	size_t len;
	bool lost; /* its message boundaries are lost */
	unsigned int nr_commands;
	struct command commands[MAX_KEPT];

	/* Replies, which may have been sent in part. */
	uint8_t replies[1u << 21];
	size_t replies_len;

	unsigned int nr_out; /* requests that have been handed out, expired ones included */
	struct front_request out[MAX_KEPT];
	unsigned int nr_given;
	uint8_t given[MAX_GIVEN]; /* how often each descriptor has come out */
};

static const struct vfio_user_sparse_area areas[] = {{0x1000, 0x1000}, {0x3000, 0x1000}};
static const struct front_region regions[NR_REGIONS] = {
	{.size = 4096, .flags = 3},
	{0},
	{.size = 65536, .flags = 7},
	{0},
	{.size = 16384, .flags = 7, .nr_areas = 2, .areas = areas},
	{.size = 32, .flags = 3},
	{.size = 2048, .flags = 1},
	{.size = 4096, .flags = 3},
};
static const struct front_irq irqs[NR_IRQS] = {{7, 1}, {0, 0}, {9, 40}};

/* ---- descriptors ---- */

static int
new_fd(struct world *w)
{
	REQUIRE(w->nr_given < MAX_GIVEN);
	return FIRST_FD + (int)w->nr_given++;
}

static void
fd_out(struct world *w, int fd)
{
	REQUIRE(fd >= FIRST_FD && fd < FIRST_FD + (int)w->nr_given);
	REQUIRE(w->given[fd - FIRST_FD]++ == 0);
}

static void
take_strays(struct world *w)
{
	int fds[16];
	unsigned int n;

	while ((n = front_take_stray_fds(w->f, fds, 16)) > 0) {
		REQUIRE(n <= 16);
		for (unsigned int i = 0; i < n; i++)
			fd_out(w, fds[i]);
	}
}

/* ---- what the client has sent ---- */

static void
parse_commands(struct world *w)
{
	size_t at = 0;

	while (!w->lost && w->len - at >= HEADER_SIZE) {
		struct command *c = &w->commands[w->nr_commands];
		struct vfio_user_header header;
		size_t body;

		memcpy(&header, w->stream + at, HEADER_SIZE);
		if (header.msg_size < HEADER_SIZE || w->nr_commands == MAX_KEPT) {
			w->lost = true;
			break;
		}
		if (header.msg_size > w->len - at)
			break;
		*c = (struct command){.header = header};
		body = header.msg_size - HEADER_SIZE;
		memcpy(c->body, w->stream + at + HEADER_SIZE,
			body < sizeof(c->body) ? body : sizeof(c->body));
		w->nr_commands++;
		at += header.msg_size;
	}
	w->len -= at;
	memmove(w->stream, w->stream + at, w->len);
}

/* Give the machine bytes, as far as it has room, and new descriptors. */
static size_t
feed(struct world *w, const uint8_t *bytes, size_t len, unsigned int nr_fds)
{
	int fds[64];
	size_t room;
	void *at = front_room(w->f, &room);

	if (len > room)
		len = room;
	if (len == 0)
		return 0;
	if (nr_fds > MAX_GIVEN - w->nr_given)
		nr_fds = 0;
	memcpy(at, bytes, len);
	REQUIRE(w->len + len <= sizeof(w->stream));
	memcpy(w->stream + w->len, bytes, len);
	w->len += len;
	for (unsigned int i = 0; i < nr_fds; i++)
		fds[i] = new_fd(w);
	front_received(w->f, len, fds, nr_fds, w->now);
	parse_commands(w);
	return len;
}

static void
feed_message(struct world *w, const uint8_t *message, size_t len)
{
	uint8_t how = take_u8(&w->in);
	size_t cut = take_u8(&w->in);
	unsigned int nr_fds = how & 0x3f;

	if ((how & 0x80) == 0 || cut >= len)
		cut = 0;
	if (cut > 0 && feed(w, message, cut, 0) < cut)
		return;
	feed(w, message + cut, len - cut, nr_fds);
}

static void
feed_raw(struct world *w)
{
	uint8_t bytes[256];
	size_t len = take_u8(&w->in);

	take(&w->in, bytes, len);
	feed_message(w, bytes, len);
}

/* A command with any body, whose size is right. */
static void
feed_command(struct world *w)
{
	static uint8_t message[HEADER_SIZE + MAX_BODY];
	struct vfio_user_header header = {0};
	size_t given;

	header.msg_id = take_u8(&w->in);
	header.cmd = take_u8(&w->in);
	header.flags = take_u8(&w->in) & 0x3f;
	header.msg_size = take_u32(&w->in) % (MAX_BODY + 1) + (uint32_t)HEADER_SIZE;
	given = take_u8(&w->in);
	memset(message, 0, header.msg_size);
	memcpy(message, &header, HEADER_SIZE);
	if (given > header.msg_size - HEADER_SIZE)
		given = header.msg_size - HEADER_SIZE;
	take(&w->in, message + HEADER_SIZE, given);
	feed_message(w, message, header.msg_size);
}

/* The same command repeatedly, with other ids. */
static void
feed_flood(struct world *w)
{
	uint8_t message[HEADER_SIZE + 64] = {0};
	struct vfio_user_header header = {.cmd = take_u8(&w->in)};
	size_t len = take_u8(&w->in) % 65;
	unsigned int n = take_u8(&w->in);

	take(&w->in, message + HEADER_SIZE, len);
	header.msg_size = (uint32_t)(HEADER_SIZE + len);
	for (unsigned int i = 0; i < n; i++) {
		header.msg_id = (uint16_t)(1000 + w->nr_commands);
		memcpy(message, &header, HEADER_SIZE);
		if (feed(w, message, header.msg_size, 0) < header.msg_size)
			break;
	}
}

/* ---- the driver ---- */

static void
check_range(uint64_t start, uint64_t size)
{
	REQUIRE(size != 0 && start + (size - 1) >= start);
}

static void
check_place(uint32_t region, uint64_t offset, uint32_t count)
{
	REQUIRE(region < NR_REGIONS && count > 0 && count <= MAX_DATA);
	REQUIRE(count <= regions[region].size && offset <= regions[region].size - count);
}

static void
check_irqs(const struct front_request *r)
{
	const struct front_set_irqs *s = &r->irqs;
	uint32_t count = s->range.index < NR_IRQS ? irqs[s->range.index].count : 1;
	uint8_t sum = 0;

	REQUIRE(s->range.index < FRONT_MIN_IRQS);
	if (s->range.count == 0) {
		REQUIRE(s->action == VUC_WIRE_IRQ_TRIGGER && s->data == FRONT_IRQ_NONE);
		return;
	}
	REQUIRE(s->range.count <= count && s->range.start <= count - s->range.count);
	for (uint32_t i = 0; i < s->range.count; i++) {
		if (s->data == FRONT_IRQ_BOOL)
			sum ^= s->flags[i];
		if (s->data != FRONT_IRQ_EVENTFD)
			continue;
		int fd = front_irq_fd(r, i);

		REQUIRE(fd == -1 || fd >= FIRST_FD);
	}
	(void)sum;
}

static void
check_feature(const struct front_feature *feature)
{
	const uint32_t set_start = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
	uint8_t sum = 0;

	REQUIRE(feature->data_len <= MAX_DATA + 24);
	if (feature->flags == set_start) {
		REQUIRE(feature->data_len == 16 + 16 * (size_t)feature->start.control.num_ranges);
		for (uint32_t i = 0; i < feature->data_len - 16; i++)
			sum ^= feature->start.ranges[i];
	}
	if (feature->flags == (VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)) {
		check_range(feature->report.iova, feature->report.length);
		REQUIRE(feature->data_len > 24 && feature->data_len % 8 == 0);
	}
	(void)sum;
}

static void
check_request(const struct front_request *r)
{
	uint8_t sum = 0;

	switch (r->kind) {
	case FRONT_ACCESS:
		check_place(r->access.region, r->access.offset, r->access.count);
		for (uint32_t i = 0; r->access.write && i < r->access.count; i++)
			sum ^= r->access.data[i];
		break;
	case FRONT_DMA_MAP:
		check_range(r->map.addr, r->map.size);
		check_range(r->map.offset, r->map.size);
		REQUIRE(r->nr_fds <= 1);
		break;
	case FRONT_DMA_UNMAP:
		if (!r->unmap.all)
			check_range(r->unmap.addr, r->unmap.size);
		break;
	case FRONT_SET_IRQS:
		check_irqs(r);
		break;
	case FRONT_REGION_FD:
		REQUIRE(r->region < NR_REGIONS && (regions[r->region].flags & 4) != 0);
		break;
	case FRONT_FEATURE:
		check_feature(&r->feature);
		break;
	case FRONT_MIGRATION_READ:
	case FRONT_MIGRATION_WRITE:
		REQUIRE(r->migration.size <= MAX_DATA);
		for (uint32_t i = 0; r->migration.data != NULL && i < r->migration.size; i++)
			sum ^= r->migration.data[i];
		break;
	case FRONT_RESET:
		break;
	}
	(void)sum;
	REQUIRE(r->nr_fds == 0 || r->kind == FRONT_DMA_MAP || r->kind == FRONT_SET_IRQS);
	REQUIRE(r->nr_fds <= FRONT_MAX_FDS);
}

/* Whether a request may be handed out beside the outstanding ones. Expired requests are not
 * counted, since their number is not known here. */
static void
check_order(const struct world *w, const struct front_request *r)
{
	unsigned int beside = 0;

	for (unsigned int i = 0; i < w->nr_out; i++) {
		enum front_kind kind = w->out[i].kind;

		REQUIRE(w->out[i].token != r->token);
		beside += kind == r->kind &&
			(kind == FRONT_ACCESS || kind == FRONT_DMA_MAP || kind == FRONT_DMA_UNMAP);
	}
	REQUIRE(front_outstanding(w->f) <= beside + 1);
	REQUIRE(front_outstanding(w->f) <= FRONT_MAX_REQUESTS);
}

static void
do_next(struct world *w)
{
	struct front_request r;
	int rc;

	while (w->nr_out < MAX_KEPT && (rc = front_next(w->f, &r)) != 0) {
		if (rc < 0) {
			REQUIRE(front_why(w->f) != NULL);
			return;
		}
		check_request(&r);
		check_order(w, &r);
		for (unsigned int i = 0; i < r.nr_fds; i++)
			fd_out(w, r.fds[i]);
		w->out[w->nr_out++] = r;
	}
}

static void
answer(struct world *w, unsigned int i, int status)
{
	static const uint8_t data[MAX_DATA + 24];
	struct front_request r = w->out[i];

	w->out[i] = w->out[--w->nr_out];
	if (r.kind == FRONT_ACCESS && !r.access.write)
		front_reply_read(w->f, r.token, status, data);
	else if (r.kind == FRONT_REGION_FD)
		front_reply_fd(w->f, r.token, status, status == 0 ? new_fd(w) : -1);
	else if (r.kind == FRONT_FEATURE)
		front_reply_data(w->f, r.token, status, data, r.feature.data_len);
	else if (r.kind == FRONT_MIGRATION_READ)
		front_reply_data(w->f, r.token, status, data, r.migration.size / 2);
	else
		front_reply(w->f, r.token, status);
}

static void
do_answer(struct world *w)
{
	uint8_t which = take_u8(&w->in);
	uint8_t status = take_u8(&w->in);

	if (w->nr_out > 0 && w->nr_given < MAX_GIVEN)
		answer(w, which % w->nr_out, -(int)status);
}

static void
do_answer_all(struct world *w)
{
	while (w->nr_out > 0 && w->nr_given < MAX_GIVEN)
		answer(w, w->nr_out - 1, 0);
}

/* Size of the body of a reply, for a success or for errors of the same length. */
static size_t
full_body(const struct command *c)
{
	uint32_t count;

	switch (c->header.cmd) {
	case VFIO_USER_DMA_UNMAP:
		return 24;
	case VFIO_USER_DEVICE_GET_INFO:
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
	case VFIO_USER_REGION_WRITE:
		return 16;
	case VFIO_USER_REGION_READ:
		memcpy(&count, c->body + 12, sizeof(count));
		return 16 + (size_t)count;
	default:
		return 0;
	}
}

/* The first one of that id and kind that has not been answered is the one that is meant. */
static struct command *
find_command(struct world *w, const struct vfio_user_header *h)
{
	for (unsigned int i = 0; i < w->nr_commands; i++) {
		struct command *c = &w->commands[i];

		if (!c->answered && c->header.msg_id == h->msg_id && c->header.cmd == h->cmd &&
			(c->header.flags & VFIO_USER_F_NO_REPLY) == 0)
			return c;
	}
	return NULL;
}

static void
check_reply(struct world *w, const struct vfio_user_header *h)
{
	struct command *c = find_command(w, h);
	bool failed = (h->flags & VFIO_USER_F_ERROR) != 0;

	REQUIRE(c != NULL);
	c->answered = true;
	REQUIRE(h->flags ==
		(failed ? VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR : VFIO_USER_F_TYPE_REPLY));
	REQUIRE((h->error_no != 0) == failed);
	if (c->header.cmd == VFIO_USER_VERSION && !failed) {
		uint16_t minor;

		REQUIRE(h->msg_size <= 16 + 4 + 194);
		memcpy(&minor, c->body + 2, sizeof(minor));
		w->full_errors = minor <= 1;
	}
	/* The version negotiated by then determines the length of error replies. */
	if (failed && c->header.cmd == VFIO_USER_VERSION)
		return;
	if (failed && !w->full_errors)
		REQUIRE(h->msg_size == HEADER_SIZE);
	else if (full_body(c) > 0 && full_body(c) <= MAX_DATA + 16 &&
		c->header.msg_size >= HEADER_SIZE + 16)
		REQUIRE(h->msg_size == HEADER_SIZE + full_body(c));
}

/* Look at all replies that are whole. */
static void
parse_replies(struct world *w)
{
	size_t at = 0;

	while (w->replies_len - at >= HEADER_SIZE) {
		struct vfio_user_header header;

		memcpy(&header, w->replies + at, HEADER_SIZE);
		REQUIRE(header.msg_size >= HEADER_SIZE);
		if (header.msg_size > w->replies_len - at)
			break;
		check_reply(w, &header);
		at += header.msg_size;
	}
	w->replies_len -= at;
	memmove(w->replies, w->replies + at, w->replies_len);
}

static bool
send_some(struct world *w, size_t most)
{
	size_t size;
	int fd;
	const void *bytes = front_output(w->f, &size, &fd);

	REQUIRE((bytes != NULL) == (size > 0));
	if (size == 0)
		return false;
	if (size > most)
		size = most;
	if (fd != -1 && size > 0) {
		struct vfio_user_header header;

		REQUIRE(fd >= FIRST_FD && w->replies_len == 0);
		memcpy(&header, bytes, HEADER_SIZE);
		REQUIRE(header.cmd == VFIO_USER_DEVICE_GET_REGION_INFO);
	}
	REQUIRE(w->replies_len + size <= sizeof(w->replies));
	memcpy(w->replies + w->replies_len, bytes, size);
	w->replies_len += size;
	front_sent(w->f, size, w->now);
	parse_replies(w);
	return size > 0;
}

static void
do_send(struct world *w)
{
	send_some(w, take_u8(&w->in));
}

static void
do_send_all(struct world *w)
{
	while (send_some(w, SIZE_MAX))
		;
}

static void
do_wait(struct world *w)
{
	w->now += take_u8(&w->in) % 32;
}

static void
do_expire(struct world *w)
{
	uint64_t deadline = front_deadline_ms(w->f);

	if (deadline != 0 && w->now >= deadline)
		front_expire(w->f, w->now);
}

static void
do_end(struct world *w)
{
	front_end(w->f, take_u8(&w->in) % 2 ? "by the driver" : NULL);
	REQUIRE(front_why(w->f) != NULL);
}

static void
do_config(struct world *w)
{
	uint8_t data[256];
	uint64_t offset = take_u8(&w->in);
	uint32_t count = 1 + (uint32_t)take_u8(&w->in) % 128;
	bool write = take_u8(&w->in) & 1;
	struct front_piece pieces[FRONT_MAX_PIECES];
	unsigned int n;
	uint32_t end = 0;

	take(&w->in, data, count);
	n = write ? front_config_write(w->f, offset, count, data, pieces)
		  : front_config_pieces(w->f, offset, count, pieces);
	REQUIRE(n <= FRONT_MAX_PIECES);
	for (unsigned int i = 0; i < n; i++) {
		REQUIRE(pieces[i].count > 0 && pieces[i].at >= end);
		REQUIRE(pieces[i].offset == offset + pieces[i].at);
		end = pieces[i].at + pieces[i].count;
		REQUIRE(end <= count);
	}
	front_config_merge(w->f, offset, count, data);
}

/* ---- */

static void
negotiate(struct world *w)
{
	static const char text[] =
		"{\"capabilities\":{\"max_msg_fds\":16,\"migration\":{\"pgsize\":4096}}}";
	const struct vfio_user_version version = {.minor = take_u8(&w->in) % 3};
	const struct vfio_user_header header = {
		.cmd = VFIO_USER_VERSION,
		.msg_size = HEADER_SIZE + sizeof(version) + sizeof(text),
	};
	uint8_t message[HEADER_SIZE + sizeof(version) + sizeof(text)];

	memcpy(message, &header, HEADER_SIZE);
	memcpy(message + HEADER_SIZE, &version, sizeof(version));
	memcpy(message + HEADER_SIZE + sizeof(version), text, sizeof(text));
	feed(w, message, sizeof(message), 0);
}

static void (*const operations[])(struct world *w) = {
	feed_raw,
	feed_command,
	feed_flood,
	negotiate,
	do_next,
	do_answer,
	do_answer_all,
	do_send,
	do_send_all,
	do_wait,
	do_expire,
	take_strays,
	do_config,
	do_end,
};

static void
run_script(struct world *w)
{
	const size_t n = sizeof(operations) / sizeof(operations[0]);

	for (unsigned int i = 0; i < MAX_STEPS && w->in.size > 0; i++)
		operations[take_u8(&w->in) % n](w);
}

/* Everything that is whole is answered in its time, step by step as a driver does it, or the
 * connection has ended. */
static void
let_expire(struct world *w)
{
	for (unsigned int i = 0; i < 4 * MAX_KEPT && front_why(w->f) == NULL; i++) {
		uint64_t deadline = front_deadline_ms(w->f);

		do_next(w);
		take_strays(w);
		do_send_all(w);
		if (deadline == 0 && front_deadline_ms(w->f) == 0)
			break;
		if (deadline > w->now)
			w->now = deadline;
		do_expire(w);
	}
	do_send_all(w);
	if (front_why(w->f) != NULL)
		return;
	REQUIRE(front_outstanding(w->f) == 0 && w->replies_len == 0);
	for (unsigned int i = 0; !w->lost && i < w->nr_commands; i++) {
		const struct command *c = &w->commands[i];

		REQUIRE(c->answered || (c->header.flags & VFIO_USER_F_NO_REPLY) != 0);
	}
}

static struct front *
create_front(uint8_t config)
{
	struct front_shape shape = {
		.flags = 3,
		.nr_regions = NR_REGIONS,
		.nr_irqs = NR_IRQS,
		.regions = regions,
		.irqs = irqs,
	};
	const struct front_opts opts = {
		.max_data = MAX_DATA,
		.reply_ms = config & 1 ? 1 : REPLY_MS,
		.now_ms = config & 4 ? START_MS : 0,
		.max_dma_maps = 65535,
		.pgsizes = 4096,
		.migration_pgsize = 4096,
		.shape = &shape,
	};
	static const uint8_t bar_types[] = {0, 0, 0xc, 0, 0, 1};

	for (unsigned int i = 0; i < sizeof(bar_types); i++)
		shape.config[0x10 + 4 * i] = bar_types[i];
	return front_create(&opts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	uint8_t config;

	memset(&w, 0, offsetof(struct world, commands));
	w.replies_len = 0;
	w.nr_out = w.nr_given = 0;
	memset(w.given, 0, sizeof(w.given));
	w.in = (struct input){data, size};
	w.now = START_MS;
	config = take_u8(&w.in);
	w.f = create_front(config);
	REQUIRE(w.f != NULL);
	if (config & 2) {
		negotiate(&w);
		do_next(&w);
		do_send_all(&w);
	}
	run_script(&w);
	let_expire(&w);
	front_end(w.f, NULL);
	take_strays(&w);
	front_destroy(w.f);
	for (unsigned int i = 0; i < w.nr_given; i++)
		REQUIRE(w.given[i] == 1);
	return 0;
}
