/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "memfd.h"
#include "refdev_peer.h"
#include "tap.h"

static unsigned int
count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
close_left(struct vuc_loopback_msg *msg)
{
	for (unsigned int i = 0; i < msg->nr_fds; i++)
		if (msg->fds[i] >= 0)
			close(msg->fds[i]);
	msg->nr_fds = 0;
}

void
refdev_peer_make(struct refdev_peer *p, const struct refdev_config *config)
{
	struct refdev_config defaults;

	refdev_config_init(&defaults);
	*p = (struct refdev_peer){.nr_open = count_open()};
	p->dev = refdev_create(config != NULL ? config : &defaults);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->dev);
	p->request.bytes = malloc(PEER_MAX_MESSAGE);
	p->reply.bytes = malloc(PEER_MAX_MESSAGE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->request.bytes);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p->reply.bytes);
	p->request.size = PEER_MAX_MESSAGE;
	p->reply.size = PEER_MAX_MESSAGE;
}

void
refdev_peer_open(struct refdev_peer *p)
{
	static const struct {
		uint16_t major;
		uint16_t minor;
		char data[40];
	} version = {0, 2, "{\"capabilities\":{\"max_msg_fds\":8}}"};

	refdev_peer_make(p, NULL);
	CU_ASSERT_EQUAL_FATAL(
		refdev_peer_ask(p, VFIO_USER_VERSION, &version, 4 + strlen(version.data) + 1), 0);
}

void
refdev_peer_negotiate(struct refdev_peer *p, const struct refdev_config *config, const char *data)
{
	uint8_t body[256] = {0, 0, 2, 0};
	size_t len = strlen(data) + 1;

	refdev_peer_make(p, config);
	CU_ASSERT_FATAL(4 + len <= sizeof(body));
	memcpy(body + 4, data, len);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_ask(p, VFIO_USER_VERSION, body, 4 + len), 0);
}

void
refdev_peer_drop_fds(struct refdev_peer *p)
{
	close_left(&p->reply);
}

void
refdev_peer_close(struct refdev_peer *p)
{
	refdev_destroy(p->dev);
	free(p->request.bytes);
	free(p->reply.bytes);
	CU_ASSERT_EQUAL(count_open(), p->nr_open);
}

int
refdev_peer_send(struct refdev_peer *p, const struct refdev_peer_message *m)
{
	struct vfio_user_header header = {
		.msg_id = ++p->last_id,
		.cmd = m->cmd,
		.msg_size = (uint32_t)(sizeof(header) + m->len),
		.flags = m->flags,
	};
	int rc;

	CU_ASSERT_FATAL(header.msg_size <= p->request.size);
	memcpy(p->request.bytes, &header, sizeof(header));
	if (m->len > 0)
		memcpy(p->request.bytes + sizeof(header), m->body, m->len);
	p->request.len = header.msg_size;
	p->request.nr_fds = m->nr_fds;
	for (unsigned int i = 0; i < m->nr_fds; i++)
		p->request.fds[i] = m->fds[i];
	p->reply.len = 0;
	p->reply.nr_fds = 0;
	rc = refdev_handle(p->dev, &p->request, &p->reply);
	close_left(&p->request);
	return rc;
}

static int
check_reply(struct refdev_peer *p, uint16_t cmd)
{
	struct vfio_user_header header;

	CU_ASSERT_FATAL(p->reply.len >= sizeof(header));
	memcpy(&header, p->reply.bytes, sizeof(header));
	CU_ASSERT_EQUAL(header.msg_id, p->last_id);
	CU_ASSERT_EQUAL(header.cmd, cmd);
	CU_ASSERT_EQUAL(header.msg_size, p->reply.len);
	CU_ASSERT_EQUAL(header.flags & VFIO_USER_F_TYPE_MASK, VFIO_USER_F_TYPE_REPLY);
	if ((header.flags & VFIO_USER_F_ERROR) == 0)
		return 0;
	CU_ASSERT_EQUAL(p->reply.len, sizeof(header));
	CU_ASSERT_EQUAL(p->reply.nr_fds, 0);
	CU_ASSERT_NOT_EQUAL(header.error_no, 0);
	return -(int)header.error_no;
}

int
refdev_peer_ask_with_fds(struct refdev_peer *p, uint16_t cmd, const void *body, size_t len,
	const int *fds, unsigned int nr_fds)
{
	const struct refdev_peer_message m = {
		.cmd = cmd,
		.body = body,
		.len = len,
		.fds = fds,
		.nr_fds = nr_fds,
	};

	CU_ASSERT_EQUAL_FATAL(refdev_peer_send(p, &m), 0);
	return check_reply(p, cmd);
}

int
refdev_peer_ask(struct refdev_peer *p, uint16_t cmd, const void *body, size_t len)
{
	return refdev_peer_ask_with_fds(p, cmd, body, len, NULL, 0);
}

void
refdev_peer_body(const struct refdev_peer *p, void *body, size_t len)
{
	CU_ASSERT_EQUAL_FATAL(p->reply.len, sizeof(struct vfio_user_header) + len);
	memcpy(body, p->reply.bytes + sizeof(struct vfio_user_header), len);
}

int
refdev_peer_try_read(struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count)
{
	const struct vfio_user_region_access access = {
		.offset = offset, .region = region, .count = count};

	return refdev_peer_ask(p, VFIO_USER_REGION_READ, &access, sizeof(access));
}

