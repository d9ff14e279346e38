/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "refdev_peer.h"
#include "tap.h"

struct io_fds {
	struct vfio_user_region_io_fds fixed;
	struct vfio_user_sub_region_ioeventfd sub[3];
} VFIO_USER_PACKED;

static int
ask(struct refdev_peer *p, uint32_t index, uint32_t argsz)
{
	const struct vfio_user_region_io_fds request = {.argsz = argsz, .index = index};

	return refdev_peer_ask(p, VFIO_USER_DEVICE_GET_REGION_IO_FDS, &request, sizeof(request));
}

static void
get_all(struct refdev_peer *p, struct io_fds *got)
{
	CU_ASSERT_EQUAL_FATAL(ask(p, 0, 4096), 0);
	refdev_peer_body(p, got, sizeof(*got));
	CU_ASSERT_EQUAL_FATAL(p->reply.nr_fds, 4);
}

static void
test_reply(void)
{
	struct refdev_peer p;
	struct io_fds got;

	refdev_peer_open(&p);
	get_all(&p, &got);
	CU_ASSERT_EQUAL(got.fixed.argsz, sizeof(got));
	CU_ASSERT_EQUAL(got.fixed.flags, 0);
	CU_ASSERT_EQUAL(got.fixed.count, 3);
	CU_ASSERT_EQUAL(got.sub[0].type, VFIO_USER_IO_FD_TYPE_IOEVENTFD);
	CU_ASSERT_EQUAL(got.sub[0].offset, REFDEV_REG_DOORBELL);
	CU_ASSERT_EQUAL(got.sub[0].size, 4);
	CU_ASSERT_EQUAL(got.sub[0].flags, KVM_IOEVENTFD_FLAG_DATAMATCH);
	CU_ASSERT_EQUAL(got.sub[0].datamatch, REFDEV_DOORBELL_MATCH);
	CU_ASSERT_EQUAL(got.sub[1].type, VFIO_USER_IO_FD_TYPE_IOREGIONFD);
	CU_ASSERT_EQUAL(got.sub[2].type, VFIO_USER_IO_FD_TYPE_IOEVENTFD_SHADOW);
	CU_ASSERT_EQUAL(got.sub[2].shadow_mem_fd_index, 3);
	refdev_peer_drop_fds(&p);
	refdev_peer_close(&p);
}

/* As many bytes as fit and no descriptor, where not all fits. */
static void
test_argsz(void)
{
	struct vfio_user_region_io_fds got;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(ask(&p, 0, sizeof(got) - 1), -EINVAL);
	CU_ASSERT_EQUAL(ask(&p, 0, sizeof(got)), 0);
	refdev_peer_body(&p, &got, sizeof(got));
	CU_ASSERT_EQUAL(got.argsz, sizeof(struct io_fds));
	CU_ASSERT_EQUAL(p.reply.nr_fds, 0);
	CU_ASSERT_EQUAL(ask(&p, 2, 4096), 0);
	refdev_peer_body(&p, &got, sizeof(got));
	CU_ASSERT_EQUAL(got.count, 0);
	CU_ASSERT_EQUAL(got.argsz, sizeof(got));
	CU_ASSERT_EQUAL(ask(&p, 9, 4096), -EINVAL);
	refdev_peer_close(&p);
	refdev_peer_negotiate(&p, NULL, "{\"capabilities\":{\"max_msg_fds\":3}}");
	CU_ASSERT_EQUAL(ask(&p, 0, 4096), 0);
	refdev_peer_body(&p, &got, sizeof(got));
	CU_ASSERT_EQUAL(got.count, 0);
	refdev_peer_close(&p);
}

static void
kick(int fd)
{
	uint64_t one = 1;

	CU_ASSERT_EQUAL(write(fd, &one, sizeof(one)), sizeof(one));
}

static void
test_doorbells(void)
{
	int watched[REFDEV_MAX_EVENT_FDS];
	struct refdev_peer p;
	struct io_fds got;
	uint32_t *shadow;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_event_fds(p.dev, watched), 0);
	get_all(&p, &got);
	refdev_peer_drop_fds(&p);
	CU_ASSERT_EQUAL(refdev_event_fds(p.dev, watched), 2);
	refdev_take_events(p.dev);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_COUNT), 0);
	get_all(&p, &got);
	kick(p.reply.fds[got.sub[0].fd_index]);
	refdev_peer_drop_fds(&p);
	refdev_take_events(p.dev);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_COUNT), 1);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_LAST), REFDEV_DOORBELL_MATCH);
	get_all(&p, &got);
	shadow = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		p.reply.fds[got.sub[2].shadow_mem_fd_index], 0);
	CU_ASSERT_FATAL(shadow != MAP_FAILED);
	shadow[got.sub[2].shadow_offset / 4] = 4711;
	kick(p.reply.fds[got.sub[2].fd_index]);
	refdev_peer_drop_fds(&p);
	refdev_take_events(p.dev);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_COUNT), 2);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_LAST), 4711);
	munmap(shadow, 4096);
	refdev_peer_close(&p);
}

/* The descriptors of a client that has left ring nothing. */
static void
test_disconnect(void)
{
	int watched[REFDEV_MAX_EVENT_FDS];
	struct refdev_peer p;
	struct io_fds got;
	int old;

	refdev_peer_open(&p);
	get_all(&p, &got);
	old = p.reply.fds[0];
	p.reply.fds[0] = -1;
	refdev_peer_drop_fds(&p);
	refdev_disconnect(p.dev);
	CU_ASSERT_EQUAL(refdev_event_fds(p.dev, watched), 0);
	kick(old);
	close(old);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, "\0\0\2", 4), 0);
	refdev_take_events(p.dev);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_COUNT), 0);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"reply", test_reply},
		{"argsz and limits", test_argsz},
		{"doorbells", test_doorbells},
		{"disconnect", test_disconnect},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev descriptors of a region", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
