/* SPDX-License-Identifier: BSD-3-Clause */

/* Interrupts of the reference device, by the transport that the command line names. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/irq.h>

#include "fd_count.h"
#include "peer.h"
#include "refdev_regs.h"
#include "tap.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define NR   REFDEV_MSIX_VECTORS

/* A device, and as many eventfds as it has vectors. */
struct setup {
	struct peer *peer;
	struct vuc_device *dev;
	int eventfds[NR];
};

static unsigned int fds_before;

static void
start(struct setup *s, const char *option)
{
	s->peer = peer_start(1, option, NULL);
	s->dev = peer_open(s->peer, 0);
	for (unsigned int i = 0; i < NR; i++) {
		s->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		CU_ASSERT_FATAL(s->eventfds[i] >= 0);
	}
}

static void
finish(struct setup *s)
{
	for (unsigned int i = 0; i < NR; i++)
		CU_ASSERT_EQUAL(close(s->eventfds[i]), 0);
	vuc_device_close(s->dev);
	peer_stop(s->peer);
}

/* Events since the last call. */
static uint64_t
events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void
write_reg(const struct setup *s, uint64_t offset, uint32_t value)
{
	CU_ASSERT_EQUAL(vuc_device_write(s->dev, BAR0, offset, &value, sizeof(value)), 0);
}

static struct vuc_irq_range
range_of(uint32_t index, uint32_t start_at, uint32_t count)
{
	return (struct vuc_irq_range){.index = index, .start = start_at, .count = count};
}

static void
assign(struct setup *s, uint32_t index, uint32_t first, uint32_t count, enum vuc_irq_action action,
	const int *eventfds)
{
	struct vuc_irq_range range = range_of(index, first, count);
	uint32_t done = UINT32_MAX;

	CU_ASSERT_EQUAL(vuc_irq_assign(s->dev, &range, action, eventfds, &done), 0);
	CU_ASSERT_EQUAL(done, count);
}

static void
act(struct setup *s, uint32_t index, uint32_t first, uint32_t count, enum vuc_irq_action action)
{
	struct vuc_irq_range range = range_of(index, first, count);

	CU_ASSERT_EQUAL(vuc_irq_act(s->dev, &range, action), 0);
}

/* Each vector signals its own eventfd, and only that. */
static void
check_vectors(struct setup *s)
{
	for (uint32_t i = 0; i < NR; i++) {
		write_reg(s, REFDEV_REG_IRQ_TRIGGER, i);
		for (uint32_t j = 0; j < NR; j++)
			CU_ASSERT_EQUAL(events(s->eventfds[j]), i == j ? 1 : 0);
	}
}

static void
test_msix(void)
{
	struct setup s;

	start(&s, NULL);
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, s.eventfds);
	check_vectors(&s);
	finish(&s);
}

/* By messages of 3 eventfds, the last of 2; and by messages of one. */
static void
test_few_fds(void)
{
	struct setup s;

	start(&s, "--max-msg-fds=3");
	CU_ASSERT_EQUAL(vuc_device_version(s.dev)->max_msg_fds, 3);
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, s.eventfds);
	check_vectors(&s);
	finish(&s);
	start(&s, "--max-msg-fds=1");
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, s.eventfds);
	check_vectors(&s);
	finish(&s);
}

static void
test_no_fds(void)
{
	struct vuc_irq_range range = range_of(MSIX, 0, NR);
	uint32_t done = UINT32_MAX;
	struct setup s;

	start(&s, "--max-msg-fds=0");
	CU_ASSERT_EQUAL(
		vuc_irq_assign(s.dev, &range, VUC_IRQ_TRIGGER, s.eventfds, &done), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev),
		"IRQ index 2: the server accepts no file descriptors (max_msg_fds 0)");
	CU_ASSERT_EQUAL(vuc_irq_deassign(s.dev, &range, VUC_IRQ_TRIGGER), 0);
	finish(&s);
}

