/* SPDX-License-Identifier: BSD-3-Clause */
#include "deviating_server.h"

#include <sys/ioctl.h>

#include <linux/vfio.h>

/* A field of the body, in words from its beginning. */
static uint32_t
get_word(const struct vuc_loopback_msg *message, size_t n)
{
	uint32_t value = ANY;

	if (message->len >= HEADER + (n + 1) * sizeof(value))
		memcpy(&value, message->bytes + HEADER + n * sizeof(value), sizeof(value));
	return value;
}

static void
set_word(struct vuc_loopback_msg *message, size_t n, uint32_t value)
{
	memcpy(message->bytes + HEADER + n * sizeof(value), &value, sizeof(value));
}

/* Of the region or IRQ index, which is the third word wherever there is one. */
static uint32_t
index_of(const struct vuc_loopback_msg *request, uint16_t cmd)
{
	bool has = cmd == VFIO_USER_REGION_READ || cmd == VFIO_USER_REGION_WRITE ||
		cmd == VFIO_USER_DEVICE_SET_IRQS || cmd == VFIO_USER_DEVICE_GET_REGION_INFO;

	return has ? get_word(request, 2) : ANY;
}

static bool
is_odd_size(const struct vuc_loopback_msg *request)
{
	struct vfio_user_region_access access;

	fake_server_body(request, &access, sizeof(access));
	return (access.count != 1 && access.count != 2 && access.count != 4 && access.count != 8) ||
		access.offset % access.count != 0;
}

/* A reply with a body of that size instead. */
static int
deviation_answer(struct vuc_loopback_msg *message, const struct vuc_loopback_msg *request,
	uint32_t flags, uint32_t error_no, size_t body)
{
	struct vfio_user_header header;

	memcpy(&header, request->bytes, HEADER);
	header.flags = flags;
	header.error_no = error_no;
	header.msg_size = (uint32_t)(HEADER + body);
	memcpy(message->bytes, &header, HEADER);
	message->len = header.msg_size;
	return 0;
}

static int
deviation_apply(const struct deviation *d, const struct vuc_loopback_msg *request,
	struct vuc_loopback_msg *message)
{
	const uint32_t reply = VFIO_USER_F_TYPE_REPLY, error = VFIO_USER_F_ERROR;

	switch (d->kind) {
	case NORMAL:
		break;
	case ANSWER:
		return deviation_answer(message, request, reply, 0, ACCESS);
	case REFUSE:
		return deviation_answer(message, request, reply | error, d->value, 0);
	case REFUSE_AS_CMD:
		return deviation_answer(message, request, error, d->value, 0);
	case REFUSE_WITH_BODY:
		return deviation_answer(
			message, request, reply | error, d->value, request->len - HEADER);
	case CUT:
		return deviation_answer(message, request, reply, 0, d->value);
	case SET_ARGSZ:
		set_word(message, 0, d->value);
		break;
	case SET_COUNT:
		set_word(message, 3, d->value);
		break;
	case SET_FLAGS:
		set_word(message, 1, get_word(message, 1) | d->value);
		break;
	case CLEAR_FLAGS:
		set_word(message, 1, get_word(message, 1) & ~d->value);
		break;
	case CLOSE:
		return -ECONNRESET;
	case CLOSE_ON_ODD_SIZE:
		return is_odd_size(request) ? -ECONNRESET : 0;
	}
	return 0;
}

/* A read of config space, with as many behind it as lie in the socket. */
static void
note_config_read(struct deviating_server *s, const struct vuc_loopback_msg *request)
{
	unsigned int at_once;
	int unread = 0;

	CU_ASSERT_EQUAL_FATAL(ioctl(s->fake.fd, FIONREAD, &unread), 0);
	at_once = 1 + (unsigned int)((size_t)unread / request->len);
	if (at_once > s->at_once)
		s->at_once = at_once;
}

static int
server_deviate(void *arg, const struct vuc_loopback_msg *request, struct vuc_loopback_msg *message)
{
	struct deviating_server *s = arg;
	const struct deviation *d = &s->deviation;
	struct vfio_user_header header;
	bool is_posted, is_access;
	uint32_t index;

	memcpy(&header, request->bytes, HEADER);
	index = index_of(request, header.cmd);
	is_posted = (header.flags & VFIO_USER_F_NO_REPLY) != 0;
	is_access = header.cmd == VFIO_USER_REGION_READ || header.cmd == VFIO_USER_REGION_WRITE;
	s->asked[header.cmd]++;
	s->posted += is_posted;
	s->odd += is_access && index == CONFIG && is_odd_size(request);
	if (header.cmd == VFIO_USER_REGION_READ && index == CONFIG)
		note_config_read(s, request);
	if (header.cmd != d->cmd || (d->index != ANY && d->index != index))
		return 0;
	/* UNMAP is refused for all at once only. */
	if (header.cmd == VFIO_USER_DMA_UNMAP && (get_word(request, 4) | get_word(request, 5)) != 0)
		return 0;
	/* Those that a posted write alone gets: others are good. */
	if ((d->kind == ANSWER || d->cmd == VFIO_USER_REGION_WRITE) && !is_posted)
		return 0;
	return deviation_apply(d, request, message);
}

/* Whatever the tables do not say. An UNMAP repeats its request. */
static int
server_command(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	struct vfio_user_dma_unmap unmap;

	(void)arg;
	if (header->cmd == VFIO_USER_DEVICE_GET_REGION_IO_FDS ||
		header->cmd == VFIO_USER_DEVICE_FEATURE)
		return EOPNOTSUPP;
	if (header->cmd != VFIO_USER_DMA_UNMAP)
		return 0;
	fake_server_body(request, &unmap, sizeof(unmap));
	memcpy(reply->body, &unmap, sizeof(unmap));
	reply->len = sizeof(unmap);
	return 0;
}

static void
set_bar(struct deviating_server *s, uint32_t index, uint8_t *bytes)
{
	s->fake.regions[index].size = BAR_SIZE;
	s->fake.regions[index].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	s->fake.regions[index].bytes = bytes;
	memset(bytes, 0xa0 + (int)index, BAR_SIZE);
}

void
deviating_server_init(struct deviating_server *s, const struct deviation *deviation,
	const char *json, uint32_t irq_flags, uint32_t unread)
{
	memset(s, 0, sizeof(*s));
	s->deviation = *deviation;
	s->fake.max_msg_fds = 8;
	s->fake.json = json;
	s->fake.flags = VFIO_DEVICE_FLAGS_RESET;
	s->fake.unread = unread;
	s->fake.irqs[VFIO_PCI_INTX_IRQ_INDEX].flags = irq_flags;
	s->fake.irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	s->fake.command = server_command;
	s->fake.deviate = server_deviate;
	s->fake.arg = s;
	set_bar(s, 0, s->bar0);
	set_bar(s, 2, s->bar2);
	s->fake.regions[CONFIG].size = CONFIG_SIZE;
	s->fake.regions[CONFIG].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	s->fake.regions[CONFIG].bytes = s->config;
}
