/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "refdev_peer.h"
#include "tap.h"

#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI  VFIO_PCI_MSI_IRQ_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define ERR  VFIO_PCI_ERR_IRQ_INDEX
#define REQ  VFIO_PCI_REQ_IRQ_INDEX

#define NONE    VFIO_IRQ_SET_DATA_NONE
#define BOOL    VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

/* Act on interrupts without data. */
static int
act(struct refdev_peer *p, uint32_t action, uint32_t index, uint32_t start, uint32_t count)
{
	const struct refdev_peer_irqs irqs = {
		.flags = NONE | action, .index = index, .start = start, .count = count};

	return refdev_peer_set_irqs(p, &irqs);
}

static int
act_where(struct refdev_peer *p, uint32_t action, uint32_t index, uint32_t start, uint32_t count,
	const uint8_t *bools)
{
	const struct refdev_peer_irqs irqs = {
		.flags = BOOL | action,
		.index = index,
		.start = start,
		.count = count,
		.bools = bools,
	};

	return refdev_peer_set_irqs(p, &irqs);
}

/* De-assign, by sending no descriptors. */
static int
deassign(struct refdev_peer *p, uint32_t action, uint32_t index, uint32_t start, uint32_t count)
{
	const struct refdev_peer_irqs irqs = {
		.flags = EVENTFD | action, .index = index, .start = start, .count = count};

	return refdev_peer_set_irqs(p, &irqs);
}

static uint32_t
status_bit(struct refdev_peer *p)
{
	return (uint32_t)refdev_peer_read(p, VFIO_PCI_CONFIG_REGION_INDEX, PCI_STATUS, 2) &
		PCI_STATUS_INTERRUPT;
}

/* The client triggers an interrupt itself. */
static void
test_trigger_none(void)
{
	static const uint32_t indexes[] = {INTX, MSIX, ERR, REQ};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < 4; i++) {
		int fd = refdev_peer_eventfd(&p, indexes[i], 0, TRIGGER);

		CU_ASSERT_EQUAL(act(&p, TRIGGER, indexes[i], 0, 1), 0);
		CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
		close(fd);
	}
	refdev_peer_close(&p);
}

static void
test_trigger_bool(void)
{
	const uint8_t bools[3] = {1, 0, 2};
	struct refdev_peer p;
	int fds[3];

	refdev_peer_open(&p);
	for (uint32_t n = 0; n < 3; n++)
		fds[n] = refdev_peer_eventfd(&p, MSIX, 2 + n, TRIGGER);
	CU_ASSERT_EQUAL(act_where(&p, TRIGGER, MSIX, 2, 3, bools), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fds[0]), 1);
	CU_ASSERT_EQUAL(refdev_peer_events(fds[1]), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fds[2]), 1);
	for (uint32_t n = 0; n < 3; n++)
		close(fds[n]);
	refdev_peer_close(&p);
}

/* All vectors by one message, in the order of the descriptors. */
static void
test_assign_many(void)
{
	int own[REFDEV_MSIX_VECTORS];
	int sent[REFDEV_MSIX_VECTORS];
	const struct refdev_peer_irqs irqs = {
		.flags = EVENTFD | TRIGGER,
		.index = MSIX,
		.count = REFDEV_MSIX_VECTORS,
		.fds = sent,
		.nr_fds = REFDEV_MSIX_VECTORS,
	};
	struct refdev_peer p;

	for (uint32_t n = 0; n < REFDEV_MSIX_VECTORS; n++) {
		own[n] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		sent[n] = dup(own[n]);
	}
	refdev_peer_open(&p);
	CU_ASSERT_EQUAL_FATAL(refdev_peer_set_irqs(&p, &irqs), 0);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 6, 1), 0);
	for (uint32_t n = 0; n < REFDEV_MSIX_VECTORS; n++) {
		CU_ASSERT_EQUAL(refdev_peer_events(own[n]), n == 6);
		close(own[n]);
	}
	p.nr_open -= REFDEV_MSIX_VECTORS * 2;
	refdev_peer_close(&p);
}

