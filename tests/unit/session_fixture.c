/* SPDX-License-Identifier: BSD-3-Clause */
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "fd_count.h"
#include "session_fixture.h"

const char fixture_json[] = "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":4096}}";

struct vuc_session *session;
static unsigned int fds_before; /* open before there was the session */
static uint8_t sent[1 << 20];   /* by the last fixture_send() */
static size_t sent_len;

struct vuc_session_config
fixture_config(void)
{
	struct vuc_session_config config = {
		.max_requests = FIXTURE_REQUESTS,
		.timeout_ms = FIXTURE_TIMEOUT_MS,
		.segment_max = FIXTURE_SEGMENT_MAX,
	};

	vuc_wire_version_init(&config.version);
	config.version.max_data_xfer_size = FIXTURE_MAX_DATA;
	config.version.max_msg_fds = FIXTURE_MAX_FDS;
	return config;
}

int
fixture_new_fds(void)
{
	return (int)(fd_count() - fds_before);
}

void
fixture_create(const struct vuc_session_config *config)
{
	const struct vuc_session_config usual = fixture_config();

	fixture_close();
	fds_before = fd_count();
	session = vuc_session_create(config != NULL ? config : &usual);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
}

void
fixture_negotiate(
	const struct vuc_session_config *config, struct message reply, unsigned int nr_fds)
{
	fixture_create(config);
	fixture_send();
	fixture_feed_new_fds(&reply, 0, reply.len, nr_fds);
}

void
fixture_open(const struct vuc_session_config *config)
{
	fixture_negotiate(config, message_version(0, 2, fixture_json), 0);
	CU_ASSERT_EQUAL_FATAL(vuc_session_state(session), VUC_SESSION_READY);
}

void
fixture_close(void)
{
	if (session == NULL)
		return;
	vuc_session_destroy(session);
	session = NULL;
	CU_ASSERT_EQUAL(fixture_new_fds(), 0);
}

void
fixture_open_usual(void)
{
	fixture_open(NULL);
}

