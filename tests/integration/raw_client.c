/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fds.h"
#include "raw_client.h"
#include "tap.h"

int
raw_connect(const char *path)
{
	const struct timeval timeout = {.tv_sec = RAW_TIMEOUT_MS / 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FATAL(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	return fd;
}

int
raw_open(const char *path)
{
	static const char body[] = "\0\0\2\0{\"capabilities\":{\"max_msg_fds\":8}}";
	uint8_t bytes[128];
	struct raw_message reply;
	int fd = raw_connect(path);

	raw_send(fd, bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, body, sizeof(body)), NULL,
		0);
	CU_ASSERT_FATAL(raw_receive(fd, &reply) > 0);
	CU_ASSERT_EQUAL_FATAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
	return fd;
}

size_t
raw_command(uint8_t *buf, uint16_t id, uint16_t cmd, uint32_t flags, const void *body, size_t len)
{
	const struct vfio_user_header header = {
		.msg_id = id,
		.cmd = cmd,
		.msg_size = (uint32_t)(sizeof(header) + len),
		.flags = flags,
	};

	memcpy(buf, &header, sizeof(header));
	if (len > 0)
		memcpy(buf + sizeof(header), body, len);
	return sizeof(header) + len;
}

struct access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint64_t value;
};

size_t
raw_read_command(uint8_t *buf, uint16_t id, uint32_t region, uint64_t offset, uint32_t count)
{
	const struct access body = {.offset = offset, .region = region, .count = count};

	return raw_command(
		buf, id, VFIO_USER_REGION_READ, 0, &body, offsetof(struct access, value));
}

size_t
raw_write_command(uint8_t *buf, uint16_t id, uint32_t flags, uint32_t region, uint64_t offset,
	uint32_t count, uint64_t value)
{
	const struct access body = {
		.offset = offset, .region = region, .count = count, .value = value};

	return raw_command(buf, id, VFIO_USER_REGION_WRITE, flags, &body,
		offsetof(struct access, value) + count);
}

void
raw_send(int fd, const uint8_t *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	for (size_t sent = 0; sent < len; nr_fds = 0) {
		ssize_t n = vuc_fds_send(fd, bytes + sent, len - sent, fds, nr_fds, 0);

		CU_ASSERT_FATAL(n > 0);
		sent += (size_t)n;
	}
}

/* Append up to len bytes; 0 at the end of the stream. */
static size_t
receive_some(int fd, struct raw_message *m, size_t len)
{
	struct iovec part = {.iov_base = m->bytes + m->len, .iov_len = len};
	int nr_fds;
	ssize_t n = vuc_fds_receive(
		fd, &part, 1, m->fds + m->nr_fds, RAW_MAX_FDS - m->nr_fds, &nr_fds, 0, NULL);

	if (n == -ECONNRESET)
		return 0;
	CU_ASSERT_FATAL(n >= 0);
	CU_ASSERT_FATAL(nr_fds >= 0);
	m->nr_fds += (unsigned int)nr_fds;
	m->len += (size_t)n;
	return (size_t)n;
}

size_t
raw_receive_bytes(int fd, struct raw_message *m, size_t len)
{
	m->len = 0;
	m->nr_fds = 0;
	CU_ASSERT_FATAL(len <= sizeof(m->bytes));
	while (m->len < len && receive_some(fd, m, len - m->len) > 0)
		;
	memset(&m->header, 0, sizeof(m->header));
	memcpy(&m->header, m->bytes, m->len < sizeof(m->header) ? m->len : sizeof(m->header));
	return m->len;
}

size_t
raw_receive(int fd, struct raw_message *m)
{
	if (raw_receive_bytes(fd, m, sizeof(m->header)) < sizeof(m->header))
		return 0;
	CU_ASSERT_FATAL(m->header.msg_size >= sizeof(m->header));
	CU_ASSERT_FATAL(m->header.msg_size <= sizeof(m->bytes));
	while (m->len < m->header.msg_size)
		if (receive_some(fd, m, m->header.msg_size - m->len) == 0)
			return 0;
	return m->len;
}

void
raw_close_fds(struct raw_message *m)
{
	vuc_fds_close(m->fds, m->nr_fds);
	m->nr_fds = 0;
}

uint64_t
raw_get(int fd, uint64_t offset, uint32_t count)
{
	uint8_t bytes[64];
	struct raw_message reply;
	uint64_t value = 0;

	raw_send(fd, bytes, raw_read_command(bytes, 2, 0, offset, count), NULL, 0);
	CU_ASSERT_EQUAL_FATAL(raw_receive(fd, &reply), 32 + count);
	CU_ASSERT_EQUAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
	memcpy(&value, reply.bytes + 32, count);
	return value;
}

void
raw_set(int fd, uint64_t offset, uint32_t count, uint64_t value)
{
	uint8_t bytes[64];
	struct raw_message reply;

	raw_send(fd, bytes, raw_write_command(bytes, 3, 0, 0, offset, count, value), NULL, 0);
	CU_ASSERT_EQUAL_FATAL(raw_receive(fd, &reply), 32);
	CU_ASSERT_EQUAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
}
