/* SPDX-License-Identifier: BSD-3-Clause */
#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"

#define HEADER_LEN sizeof(struct vfio_user_header)
#define ACCESS_LEN sizeof(struct vfio_user_region_access)

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
			"floor: message of command %u with flags 0x%x came instead of a reply",
			got->cmd, got->flags);
	if (got->msg_id != sent->msg_id || got->cmd != sent->cmd)
		return bench_fail(err, -EPROTO,
			"floor: reply to command %u, id %u came instead of command %u, id %u",
			got->cmd, got->msg_id, sent->cmd, sent->msg_id);
	if (got->msg_size != len)
		return bench_fail(err, -EPROTO,
			"floor: reply of %zu bytes says that it has %" PRIu32, len, got->msg_size);
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
		return bench_fail(err, -EPROTO, "floor: reply of %zu bytes", len);
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
			"floor: reply to command %u repeats something else than was sent", got.cmd);
	return 0;
}