static void
test_deassign(void)
{
	struct refdev_peer p;
	int fds[2];

	refdev_peer_open(&p);
	for (uint32_t n = 0; n < 2; n++)
		fds[n] = refdev_peer_eventfd(&p, MSIX, n, TRIGGER);
	CU_ASSERT_EQUAL(deassign(&p, TRIGGER, MSIX, 0, 1), 0);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 0, 2), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fds[0]), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fds[1]), 1);
	close(fds[0]);
	close(fds[1]);
	refdev_peer_close(&p);
}

/* Another eventfd takes the place of the first, which is closed: the count at the end says so. */
static void
test_reassign(void)
{
	struct refdev_peer p;
	int first;
	int second;

	refdev_peer_open(&p);
	first = refdev_peer_eventfd(&p, ERR, 0, TRIGGER);
	second = refdev_peer_eventfd(&p, ERR, 0, TRIGGER);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, ERR, 0, 1), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(first), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(second), 1);
	close(first);
	close(second);
	refdev_peer_close(&p);
}

static void
test_disable_index(void)
{
	struct refdev_peer p;
	int fds[2];

	refdev_peer_open(&p);
	for (uint32_t n = 0; n < 2; n++)
		fds[n] = refdev_peer_eventfd(&p, MSIX, n, TRIGGER);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 0, 0), 0);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 0, 2), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fds[0]), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fds[1]), 0);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSI, 0, 0), 0);
	close(fds[0]);
	close(fds[1]);
	refdev_peer_close(&p);
}

