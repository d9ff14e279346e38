/* SPDX-License-Identifier: BSD-3-Clause */
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "asleep.h"
#include "outcome.h"
#include "wait_server.h"

#define HEADER     sizeof(struct vfio_user_header)
#define DMA_ACCESS sizeof(struct vfio_user_dma_region_access)
#define DMA_MAX    0x100000u /* bytes of one DMA read, more than a socket holds */

static void
memory_ask(int fd, uint64_t addr)
{
	const struct vfio_user_header header = {.msg_id = 7, .cmd = VFIO_USER_DMA_READ};
	const struct vfio_user_dma_region_access access = {.addr = addr, .count = DMA_MAX};

	fake_server_send_access(fd, &header, &access, NULL, 0);
}

static bool
is_memory(const struct vuc_loopback_msg *answer, size_t offset)
{
	const uint8_t *bytes = answer->bytes + HEADER + DMA_ACCESS;

	if (answer->len != HEADER + DMA_ACCESS + DMA_MAX)
		return false;
	for (size_t i = 0; i < DMA_MAX; i++) {
		if (bytes[i] != wait_server_pattern(offset + i))
			return false;
	}
	return true;
}

/* Read the memory for DMA, and take each answer only when the client sleeps again. */
static void
read_memory(struct wait_server *s, int fd)
{
	struct vfio_user_header header;
	const uint64_t one = 1;

	for (size_t offset = 0; offset < WAIT_SIZE; offset += DMA_MAX) {
		asleep_await(s->client);
		memory_ask(fd, WAIT_SIZE + offset);
		asleep_await(s->client);
		if (!fake_server_receive(&s->fake, fd, &header) ||
			!is_memory(&s->fake.answer, offset))
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

/* What an access means beside its answer. Returns 0, or a negative errno to end. */
static int
act(struct wait_server *s, uint64_t offset)
{
	if (!s->fake.running)
		return 0;
	if (offset == WAIT_READ_LATER || offset == WAIT_PAUSE || offset == WAIT_HANG_UP ||
		offset == WAIT_HANG_UP_TWIN)
		asleep_await(s->client);
	if (offset == WAIT_HANG_UP)
		shutdown(s->fake.fd, SHUT_RDWR);
	else if (offset == WAIT_HANG_UP_TWIN)
		shutdown(s->fake.twin_fd, SHUT_RDWR);
	else if (offset == WAIT_COMMAND)
		read_memory(s, s->fake.fd);
	else if (offset == WAIT_COMMAND_ON_TWIN)
		read_memory(s, s->fake.twin_fd);
	else if (offset == WAIT_STOP_TWIN) {
		memory_ask(s->fake.twin_fd, WAIT_SIZE);
		await_hang_up(s->fake.twin_fd);
	} else if (offset == WAIT_STOP) {
		atomic_store(&s->stopped, true);
		await_hang_up(s->fake.fd);
		return -ECONNRESET;
	}
	return 0;
}

/* A fake_command_fn. */
static int
command(void *arg, const struct vuc_loopback_msg *request, const struct vfio_user_header *header,
	struct fake_reply *reply)
{
	struct vfio_user_region_access access;
	struct wait_server *s = arg;

	if (header->cmd != VFIO_USER_REGION_READ && header->cmd != VFIO_USER_REGION_WRITE)
		return 0;
	fake_server_body(request, &access, sizeof(access));
	memcpy(reply->body, &access, sizeof(access));
	reply->len = sizeof(access);
	if (header->cmd == VFIO_USER_REGION_READ) {
		memcpy(reply->body + reply->len, &s->written, access.count);
		reply->len += access.count;
	} else if (access.offset >= WAIT_DATA)
		s->written += access.count;
	reply->silent = reply->silent || access.offset == WAIT_READ_NEVER;
	return act(s, access.offset);
}

struct vuc_device *
wait_server_open(
	struct wait_server *s, struct vuc_poll_group *group, const struct vuc_device_opts *opts)
{
	struct vuc_device_opts o = *opts, loopback;
	struct vuc_device *dev;

	*s = (struct wait_server){.client = gettid(), .send_buffer = s->send_buffer};
	s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->fake.max_msg_fds = 8;
	s->fake.twin = true;
	s->fake.command = command;
	s->fake.arg = s;
	s->fake.regions[WAIT_REGION] = (struct fake_region){.size = WAIT_SIZE,
		.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
		.asked = true};
	o.group = group;
	fake_server_opts(&s->fake, &loopback);
	if (strcmp(vuc_poll_group_transport(group), "loopback") == 0)
		o.loopback = loopback.loopback;
	else
		o.fd = fake_server_start(&s->fake);
	if (s->send_buffer != 0)
		CU_ASSERT_EQUAL(setsockopt(o.fd, SOL_SOCKET, SO_SNDBUF, &s->send_buffer,
					sizeof(s->send_buffer)),
			0);
	dev = open_well(&o);
	if (o.fd >= 0)
		close(o.fd);
	return dev;
}

void
wait_server_close(struct wait_server *s, struct vuc_device *dev)
{
	vuc_device_close(dev);
	fake_server_stop(&s->fake);
	close(s->done_fd);
}
