/* SPDX-License-Identifier: BSD-3-Clause */

/* Descriptors of sub-regions: a server that answers well, and badly. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include <vuc/io_fds.h>

#include "fake_server.h"
#include "fd_count.h"
#include "tap.h"

#define REGION   VFIO_PCI_BAR0_REGION_INDEX
#define MAX_SUBS 64u

/* What the server says of REGION. */
struct setup {
	struct fake_server server;
	struct vuc_device *dev;
	uint32_t nr_subs;
	struct vfio_user_sub_region_ioeventfd subs[MAX_SUBS];
	unsigned int nr_fds;
	int fds[VUC_MAX_MSG_FDS];
	uint32_t grow;     /* sub-regions that are added with each question */
	uint32_t argsz[8]; /* of the questions */
	unsigned int nr;
	int error;           /* to answer */
	uint32_t more_argsz; /* a lie about the size */
	bool early_fds;      /* send descriptors with an answer that is cut off, too */
};

static unsigned int fds_before;

static void
put_fds(const struct setup *s, struct fake_reply *reply)
{
	for (; reply->nr_fds < s->nr_fds; reply->nr_fds++)
		reply->fds[reply->nr_fds] = dup(s->fds[reply->nr_fds]);
}

static int
answer(void *arg, const struct vuc_loopback_msg *request, const struct vfio_user_header *header,
	struct fake_reply *reply)
{
	struct vfio_user_region_io_fds body;
	struct setup *s = arg;
	size_t subs_size;
	uint32_t argsz;

	CU_ASSERT_EQUAL_FATAL(header->cmd, VFIO_USER_DEVICE_GET_REGION_IO_FDS);
	fake_server_body(request, &body, sizeof(body));
	argsz = body.argsz;
	s->argsz[s->nr++ % 8] = argsz;
	if (s->error != 0)
		return s->error;
	CU_ASSERT_EQUAL(body.index, REGION);
	subs_size = s->nr_subs * sizeof(s->subs[0]);
	body.count = s->nr_subs;
	body.argsz = (uint32_t)(sizeof(body) + subs_size) + s->more_argsz;
	s->nr_subs += s->grow;
	memcpy(reply->body, &body, sizeof(body));
	reply->len = sizeof(body);
	if (argsz < body.argsz && s->early_fds)
		put_fds(s, reply);
	if (argsz < body.argsz)
		return 0;
	memcpy(reply->body + reply->len, s->subs, subs_size);
	reply->len += subs_size;
	put_fds(s, reply);
	return 0;
}

static void
start(struct setup *s, unsigned int nr_fds)
{
	*s = (struct setup){.server = {.max_msg_fds = 8, .command = answer, .arg = s}};
	s->server.regions[REGION].size = 0x1000;
	s->server.regions[REGION].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	s->dev = fake_server_open(&s->server);
	for (; s->nr_fds < nr_fds; s->nr_fds++)
		s->fds[s->nr_fds] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void
finish(struct setup *s)
{
	vuc_device_close(s->dev);
	for (unsigned int i = 0; i < s->nr_fds; i++)
		CU_ASSERT_EQUAL(close(s->fds[i]), 0);
}

static void
add(struct setup *s, uint32_t type, uint32_t flags, uint64_t offset, uint32_t fd_index)
{
	s->subs[s->nr_subs++] = (struct vfio_user_sub_region_ioeventfd){
		.offset = offset,
		.size = 4,
		.fd_index = fd_index,
		.type = type,
		.flags = flags,
	};
}

static bool
signals(int fd, int server_fd)
{
	uint64_t n = 77;

	if (write(fd, &n, sizeof(n)) != sizeof(n))
		return false;
	n = 0;
	return read(server_fd, &n, sizeof(n)) == sizeof(n) && n == 77;
}

static void
test_ioeventfds(void)
{
	struct vuc_io_fds *io;
	struct setup s;

	start(&s, 2);
	add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD, KVM_IOEVENTFD_FLAG_DATAMATCH, 0x10, 1);
	s.subs[0].datamatch = 0x1234;
	add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD, 0, 0x14, 0);
	add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD, 0, 0x18, UINT32_MAX);
	add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD, 0, 0x1c, 1);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(s.dev, REGION, &io), 0);
	CU_ASSERT_EQUAL(s.nr, 2);
	CU_ASSERT_EQUAL(s.argsz[0], 16);
	CU_ASSERT_EQUAL(s.argsz[1], 16 + 4 * 48);
	CU_ASSERT_EQUAL_FATAL(io->nr_sub_regions, 4);
	CU_ASSERT_EQUAL_FATAL(io->nr_fds, 2);
	CU_ASSERT_EQUAL(io->sub_regions[0].type, VUC_IO_FD_IOEVENTFD);
	CU_ASSERT_EQUAL(io->sub_regions[0].flags, KVM_IOEVENTFD_FLAG_DATAMATCH);
	CU_ASSERT_EQUAL(io->sub_regions[0].offset, 0x10);
	CU_ASSERT_EQUAL(io->sub_regions[0].size, 4);
	CU_ASSERT_EQUAL(io->sub_regions[0].datamatch, 0x1234);
	CU_ASSERT_EQUAL(io->sub_regions[0].fd_index, 1);
	CU_ASSERT_EQUAL(io->sub_regions[0].shadow_fd_index, -1);
	CU_ASSERT_EQUAL(io->sub_regions[1].fd_index, 0);
	CU_ASSERT_EQUAL(io->sub_regions[2].fd_index, -1);
	CU_ASSERT_EQUAL(io->sub_regions[3].fd_index, 1);
	CU_ASSERT(signals(io->fds[0], s.fds[0]));
	CU_ASSERT(signals(io->fds[1], s.fds[1]));
	vuc_io_fds_free(io);
	finish(&s);
}

