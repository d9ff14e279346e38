/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <sys/socket.h>

#include "fake_server.h"
#include "fds.h"
#include "outcome.h"

#define HEADER_SIZE sizeof(struct vfio_user_header)

void
fake_server_body(const struct vuc_loopback_msg *request, void *body, size_t len)
{
	CU_ASSERT_FATAL(request->len >= HEADER_SIZE + len);
	memcpy(body, request->bytes + HEADER_SIZE, len);
}

void
fake_server_log(struct fake_server *s, const char *fmt, ...)
{
	size_t len = strlen(s->log);
	va_list args;

	va_start(args, fmt);
	vsnprintf(s->log + len, sizeof(s->log) - len, fmt, args);
	va_end(args);
}

bool
fake_server_saw(struct fake_server *s, const char *expected)
{
	bool equal = strcmp(s->log, expected) == 0;

	if (!equal)
		printf("# the server saw '%s', not '%s'\n", s->log, expected);
	s->log[0] = '\0';
	return equal;
}

static void
put(struct fake_reply *reply, const void *bytes, size_t len)
{
	CU_ASSERT_FATAL(len <= reply->size - reply->len);
	memcpy(reply->body + reply->len, bytes, len);
	reply->len += len;
}

static void
add_twin(struct fake_server *s, struct fake_reply *reply)
{
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->twin_fd = pair[0];
	reply->fds[reply->nr_fds++] = pair[1];
}

static int
version(struct fake_server *s, struct fake_reply *reply)
{
	const struct vfio_user_version v = {.major = 0, .minor = 1};
	const char *json = s->json;
	char text[160], limit[48] = "";
	bool twin = s->twin && s->running;

	if (s->max_data != 0)
		snprintf(limit, sizeof(limit), ",\"max_data_xfer_size\":%u", s->max_data);
	snprintf(text, sizeof(text), "{\"capabilities\":{\"max_msg_fds\":%u%s%s}}", s->max_msg_fds,
		limit, twin ? ",\"twin_socket\":{\"supported\":true,\"fd_index\":0}" : "");
	if (json == NULL)
		json = text;
	put(reply, &v, sizeof(v));
	put(reply, json, strlen(json) + 1);
	if (twin)
		add_twin(s, reply);
	return 0;
}

static int
device_info(const struct fake_server *s, struct fake_reply *reply)
{
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info),
		.flags = VFIO_DEVICE_FLAGS_PCI | s->flags,
		.num_regions = FAKE_NR_REGIONS,
		.num_irqs = FAKE_NR_IRQS,
	};

	put(reply, &info, sizeof(info));
	return 0;
}

static int
region_info(const struct fake_server *s, const struct vuc_loopback_msg *request,
	struct fake_reply *reply)
{
	struct vfio_user_cap_sparse_mmap caps = {
		.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1},
	};
	struct vfio_user_region_info info;
	const struct fake_region *r;
	bool sparse;

	fake_server_body(request, &info, sizeof(info));
	r = &s->regions[info.index];
	sparse = r->sparse || r->nr_areas > 0;
	caps.nr_areas = r->nr_areas;
	info.flags = r->flags | (sparse ? VFIO_REGION_INFO_FLAG_CAPS : 0u);
	info.argsz = (uint32_t)sizeof(info);
	if (sparse)
		info.argsz += (uint32_t)(sizeof(caps) + r->nr_areas * sizeof(r->areas[0]));
	info.cap_offset = sparse ? sizeof(info) : 0;
	info.size = r->size;
	info.offset = r->offset;
	put(reply, &info, sizeof(info));
	if (sparse) {
		put(reply, &caps, sizeof(caps));
		put(reply, r->areas, r->nr_areas * sizeof(r->areas[0]));
	}
	for (; reply->nr_fds < r->nr_fds; reply->nr_fds++)
		reply->fds[reply->nr_fds] = dup(r->fds[reply->nr_fds]);
	return 0;
}

static int
irq_info(const struct fake_server *s, const struct vuc_loopback_msg *request,
	struct fake_reply *reply)
{
	struct vfio_user_irq_info info;

	fake_server_body(request, &info, sizeof(info));
	info.argsz = sizeof(info);
	info.flags = s->irqs[info.index].flags;
	info.count = s->irqs[info.index].count;
	put(reply, &info, sizeof(info));
	return 0;
}

static int
region_access(struct fake_server *s, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	bool write = header->cmd == VFIO_USER_REGION_WRITE;
	struct vfio_user_region_access access;
	struct fake_region *r;

	fake_server_body(request, &access, sizeof(access));
	r = &s->regions[access.region];
	if (r->asked)
		return s->command(s->arg, request, header, reply);
	r->reads += !write;
	r->writes += write;
	if (r->bytes == NULL)
		return EIO;
	put(reply, &access, sizeof(access));
	if (write)
		memcpy(r->bytes + access.offset, request->bytes + HEADER_SIZE + sizeof(access),
			access.count);
	else
		put(reply, r->bytes + access.offset, access.count);
	return 0;
}