/* Masked by the client: pending, and delivered when unmasked. */
static void
test_mask_msix(void)
{
	const uint8_t second[2] = {0, 1};
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	fd = refdev_peer_eventfd(&p, MSIX, 3, TRIGGER);
	CU_ASSERT_EQUAL(act_where(&p, MASK, MSIX, 2, 2, second), 0);
	refdev_peer_set_reg(&p, REFDEV_REG_IRQ_TRIGGER, 3);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	CU_ASSERT_EQUAL(
		refdev_peer_read(&p, VFIO_PCI_BAR4_REGION_INDEX, REFDEV_BAR4_PBA, 8), 1u << 3);
	CU_ASSERT_EQUAL(act(&p, UNMASK, MSIX, 0, REFDEV_MSIX_VECTORS), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	close(fd);
	refdev_peer_close(&p);
}

/* The client is told when an interrupt becomes masked and unmasked, by whomever. */
static void
test_mask_events(void)
{
	const uint32_t control = REFDEV_BAR4_TABLE + PCI_MSIX_ENTRY_VECTOR_CTRL;
	struct refdev_peer p;
	int masked;
	int unmasked;

	refdev_peer_open(&p);
	masked = refdev_peer_eventfd(&p, MSIX, 0, MASK);
	unmasked = refdev_peer_eventfd(&p, MSIX, 0, UNMASK);
	refdev_peer_write(&p, VFIO_PCI_BAR4_REGION_INDEX, control, 4, 1);
	CU_ASSERT_EQUAL(act(&p, MASK, MSIX, 0, 1), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(masked), 1);
	refdev_peer_write(&p, VFIO_PCI_BAR4_REGION_INDEX, control, 4, 0);
	CU_ASSERT_EQUAL(refdev_peer_events(unmasked), 0);
	CU_ASSERT_EQUAL(act(&p, UNMASK, MSIX, 0, 1), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(unmasked), 1);
	CU_ASSERT_EQUAL(refdev_peer_events(masked), 0);
	close(masked);
	close(unmasked);
	refdev_peer_close(&p);
}

/* INTx masks itself, and comes again on unmasking until the driver has acknowledged it. */
static void
test_intx(void)
{
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	fd = refdev_peer_eventfd(&p, INTX, 0, TRIGGER);
	refdev_peer_set_reg(&p, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_INTX);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_INTX), 1);
	CU_ASSERT_NOT_EQUAL(status_bit(&p), 0);
	refdev_peer_set_reg(&p, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_INTX);
	refdev_peer_write(&p, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, 2, 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	CU_ASSERT_EQUAL(act(&p, UNMASK, INTX, 0, 1), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	refdev_peer_set_reg(&p, REFDEV_REG_INTX, 0);
	CU_ASSERT_EQUAL(status_bit(&p), 0);
	CU_ASSERT_EQUAL(act(&p, UNMASK, INTX, 0, 1), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	refdev_peer_set_reg(&p, REFDEV_REG_INTX, 1);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	close(fd);
	refdev_peer_close(&p);
}

static void
test_intx_disable(void)
{
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	fd = refdev_peer_eventfd(&p, INTX, 0, TRIGGER);
	refdev_peer_write(
		&p, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	refdev_peer_set_reg(&p, REFDEV_REG_INTX, 1);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 0);
	CU_ASSERT_NOT_EQUAL(status_bit(&p), 0);
	refdev_peer_write(&p, VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, 2, 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	close(fd);
	refdev_peer_close(&p);
}

/* A level that nobody listens to yet is there for the one that comes. */
static void
test_intx_late(void)
{
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	refdev_peer_set_reg(&p, REFDEV_REG_INTX, 1);
	fd = refdev_peer_eventfd(&p, INTX, 0, TRIGGER);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	close(fd);
	refdev_peer_close(&p);
}

static void
test_err_req_triggers(void)
{
	struct refdev_peer p;
	int err;
	int req;

	refdev_peer_open(&p);
	err = refdev_peer_eventfd(&p, ERR, 0, TRIGGER);
	req = refdev_peer_eventfd(&p, REQ, 0, TRIGGER);
	refdev_peer_set_reg(&p, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_ERR);
	CU_ASSERT_EQUAL(refdev_peer_events(err), 1);
	CU_ASSERT_EQUAL(refdev_peer_events(req), 0);
	refdev_peer_set_reg(&p, REFDEV_REG_IRQ_TRIGGER, REFDEV_TRIGGER_REQ);
	CU_ASSERT_EQUAL(refdev_peer_events(err), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(req), 1);
	close(err);
	close(req);
	refdev_peer_close(&p);
}

/* A client that leaves takes its eventfds and masks with it, and the level of INTx stays. */
static void
test_disconnect(void)
{
	const uint32_t version[] = {2u << 16};
	struct refdev_peer p;
	int old;
	int fd;

	refdev_peer_open(&p);
	old = refdev_peer_eventfd(&p, INTX, 0, TRIGGER);
	CU_ASSERT_EQUAL(act(&p, MASK, INTX, 0, 1), 0);
	refdev_peer_set_reg(&p, REFDEV_REG_INTX, 1);
	refdev_disconnect(p.dev);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, version, sizeof(version)), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_INTX), 1);
	fd = refdev_peer_eventfd(&p, INTX, 0, TRIGGER);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), 1);
	CU_ASSERT_EQUAL(refdev_peer_events(old), 0);
	close(old);
	close(fd);
	refdev_peer_close(&p);
}

/* An eventfd whose counter is full is not waited for. */
static void
test_full_eventfd(void)
{
	const uint64_t most = UINT64_MAX - 1;
	struct refdev_peer p;
	int fd;

	refdev_peer_open(&p);
	fd = refdev_peer_eventfd(&p, ERR, 0, TRIGGER);
	CU_ASSERT_EQUAL_FATAL(write(fd, &most, sizeof(most)), sizeof(most));
	CU_ASSERT_EQUAL(act(&p, TRIGGER, ERR, 0, 1), 0);
	CU_ASSERT_EQUAL(refdev_peer_events(fd), most);
	close(fd);
	refdev_peer_close(&p);
}

