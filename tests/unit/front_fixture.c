/* SPDX-License-Identifier: BSD-3-Clause */
#include "front_fixture.h"

struct front *front;
uint64_t now_ms;

static const struct vfio_user_sparse_area areas[] = {{0, 4096}, {4096, 4096}};

#define RW   (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
#define MMAP VFIO_REGION_INFO_FLAG_MMAP

static const struct front_region regions[] = {
	[0] = {.size = BAR0_SIZE, .flags = RW | MMAP, .nr_areas = 2, .areas = areas},
	[2] = {.size = BAR2_SIZE, .flags = RW | MMAP, .fd_offset = 4096},
	[4] = {.size = BAR4_SIZE, .flags = RW},
	[VFIO_PCI_CONFIG_REGION_INDEX] = {.size = 4096, .flags = RW},
};

static const struct front_irq irqs[] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = {VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE, 1},
	[VFIO_PCI_MSIX_IRQ_INDEX] = {VFIO_IRQ_INFO_EVENTFD, 8},
};

void
front_rig_create(void)
{
	/* BAR 2 has 64 bits and may be prefetched, BAR 4 is ports. */
	const struct front_shape shape = {
		.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
		.nr_regions = 8,
		.nr_irqs = 3,
		.regions = regions,
		.irqs = irqs,
		.config = {[0x18] = 0x0c, [0x20] = 0x01},
	};
	const struct front_opts opts = {
		.max_data = MAX_DATA,
		.reply_ms = REPLY_MS,
		.now_ms = 1000000,
		.max_dma_maps = 1000,
		.pgsizes = 4096,
		.shape = &shape,
	};

	now_ms = opts.now_ms;
	front_rig_create_with(&opts);
}

void
front_rig_create_with(const struct front_opts *opts)
{
	front_rig_destroy();
	front = front_create(opts);
	CU_ASSERT_PTR_NOT_NULL_FATAL(front);
}

const struct front_reply *
front_rig_negotiate(uint16_t minor)
{
	const struct vfio_user_version version = {0, minor};
	const struct front_reply *reply;

	CU_ASSERT_EQUAL_FATAL(send_message(0xffff, VFIO_USER_VERSION, 0, &version, 4), 0);
	CU_ASSERT_FATAL(nothing_next());
	reply = take_reply();
	CU_ASSERT_EQUAL_FATAL(reply->header.flags, VFIO_USER_F_TYPE_REPLY);
	return reply;
}

void
front_rig_open(void)
{
	front_rig_create();
	front_rig_negotiate(0);
}

void
front_rig_destroy(void)
{
	front_destroy(front);
	front = NULL;
}

ptrdiff_t
feed(const void *bytes, size_t len, const int *fds, unsigned int nr_fds)
{
	const uint8_t *from = bytes;
	size_t done = 0;
	size_t room;

	while (done < len) {
		void *at = front_room(front, &room);
		int rc;

		if (room == 0)
			break;
		if (room > len - done)
			room = len - done;
		memcpy(at, from + done, room);
		rc = front_received(front, room, fds, done == 0 ? nr_fds : 0, now_ms);
		if (rc != 0)
			return rc;
		done += room;
	}
	return (ptrdiff_t)done;
}

static int
send_any(uint16_t id, uint16_t cmd, uint32_t flags, const void *body, size_t len, const int *fds,
	unsigned int nr_fds)
{
	const struct vfio_user_header header = {
		.msg_id = id,
		.cmd = cmd,
		.msg_size = (uint32_t)(sizeof(header) + len),
		.flags = flags,
	};
	uint8_t *bytes = malloc(sizeof(header) + len);
	ptrdiff_t rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	memcpy(bytes, &header, sizeof(header));
	if (len > 0)
		memcpy(bytes + sizeof(header), body, len);
	rc = feed(bytes, sizeof(header) + len, fds, nr_fds);
	free(bytes);
	if (rc == (ptrdiff_t)(sizeof(header) + len))
		return 0;
	return rc < 0 ? (int)rc : -ENOBUFS;
}

int
send_message(uint16_t id, uint16_t cmd, uint32_t flags, const void *body, size_t len)
{
	return send_any(id, cmd, flags, body, len, NULL, 0);
}

