/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "asleep.h"
#include "fds.h"
#include "tap.h"
#include "wait_server.h"

#define HEADER      sizeof(struct vfio_user_header)
#define ACCESS      sizeof(struct vfio_user_region_access)
#define DMA_ACCESS  sizeof(struct vfio_user_dma_region_access)
#define DMA_MAX     0x100000u /* bytes of one DMA read */
#define MESSAGE_MAX (DMA_MAX + 4096u)

/* A reply in the making. */
struct reply {
	uint8_t *bytes;
	size_t len;
};

static void
put(struct reply *r, const void *bytes, size_t len)
{
	memcpy(r->bytes + r->len, bytes, len);
	r->len += len;
}

static void
put_region_info(struct reply *r)
{
	const struct vfio_user_region_info info = {
		.argsz = sizeof(info),
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
		.index = WAIT_REGION,
		.size = WAIT_SIZE,
	};

	put(r, &info, sizeof(info));
}

static void
put_device_info(struct reply *r)
{
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info), .flags = VFIO_DEVICE_FLAGS_PCI, .num_regions = 1};

	put(r, &info, sizeof(info));
}

static void
put_version(struct reply *r, bool twin)
{
	static const char with[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8,\"twin_socket\":"
				   "{\"supported\":true,\"fd_index\":0}}}";
	static const char without[] = "\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8}}";

	if (twin)
		put(r, with, sizeof(with));
	else
		put(r, without, sizeof(without));
}

/* Returns the offset of what was accessed. */
static uint64_t
access_region(struct wait_server *s, const uint8_t *body, bool write, struct reply *r)
{
	struct vfio_user_region_access access;

	memcpy(&access, body, ACCESS);
	put(r, &access, ACCESS);
	if (!write)
		put(r, &s->written, access.count);
	else if (access.offset >= WAIT_DATA)
		s->written += access.count;
	return access.offset;
}

/* Make the reply to a message, of length 0 when there is none. Returns the offset of an access. */
static uint64_t
answer(struct wait_server *s, const uint8_t *message, struct reply *r, bool twin)
{
	struct vfio_user_header header;
	uint64_t offset = WAIT_READ;
	bool silent;

	memcpy(&header, message, HEADER);
	silent = (header.flags & VFIO_USER_F_NO_REPLY) != 0;
	r->len = HEADER;
	if (header.cmd == VFIO_USER_VERSION)
		put_version(r, twin);
	else if (header.cmd == VFIO_USER_DEVICE_GET_INFO)
		put_device_info(r);
	else if (header.cmd == VFIO_USER_DEVICE_GET_REGION_INFO)
		put_region_info(r);
	else if (header.cmd == VFIO_USER_REGION_READ || header.cmd == VFIO_USER_REGION_WRITE)
		offset =
			access_region(s, message + HEADER, header.cmd == VFIO_USER_REGION_WRITE, r);
	header.flags = VFIO_USER_F_TYPE_REPLY;
	header.msg_size = (uint32_t)r->len;
	memcpy(r->bytes, &header, HEADER);
	if (silent || offset == WAIT_READ_NEVER)
		r->len = 0;
	return offset;
}

static int
handle(void *arg, struct vuc_loopback_msg *request, struct vuc_loopback_msg *message)
{
	struct reply r = {.bytes = message->bytes};

	answer(arg, request->bytes, &r, false);
	message->len = r.len;
	return 0;
}

/* Returns the size of the message that came, 0 for none. */
static size_t
receive(struct wait_server *s, int fd)
{
	struct vfio_user_header header;
	size_t left;

	if (recv(fd, s->message, HEADER, MSG_WAITALL) != (ssize_t)HEADER)
		return 0;
	memcpy(&header, s->message, HEADER);
	left = header.msg_size - HEADER;
	if (left > MESSAGE_MAX - HEADER)
		return 0;
	if (left > 0 && recv(fd, s->message + HEADER, left, MSG_WAITALL) != (ssize_t)left)
		return 0;
	return header.msg_size;
}

static void
send_reply(struct wait_server *s, const struct reply *r, int pass)
{
	if (vuc_fds_send(s->fd, r->bytes, r->len, &pass, pass >= 0, 0) != (ssize_t)r->len)
		printf("# server: the client has closed\n");
}

static bool
is_memory(const uint8_t *bytes, size_t offset)
{
	for (size_t i = 0; i < DMA_MAX; i++) {
		if (bytes[i] != wait_server_pattern(offset + i))
			return false;
	}
	return true;
}

/* Read the memory for DMA, and take each answer only when the client sleeps again: it is longer
 * than what a socket holds. */
static void
read_memory(struct wait_server *s, int fd)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
	} command = {
		.header = {.msg_id = 7, .cmd = VFIO_USER_DMA_READ, .msg_size = sizeof(command)},
		.access = {.count = DMA_MAX},
	};
	const uint64_t one = 1;

	for (size_t offset = 0; offset < WAIT_SIZE; offset += DMA_MAX) {
		command.access.addr = WAIT_SIZE + offset;
		asleep_await(s->client);
		if (send(fd, &command, sizeof(command), MSG_NOSIGNAL) < 0)
			return;
		asleep_await(s->client);
		if (receive(s, fd) != HEADER + DMA_ACCESS + DMA_MAX ||
			!is_memory(s->message + HEADER + DMA_ACCESS, offset))
			return;
	}
	atomic_fetch_add(&s->good, 1);
	if (write(s->done_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();
}

static void
await_hang_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	while (poll(&p, 1, -1) <= 0)
		;
}

