/* SPDX-License-Identifier: BSD-3-Clause */

/* MSI-X of the reference device, by the transport that the command line names. What else it makes
 * of interrupts is shown by test_refdev_device.py, and how they are asked for by test_irq_messages.
 */

#include <fcntl.h>
#include <sys/eventfd.h>

#include <vuc/irq.h>

#include "peer.h"
#include "outcome.h"

#define MSI     VFIO_PCI_MSI_IRQ_INDEX
#define MSIX    VFIO_PCI_MSIX_IRQ_INDEX
#define VECTORS REFDEV_MSIX_VECTORS

static struct peer *peer;
static struct vuc_device *dev;
static int eventfds[VECTORS];

static void
start(const char *option)
{
	peer = peer_start(1, option, NULL);
	dev = peer_open(peer, 0);
}

static void
stop(void)
{
	vuc_device_close(dev);
	peer_stop(peer);
}

static void
set_up(void)
{
	for (unsigned int i = 0; i < VECTORS; i++)
		eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	start(NULL);
}

static void
tear_down(void)
{
	for (unsigned int i = 0; i < VECTORS; i++)
		CU_ASSERT_EQUAL(close(eventfds[i]), 0);
	stop();
}

/* Events of eventfd i since the last call. */
static uint64_t
events(unsigned int i)
{
	uint64_t n = 0;

	return read(eventfds[i], &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Whether there was one event at each eventfd that has its bit set, and none at the others. */
static bool
are_signalled(unsigned int bits)
{
	bool are = true;

	for (unsigned int i = 0; i < VECTORS; i++)
		are = events(i) == (bits >> i & 1) && are;
	return are;
}

static void
write_reg(uint64_t offset, uint32_t value)
{
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, offset, &value, sizeof(value)), 0);
}

static void
assign(uint32_t index, uint32_t first, uint32_t count, enum vuc_irq_action action, const int *fds)
{
	const struct vuc_irq_range range = {index, first, count};
	uint32_t done = UINT32_MAX;

	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &range, action, fds, &done), 0);
	CU_ASSERT_EQUAL(done, count);
}

/* Each vector signals its own eventfd only; those without a bit have none. */
static void
check_vectors(unsigned int bits)
{
	for (uint32_t i = 0; i < VECTORS; i++) {
		write_reg(REFDEV_REG_IRQ_TRIGGER, i);
		CU_ASSERT(are_signalled(bits & 1u << i));
	}
}

/* By one message, by messages of 3 eventfds, the last of 2, and by messages of one. */
static void
test_msix(void)
{
	static const struct {
		const char *option;
		unsigned int max_msg_fds;
	} rows[] = {{NULL, 8}, {"--max-msg-fds=3", 3}, {"--max-msg-fds=1", 1}};

	for (size_t i = 0; i < NR(rows); i++) {
		stop();
		start(rows[i].option);
		CU_ASSERT_EQUAL(vuc_device_version(dev)->max_msg_fds, rows[i].max_msg_fds);
		assign(MSIX, 0, VECTORS, VUC_IRQ_TRIGGER, eventfds);
		check_vectors(0xff);
	}
}

static void
test_no_fds(void)
{
	const struct vuc_irq_range range = {MSIX, 0, VECTORS};
	uint32_t done = UINT32_MAX;

	stop();
	start("--max-msg-fds=0");
	CU_ASSERT(is_refused(dev, vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, eventfds, &done),
		-EOPNOTSUPP,
		"IRQ index 2: the server accepts no file descriptors (max_msg_fds 0)"));
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT_EQUAL(vuc_irq_deassign(dev, &range, VUC_IRQ_TRIGGER), 0);
}

/* The server has descriptors of its own: closing ours changes nothing. */
static void
test_eventfds_stay_ours(void)
{
	int copies[VECTORS];

	for (uint32_t i = 0; i < VECTORS; i++)
		copies[i] = fcntl(eventfds[i], F_DUPFD_CLOEXEC, 0);
	assign(MSIX, 0, VECTORS, VUC_IRQ_TRIGGER, copies);
	for (uint32_t i = 0; i < VECTORS; i++)
		CU_ASSERT_EQUAL(close(copies[i]), 0);
	check_vectors(0xff);
}

