/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session_fixture.h"

const char fixture_json[] = "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":4096}}";

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

void
fixture_create(struct fixture *f, const struct vuc_session_config *config)
{
	*f = (struct fixture){.config = config != NULL ? *config : fixture_config()};
	f->nr_fds = fixture_count_fds();
	f->s = vuc_session_create(&f->config);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->s);
}

void
fixture_open(struct fixture *f, const struct vuc_session_config *config)
{
	struct message reply = message_version(0, 2, fixture_json);

	fixture_create(f, config);
	fixture_send(f);
	fixture_feed_message(f, &reply);
	CU_ASSERT_EQUAL_FATAL(vuc_session_state(f->s), VUC_SESSION_READY);
}

void
fixture_close(struct fixture *f)
{
	vuc_session_destroy(f->s);
	free(f->sent);
	CU_ASSERT_EQUAL(fixture_count_fds(), f->nr_fds);
}

unsigned int
fixture_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	CU_ASSERT_PTR_NOT_NULL(dir);
	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
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
fixture_lost(const struct fixture *f, int error, const char *reason)
{
	if (vuc_session_state(f->s) == VUC_SESSION_LOST && vuc_session_error(f->s) == error &&
		strcmp(vuc_session_reason(f->s), reason) == 0)
		return true;
	printf("# state %u, error %d, reason \"%s\"\n", vuc_session_state(f->s),
		vuc_session_error(f->s), vuc_session_reason(f->s));
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
		o->then(o->arg, o);
}

int
fixture_read(struct fixture *f, uint64_t offset, void *data, uint32_t count, struct outcome *o)
{
	const struct vuc_session_access access = {
		.region = FIXTURE_REGION,
		.offset = offset,
		.data = data,
		.count = count,
		.done = fixture_record,
		.arg = o,
	};

	return vuc_session_region_read(f->s, &access);
}

int
fixture_write(
	struct fixture *f, uint64_t offset, const void *data, uint32_t count, struct outcome *o)
{
	const struct vuc_session_access access = {
		.region = FIXTURE_REGION,
		.offset = offset,
		.data = (void *)(uintptr_t)data,
		.count = count,
		.done = fixture_record,
		.arg = o,
	};

	return vuc_session_region_write(f->s, &access, false);
}

int
fixture_post(struct fixture *f, uint64_t offset, const void *data, uint32_t count)
{
	const struct vuc_session_access access = {
		.region = FIXTURE_REGION,
		.offset = offset,
		.data = (void *)(uintptr_t)data,
		.count = count,
	};

	return vuc_session_region_write(f->s, &access, true);
}

int
fixture_reset(struct fixture *f, struct outcome *o)
{
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_RESET,
		.done = fixture_record,
		.arg = o,
	};

	return vuc_session_request(f->s, &req);
}

int
fixture_region_info(struct fixture *f, uint32_t index, struct outcome *o)
{
	const struct vfio_user_region_info body = {.argsz = sizeof(body), .index = index};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_GET_REGION_INFO,
		.body = &body,
		.len = sizeof(body),
		.done = fixture_record,
		.arg = o,
	};

	return vuc_session_request(f->s, &req);
}

int
fixture_dma_map(struct fixture *f, const int *fds, unsigned int nr_fds, struct outcome *o)
{
	const struct vfio_user_dma_map body = {.argsz = sizeof(body), .size = 4096};
	const struct vuc_session_request req = {
		.cmd = VFIO_USER_DMA_MAP,
		.fds = fds,
		.nr_fds = (uint16_t)nr_fds,
		.body = &body,
		.len = sizeof(body),
		.done = fixture_record,
		.arg = o,
	};

	return vuc_session_request(f->s, &req);
}

static void
keep_sent(struct fixture *f, const struct vuc_segment *segment)
{
	uint8_t *sent = realloc(f->sent, f->sent_len + segment->len);

	if (sent == NULL)
		abort();
	memcpy(sent + f->sent_len, segment->bytes, segment->len);
	f->sent = sent;
	f->sent_len += segment->len;
}

unsigned int
fixture_send(struct fixture *f)
{
	struct vuc_segment segment = {0};
	unsigned int n = 0;

	f->sent_len = 0;
	while (fixture_next_segment(f->s, &segment)) {
		keep_sent(f, &segment);
		vuc_session_sent(f->s);
		n++;
	}
	return n;
}

/* Returns whether there is a message at pos. */
static bool
header_at(const struct fixture *f, size_t pos, struct vfio_user_header *header)
{
	if (pos == f->sent_len)
		return false;
	CU_ASSERT_FATAL(f->sent_len - pos >= HEADER_SIZE);
	memcpy(header, f->sent + pos, HEADER_SIZE);
	CU_ASSERT_FATAL(header->msg_size >= HEADER_SIZE);
	CU_ASSERT_FATAL(header->msg_size <= f->sent_len - pos);
	return true;
}

unsigned int
fixture_nr_sent(const struct fixture *f)
{
	struct vfio_user_header header;
	unsigned int n = 0;

	for (size_t pos = 0; header_at(f, pos, &header); pos += header.msg_size)
		n++;
	return n;
}

const uint8_t *
fixture_sent_body(const struct fixture *f, unsigned int n)
{
	struct vfio_user_header header;
	size_t pos = 0;

	while (header_at(f, pos, &header) && n-- > 0)
		pos += header.msg_size;
	CU_ASSERT_FATAL(pos < f->sent_len);
	return f->sent + pos + HEADER_SIZE;
}

struct vfio_user_header
fixture_sent(const struct fixture *f, unsigned int n)
{
	struct vfio_user_header header;

	memcpy(&header, fixture_sent_body(f, n) - HEADER_SIZE, HEADER_SIZE);
	return header;
}

void
fixture_feed(struct fixture *f, const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	uint8_t *copy = malloc(len + 1);

	if (copy == NULL)
		abort();
	/* Aligned to nothing, as messages behind others are. */
	if (len > 0)
		memcpy(copy + 1, bytes, len);
	vuc_session_received(f->s, copy + 1, len, fds, nr_fds);
	free(copy);
}

void
fixture_feed_message(struct fixture *f, const struct message *m)
{
	fixture_feed(f, m->bytes, m->len, NULL, 0);
}

void
fixture_answer_reset(struct fixture *f)
{
	struct vfio_user_header h;
	struct message reply;

	fixture_send(f);
	h = fixture_sent(f, 0);
	CU_ASSERT_EQUAL(h.cmd, VFIO_USER_DEVICE_RESET);
	reply = message_reply(&h, NULL, 0);
	fixture_feed_message(f, &reply);
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
feed_piece(
	struct fixture *f, const struct part *parts, unsigned int nr_parts, size_t pos, size_t end)
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
			fixture_feed(f, bytes, len, p->fds, p->nr_fds);
			return pos + len;
		}
	}
	fixture_feed(f, bytes, len, NULL, 0);
	return pos + len;
}

void
fixture_feed_parts(struct fixture *f, const struct part *parts, unsigned int nr_parts, size_t first,
	size_t second)
{
	size_t total = fixture_parts_len(parts, nr_parts);
	size_t pos = 0;

	while (pos < total) {
		size_t end = total;

		if (pos < first)
			end = first;
		else if (pos < second)
			end = second;
		pos = feed_piece(f, parts, nr_parts, pos, end);
	}
}