/* What is -1 in the array is taken away, and what is outside of the range stays. */
static void
test_holes(void)
{
	struct setup s;
	int fds[NR];

	start(&s, NULL);
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, s.eventfds);
	for (uint32_t i = 0; i < NR; i++)
		fds[i] = i == 2 || i == 4 || i == 5 ? -1 : s.eventfds[i];
	assign(&s, MSIX, 1, 6, VUC_IRQ_TRIGGER, fds + 1);
	for (uint32_t i = 0; i < NR; i++) {
		write_reg(&s, REFDEV_REG_IRQ_TRIGGER, i);
		CU_ASSERT_EQUAL(events(s.eventfds[i]), fds[i] >= 0 ? 1 : 0);
	}
	finish(&s);
}

static void
test_deassign_and_disable(void)
{
	struct vuc_irq_range range = range_of(MSIX, 3, 2);
	struct setup s;

	start(&s, NULL);
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, s.eventfds);
	CU_ASSERT_EQUAL(vuc_irq_deassign(s.dev, &range, VUC_IRQ_TRIGGER), 0);
	act(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER);
	for (uint32_t i = 0; i < NR; i++)
		CU_ASSERT_EQUAL(events(s.eventfds[i]), i == 3 || i == 4 ? 0 : 1);
	CU_ASSERT_EQUAL(vuc_irq_disable(s.dev, MSIX), 0);
	act(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER);
	for (uint32_t i = 0; i < NR; i++)
		CU_ASSERT_EQUAL(events(s.eventfds[i]), 0);
	finish(&s);
}

/* The server has descriptors of its own: closing ours changes nothing. */
static void
test_eventfds_stay_ours(void)
{
	struct setup s;
	int copies[NR];

	start(&s, NULL);
	for (uint32_t i = 0; i < NR; i++)
		copies[i] = fcntl(s.eventfds[i], F_DUPFD_CLOEXEC, 0);
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, copies);
	for (uint32_t i = 0; i < NR; i++)
		CU_ASSERT_EQUAL(close(copies[i]), 0);
	check_vectors(&s);
	finish(&s);
}

static void
test_select(void)
{
	static const bool some[NR - 2] = {true, false, false, true, true, false};
	struct vuc_irq_range range = range_of(MSIX, 2, NR - 2);
	uint32_t done = 0;
	struct setup s;

	start(&s, NULL);
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, s.eventfds);
	CU_ASSERT_EQUAL(vuc_irq_select(s.dev, &range, VUC_IRQ_TRIGGER, some, &done), 0);
	CU_ASSERT_EQUAL(done, NR - 2);
	for (uint32_t i = 0; i < NR; i++)
		CU_ASSERT_EQUAL(events(s.eventfds[i]), i >= 2 && some[i - 2] ? 1 : 0);
	CU_ASSERT_EQUAL(vuc_irq_select(s.dev, &range, VUC_IRQ_MASK, some, NULL), 0);
	act(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER);
	for (uint32_t i = 0; i < NR; i++)
		CU_ASSERT_EQUAL(events(s.eventfds[i]), i >= 2 && some[i - 2] ? 0 : 1);
	finish(&s);
}

/* A vector that is raised while it is masked is delivered afterwards. */
static void
test_mask(void)
{
	struct setup s;

	start(&s, NULL);
	assign(&s, MSIX, 5, 1, VUC_IRQ_TRIGGER, &s.eventfds[0]);
	act(&s, MSIX, 4, 3, VUC_IRQ_MASK);
	write_reg(&s, REFDEV_REG_IRQ_TRIGGER, 5);
	CU_ASSERT_EQUAL(events(s.eventfds[0]), 0);
	act(&s, MSIX, 4, 3, VUC_IRQ_UNMASK);
	CU_ASSERT_EQUAL(events(s.eventfds[0]), 1);
	finish(&s);
}