int
fixture_new_fd(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

ino_t
fixture_inode(int fd)
{
	struct stat st = {0};

	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	return st.st_ino;
}

bool
fixture_lost(int error, const char *reason)
{
	if (vuc_session_state(session) == VUC_SESSION_LOST && vuc_session_error(session) == error &&
		strcmp(vuc_session_reason(session), reason) == 0)
		return true;
	printf("# state %u, error %d, reason \"%s\"\n", vuc_session_state(session),
		vuc_session_error(session), vuc_session_reason(session));
	return false;
}

void
fixture_record(void *arg, const struct vuc_session_reply *reply)
{
	struct outcome *o = arg;

	o->calls++;
	o->status = reply->status;
	if (reply->status != 0)
		snprintf(o->reason, sizeof(o->reason), "%s", reply->reason);
	o->has_body = reply->body != NULL;
	o->len = reply->len;
	if (reply->body != NULL)
		memcpy(o->body, reply->body,
			reply->len < sizeof(o->body) ? reply->len : sizeof(o->body));
	o->nr_fds = reply->nr_fds;
	for (unsigned int i = 0; i < reply->nr_fds; i++)
		o->inodes[i] = fixture_inode(reply->fds[i]);
	if (o->keep != NULL && reply->nr_fds > 0) {
		*o->keep = reply->fds[0];
		reply->fds[0] = -1;
	}
	if (o->then != NULL)
		o->then(o);
}

static struct vuc_session_access
access_of(uint64_t offset, const void *data, uint32_t count, struct outcome *o)
{
	return (struct vuc_session_access){
		.region = FIXTURE_REGION,
		.offset = offset,
		.data = (void *)(uintptr_t)data,
		.count = count,
		.done = o != NULL ? fixture_record : NULL,
		.arg = o,
	};
}

int
fixture_read(uint64_t offset, void *data, uint32_t count, struct outcome *o)
{
	const struct vuc_session_access access = access_of(offset, data, count, o);

	return vuc_session_region_read(session, &access);
}

int
fixture_write(uint64_t offset, const void *data, uint32_t count, struct outcome *o)
{
	const struct vuc_session_access access = access_of(offset, data, count, o);

	return vuc_session_region_write(session, &access, false);
}

int
fixture_post(uint64_t offset, const void *data, uint32_t count)
{
	const struct vuc_session_access access = access_of(offset, data, count, NULL);

	return vuc_session_region_write(session, &access, true);
}

int
fixture_request(uint16_t cmd, const void *body, size_t len, const int *fds, unsigned int nr_fds,
	struct outcome *o)
{
	const struct vuc_session_request req = {
		.cmd = cmd,
		.fds = fds,
		.nr_fds = (uint16_t)nr_fds,
		.body = body,
		.len = len,
		.done = fixture_record,
		.arg = o,
	};

	return vuc_session_request(session, &req);
}

int
fixture_reset(struct outcome *o)
{
	return fixture_request(VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0, o);
}

int
fixture_region_info(uint32_t index, struct outcome *o)
{
	const struct vfio_user_region_info body = {.argsz = sizeof(body), .index = index};

	return fixture_request(VFIO_USER_DEVICE_GET_REGION_INFO, &body, sizeof(body), NULL, 0, o);
}

int
fixture_dma_map(const int *fds, unsigned int nr_fds, struct outcome *o)
{
	const struct vfio_user_dma_map body = {.argsz = sizeof(body), .size = 4096};

	return fixture_request(VFIO_USER_DMA_MAP, &body, sizeof(body), fds, nr_fds, o);
}

unsigned int
fixture_fill_segments(int *fd, struct outcome *o)
{
	struct vuc_session_config config = fixture_config();
	unsigned int n = 0;

	config.max_requests = 256;
	fixture_open(&config);
	*fd = fixture_new_fd();
	while (fixture_dma_map(fd, 1, o) == 0)
		n++;
	return n;
}

bool
fixture_next_segment(struct vuc_segment *segment)
{
	const struct vuc_segment *next = vuc_session_next_segment(session);

	if (next != NULL)
		*segment = *next;
	return next != NULL;
}

unsigned int
fixture_send(void)
{
	return fixture_send_some(UINT_MAX);
}

unsigned int
fixture_send_some(unsigned int most)
{
	struct vuc_segment segment = {0};
	unsigned int n = 0;

	for (sent_len = 0; n < most && fixture_next_segment(&segment); n++) {
		CU_ASSERT_FATAL(segment.len <= sizeof(sent) - sent_len);
		memcpy(sent + sent_len, segment.bytes, segment.len);
		sent_len += segment.len;
		vuc_session_sent(session);
	}
	return n;
}

/* Returns whether there is a message at pos. */
static bool
header_at(size_t pos, struct vfio_user_header *header)
{
	if (pos == sent_len)
		return false;
	CU_ASSERT_FATAL(sent_len - pos >= HEADER_SIZE);
	memcpy(header, sent + pos, HEADER_SIZE);
	CU_ASSERT_FATAL(header->msg_size >= HEADER_SIZE);
	CU_ASSERT_FATAL(header->msg_size <= sent_len - pos);
	return true;
}

unsigned int
fixture_nr_sent(void)
{
	struct vfio_user_header header;
	unsigned int n = 0;

	for (size_t pos = 0; header_at(pos, &header); pos += header.msg_size)
		n++;
	return n;
}

const uint8_t *
fixture_sent_body(unsigned int n)
{
	struct vfio_user_header header;
	size_t pos = 0;

	while (header_at(pos, &header) && n-- > 0)
		pos += header.msg_size;
	CU_ASSERT_FATAL(pos < sent_len);
	return sent + pos + HEADER_SIZE;
}

struct vfio_user_header
fixture_sent(unsigned int n)
{
	struct vfio_user_header header;

	memcpy(&header, fixture_sent_body(n) - HEADER_SIZE, HEADER_SIZE);
	return header;
}

uint8_t *
fixture_sent_bytes(size_t *len)
{
	*len = sent_len;
	return sent;
}

void
fixture_feed(const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	uint8_t *copy = malloc(len + 1);

	if (copy == NULL)
		abort();
	/* Aligned to nothing, as messages behind others are. */
	if (len > 0)
		memcpy(copy + 1, bytes, len);
	vuc_session_received(session, copy + 1, len, fds, nr_fds);
	free(copy);
}

void
fixture_feed_message(struct message m)
{
	fixture_feed(m.bytes, m.len, NULL, 0);
}

void
fixture_feed_new_fds(const struct message *m, size_t pos, size_t end, unsigned int nr_fds)
{
	int fds[FIXTURE_FDS];

	CU_ASSERT_FATAL(nr_fds <= FIXTURE_FDS);
	for (unsigned int i = 0; i < nr_fds; i++)
		fds[i] = fixture_new_fd();
	fixture_feed(m->bytes + pos, end - pos, fds, nr_fds);
}

void
fixture_answer_reset(void)
{
	fixture_send();
	CU_ASSERT_EQUAL(fixture_sent(0).cmd, VFIO_USER_DEVICE_RESET);
	fixture_feed_message(message_reply(fixture_sent(0), NULL, 0));
}

size_t
fixture_parts_len(const struct part *parts, unsigned int nr_parts)
{
	size_t len = 0;

	for (unsigned int i = 0; i < nr_parts; i++)
		len += parts[i].m.len;
	return len;
}

/* One receive: bytes up to end, less when a send with descriptors ends before. */
static size_t
feed_piece(const struct part *parts, unsigned int nr_parts, size_t pos, size_t end)
{
	uint8_t bytes[4096];
	size_t start = 0, len = 0;

	CU_ASSERT_FATAL(fixture_parts_len(parts, nr_parts) <= sizeof(bytes));
	for (unsigned int i = 0; i < nr_parts && start < end; i++) {
		const struct part *p = &parts[i];
		size_t from = pos > start ? pos - start : 0;
		size_t to = end - start < p->m.len ? end - start : p->m.len;

		start += p->m.len;
		if (from >= to)
			continue;
		memcpy(bytes + len, p->m.bytes + from, to - from);
		len += to - from;
		if (p->nr_fds > 0 && from == 0) {
			fixture_feed(bytes, len, p->fds, p->nr_fds);
			return pos + len;
		}
	}
	fixture_feed(bytes, len, NULL, 0);
	return pos + len;
}

void
fixture_feed_parts(const struct part *parts, unsigned int nr_parts, size_t first, size_t second)
{
	size_t total = fixture_parts_len(parts, nr_parts);

	for (size_t pos = 0; pos < total;) {
		size_t end = pos < first ? first : pos < second ? second : total;

		pos = feed_piece(parts, nr_parts, pos, end);
	}
}

/* ---- messages of the server ---- */

struct message
message_build(struct vfio_user_header header, const void *body, size_t len)
{
	struct message m = {.len = HEADER_SIZE + len};

	CU_ASSERT_FATAL(m.len <= sizeof(m.bytes));
	memcpy(m.bytes, &header, HEADER_SIZE);
	if (body != NULL)
		memcpy(m.bytes + HEADER_SIZE, body, len);
	return m;
}

/* A reply with these flags. */
static struct message
reply_with(
	struct vfio_user_header to, uint32_t flags, uint32_t error_no, const void *body, size_t len)
{
	const struct vfio_user_header header = {
		to.msg_id, to.cmd, (uint32_t)(HEADER_SIZE + len), flags, error_no};

	return message_build(header, body, len);
}

struct message
message_reply(struct vfio_user_header to, const void *body, size_t len)
{
	return reply_with(to, REPLY, 0, body, len);
}

struct message
message_error(struct vfio_user_header to, uint32_t error_no)
{
	return reply_with(to, REPLY | VFIO_USER_F_ERROR, error_no, NULL, 0);
}

struct message
message_access(
	struct vfio_user_header to, uint64_t offset, uint32_t count, const void *data, size_t len)
{
	const struct vfio_user_region_access access = {
		.offset = offset,
		.region = FIXTURE_REGION,
		.count = count,
	};
	uint8_t body[256];

	CU_ASSERT_FATAL(sizeof(access) + len <= sizeof(body));
	memcpy(body, &access, sizeof(access));
	if (len > 0)
		memcpy(body + sizeof(access), data, len);
	return message_reply(to, body, sizeof(access) + len);
}

struct message
message_region_info(struct vfio_user_header to, uint32_t index)
{
	const struct vfio_user_region_info info = {
		.argsz = sizeof(info),
		.index = index,
		.size = 4096,
	};

	return message_reply(to, &info, sizeof(info));
}

/* A command of the server on 4 bytes, which a write has behind it. */
static struct message
dma_access(uint16_t id, uint16_t cmd, uint32_t flags)
{
	const uint64_t body[3] = {0x1000, 4, 0}; /* address, count, data */
	uint32_t len = cmd == VFIO_USER_DMA_READ ? 16 : 20;
	const struct vfio_user_header header = {
		id, cmd, (uint32_t)HEADER_SIZE + len, COMMAND | flags, 0};

	return message_build(header, body, len);
}

struct message
message_dma_read(uint16_t id, uint32_t flags)
{
	return dma_access(id, VFIO_USER_DMA_READ, flags);
}

struct message
message_dma_write(uint16_t id, uint32_t flags)
{
	return dma_access(id, VFIO_USER_DMA_WRITE, flags);
}

struct message
message_version(uint16_t major, uint16_t minor, const char *json)
{
	const struct vfio_user_header to = {.msg_id = 0, .cmd = VFIO_USER_VERSION};
	const struct vfio_user_version fixed = {.major = major, .minor = minor};
	size_t len = json != NULL ? strlen(json) + 1 : 0;
	uint8_t body[480];

	CU_ASSERT_FATAL(sizeof(fixed) + len <= sizeof(body));
	memcpy(body, &fixed, sizeof(fixed));
	if (len > 0)
		memcpy(body + sizeof(fixed), json, len);
	return message_reply(to, body, sizeof(fixed) + len);
}
