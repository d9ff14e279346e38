/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A session between a caller and a server that both do what the input says. The input is two
 * bytes of configuration and a script: an operation is one byte, the index into the table at the
 * end, and what its function takes. seeds_session.py writes the same layout.
 *
 * Whatever happens, each request that was accepted is completed exactly once, every descriptor is
 * closed, a segment that was handed out stays as it was, and the states keep their promises.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "command.h"
#include "fuzz.h"
#include "session.h"
#include "vfio_user.h"

#define HEADER_SIZE  sizeof(struct vfio_user_header)
#define MAX_DATA     256u
#define MAX_BODY     600u /* longer than any message with MAX_DATA bytes */
#define MAX_REQUESTS 512u /* of one input */
#define MAX_GIVEN    512u /* descriptors of one input */
#define MAX_SENT     32u  /* commands that the server remembers */
#define MAX_STEPS    1000u

struct world;

/* A request of the caller. */
struct request {
	struct world *world;
	uint8_t then; /* what its callback does */
	bool accepted;
	unsigned int calls;
	uint8_t *data; /* of a read; freed by the callback, so that no byte of it can come later */
};

/* A command that the server has seen. */
struct sent {
	struct vfio_user_header header;
	struct vfio_user_region_access access; /* of a region access */
};

struct world {
	struct input in;
	struct vuc_session *s;
	struct vuc_session_config config;
	uint64_t now;
	bool handed;
	struct vuc_segment segment; /* that was handed out, and what was in it */
	uint8_t *copy;
	unsigned int outstanding; /* requests that were accepted and not completed */
	unsigned int nr_requests;
	struct request requests[MAX_REQUESTS];
	unsigned int nr_sent;
	struct sent sent[MAX_SENT];
	unsigned int nr_given;
	int given[MAX_GIVEN];
};

static void make_request(struct world *w);

/* ---- the caller ---- */

enum {
	THEN_NOTHING,
	THEN_REQUEST,
	THEN_DRAIN,
	THEN_END,
	THEN_TAKE_FD,
	NR_THEN,
};

static void
request_done(void *arg, const struct vuc_session_reply *reply)
{
	struct request *r = arg;
	struct world *w = r->world;

	r->calls++;
	REQUIRE(r->calls == 1);
	w->outstanding--;
	REQUIRE(reply->status <= 0);
	REQUIRE((reply->status != 0) == (reply->reason != NULL));
	REQUIRE(reply->status == 0 || reply->body == NULL);
	free(r->data);
	r->data = NULL;
	switch (r->then % NR_THEN) {
	case THEN_REQUEST:
		make_request(w);
		break;
	case THEN_DRAIN:
		vuc_session_drain(w->s);
		break;
	case THEN_END:
		vuc_session_end(w->s, -ECANCELED, "by a callback");
		break;
	case THEN_TAKE_FD:
		if (reply->nr_fds > 0) {
			REQUIRE(close(reply->fds[0]) == 0);
			reply->fds[0] = -1;
		}
		break;
	default:
		break;
	}
}

static int
request_read(struct world *w, struct request *r)
{
	struct vuc_session_access access = {.done = request_done, .arg = r};

	access.count = take_u8(&w->in);
	access.offset = take_u8(&w->in);
	access.region = take_u8(&w->in);
	r->data = malloc(access.count + 1);
	REQUIRE(r->data != NULL);
	access.data = r->data;
	return vuc_session_region_read(w->s, &access);
}

static int
request_write(struct world *w, struct request *r, bool posted)
{
	static uint8_t data[MAX_DATA];
	struct vuc_session_access access = {.data = data, .done = request_done, .arg = r};

	access.count = take_u8(&w->in);
	access.offset = take_u8(&w->in);
	access.region = take_u8(&w->in);
	return vuc_session_region_write(w->s, &access, posted);
}