/* A level: it comes again after each unmasking, until the driver has acknowledged it. */
static void
test_intx(void)
{
	struct setup s;

	start(&s, NULL);
	assign(&s, INTX, 0, 1, VUC_IRQ_TRIGGER, &s.eventfds[0]);
	assign(&s, INTX, 0, 1, VUC_IRQ_MASK, &s.eventfds[1]);
	assign(&s, INTX, 0, 1, VUC_IRQ_UNMASK, &s.eventfds[2]);
	write_reg(&s, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_INTX);
	CU_ASSERT_EQUAL(events(s.eventfds[0]), 1);
	CU_ASSERT_EQUAL(events(s.eventfds[1]), 1);
	CU_ASSERT_EQUAL(events(s.eventfds[2]), 0);
	act(&s, INTX, 0, 1, VUC_IRQ_UNMASK);
	CU_ASSERT_EQUAL(events(s.eventfds[0]), 1);
	CU_ASSERT_EQUAL(events(s.eventfds[1]), 1);
	CU_ASSERT_EQUAL(events(s.eventfds[2]), 1);
	write_reg(&s, REFDEV_REG_INTX, 0);
	act(&s, INTX, 0, 1, VUC_IRQ_UNMASK);
	CU_ASSERT_EQUAL(events(s.eventfds[0]), 0);
	CU_ASSERT_EQUAL(events(s.eventfds[2]), 1);
	finish(&s);
}

static void
test_err_and_req(void)
{
	struct vuc_irq_range req = range_of(VFIO_PCI_REQ_IRQ_INDEX, 0, 1);
	struct setup s;

	start(&s, NULL);
	assign(&s, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, &s.eventfds[0]);
	assign(&s, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, &s.eventfds[1]);
	write_reg(&s, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_ERR);
	CU_ASSERT_EQUAL(events(s.eventfds[0]), 1);
	CU_ASSERT_EQUAL(events(s.eventfds[1]), 0);
	write_reg(&s, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_REQ);
	CU_ASSERT_EQUAL(events(s.eventfds[1]), 1);
	/* It cannot be masked, which is for the server to say. */
	CU_ASSERT_EQUAL(vuc_irq_act(s.dev, &req, VUC_IRQ_MASK), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(s.dev),
		"the server answered VFIO_USER_DEVICE_SET_IRQS with error 22"));
	finish(&s);
}

static void
refused(struct setup *s, struct vuc_irq_range range, enum vuc_irq_action action, const char *reason)
{
	static const bool which[NR];

	CU_ASSERT_EQUAL(vuc_irq_act(s->dev, &range, action), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s->dev), reason);
	CU_ASSERT_EQUAL(vuc_irq_select(s->dev, &range, action, which, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_irq_deassign(s->dev, &range, action), -EINVAL);
	CU_ASSERT_EQUAL(vuc_irq_assign(s->dev, &range, action, s->eventfds, NULL), -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s->dev), reason);
}

static void
test_bad_ranges(void)
{
	struct setup s;

	start(&s, NULL);
	refused(&s, range_of(VFIO_PCI_MSI_IRQ_INDEX, 0, 1), VUC_IRQ_TRIGGER,
		"IRQ index 1 has no interrupts");
	refused(&s, range_of(VFIO_PCI_NUM_IRQS, 0, 1), VUC_IRQ_TRIGGER,
		"IRQ index 5 has no interrupts");
	refused(&s, range_of(UINT32_MAX, 0, 1), VUC_IRQ_TRIGGER,
		"IRQ index 4294967295 has no interrupts");
	refused(&s, range_of(MSIX, 0, 0), VUC_IRQ_TRIGGER, "IRQ index 2: a range of 0 interrupts");
	refused(&s, range_of(MSIX, 7, 2), VUC_IRQ_TRIGGER,
		"IRQ index 2: 2 interrupts from 7 on are beyond its 8");
	refused(&s, range_of(MSIX, UINT32_MAX, 2), VUC_IRQ_TRIGGER,
		"IRQ index 2: 2 interrupts from 4294967295 on are beyond its 8");
	refused(&s, range_of(MSIX, 0, UINT32_MAX), VUC_IRQ_TRIGGER,
		"IRQ index 2: 4294967295 interrupts from 0 on are beyond its 8");
	refused(&s, range_of(MSIX, 0, 1), (enum vuc_irq_action)9, "IRQ index 2: unknown action 9");
	CU_ASSERT_EQUAL(vuc_irq_disable(s.dev, VFIO_PCI_MSI_IRQ_INDEX), -EINVAL);
	CU_ASSERT_EQUAL(vuc_irq_disable(s.dev, VFIO_PCI_NUM_IRQS), -EINVAL);
	finish(&s);
}