/* Commands whose answers are more than what a socket holds. */
static void
ask_without_reading(struct wait_server *s)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_region_access access;
	} command = {
		.header = {.msg_id = 7, .cmd = VFIO_USER_DMA_READ, .msg_size = sizeof(command)},
		.access = {.addr = WAIT_SIZE, .count = DMA_MAX},
	};

	if (send(s->twin, &command, sizeof(command), MSG_NOSIGNAL) > 0)
		await_hang_up(s->twin);
}

/* What an access means beside its answer. */
static void
act(struct wait_server *s, uint64_t offset)
{
	if (offset == WAIT_READ_LATER || offset == WAIT_PAUSE || offset == WAIT_HANG_UP ||
		offset == WAIT_HANG_UP_TWIN)
		asleep_await(s->client);
	if (offset == WAIT_HANG_UP)
		shutdown(s->fd, SHUT_RDWR);
	else if (offset == WAIT_HANG_UP_TWIN)
		shutdown(s->twin, SHUT_RDWR);
	else if (offset == WAIT_STOP) {
		atomic_store(&s->stopped, true);
		await_hang_up(s->fd);
	} else if (offset == WAIT_STOP_TWIN)
		ask_without_reading(s);
	else if (offset == WAIT_COMMAND)
		read_memory(s, s->fd);
	else if (offset == WAIT_COMMAND_ON_TWIN)
		read_memory(s, s->twin);
}

static void *
run(void *arg)
{
	struct wait_server *s = arg;
	uint8_t bytes[4096];
	struct reply r = {.bytes = bytes};
	int pair[2] = {-1, -1};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		abort();
	s->twin = pair[0];
	while (receive(s, s->fd) > 0) {
		uint64_t offset = answer(s, s->message, &r, pair[1] >= 0);

		act(s, offset);
		if (offset == WAIT_STOP)
			break;
		if (r.len > 0)
			send_reply(s, &r, pair[1]);
		if (pair[1] >= 0)
			close(pair[1]);
		pair[1] = -1;
	}
	close(s->twin);
	/* Others use it only before they have the client hang up; this lets ThreadSanitizer see. */
	(void)atomic_load(&s->lent);
	close(s->fd);
	return NULL;
}

static int
start_thread(struct wait_server *s)
{
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	if (s->send_buffer != 0)
		CU_ASSERT_EQUAL(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &s->send_buffer,
					sizeof(s->send_buffer)),
			0);
	s->fd = pair[1];
	s->message = malloc(MESSAGE_MAX);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->message);
	s->running = true;
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->thread, NULL, run, s), 0);
	return pair[0];
}

struct vuc_device *
wait_server_open(
	struct wait_server *s, struct vuc_poll_group *group, const struct vuc_device_opts *opts)
{
	struct vuc_device_opts o = *opts;
	struct vuc_error err = {0};
	struct vuc_device *dev;

	*s = (struct wait_server){.client = gettid(), .send_buffer = s->send_buffer};
	s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->loopback = (struct vuc_loopback_server){.handle = handle, .arg = s};
	o.group = group;
	if (strcmp(vuc_poll_group_transport(group), "loopback") == 0)
		o.loopback = &s->loopback;
	else
		o.fd = start_thread(s);
	if (vuc_device_open(&o, &dev, &err) != 0)
		printf("# %s\n", err.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dev);
	if (o.fd >= 0)
		close(o.fd);
	return dev;
}

void
wait_server_join(struct wait_server *s)
{
	if (s->running)
		pthread_join(s->thread, NULL);
	s->running = false;
}

void
wait_server_close(struct wait_server *s, struct vuc_device *dev)
{
	vuc_device_close(dev);
	wait_server_join(s);
	free(s->message);
	close(s->done_fd);
}