/* Any command, with the smallest body that it may have and some bytes more. */
static int
request_any(struct world *w, struct request *r)
{
	static const uint8_t body[MAX_BODY];
	static const int fds[20] = {0};
	uint8_t how = take_u8(&w->in);
	struct vuc_session_request req = {
		.cmd = take_u8(&w->in) % (VFIO_USER_MAX + 1),
		.no_reply = how & 1,
		.nr_fds = (how >> 1) % 20,
		.fds = fds,
		.body = body,
		.data = body,
		.data_len = take_u8(&w->in) % 8,
		.reply_max = how & 0x80 ? 64 : 0,
		.done = request_done,
		.arg = r,
	};
	const struct vuc_wire_command *row = vuc_wire_command(req.cmd);

	if (row != NULL)
		req.len = row->request_min;
	r->accepted = !req.no_reply;
	return vuc_session_request(w->s, &req);
}

static void
make_request(struct world *w)
{
	struct request *r = &w->requests[w->nr_requests];
	uint8_t kind = take_u8(&w->in);
	bool posted = kind % 4 == 2;
	int rc;

	if (w->nr_requests == MAX_REQUESTS)
		return;
	w->nr_requests++;
	*r = (struct request){.world = w, .then = kind >> 2, .accepted = !posted};
	if (kind % 4 == 0)
		rc = request_read(w, r);
	else if (kind % 4 == 3)
		rc = request_any(w, r);
	else
		rc = request_write(w, r, posted);
	REQUIRE(rc <= 0);
	REQUIRE(rc != 0 || vuc_session_state(w->s) == VUC_SESSION_READY);
	if (rc != 0) {
		r->accepted = false;
		free(r->data);
		r->data = NULL;
	}
	if (r->accepted)
		w->outstanding++;
}

static void
post_many(struct world *w)
{
	static uint8_t data[MAX_DATA];
	const struct vuc_session_access access = {.data = data, .count = MAX_DATA};
	unsigned int n = take_u8(&w->in);

	while (n-- > 0)
		vuc_session_region_write(w->s, &access, true);
}

static void
session_tick(struct world *w)
{
	w->now += take_u8(&w->in);
	vuc_session_tick(w->s, w->now);
}

static void
session_drain(struct world *w)
{
	vuc_session_drain(w->s);
}

static void
session_end(struct world *w)
{
	vuc_session_end(w->s, -EHOSTDOWN, "after %u requests", w->nr_requests);
}

/* ---- the connection ---- */

/* Remember what can be answered, and see that the segment has whole messages. */
static void
read_segment(struct world *w)
{
	const struct vuc_segment *segment = &w->segment;
	size_t pos = 0;

	while (pos < segment->len) {
		struct sent sent = {0};

		REQUIRE(segment->len - pos >= HEADER_SIZE);
		memcpy(&sent.header, segment->bytes + pos, HEADER_SIZE);
		REQUIRE(sent.header.msg_size >= HEADER_SIZE);
		REQUIRE(sent.header.msg_size <= segment->len - pos);
		if (sent.header.msg_size >= HEADER_SIZE + sizeof(sent.access))
			memcpy(&sent.access, segment->bytes + pos + HEADER_SIZE,
				sizeof(sent.access));
		if (sent.header.flags == VFIO_USER_F_TYPE_COMMAND)
			w->sent[w->nr_sent++ % MAX_SENT] = sent;
		pos += sent.header.msg_size;
	}
}

static void
hand_out(struct world *w)
{
	const struct vuc_segment *segment = vuc_session_next_segment(w->s);

	if (segment == NULL || w->handed)
		return;
	REQUIRE(segment->len > 0);
	REQUIRE(segment->len <= w->config.segment_max || segment->len <= HEADER_SIZE + MAX_BODY);
	w->segment = *segment;
	w->copy = malloc(segment->len);
	REQUIRE(w->copy != NULL);
	memcpy(w->copy, segment->bytes, segment->len);
	w->handed = true;
	read_segment(w);
}

static void
check_handed(struct world *w)
{
	const struct vuc_segment *segment;

	if (!w->handed)
		return;
	REQUIRE(memcmp(w->copy, w->segment.bytes, w->segment.len) == 0);
	segment = vuc_session_next_segment(w->s);
	if (segment == NULL)
		return;
	REQUIRE(segment->bytes == w->segment.bytes && segment->len == w->segment.len);
	REQUIRE(segment->fds == w->segment.fds && segment->nr_fds == w->segment.nr_fds);
}

static void
session_sent(struct world *w)
{
	if (!w->handed)
		return;
	free(w->copy);
	w->copy = NULL;
	w->handed = false;
	vuc_session_sent(w->s);
}