/* Memory for the value beside the eventfd, and a type with a field of its own. */
static void
test_shadow_and_ioregionfd(void)
{
	struct vuc_io_fds *io;
	struct setup s;
	char byte = 0;
	int shadow;

	start(&s, 1);
	s.fds[s.nr_fds++] = memfd_create("shadow", MFD_CLOEXEC);
	add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW, 0, 0x20, 0);
	s.subs[0].shadow_mem_fd_index = 1;
	s.subs[0].shadow_offset = 0x800;
	add(&s, VFIO_USER_IO_FD_TYPE_IOREGIONFD, 2, 0x40, 0);
	s.subs[1].shadow_offset = 0xabcdef; /* where user_data is */
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(s.dev, REGION, &io), 0);
	CU_ASSERT_EQUAL_FATAL(io->nr_sub_regions, 2);
	CU_ASSERT_EQUAL(io->sub_regions[0].type, VUC_IO_FD_IOEVENTFD_SHADOW);
	CU_ASSERT_EQUAL(io->sub_regions[0].shadow_fd_index, 1);
	CU_ASSERT_EQUAL(io->sub_regions[0].shadow_offset, 0x800);
	CU_ASSERT_EQUAL(io->sub_regions[1].type, VUC_IO_FD_IOREGIONFD);
	CU_ASSERT_EQUAL(io->sub_regions[1].flags, 2);
	CU_ASSERT_EQUAL(io->sub_regions[1].user_data, 0xabcdef);
	shadow = io->fds[1];
	io->fds[1] = -1;
	vuc_io_fds_free(io);
	CU_ASSERT_EQUAL(pwrite(shadow, "x", 1, 0), 1);
	CU_ASSERT_EQUAL(pread(s.fds[1], &byte, 1, 0), 1);
	CU_ASSERT_EQUAL(byte, 'x');
	CU_ASSERT_EQUAL(close(shadow), 0);
	finish(&s);
}

static void
test_none(void)
{
	struct vuc_io_fds *io;
	struct setup s;

	start(&s, 0);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(s.dev, REGION, &io), 0);
	CU_ASSERT_EQUAL(s.nr, 1);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 0);
	CU_ASSERT_EQUAL(io->nr_fds, 0);
	vuc_io_fds_free(io);
	vuc_io_fds_free(NULL);
	finish(&s);
}

/* As many descriptors as a message can carry. */
static void
test_most_fds(void)
{
	struct vuc_io_fds *io;
	struct setup s;

	start(&s, VUC_MAX_MSG_FDS);
	for (uint32_t i = 0; i < VUC_MAX_MSG_FDS; i++)
		add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD, 0, 8 * i, i);
	CU_ASSERT_EQUAL_FATAL(vuc_io_fds_get(s.dev, REGION, &io), 0);
	CU_ASSERT_EQUAL_FATAL(io->nr_fds, VUC_MAX_MSG_FDS);
	for (uint32_t i = 0; i < VUC_MAX_MSG_FDS; i++)
		CU_ASSERT(signals(io->fds[i], s.fds[i]));
	vuc_io_fds_free(io);
	finish(&s);
}