/* A descriptor that is not open costs the call, not the connection. */
static void
test_bad_eventfds(void)
{
	struct vuc_irq_range range = range_of(MSIX, 2, 2);
	uint32_t done = UINT32_MAX;
	struct setup s;
	int fds[2];

	start(&s, NULL);
	fds[0] = s.eventfds[0];
	fds[1] = 1000000;
	CU_ASSERT_EQUAL(vuc_irq_assign(s.dev, &range, VUC_IRQ_TRIGGER, fds, &done), -EBADF);
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev),
		"IRQ index 2: descriptor 1000000 for interrupt 3: Bad file descriptor");
	fds[1] = -2;
	CU_ASSERT_EQUAL(vuc_irq_assign(s.dev, &range, VUC_IRQ_TRIGGER, fds, NULL), -EBADF);
	assign(&s, MSIX, 0, NR, VUC_IRQ_TRIGGER, s.eventfds);
	check_vectors(&s);
	finish(&s);
}

static void
act_from_callback(struct vuc_request *req, int status)
{
	struct vuc_irq_range range = range_of(MSIX, 0, 1);
	struct setup *s = req->arg;

	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(vuc_irq_act(s->dev, &range, VUC_IRQ_TRIGGER), -EDEADLK);
	CU_ASSERT_EQUAL(vuc_irq_disable(s->dev, MSIX), -EDEADLK);
	req->arg = NULL;
}

static void
test_from_callback(void)
{
	struct setup s;
	uint32_t id;
	struct vuc_request req = {
		.op = VUC_OP_READ,
		.region = BAR0,
		.offset = REFDEV_REG_ID,
		.data = &id,
		.count = sizeof(id),
		.done = act_from_callback,
		.arg = &s,
	};

	start(&s, NULL);
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(s.dev, &req), 0);
	while (req.arg != NULL)
		vuc_poll_group_poll(vuc_device_poll_group(s.dev));
	finish(&s);
}

static void
test_server_dies(void)
{
	struct vuc_irq_range range = range_of(MSIX, 0, NR);
	uint32_t done = UINT32_MAX;
	struct setup s;

	start(&s, NULL);
	peer_kill(s.peer);
	CU_ASSERT_EQUAL(
		vuc_irq_assign(s.dev, &range, VUC_IRQ_TRIGGER, s.eventfds, &done), -ECONNRESET);
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT_EQUAL(vuc_irq_act(s.dev, &range, VUC_IRQ_TRIGGER), -ECONNRESET);
	CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(s.dev), "closed the connection"));
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

#define TEST(name)                 \
	{                          \
#name, test_##name \
	}

static CU_TestInfo tests[] = {
	TEST(msix),
	TEST(few_fds),
	TEST(no_fds),
	TEST(holes),
	TEST(deassign_and_disable),
	TEST(eventfds_stay_ours),
	TEST(select),
	TEST(mask),
	TEST(intx),
	TEST(err_and_req),
	TEST(bad_ranges),
	TEST(bad_eventfds),
	TEST(from_callback),
	TEST(server_dies),
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	return peer_main(argc, argv, suites);
}
