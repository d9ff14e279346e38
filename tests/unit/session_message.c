/* SPDX-License-Identifier: BSD-3-Clause */

/* The server's messages, as the fixture of the session's tests builds them. */

#include "session_fixture.h"

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
reply_with(const struct vfio_user_header *to, uint32_t flags, uint32_t error_no, const void *body,
	size_t len)
{
	const struct vfio_user_header header = {
		to->msg_id, to->cmd, (uint32_t)(HEADER_SIZE + len), flags, error_no};

	return message_build(header, body, len);
}

struct message
message_reply(const struct vfio_user_header *to, const void *body, size_t len)
{
	return reply_with(to, REPLY, 0, body, len);
}

struct message
message_error(const struct vfio_user_header *to, uint32_t error_no)
{
	return reply_with(to, REPLY | VFIO_USER_F_ERROR, error_no, NULL, 0);
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
	return message_reply(&to, body, sizeof(fixed) + len);
}
