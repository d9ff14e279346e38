/* SPDX-License-Identifier: BSD-3-Clause */
#include "floor.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "fds.h"
#include "socket.h"

#define HEADER_LEN        sizeof(struct vfio_user_header)
#define ACCESS_LEN        sizeof(struct vfio_user_region_access)
#define VERSION_REPLY_MIN (HEADER_LEN + sizeof(struct vfio_user_version))
#define VERSION_REPLY_MAX 8192u

/* How often a spinning loop looks at the clock: some milliseconds apart. */
#define SPINS_PER_LOOK 8192u

static void
message_begin(struct bench_message *msg, enum vfio_user_command cmd, uint32_t flags, size_t body)
{
	struct vfio_user_header header = {
		.cmd = (uint16_t)cmd,
		.msg_size = (uint32_t)(HEADER_LEN + body),
		.flags = VFIO_USER_F_TYPE_COMMAND | flags,
	};

	memset(msg, 0, sizeof(*msg));
	msg->len = HEADER_LEN + body;
	memcpy(msg->bytes, &header, sizeof(header));
}

void
bench_message_version(struct bench_message *msg)
{
	static const char json[] =
		"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}";
	struct vfio_user_version version = {.major = VFIO_USER_MAJOR, .minor = VFIO_USER_MINOR};

	message_begin(msg, VFIO_USER_VERSION, 0, sizeof(version) + sizeof(json));
	memcpy(msg->bytes + HEADER_LEN, &version, sizeof(version));
	memcpy(msg->bytes + HEADER_LEN + sizeof(version), json, sizeof(json));
}

void
bench_message_access(struct bench_message *msg, const struct bench_access *access)
{
	struct vfio_user_region_access body = {
		.offset = access->offset,
		.region = access->region,
		.count = access->size,
	};

	if (access->op == BENCH_READ) {
		message_begin(msg, VFIO_USER_REGION_READ, 0, ACCESS_LEN);
		msg->reply_len = HEADER_LEN + ACCESS_LEN + access->size;
	} else {
		uint32_t flags = access->op == BENCH_POSTED ? VFIO_USER_F_NO_REPLY : 0;

		message_begin(msg, VFIO_USER_REGION_WRITE, flags, ACCESS_LEN + access->size);
		msg->reply_len = access->op == BENCH_POSTED ? 0 : HEADER_LEN + ACCESS_LEN;
	}
	msg->echo_len = sizeof(body);
	memcpy(msg->bytes + HEADER_LEN, &body, sizeof(body));
}

void
bench_message_dma_map(struct bench_message *msg, uint64_t size)
{
	const struct vfio_user_dma_map body = {
		.argsz = sizeof(body),
		.flags = VFIO_USER_F_DMA_REGION_READ | VFIO_USER_F_DMA_REGION_WRITE,
		.size = size,
	};

	message_begin(msg, VFIO_USER_DMA_MAP, 0, sizeof(body));
	msg->reply_len = HEADER_LEN;
	memcpy(msg->bytes + HEADER_LEN, &body, sizeof(body));
}

void
bench_message_dma_unmap(struct bench_message *msg, uint64_t size)
{
	const struct vfio_user_dma_unmap body = {.argsz = sizeof(body), .size = size};

	message_begin(msg, VFIO_USER_DMA_UNMAP, 0, sizeof(body));
	msg->reply_len = HEADER_LEN + sizeof(body);
	msg->echo_len = sizeof(body);
	memcpy(msg->bytes + HEADER_LEN, &body, sizeof(body));
}

void
bench_message_dma_map_set(struct bench_message *msg, uint64_t addr, uint64_t offset)
{
	uint8_t *body = msg->bytes + HEADER_LEN;

	memcpy(body + offsetof(struct vfio_user_dma_map, addr), &addr, sizeof(addr));
	memcpy(body + offsetof(struct vfio_user_dma_map, offset), &offset, sizeof(offset));
}

void
bench_message_dma_unmap_set(struct bench_message *msg, uint64_t addr)
{
	uint8_t *body = msg->bytes + HEADER_LEN;

	memcpy(body + offsetof(struct vfio_user_dma_unmap, addr), &addr, sizeof(addr));
}

void
bench_message_number(struct bench_message *msg, uint16_t id)
{
	memcpy(msg->bytes + offsetof(struct vfio_user_header, msg_id), &id, sizeof(id));
}

bool
bench_message_is_whole(const uint8_t *reply, size_t len)
{
	struct vfio_user_header header;

	if (len < sizeof(header))
		return false;
	memcpy(&header, reply, sizeof(header));
	return header.msg_size <= len;
}