int
send_with_fds(uint16_t id, uint16_t cmd, const void *body, size_t len, const int *fds,
	unsigned int nr_fds)
{
	return send_any(id, cmd, 0, body, len, fds, nr_fds);
}

int
send_read(uint16_t id, uint32_t region, uint64_t offset, uint32_t count)
{
	const struct vfio_user_region_access access = {
		.offset = offset, .region = region, .count = count};

	return send_message(id, VFIO_USER_REGION_READ, 0, &access, sizeof(access));
}

int
send_write(
	uint16_t id, uint32_t flags, uint32_t region, uint64_t offset, const void *data, uint32_t n)
{
	struct {
		struct vfio_user_region_access access;
		uint8_t data[MAX_DATA];
	} body = {.access = {.offset = offset, .region = region, .count = n}};

	memcpy(body.data, data, n);
	return send_message(id, VFIO_USER_REGION_WRITE, flags, &body, sizeof(body.access) + n);
}

int
send_map(uint16_t id, const int *fds, unsigned int nr_fds)
{
	const struct vfio_user_dma_map map = {32, 3, 0, id * UINT64_C(4096), 4096};

	return send_with_fds(id, VFIO_USER_DMA_MAP, &map, sizeof(map), fds, nr_fds);
}

int
send_question(uint16_t id)
{
	const struct vfio_user_device_info info = {16};

	return send_message(id, VFIO_USER_DEVICE_GET_INFO, 0, &info, sizeof(info));
}

struct front_request
next_request(enum front_kind kind)
{
	struct front_request r;

	CU_ASSERT_EQUAL_FATAL(front_next(front, &r), 1);
	CU_ASSERT_EQUAL_FATAL(r.kind, kind);
	return r;
}

bool
nothing_next(void)
{
	struct front_request r;
	int rc = front_next(front, &r);

	if (rc != 0)
		printf("# front_next() returned %d\n", rc);
	return rc == 0;
}

const struct front_reply *
take_reply(void)
{
	static struct front_reply reply;
	size_t size;
	const uint8_t *bytes = front_output(front, &size, &reply.fd);

	CU_ASSERT_FATAL(bytes != NULL && size >= HEADER);
	memcpy(&reply.header, bytes, HEADER);
	CU_ASSERT_FATAL(reply.header.msg_size >= HEADER && reply.header.msg_size <= size);
	reply.len = reply.header.msg_size - HEADER;
	memcpy(reply.body, bytes + HEADER, reply.len);
	front_sent(front, reply.header.msg_size, now_ms);
	return &reply;
}

bool
is_reply(uint16_t id, uint16_t cmd, int error, const void *body, size_t len)
{
	const struct front_reply *reply = take_reply();
	uint32_t flags = VFIO_USER_F_TYPE_REPLY | (error != 0 ? VFIO_USER_F_ERROR : 0);

	if (reply->header.msg_id == id && reply->header.cmd == cmd &&
		reply->header.flags == flags && reply->header.error_no == (uint32_t)error &&
		reply->len == len && (len == 0 || memcmp(reply->body, body, len) == 0))
		return true;
	printf("# reply to 0x%x (command %u): flags 0x%x, error %u, body of %zu bytes\n",
		reply->header.msg_id, reply->header.cmd, reply->header.flags,
		reply->header.error_no, reply->len);
	return false;
}

bool
is_answered(uint16_t id, uint16_t cmd, int error, const void *body, size_t len)
{
	return nothing_next() && is_reply(id, cmd, error, body, len);
}

bool
is_silent(void)
{
	size_t size;
	int fd;

	return front_output(front, &size, &fd) == NULL && size == 0 && fd == -1;
}

bool
are_stray(const int *fds, unsigned int nr_fds)
{
	int stray[512];
	unsigned int n = front_take_stray_fds(front, stray, 512);
	unsigned int found = 0;

	for (unsigned int i = 0; i < nr_fds; i++) {
		for (unsigned int k = 0; k < n; k++)
			found += stray[k] == fds[i];
	}
	return n == nr_fds && found == n;
}

bool
has_ended(const char *why)
{
	const char *text = front_why(front);

	if (text != NULL && strcmp(text, why) == 0)
		return true;
	printf("# ended: \"%s\", expected \"%s\"\n", text != NULL ? text : "(no)", why);
	return false;
}