static void
send_all(struct world *w)
{
	session_sent(w);
	while (vuc_session_has_segment(w->s)) {
		hand_out(w);
		session_sent(w);
	}
}

static void
session_lost(struct world *w)
{
	vuc_session_lost(w->s, -(int)(take_u8(&w->in) % 100));
}

/* ---- the server ---- */

/* Give the session bytes, in two pieces, and new descriptors with the second. */
static void
server_feed(struct world *w, const uint8_t *bytes, size_t len)
{
	size_t cut = take_u8(&w->in);
	unsigned int nr_fds = take_u8(&w->in) % 20;
	uint8_t *copy = malloc(len + 1);
	int fds[20];

	REQUIRE(copy != NULL);
	if (len > 0)
		memcpy(copy, bytes, len);
	if (cut < len)
		vuc_session_received(w->s, copy, cut, NULL, 0);
	else
		cut = 0;
	if (nr_fds > MAX_GIVEN - w->nr_given)
		nr_fds = 0;
	for (unsigned int i = 0; i < nr_fds; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		REQUIRE(fds[i] >= 0);
		w->given[w->nr_given++] = fds[i];
	}
	vuc_session_received(w->s, copy + cut, len - cut, fds, nr_fds);
	free(copy);
}

static void
feed_raw(struct world *w)
{
	uint8_t bytes[256];
	size_t len = take_u8(&w->in);

	take(&w->in, bytes, len);
	server_feed(w, bytes, len);
}

static size_t
put_version(uint8_t *body, uint8_t how)
{
	static const char *const texts[] = {
		"{\"capabilities\":{\"max_msg_fds\":8,\"write_multiple\":true}}",
		"{\"capabilities\":{\"max_msg_fds\":0,\"max_data_xfer_size\":16}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true,\"fd_index\":0}}}",
		"{}",
	};
	const struct vfio_user_version fixed = {.minor = VFIO_USER_MINOR};
	const char *text = texts[how % 4];

	memcpy(body, &fixed, sizeof(fixed));
	memcpy(body + sizeof(fixed), text, strlen(text) + 1);
	return sizeof(fixed) + strlen(text) + 1;
}

/* The body that a server would send. */
static size_t
put_body(uint8_t *body, const struct sent *to, uint8_t how)
{
	const struct vuc_wire_command *row = vuc_wire_command(to->header.cmd);
	size_t len = row->reply_min;

	if (to->header.cmd == VFIO_USER_VERSION)
		return put_version(body, how);
	memset(body, 0x5a, MAX_BODY);
	if (to->header.cmd == VFIO_USER_REGION_READ || to->header.cmd == VFIO_USER_REGION_WRITE)
		memcpy(body, &to->access, sizeof(to->access));
	if (to->header.cmd == VFIO_USER_REGION_READ && to->access.count <= MAX_DATA)
		len += to->access.count;
	return len;
}

/* A reply to one of the commands sent last: right, an error, or wrong in one byte. */
static void
server_answer(struct world *w)
{
	uint8_t which = take_u8(&w->in), how = take_u8(&w->in);
	uint8_t bytes[HEADER_SIZE + MAX_BODY];
	struct vfio_user_header header;
	const struct sent *to;
	size_t len;

	if (w->nr_sent == 0)
		return;
	to = &w->sent[(w->nr_sent - 1 - which % w->nr_sent) % MAX_SENT];
	len = put_body(bytes + HEADER_SIZE, to, how >> 3);
	header = to->header;
	header.flags = VFIO_USER_F_TYPE_REPLY;
	if (how & 1) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error_no = take_u8(&w->in);
		len = 0;
	}
	header.msg_size = (uint32_t)(HEADER_SIZE + len);
	memcpy(bytes, &header, HEADER_SIZE);
	if (how & 2)
		bytes[take_u8(&w->in) % (HEADER_SIZE + len)] ^= take_u8(&w->in);
	server_feed(w, bytes, HEADER_SIZE + len);
}