/* Sub-regions are added meanwhile: asked again, but not for ever. */
static void
test_growing(void)
{
	struct vuc_io_fds *io;
	struct setup s;

	start(&s, 1);
	for (uint32_t i = 0; i < 20; i++)
		add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD, 0, 8 * i, 0);
	s.nr_subs = 1;
	s.grow = 1;
	CU_ASSERT_EQUAL(vuc_io_fds_get(s.dev, REGION, &io), -EPROTO);
	CU_ASSERT_PTR_NULL(io);
	CU_ASSERT_EQUAL(s.nr, 4);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev),
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS: region 0: asked 4 times, and the server wants "
		"an argsz of 208 now");
	s.grow = 0;
	CU_ASSERT_EQUAL(vuc_io_fds_get(s.dev, REGION, &io), 0);
	CU_ASSERT_EQUAL(io->nr_sub_regions, 5);
	vuc_io_fds_free(io);
	finish(&s);
}

static void
refused(struct setup *s, int error, const char *reason)
{
	struct vuc_io_fds *io;

	CU_ASSERT_EQUAL(vuc_io_fds_get(s->dev, REGION, &io), error);
	CU_ASSERT_PTR_NULL(io);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s->dev), reason);
	CU_ASSERT_TRUE(vuc_device_connected(s->dev));
}

static void
test_server_says_no(void)
{
	struct setup s;

	start(&s, 0);
	s.error = EOPNOTSUPP;
	refused(&s, -EOPNOTSUPP,
		"the server answered VFIO_USER_DEVICE_GET_REGION_IO_FDS with error 95 (Operation "
		"not supported)");
	finish(&s);
}

/* Answers that make no sense are refused, their descriptors closed, and the connection stands. */
static void
test_bad_answers(void)
{
	struct setup s;

	start(&s, 2);
	s.early_fds = true;
	add(&s, VFIO_USER_IO_FD_TYPE_IOEVENTFD, 0, 0x10, 2);
	refused(&s, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region 0: sub-region 0: fd_index 2, "
		"expected one for which an fd came");
	s.subs[0].fd_index = 0;
	s.subs[0].offset = 0xffe;
	refused(&s, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region 0: sub-region 0 of 0x4 bytes at "
		"0xffe is outside the region's 0x1000");
	s.subs[0].offset = 0;
	s.subs[0].flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	refused(&s, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region 0: sub-region 0: flags 0x4, "
		"known are 0xb");
	s.subs[0].type = VFIO_USER_IO_FD_TYPE_IOREGIONFD;
	refused(&s, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region 0: sub-region 0: flags 0x4, "
		"known are 0x3");
	s.subs[0].flags = 0;
	s.more_argsz = 1u << 20;
	refused(&s, -EPROTO,
		"VFIO_USER_DEVICE_GET_REGION_IO_FDS reply: region 0: argsz 1048640, expected 16 to "
		"65536");
	finish(&s);
}

static void
test_bad_region(void)
{
	struct vuc_io_fds *io;
	struct setup s;

	start(&s, 0);
	CU_ASSERT_EQUAL(vuc_io_fds_get(s.dev, VFIO_PCI_BAR1_REGION_INDEX, &io), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev), "there is no region 1");
	CU_ASSERT_EQUAL(vuc_io_fds_get(s.dev, FAKE_NR_REGIONS, &io), -EINVAL);
	CU_ASSERT_PTR_NULL(io);
	CU_ASSERT_EQUAL(s.nr, 0);
	finish(&s);
}

static void
set_up(void)
{
	fds_before = fd_count();
}

static void
tear_down(void)
{
	CU_ASSERT_EQUAL(fd_count(), fds_before);
}

static CU_TestInfo tests[] = {
	{"ioeventfds", test_ioeventfds},
	{"shadow and ioregionfd", test_shadow_and_ioregionfd},
	{"none", test_none},
	{"most descriptors", test_most_fds},
	{"growing", test_growing},
	{"the server says no", test_server_says_no},
	{"bad answers", test_bad_answers},
	{"bad region", test_bad_region},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("io_fds", set_up, tear_down, tests);
}
