/* SPDX-License-Identifier: BSD-3-Clause */

/* The server's messages, as the fixture of the session's tests builds them. */

#include "session_fixture.h"

struct message
message_build(struct vfio_user_header header, const void *body, size_t len)
{
	struct message m = {.len = HEADER_SIZE + len};

	CU_ASSERT_FATAL(m.len <= sizeof(m.bytes));
	memcpy(m.bytes, &header, HEADER_SIZE);
	if (len > 0)
		memcpy(m.bytes + HEADER_SIZE, body, len);
	return m;
}

void
message_set_header(struct message *m, struct vfio_user_header header)
{
	memcpy(m->bytes, &header, HEADER_SIZE);
}

struct vfio_user_header
message_header(const struct message *m)
{
	struct vfio_user_header header;

	memcpy(&header, m->bytes, HEADER_SIZE);
	return header;
}

struct message
message_reply(const struct vfio_user_header *to, const void *body, size_t len)
{
	const struct vfio_user_header header = {
		.msg_id = to->msg_id,
		.cmd = to->cmd,
		.msg_size = (uint32_t)(HEADER_SIZE + len),
		.flags = REPLY,
	};

	return message_build(header, body, len);
}

struct message
message_error(const struct vfio_user_header *to, uint32_t error_no)
{
	struct message m = message_reply(to, NULL, 0);
	struct vfio_user_header header = message_header(&m);

	header.flags = REPLY | VFIO_USER_F_ERROR;
	header.error_no = error_no;
	message_set_header(&m, header);
	return m;
}

struct message
message_access(const struct vfio_user_header *to, uint64_t offset, uint32_t count, const void *data,
	size_t len)
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
message_region_info(const struct vfio_user_header *to, uint32_t index)
{
	const struct vfio_user_region_info info = {
		.argsz = sizeof(info),
		.index = index,
		.size = 4096,
	};

	return message_reply(to, &info, sizeof(info));
}

struct message
message_dma_read(uint16_t id, uint32_t flags)
{
	const struct vfio_user_dma_region_access access = {.addr = 0x1000, .count = 4};
	const struct vfio_user_header header = {
		.msg_id = id,
		.cmd = VFIO_USER_DMA_READ,
		.msg_size = HEADER_SIZE + sizeof(access),
		.flags = COMMAND | flags,
	};

	return message_build(header, &access, sizeof(access));
}

struct message
message_dma_write(uint16_t id, uint32_t flags)
{
	const struct vfio_user_dma_region_access access = {.addr = 0x1000, .count = 4};
	uint8_t body[sizeof(access) + 4] = {0};
	const struct vfio_user_header header = {
		.msg_id = id,
		.cmd = VFIO_USER_DMA_WRITE,
		.msg_size = HEADER_SIZE + sizeof(body),
		.flags = COMMAND | flags,
	};

	memcpy(body, &access, sizeof(access));
	return message_build(header, body, sizeof(body));
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
	return message_reply(&to, body, sizeof(fixed) + len);
}