/* A command of the server, with data behind it when it is a write. */
static void
server_command(struct world *w)
{
	uint8_t how = take_u8(&w->in);
	size_t len = how & 1 ? take_u8(&w->in) : 0;
	uint8_t bytes[HEADER_SIZE + MAX_BODY] = {0};
	const struct vfio_user_header header = {
		.msg_id = how,
		.cmd = how & 1 ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
		.msg_size = (uint32_t)(HEADER_SIZE + 16 + len),
		.flags = how & 2 ? VFIO_USER_F_NO_REPLY : 0,
	};

	memcpy(bytes, &header, HEADER_SIZE);
	server_feed(w, bytes, header.msg_size);
}

/* Without further ado, so that most inputs get behind VERSION. */
static void
server_negotiate(struct world *w)
{
	const struct input rest = w->in;

	send_all(w);
	w->in = (struct input){0};
	w->in.data = rest.data;
	server_answer(w);
	w->in = rest;
}

/* ---- what must hold ---- */

static void
check_state(struct world *w)
{
	enum vuc_session_state state = vuc_session_state(w->s);
	bool is_lost = state == VUC_SESSION_LOST;

	check_handed(w);
	REQUIRE((vuc_session_error(w->s) < 0) == is_lost);
	REQUIRE((vuc_session_reason(w->s)[0] != '\0') == is_lost);
	if (is_lost || state == VUC_SESSION_CLOSED) {
		REQUIRE(w->outstanding == 0);
		REQUIRE(!vuc_session_has_segment(w->s));
	}
	if (state != VUC_SESSION_NEGOTIATING)
		REQUIRE(vuc_session_outstanding(w->s) == w->outstanding);
	REQUIRE(vuc_session_outstanding(w->s) <= w->config.max_requests);
	REQUIRE(vuc_session_max_data(w->s) <= MAX_DATA);
}

static void
session_finish(struct world *w)
{
	vuc_session_end(w->s, -ECANCELED, "the input is at its end");
	check_state(w);
	free(w->copy);
	vuc_session_destroy(w->s);
	for (unsigned int i = 0; i < w->nr_requests; i++)
		REQUIRE(w->requests[i].calls == w->requests[i].accepted);
	for (unsigned int i = 0; i < w->nr_given; i++)
		REQUIRE(fcntl(w->given[i], F_GETFD) < 0);
}

/* Add at the end, so that the corpus keeps its meaning. */
static void (*const operations[])(struct world *w) = {
	server_negotiate,
	make_request,
	send_all,
	server_answer,
	hand_out,
	session_sent,
	session_tick,
	server_command,
	feed_raw,
	post_many,
	session_drain,
	session_end,
	session_lost,
};

/* The client's side of DMA by message: what there is, by the count that was asked for. */
static void
answer_command(void *arg, struct vuc_session *s, const struct vuc_session_command *command)
{
	struct vfio_user_dma_region_access access;
	uint8_t *data;

	(void)arg;
	REQUIRE(command->len >= sizeof(access));
	memcpy(&access, command->body, sizeof(access));
	if (command->no_reply)
		return;
	if (access.count > MAX_DATA) {
		vuc_session_refuse(s, command, EINVAL);
		return;
	}
	if (command->cmd == VFIO_USER_DMA_WRITE)
		access.count = 0;
	data = vuc_session_answer(s, command, &access, sizeof(access), access.count);
	if (data != NULL)
		memset(data, 0x5a, access.count);
}

static void
session_create(struct world *w)
{
	static const uint32_t segment_max[] = {512, 1024, 8192, 1u << 30};
	uint8_t how = take_u8(&w->in);

	w->config.max_requests = (uint16_t)(1u << (how & 7));
	w->config.timeout_ms = 100;
	w->config.segment_max = segment_max[(how >> 3) & 3];
	vuc_wire_version_init(&w->config.version);
	w->config.version.max_data_xfer_size = MAX_DATA;
	w->config.version.twin_socket.supported = how & 0x20;
	w->config.version.write_multiple = how & 0x80;
	if (how & 0x40)
		w->config.command = answer_command;
	w->config.version.max_msg_fds = take_u8(&w->in) % 20;
	w->s = vuc_session_create(&w->config);
	REQUIRE(w->s != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	w.in = (struct input){data, size};
	session_create(&w);
	for (unsigned int i = 0; w.in.size > 0 && i < MAX_STEPS; i++) {
		uint8_t which = take_u8(&w.in);

		operations[which % (sizeof(operations) / sizeof(operations[0]))](&w);
		check_state(&w);
	}
	session_finish(&w);
	return 0;
}