int
refdev_peer_try_write(
	struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count, const void *data)
{
	const struct vfio_user_region_access access = {
		.offset = offset, .region = region, .count = count};
	size_t len = sizeof(access) + count;
	uint8_t *body = malloc(len);
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	memcpy(body, &access, sizeof(access));
	memcpy(body + sizeof(access), data, count);
	rc = refdev_peer_ask(p, VFIO_USER_REGION_WRITE, body, len);
	free(body);
	return rc;
}

/* The reply names what was accessed. */
static void
check_access(const struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count)
{
	struct vfio_user_region_access access;

	memcpy(&access, p->reply.bytes + sizeof(struct vfio_user_header), sizeof(access));
	CU_ASSERT_EQUAL(access.region, region);
	CU_ASSERT_EQUAL(access.offset, offset);
	CU_ASSERT_EQUAL(access.count, count);
}

uint64_t
refdev_peer_read(struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count)
{
	struct refdev_peer_access body = {.value = 0};

	CU_ASSERT_EQUAL_FATAL(refdev_peer_try_read(p, region, offset, count), 0);
	refdev_peer_body(p, &body, offsetof(struct refdev_peer_access, value) + count);
	check_access(p, region, offset, count);
	return body.value;
}

void
refdev_peer_write(
	struct refdev_peer *p, uint32_t region, uint64_t offset, uint32_t count, uint64_t value)
{
	struct vfio_user_region_access access;

	CU_ASSERT_EQUAL_FATAL(refdev_peer_try_write(p, region, offset, count, &value), 0);
	refdev_peer_body(p, &access, sizeof(access));
	check_access(p, region, offset, count);
}

#define REG_SIZE(name, offset, bytes, access) [(offset) / 4] = (bytes),

static const uint8_t reg_sizes[] = {REFDEV_REGS(REG_SIZE)};

uint64_t
refdev_peer_reg(struct refdev_peer *p, enum refdev_reg reg)
{
	return refdev_peer_read(p, VFIO_PCI_BAR0_REGION_INDEX, reg, reg_sizes[reg / 4]);
}

void
refdev_peer_set_reg(struct refdev_peer *p, enum refdev_reg reg, uint64_t value)
{
	refdev_peer_write(p, VFIO_PCI_BAR0_REGION_INDEX, reg, reg_sizes[reg / 4], value);
}

int
refdev_peer_file(size_t size)
{
	int fd = vuc_memfd_create("memory", size, 0);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

int
refdev_peer_map(struct refdev_peer *p, uint64_t addr, uint64_t size, uint32_t flags, int fd)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .addr = addr, .size = size};

	return refdev_peer_ask_with_fds(
		p, VFIO_USER_DMA_MAP, &map, sizeof(map), &fd, fd >= 0 ? 1 : 0);
}

int
refdev_peer_feature(
	struct refdev_peer *p, uint32_t flags, const void *data, size_t len, size_t reply_len)
{
	const struct vfio_user_device_feature fixed = {
		.argsz = (uint32_t)(sizeof(fixed) + reply_len), .flags = flags};
	uint8_t body[512];

	CU_ASSERT_FATAL(sizeof(fixed) + len <= sizeof(body));
	memcpy(body, &fixed, sizeof(fixed));
	if (len > 0)
		memcpy(body + sizeof(fixed), data, len);
	return refdev_peer_ask(p, VFIO_USER_DEVICE_FEATURE, body, sizeof(fixed) + len);
}

void
refdev_peer_feature_data(const struct refdev_peer *p, void *data, size_t len)
{
	size_t head = sizeof(struct vfio_user_header) + sizeof(struct vfio_user_device_feature);
	struct vfio_user_device_feature fixed;

	CU_ASSERT_EQUAL_FATAL(p->reply.len, head + len);
	memcpy(&fixed, p->reply.bytes + sizeof(struct vfio_user_header), sizeof(fixed));
	CU_ASSERT_EQUAL(fixed.argsz, sizeof(fixed) + len);
	memcpy(data, p->reply.bytes + head, len);
}

int
refdev_peer_set_irqs(struct refdev_peer *p, const struct refdev_peer_irqs *irqs)
{
	uint8_t body[sizeof(struct vfio_user_irq_set) + 256];
	struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = irqs->flags,
		.index = irqs->index,
		.start = irqs->start,
		.count = irqs->count,
	};

	if (irqs->bools != NULL) {
		set.argsz += irqs->count;
		memcpy(body + sizeof(set), irqs->bools, irqs->count);
	}
	memcpy(body, &set, sizeof(set));
	return refdev_peer_ask_with_fds(
		p, VFIO_USER_DEVICE_SET_IRQS, body, set.argsz, irqs->fds, irqs->nr_fds);
}

int
refdev_peer_eventfd(struct refdev_peer *p, uint32_t index, uint32_t n, uint32_t action)
{
	int own = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int sent = dup(own);
	const struct refdev_peer_irqs irqs = {
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | action,
		.index = index,
		.start = n,
		.count = 1,
		.fds = &sent,
		.nr_fds = 1,
	};

	CU_ASSERT_FATAL(own >= 0 && sent >= 0);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_set_irqs(p, &irqs), 0);
	return own;
}

uint64_t
refdev_peer_events(int fd)
{
	uint64_t events;

	return read(fd, &events, sizeof(events)) == (ssize_t)sizeof(events) ? events : 0;
}