static void
test_bad_ranges(void)
{
	static const struct {
		struct vuc_irq_range range;
		unsigned int action;
		const char *reason;
	} rows[] = {
		{{MSI, 0, 1}, VUC_IRQ_TRIGGER, "IRQ index 1 has no interrupts"},
		{{VFIO_PCI_NUM_IRQS, 0, 1}, VUC_IRQ_TRIGGER, "IRQ index 5 has no interrupts"},
		{{UINT32_MAX, 0, 1}, VUC_IRQ_TRIGGER, "IRQ index 4294967295 has no interrupts"},
		{{MSIX, 0, 0}, VUC_IRQ_TRIGGER, "IRQ index 2: a range of 0 interrupts"},
		{{MSIX, 7, 2}, VUC_IRQ_TRIGGER,
			"IRQ index 2: 2 interrupts from 7 on are beyond its 8"},
		{{MSIX, UINT32_MAX, 2}, VUC_IRQ_TRIGGER,
			"IRQ index 2: 2 interrupts from 4294967295 on are beyond its 8"},
		{{MSIX, 0, UINT32_MAX}, VUC_IRQ_TRIGGER,
			"IRQ index 2: 4294967295 interrupts from 0 on are beyond its 8"},
		{{MSIX, 0, 1}, 9, "IRQ index 2: unknown action 9"},
	};
	static const bool which[VECTORS];

	for (size_t i = 0; i < NR(rows); i++) {
		const struct vuc_irq_range *range = &rows[i].range;
		enum vuc_irq_action action = (enum vuc_irq_action)rows[i].action;
		const char *reason = rows[i].reason;

		CU_ASSERT(is_refused(dev, vuc_irq_act(dev, range, action), -EINVAL, reason));
		CU_ASSERT(is_refused(
			dev, vuc_irq_select(dev, range, action, which, NULL), -EINVAL, reason));
		CU_ASSERT(is_refused(dev, vuc_irq_deassign(dev, range, action), -EINVAL, reason));
		CU_ASSERT(is_refused(
			dev, vuc_irq_assign(dev, range, action, eventfds, NULL), -EINVAL, reason));
	}
	CU_ASSERT_EQUAL(vuc_irq_disable(dev, MSI), -EINVAL);
	CU_ASSERT_EQUAL(vuc_irq_disable(dev, VFIO_PCI_NUM_IRQS), -EINVAL);
}

/* A descriptor that is not open costs the call, not the connection. */
static void
test_bad_eventfds(void)
{
	const struct vuc_irq_range range = {MSIX, 2, 2};
	uint32_t done = UINT32_MAX;
	int fds[] = {eventfds[0], 1000000};

	CU_ASSERT(is_refused(dev, vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, fds, &done), -EBADF,
		"IRQ index 2: descriptor 1000000 for interrupt 3: Bad file descriptor"));
	CU_ASSERT_EQUAL(done, 0);
	fds[1] = -2;
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, fds, NULL), -EBADF);
	assign(MSIX, 0, VECTORS, VUC_IRQ_TRIGGER, eventfds);
	check_vectors(0xff);
}

static void
test_server_dies(void)
{
	const struct vuc_irq_range range = {MSIX, 0, VECTORS};
	uint32_t done = UINT32_MAX;

	peer_kill(peer);
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, eventfds, &done), -ECONNRESET);
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT(is_refused(dev, vuc_irq_act(dev, &range, VUC_IRQ_TRIGGER), -ECONNRESET,
		"*closed the connection*"));
}

const struct tap_suite tap_suite = {"irq", set_up, tear_down,
	{
		{"MSI-X", test_msix},
		{"no descriptors", test_no_fds},
		{"eventfds stay ours", test_eventfds_stay_ours},
		{"bad ranges", test_bad_ranges},
		{"bad eventfds", test_bad_eventfds},
		{"server dies", test_server_dies},
	},
	.begin = peer_begin};