static int
check_header(const struct vfio_user_header *sent, const struct vfio_user_header *got, size_t len,
	struct vuc_error *err)
{
	if ((got->flags & VFIO_USER_F_TYPE_MASK) != VFIO_USER_F_TYPE_REPLY)
		return bench_fail(err, -EPROTO,
			"floor: expected a reply, got a message of command %u with flags 0x%x",
			got->cmd, got->flags);
	if (got->msg_id != sent->msg_id || got->cmd != sent->cmd)
		return bench_fail(err, -EPROTO,
			"floor: got a reply to command %u, id %u; expected command %u, id %u",
			got->cmd, got->msg_id, sent->cmd, sent->msg_id);
	if (got->msg_size != len)
		return bench_fail(err, -EPROTO, "floor: reply of %zu bytes has msg_size %" PRIu32,
			len, got->msg_size);
	return 0;
}

static int
server_error(const struct vfio_user_header *got, struct vuc_error *err)
{
	uint32_t no = got->error_no;

	/* The specification asks for an errno, and nobody has any above 4095. */
	if (no == 0 || no > 4095)
		return bench_fail(err, -EIO,
			"floor: the server answered command %u with error %" PRIu32, got->cmd, no);
	return bench_fail(err, -(int)no, "floor: the server answered command %u with error %u (%s)",
		got->cmd, no, strerror((int)no));
}

int
bench_message_check(
	const struct bench_message *msg, const uint8_t *reply, size_t len, struct vuc_error *err)
{
	struct vfio_user_header sent, got;
	int ret;

	if (len < sizeof(got))
		return bench_fail(err, -EPROTO, "floor: reply of only %zu bytes", len);
	memcpy(&sent, msg->bytes, sizeof(sent));
	memcpy(&got, reply, sizeof(got));
	ret = check_header(&sent, &got, len, err);
	if (ret != 0)
		return ret;
	if ((got.flags & VFIO_USER_F_ERROR) != 0)
		return server_error(&got, err);
	if (msg->reply_len == 0)
		return 0;
	if (len != msg->reply_len)
		return bench_fail(err, -EPROTO,
			"floor: reply of %zu bytes to command %u, expected %zu", len, got.cmd,
			msg->reply_len);
	if (memcmp(reply + HEADER_LEN, msg->bytes + HEADER_LEN, msg->echo_len) != 0)
		return bench_fail(err, -EPROTO,
			"floor: reply to command %u does not repeat the request's fields", got.cmd);
	return 0;
}

int
bench_limit_waiting(int fd, unsigned int ms, struct vuc_error *err)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000)};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0)
		return bench_fail(
			err, -errno, "cannot set the timeouts of a socket: %s", strerror(errno));
	return 0;
}

static int
connect_to(int fd, const char *path, struct vuc_error *err)
{
	struct sockaddr_un addr;
	int ret = vuc_socket_address(path, &addr, err);

	if (ret == 0)
		ret = bench_limit_waiting(fd, BENCH_TIMEOUT_MS, err);
	if (ret != 0)
		return ret;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		/* What connect(2) says when SO_SNDTIMEO has passed. */
		ret = errno == EAGAIN ? -ETIMEDOUT : -errno;
		return bench_fail(err, ret, "%s: cannot connect: %s", path, strerror(-ret));
	}
	return bench_limit_waiting(fd, 0, err);
}

int
bench_connect(const char *path, struct vuc_error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return bench_fail(err, -errno, "cannot create a socket: %s", strerror(errno));
	ret = connect_to(fd, path, err);
	if (ret != 0) {
		close(fd);
		return ret;
	}
	return fd;
}

void
bench_wire_begin(struct bench_wire *w, unsigned int ms)
{
	w->deadline = bench_clock_ticks(w->clock) + bench_clock_from_ms(w->clock, ms);
}

static int
wire_look_up(const struct bench_wire *w, unsigned int spins)
{
	if (spins % SPINS_PER_LOOK != 0)
		return 0;
	if (bench_interrupted())
		return -EINTR;
	return bench_clock_ticks(w->clock) > w->deadline ? -ETIMEDOUT : 0;
}

/* Judge the result of a send. Returns 0 when it is to be tried again, 1 when the message has gone.
 */
static int
wire_judge_send(struct bench_wire *w, size_t len, ssize_t n)
{
	w->syscalls++;
	if (n == (ssize_t)len)
		return 1;
	/* The kernel takes so few bytes whole or not at all. */
	if (n >= 0)
		return -EIO;
	return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
}

