/* SPDX-License-Identifier: BSD-3-Clause */
#include "handshake.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "interrupt.h"
#include "message.h"

#define VERSION_REPLY_MIN (sizeof(struct vfio_user_header) + sizeof(struct vfio_user_version))
#define VERSION_REPLY_MAX 8192u

int
bench_limit_waiting(int fd, unsigned int ms, struct vuc_error *err)
{
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000)};

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0)
		return bench_fail(err, -errno, "setsockopt: %s", strerror(errno));
	return 0;
}

static int
connect_to(int fd, const char *path, struct vuc_error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int ret;

	if (len >= sizeof(addr.sun_path))
		return bench_fail(err, -ENAMETOOLONG, "socket path of %zu bytes, at most %zu: %s",
			len, sizeof(addr.sun_path) - 1, path);
	memcpy(addr.sun_path, path, len);
	ret = bench_limit_waiting(fd, BENCH_TIMEOUT_MS, err);
	if (ret != 0)
		return ret;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		/* What connect(2) says when SO_SNDTIMEO has passed. */
		ret = errno == EAGAIN ? -ETIMEDOUT : -errno;
		return bench_fail(err, ret, "%s: connect: %s", path, strerror(-ret));
	}
	return bench_limit_waiting(fd, 0, err);
}

int
bench_connect(const char *path, struct vuc_error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return bench_fail(err, -errno, "socket: %s", strerror(errno));
	ret = connect_to(fd, path, err);
	if (ret != 0) {
		close(fd);
		return ret;
	}
	return fd;
}

static int
receive_all(int fd, uint8_t *buf, size_t len, struct vuc_error *err)
{
	while (len > 0) {
		ssize_t n = recv(fd, buf, len, 0);

		if (n == 0)
			return bench_fail(err, -ECONNRESET,
				"floor: the server closed the connection during VERSION");
		if (n < 0 && errno == EINTR && !bench_interrupted())
			continue;
		if (n < 0) {
			int ret = errno == EAGAIN ? -ETIMEDOUT : -errno;

			return bench_fail(err, ret, "floor: reply to VERSION: %s", strerror(-ret));
		}
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
receive_version(int fd, const struct bench_message *sent, struct vuc_error *err)
{
	uint8_t reply[VERSION_REPLY_MAX];
	struct vfio_user_header header;
	struct vfio_user_version version;
	int ret = receive_all(fd, reply, sizeof(header), err);

	if (ret != 0)
		return ret;
	memcpy(&header, reply, sizeof(header));
	if (header.msg_size < sizeof(header) || header.msg_size > sizeof(reply))
		return bench_fail(err, -EPROTO,
			"floor: reply to VERSION says that it has %" PRIu32 " bytes",
			header.msg_size);
	ret = receive_all(fd, reply + sizeof(header), header.msg_size - sizeof(header), err);
	if (ret != 0)
		return ret;
	ret = bench_message_check(sent, reply, header.msg_size, err);
	if (ret != 0)
		return ret;
	if (header.msg_size < VERSION_REPLY_MIN)
		return bench_fail(err, -EPROTO, "floor: reply to VERSION of %" PRIu32 " bytes",
			header.msg_size);
	memcpy(&version, reply + sizeof(header), sizeof(version));
	if (version.major != VFIO_USER_MAJOR)
		return bench_fail(err, -EPROTO, "floor: the server speaks version %u.%u",
			version.major, version.minor);
	return 0;
}

int
bench_negotiate(int fd, struct vuc_error *err)
{
	struct bench_message msg;
	ssize_t n;
	int ret;

	ret = bench_limit_waiting(fd, BENCH_TIMEOUT_MS, err);
	if (ret != 0)
		return ret;
	bench_message_version(&msg);
	n = send(fd, msg.bytes, msg.len, MSG_NOSIGNAL);
	if (n < 0)
		return bench_fail(err, -errno, "floor: sending VERSION: %s", strerror(errno));
	if ((size_t)n != msg.len)
		return bench_fail(err, -EIO, "floor: %zd of %zu bytes of VERSION sent", n, msg.len);
	ret = receive_version(fd, &msg, err);
	if (ret != 0)
		return ret;
	return bench_limit_waiting(fd, 0, err);
}