static int
answer(struct fake_server *s, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	switch (header->cmd) {
	case VFIO_USER_VERSION:
		return version(s, reply);
	case VFIO_USER_DEVICE_GET_INFO:
		return device_info(s, reply);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return region_info(s, request, reply);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return irq_info(s, request, reply);
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		return region_access(s, request, header, reply);
	default:
		return s->command(s->arg, request, header, reply);
	}
}

static bool
is_faulty(struct fake_server *s, const struct vuc_loopback_msg *request, uint16_t cmd)
{
	uint32_t fields[2];

	if (s->fault.nth == 0 || (s->fault.cmd != 0 && cmd != s->fault.cmd))
		return false;
	if (s->fault.flags != 0) {
		fake_server_body(request, fields, sizeof(fields));
		if (fields[1] != s->fault.flags)
			return false;
	}
	return ++s->matched == s->fault.nth;
}

/* What the tables say of a command before it is answered. Returns an errno to answer. */
static int
server_refuse(struct fake_server *s, const struct vuc_loopback_msg *request, uint16_t cmd)
{
	if (s->nr_seen < FAKE_MAX_SEEN)
		s->seen[s->nr_seen] = cmd;
	s->nr_seen++;
	s->faulty = is_faulty(s, request, cmd);
	if (s->faulty && s->fault.wrong <= FAKE_ERROR_STATE)
		return (int)s->fault.value;
	return (s->refused & 1u << cmd) != 0 ? EIO : 0;
}

/* Spoil a reply as the fault says. */
static void
spoil(const struct fake_fault *fault, struct fake_reply *reply)
{
	switch (fault->wrong) {
	case FAKE_CUT:
		reply->len -= fault->value;
		break;
	case FAKE_LONGER:
		memset(reply->body + reply->len, 0, fault->value);
		reply->len += fault->value;
		break;
	case FAKE_FIELD:
		memcpy(reply->body + fault->at, &fault->value, sizeof(fault->value));
		break;
	case FAKE_SILENT:
		reply->silent = true;
		break;
	default:
		break;
	}
}

static void
hold(struct fake_server *s, uint16_t cmd, struct vuc_loopback_msg *message)
{
	if (s->hold_from != 0 && s->nr_seen >= s->hold_from)
		s->held = UINT32_MAX;
	if ((s->held & 1u << cmd) == 0)
		return;
	CU_ASSERT_FATAL(message->len <= FAKE_STASH_SIZE - s->stash_len);
	memcpy(s->stash + s->stash_len, message->bytes, message->len);
	s->stash_len += message->len;
	message->len = 0;
}

static int
handle(void *arg, struct vuc_loopback_msg *request, struct vuc_loopback_msg *message)
{
	struct fake_reply reply = {
		.body = message->bytes + HEADER_SIZE,
		.size = message->size - HEADER_SIZE,
		.fds = message->fds,
	};
	struct fake_server *s = arg;
	struct vfio_user_header header;
	int error;

	memcpy(&header, request->bytes, HEADER_SIZE);
	reply.silent = (header.flags & VFIO_USER_F_NO_REPLY) != 0;
	error = server_refuse(s, request, header.cmd);
	if (error == 0)
		error = answer(s, request, &header, &reply);
	if (error != 0)
		reply.len = 0;
	if (error == 0 && s->faulty)
		spoil(&s->fault, &reply);
	header.flags = VFIO_USER_F_TYPE_REPLY | (error != 0 ? VFIO_USER_F_ERROR : 0);
	header.error_no = (uint32_t)error;
	header.msg_size = (uint32_t)(HEADER_SIZE + reply.len);
	memcpy(message->bytes, &header, HEADER_SIZE);
	message->len = reply.silent ? 0 : header.msg_size;
	message->nr_fds = reply.nr_fds;
	if (error < 0 || s->hang_up || (s->faulty && s->fault.wrong == FAKE_CLOSE))
		return error < 0 ? error : -ECONNRESET;
	hold(s, header.cmd, message);
	return s->deviate != NULL ? s->deviate(s->arg, request, message) : 0;
}

/* More than any message of a test has. */
#define MESSAGE_MAX (2u * 1024 * 1024 + 65536)

/* Receive len bytes, and the descriptors that ride on them. */
static bool
receive(int fd, struct vuc_loopback_msg *m, size_t len)
{
	size_t end = m->len + len;

	while (m->len < end) {
		struct iovec part = {.iov_base = m->bytes + m->len, .iov_len = end - m->len};
		int nr_fds;
		ssize_t n = vuc_fds_receive(fd, &part, 1, m->fds + m->nr_fds,
			VUC_LOOPBACK_MAX_FDS - m->nr_fds, &nr_fds, 0, NULL);

		if (n <= 0 || nr_fds < 0)
			return false;
		m->nr_fds += (unsigned int)nr_fds;
		m->len += (size_t)n;
	}
	return true;
}