static void
test_refused_flags(void)
{
	static const uint32_t flags[] = {
		0,
		NONE,
		TRIGGER,
		NONE | BOOL | TRIGGER,
		NONE | TRIGGER | MASK,
		NONE | MASK | UNMASK,
		NONE | TRIGGER | 1u << 6,
		NONE | TRIGGER | 1u << 31,
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		const struct refdev_peer_irqs irqs = {.flags = flags[i], .index = MSIX, .count = 1};

		CU_ASSERT_EQUAL(refdev_peer_set_irqs(&p, &irqs), -EINVAL);
	}
	refdev_peer_close(&p);
}

static void
test_refused_ranges(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 0, 9), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 8, 1), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 7, 2), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, UINT32_MAX, 2), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 1, UINT32_MAX), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSIX, 1, 0), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, MASK, MSIX, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, MSI, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, 5, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, TRIGGER, UINT32_MAX, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, MASK, ERR, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(act(&p, UNMASK, REQ, 0, 1), -EINVAL);
	CU_ASSERT_EQUAL(deassign(&p, MASK, ERR, 0, 1), -EINVAL);
	refdev_peer_close(&p);
}

/* Descriptors as many as interrupts, and only where they belong; all of them are closed. */
static void
test_refused_fds(void)
{
	struct refdev_peer p;
	struct refdev_peer_irqs irqs = {.index = MSIX, .start = 0, .nr_fds = 2};

	refdev_peer_open(&p);
	for (uint32_t i = 0; i < 4; i++) {
		static const struct {
			uint32_t flags;
			uint32_t count;
		} wrong[] = {
			{EVENTFD | TRIGGER, 1},
			{EVENTFD | TRIGGER, 3},
			{NONE | TRIGGER, 2},
			{BOOL | TRIGGER, 2},
		};
		static const uint8_t bools[2] = {1, 1};
		const int fds[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};

		irqs.flags = wrong[i].flags;
		irqs.count = wrong[i].count;
		irqs.bools = (wrong[i].flags & BOOL) != 0 ? bools : NULL;
		irqs.fds = fds;
		CU_ASSERT_EQUAL(refdev_peer_set_irqs(&p, &irqs), -EINVAL);
	}
	refdev_peer_close(&p);
}

/* argsz is the size of the request, and the data is as long as the flags say. */
static void
test_refused_sizes(void)
{
	struct {
		uint32_t argsz;
		uint32_t flags;
		uint32_t index;
		uint32_t start;
		uint32_t count;
		uint8_t data[8];
	} body = {.flags = BOOL | TRIGGER, .index = MSIX, .count = 4};
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t data = 0; data <= sizeof(body.data); data++) {
		size_t len = sizeof(struct vfio_user_irq_set) + data;

		body.argsz = (uint32_t)len;
		CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_SET_IRQS, &body, len),
			data == 4 ? 0 : -EINVAL);
	}
	body.argsz = sizeof(struct vfio_user_irq_set);
	CU_ASSERT_EQUAL(
		refdev_peer_ask(&p, VFIO_USER_DEVICE_SET_IRQS, &body, body.argsz + 4), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_SET_IRQS, &body, 19), -EINVAL);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"trigger without data", test_trigger_none},
		{"trigger by booleans", test_trigger_bool},
		{"many eventfds at once", test_assign_many},
		{"de-assign", test_deassign},
		{"assign again", test_reassign},
		{"disable an index", test_disable_index},
		{"mask and unmask MSI-X", test_mask_msix},
		{"eventfds for mask and unmask", test_mask_events},
		{"INTx", test_intx},
		{"INTx disabled in config space", test_intx_disable},
		{"INTx before its eventfd", test_intx_late},
		{"ERR and REQ", test_err_req_triggers},
		{"disconnect", test_disconnect},
		{"full eventfd", test_full_eventfd},
		{"flags that are refused", test_refused_flags},
		{"ranges that are refused", test_refused_ranges},
		{"descriptors that are refused", test_refused_fds},
		{"sizes that are refused", test_refused_sizes},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev SET_IRQS", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