int
bench_wire_send(struct bench_wire *w, const void *bytes, size_t len)
{
	int ret = 0;

	for (unsigned int spins = 1; ret == 0; spins++) {
		ssize_t n = send(w->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		ret = wire_judge_send(w, len, n < 0 ? -errno : n);
		if (ret == 0)
			ret = wire_look_up(w, spins);
	}
	return ret < 0 ? ret : 0;
}

int
bench_wire_send_fd(struct bench_wire *w, const void *bytes, size_t len, int fd)
{
	int ret = 0;

	for (unsigned int spins = 1; ret == 0; spins++) {
		ret = wire_judge_send(
			w, len, vuc_fds_send(w->fd, bytes, len, &fd, 1, MSG_DONTWAIT));
		if (ret == 0)
			ret = wire_look_up(w, spins);
	}
	return ret < 0 ? ret : 0;
}

static void
msghdr_advance(struct msghdr *msg, size_t len)
{
	while (msg->msg_iovlen > 0 && len >= msg->msg_iov->iov_len) {
		len -= msg->msg_iov->iov_len;
		msg->msg_iov++;
		msg->msg_iovlen--;
	}
	if (len > 0) {
		msg->msg_iov->iov_base = (uint8_t *)msg->msg_iov->iov_base + len;
		msg->msg_iov->iov_len -= len;
	}
}

int
bench_wire_send_data(
	struct bench_wire *w, const void *head, size_t head_len, const void *data, size_t data_len)
{
	struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)head, .iov_len = head_len},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = data_len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = data_len > 0 ? 2 : 1};
	unsigned int spins = 0;
	int ret = 0;

	while (ret == 0 && msg.msg_iovlen > 0) {
		ssize_t n = sendmsg(w->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		w->syscalls++;
		if (n >= 0)
			msghdr_advance(&msg, (size_t)n);
		else if (errno != EAGAIN && errno != EINTR)
			ret = -errno;
		else
			ret = wire_look_up(w, ++spins);
	}
	return ret;
}

ssize_t
bench_wire_receive(struct bench_wire *w, void *buf, size_t size)
{
	int ret = 0;

	for (unsigned int spins = 1; ret == 0; spins++) {
		ssize_t n = recv(w->fd, buf, size, MSG_DONTWAIT);

		w->syscalls++;
		if (n > 0)
			return n;
		if (n == 0)
			return -ECONNRESET;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		ret = wire_look_up(w, spins);
	}
	return ret;
}

int
bench_wire_receive_all(struct bench_wire *w, void *buf, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = bench_wire_receive(w, (uint8_t *)buf + got, len - got);

		if (n < 0)
			return (int)n;
		got += (size_t)n;
	}
	return 0;
}

ssize_t
bench_wire_receive_reply(
	struct bench_wire *w, const struct bench_message *msg, uint8_t reply[BENCH_MESSAGE_MAX])
{
	size_t got = 0;

	while (got < msg->reply_len) {
		ssize_t n = bench_wire_receive(w, reply + got, BENCH_MESSAGE_MAX - got);

		if (n < 0)
			return n;
		got += (size_t)n;
		/* An error's reply is all that will come. */
		if (bench_message_is_whole(reply, got))
			break;
	}
	return (ssize_t)got;
}

int
bench_wire_check(
	const struct bench_message *msg, const uint8_t *reply, ssize_t len, struct vuc_error *err)
{
	if (len < 0)
		return bench_fail(err, (int)len, "floor: %s", strerror((int)-len));
	if (msg->reply_len == 0)
		return 0;
	return bench_message_check(msg, reply, (size_t)len, err);
}

static int
wire_receive_version(struct bench_wire *w, const struct bench_message *sent, struct vuc_error *err)
{
	uint8_t reply[VERSION_REPLY_MAX];
	struct vfio_user_header header = {0};
	struct vfio_user_version version;
	int ret = bench_wire_receive_all(w, reply, sizeof(header));

	if (ret == 0)
		memcpy(&header, reply, sizeof(header));
	if (ret == 0 && (header.msg_size < sizeof(header) || header.msg_size > sizeof(reply)))
		return bench_fail(err, -EPROTO, "floor: reply to VERSION has msg_size %" PRIu32,
			header.msg_size);
	if (ret == 0)
		ret = bench_wire_receive_all(
			w, reply + sizeof(header), header.msg_size - sizeof(header));
	if (ret == -ECONNRESET)
		return bench_fail(
			err, ret, "floor: the server closed the connection during VERSION");
	if (ret != 0)
		return bench_fail(err, ret, "floor: reply to VERSION: %s", strerror(-ret));
	ret = bench_message_check(sent, reply, header.msg_size, err);
	if (ret != 0)
		return ret;
	if (header.msg_size < VERSION_REPLY_MIN)
		return bench_fail(err, -EPROTO, "floor: reply to VERSION of only %" PRIu32 " bytes",
			header.msg_size);
	memcpy(&version, reply + sizeof(header), sizeof(version));
	if (version.major != VFIO_USER_MAJOR)
		return bench_fail(err, -EPROTO, "floor: unsupported protocol version %u.%u",
			version.major, version.minor);
	return 0;
}

int
bench_negotiate(struct bench_wire *w, struct vuc_error *err)
{
	struct bench_message msg;
	int ret;

	bench_wire_begin(w, BENCH_TIMEOUT_MS);
	bench_message_version(&msg);
	ret = bench_wire_send(w, msg.bytes, msg.len);
	if (ret != 0)
		return bench_fail(err, ret, "floor: sending VERSION: %s", strerror(-ret));
	return wire_receive_version(w, &msg, err);
}