static bool
transmit(int fd, const struct vuc_loopback_msg *m)
{
	return m->len == 0 ||
		vuc_fds_send(fd, m->bytes, m->len, m->fds, m->nr_fds, 0) == (ssize_t)m->len;
}

static void
close_fds(struct vuc_loopback_msg *m)
{
	vuc_fds_close(m->fds, m->nr_fds);
	m->nr_fds = 0;
}

/* Refuse a command whose body is still in the socket. */
static bool
refuse_unread(struct fake_server *s, struct vfio_user_header *header)
{
	struct vuc_loopback_msg m = {.bytes = (uint8_t *)header, .len = HEADER_SIZE};

	header->msg_size = HEADER_SIZE;
	header->flags = VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR;
	header->error_no = 0;
	return transmit(s->fd, &m);
}

static bool
is_unread(const struct fake_server *s, const struct vfio_user_header *header)
{
	return s->unread != 0 &&
		(header->cmd == 0 || header->cmd >= VFIO_USER_MAX ||
			(s->unread & 1u << header->cmd) != 0);
}

/* Returns false when the connection is to end. */
static bool
serve_message(struct fake_server *s, struct vuc_loopback_msg *in, struct vuc_loopback_msg *out)
{
	struct vfio_user_header header;
	bool goes_on;

	if (!receive(s->fd, in, HEADER_SIZE))
		return false;
	memcpy(&header, in->bytes, HEADER_SIZE);
	if (is_unread(s, &header))
		return refuse_unread(s, &header);
	if (header.msg_size < HEADER_SIZE || header.msg_size > MESSAGE_MAX ||
		!receive(s->fd, in, header.msg_size - HEADER_SIZE))
		return false;
	goes_on = handle(s, in, out) == 0 && transmit(s->fd, out);
	close_fds(in);
	close_fds(out);
	return goes_on;
}

static void *
server_serve(void *arg)
{
	struct fake_server *s = arg;
	uint8_t *bytes = malloc(3 * (size_t)MESSAGE_MAX);
	struct vuc_loopback_msg in, out;

	if (bytes == NULL)
		abort();
	s->answer = (struct vuc_loopback_msg){
		.bytes = bytes + 2 * (size_t)MESSAGE_MAX, .size = MESSAGE_MAX};
	do {
		in = (struct vuc_loopback_msg){.bytes = bytes, .size = MESSAGE_MAX};
		out = (struct vuc_loopback_msg){.bytes = bytes + MESSAGE_MAX, .size = MESSAGE_MAX};
	} while (serve_message(s, &in, &out));
	shutdown(s->fd, SHUT_RDWR);
	free(bytes);
	return NULL;
}

void
fake_server_send_access(int fd, const struct vfio_user_header *header,
	const struct vfio_user_dma_region_access *access, const void *data, size_t len)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
	} command = {.header = *header, .access = *access};

	command.header.msg_size = (uint32_t)(sizeof(command) + len);
	if (vuc_fds_send(fd, &command, sizeof(command), NULL, 0, 0) < 0 ||
		(len > 0 && vuc_fds_send(fd, data, len, NULL, 0, 0) < 0))
		printf("# the client has closed\n");
}

bool
fake_server_receive(struct fake_server *s, int fd, struct vfio_user_header *header)
{
	bool whole;

	s->answer.len = 0;
	s->answer.nr_fds = 0;
	if (!receive(fd, &s->answer, HEADER_SIZE))
		return false;
	memcpy(header, s->answer.bytes, HEADER_SIZE);
	whole = header->msg_size >= HEADER_SIZE && header->msg_size <= MESSAGE_MAX &&
		receive(fd, &s->answer, header->msg_size - HEADER_SIZE);
	close_fds(&s->answer);
	return whole;
}

int
fake_server_start(struct fake_server *s)
{
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	s->fd = pair[1];
	s->twin_fd = 0;
	s->running = true;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, server_serve, s), 0);
	return pair[0];
}

void
fake_server_join(struct fake_server *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void
fake_server_stop(struct fake_server *s)
{
	fake_server_join(s);
	if (s->fd > 0)
		close(s->fd);
	if (s->twin_fd > 0)
		close(s->twin_fd);
}

void
fake_server_opts(struct fake_server *s, struct vuc_device_opts *opts)
{
	s->loopback = (struct vuc_loopback_server){.handle = handle, .arg = s};
	vuc_device_opts_init(opts, sizeof(*opts));
	opts->loopback = &s->loopback;
	opts->max_msg_fds = VUC_MAX_MSG_FDS;
}

struct vuc_device *
fake_server_open(struct fake_server *s)
{
	struct vuc_device_opts opts;

	fake_server_opts(s, &opts);
	return open_well(&opts);
}
