/* SPDX-License-Identifier: BSD-3-Clause */

/* What is sent to set interrupts: against a server that keeps a record and refuses when told. */

#include <sys/eventfd.h>

#include <vuc/irq.h>

#include "fake_server.h"
#include "outcome.h"

#define MSI     VFIO_PCI_MSI_IRQ_INDEX
#define MSIX    VFIO_PCI_MSIX_IRQ_INDEX
#define NR_IRQS 9000u
#define NR_FDS  40u

static struct fake_server server;
static struct vuc_device *dev;
static int eventfds[NR_FDS];
static unsigned int nr_seen;
static unsigned int refused; /* this message, from 1 on, is answered by EBUSY */

/* A message as "ET100+12/12": eventfds to be triggered, for 12 interrupts from 100 on, 12 of them;
 * or none (N) or booleans (B), to be masked (M) or unmasked (U). "=" names those that are true. */
static void
record(const struct vfio_user_irq_set *set, const uint8_t *bools, size_t len, unsigned int nr_fds)
{
	static const char data[] = "?NB?E???", actions[] = "?MU?T???";

	if (set->index != MSIX)
		fake_server_log(&server, "%u:", set->index);
	fake_server_log(&server, "%c%c%u+%u", data[set->flags & 7], actions[set->flags >> 3 & 7],
		set->start, set->count);
	if (nr_fds > 0)
		fake_server_log(&server, "/%u", nr_fds);
	for (size_t i = 0; i < len; i++) {
		CU_ASSERT(bools[i] <= 1);
		if (bools[i] == 1)
			fake_server_log(&server, "=%zu", set->start + i);
	}
	fake_server_log(&server, " ");
	CU_ASSERT_EQUAL(set->flags >> 6, 0);
	CU_ASSERT_EQUAL(len, (set->flags & VFIO_IRQ_SET_DATA_BOOL) != 0 ? set->count : 0);
}

/* A fake_command_fn. Each descriptor gets the number of its interrupt, plus 1. */
static int
serve_command(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply)
{
	struct vfio_user_irq_set set;
	size_t fixed = sizeof(*header) + sizeof(set);

	(void)arg;
	(void)reply;
	CU_ASSERT_EQUAL_FATAL(header->cmd, VFIO_USER_DEVICE_SET_IRQS);
	fake_server_body(request, &set, sizeof(set));
	CU_ASSERT_EQUAL(set.argsz, request->len - sizeof(*header));
	record(&set, request->bytes + fixed, request->len - fixed, request->nr_fds);
	if (++nr_seen == refused)
		return EBUSY;
	for (unsigned int i = 0; i < request->nr_fds; i++) {
		uint64_t n = set.start + i + 1;

		CU_ASSERT_EQUAL(write(request->fds[i], &n, sizeof(n)), sizeof(n));
	}
	return 0;
}

static void
start(uint32_t max_msg_fds, uint32_t more_flags)
{
	server = (struct fake_server){.max_msg_fds = max_msg_fds, .command = serve_command};
	server.irqs[MSIX].count = NR_IRQS;
	server.irqs[MSIX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | more_flags;
	server.irqs[MSI].count = 2;
	server.irqs[MSI].flags = VFIO_IRQ_INFO_MASKABLE;
	dev = fake_server_open(&server);
	nr_seen = refused = 0;
}

static void
set_up(void)
{
	for (unsigned int i = 0; i < NR_FDS; i++)
		eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	start(4, 0);
}

static void
tear_down(void)
{
	for (unsigned int i = 0; i < NR_FDS; i++)
		CU_ASSERT_EQUAL(close(eventfds[i]), 0);
	vuc_device_close(dev);
}

static void
restart(uint32_t max_msg_fds, uint32_t more_flags)
{
	vuc_device_close(dev);
	start(max_msg_fds, more_flags);
}

static int
assign(uint32_t first, uint32_t count, const int *fds, uint32_t *done)
{
	const struct vuc_irq_range range = {MSIX, first, count};

	return vuc_irq_assign(dev, &range, VUC_IRQ_TRIGGER, fds, done);
}

/* As many eventfds in a message as both sides allow; interrupts without one go by themselves,
 * however many they are. */
static void
test_messages(void)
{
	static const struct {
		uint32_t max_msg_fds;
		uint32_t first;        /* interrupt */
		unsigned int from, to; /* those of the eventfds that are not -1 */
		const char *trace;
	} rows[] = {
		{12, 100, 0, NR_FDS, "ET100+12/12 ET112+12/12 ET124+12/12 ET136+4/4 "},
		{60000, 0, 0, NR_FDS, "ET0+16/16 ET16+16/16 ET32+8/8 "},
		{4, 0, 1, 7, "ET0+1 ET1+4/4 ET5+2/2 ET7+33 "},
	};

	for (size_t i = 0; i < NR(rows); i++) {
		uint32_t done = 0;
		int fds[NR_FDS];

		for (unsigned int n = 0; n < NR_FDS; n++)
			fds[n] = n >= rows[i].from && n < rows[i].to ? eventfds[n] : -1;
		restart(rows[i].max_msg_fds, 0);
		CU_ASSERT_EQUAL(assign(rows[i].first, NR_FDS, fds, &done), 0);
		CU_ASSERT_EQUAL(done, NR_FDS);
		CU_ASSERT(fake_server_saw(&server, rows[i].trace));
		for (unsigned int n = rows[i].from; n < rows[i].to; n++) {
			uint64_t events = 0;

			CU_ASSERT_EQUAL(read(fds[n], &events, sizeof(events)), sizeof(events));
			CU_ASSERT_EQUAL(events, rows[i].first + n + 1);
		}
	}
}

static void
test_refused_on_the_way(void)
{
	uint32_t done = UINT32_MAX;

	restart(8, 0);
	refused = 3;
	CU_ASSERT(is_refused(dev, assign(10, NR_FDS, eventfds, &done), -EBUSY,
		"IRQ index 2, interrupts 26 to 33: the server answered VFIO_USER_DEVICE_SET_IRQS "
		"with error 16 (Device or resource busy)"));
	CU_ASSERT_EQUAL(done, 16);
	CU_ASSERT(fake_server_saw(&server, "ET10+8/8 ET18+8/8 ET26+8/8 "));
	CU_ASSERT_EQUAL(assign(26, 24, eventfds + 16, &done), 0);
	CU_ASSERT_EQUAL(done, 24);
}

static void
test_other_forms(void)
{
	const struct vuc_irq_range range = {MSIX, 3, 500}, two = {MSIX, 7, 2}, msi = {MSI, 0, 2};

	CU_ASSERT_EQUAL(vuc_irq_deassign(dev, &range, VUC_IRQ_UNMASK), 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &two, VUC_IRQ_MASK, eventfds, NULL), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &range, VUC_IRQ_MASK), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &range, VUC_IRQ_UNMASK), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(vuc_irq_disable(dev, MSIX), 0);
	CU_ASSERT(fake_server_saw(&server, "EU3+500 EM7+2/2 NM3+500 NU3+500 NT3+500 NT0+0 "));
	/* What an index says of eventfds is for the server to enforce. */
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &msi, VUC_IRQ_TRIGGER, eventfds, NULL), 0);
	CU_ASSERT_EQUAL(vuc_irq_deassign(dev, &msi, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(dev, &msi, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT(fake_server_saw(&server, "1:ET0+2/2 1:ET0+2 1:NT0+2 "));
}

/* More than a message selects from. */
static void
test_select_many(void)
{
	const struct vuc_irq_range range = {MSIX, 1, NR_IRQS - 1};
	static bool which[NR_IRQS - 1];
	uint32_t done = 0;

	which[0] = which[4095] = which[8192] = true;
	CU_ASSERT_EQUAL(vuc_irq_select(dev, &range, VUC_IRQ_MASK, which, &done), 0);
	CU_ASSERT_EQUAL(done, range.count);
	CU_ASSERT(fake_server_saw(&server, "BM1+4096=1=4096 BM4097+4096 BM8193+807=8193 "));
	refused = 5;
	CU_ASSERT_EQUAL(vuc_irq_select(dev, &range, VUC_IRQ_MASK, which, &done), -EBUSY);
	CU_ASSERT_EQUAL(done, 4096);
}

/* Set up once, within one message, and not widened until it is disabled. */
static void
test_noresize(void)
{
	uint32_t done = UINT32_MAX;

	restart(8, VFIO_IRQ_INFO_NORESIZE);
	CU_ASSERT(is_refused(dev, assign(4, 9, eventfds, &done), -EMSGSIZE,
		"IRQ index 2: VFIO_IRQ_INFO_NORESIZE requires interrupts 4 to 12 in one "
		"message, without gaps and with at most 8 descriptors"));
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT(fake_server_saw(&server, ""));
	CU_ASSERT_EQUAL(assign(4, 8, eventfds, NULL), 0);
	CU_ASSERT_EQUAL(assign(5, 3, eventfds, NULL), 0);
	CU_ASSERT(is_refused(dev, assign(11, 2, eventfds, NULL), -EBUSY,
		"IRQ index 2: VFIO_IRQ_INFO_NORESIZE allows interrupts 11 to 12 only with 4 to 11 "
		"disabled"));
	CU_ASSERT_EQUAL(assign(3, 1, eventfds, NULL), -EBUSY);
	CU_ASSERT_EQUAL(vuc_irq_disable(dev, MSIX), 0);
	CU_ASSERT_EQUAL(assign(11, 2, eventfds, NULL), 0);
	CU_ASSERT(fake_server_saw(&server, "ET4+8/8 ET5+3/3 NT0+0 ET11+2/2 "));
}

static void
test_noresize_holes(void)
{
	const struct vuc_irq_range mask = {MSIX, 0, 20};
	int fds[] = {eventfds[0], eventfds[1], -1, eventfds[3]};

	restart(8, VFIO_IRQ_INFO_NORESIZE);
	CU_ASSERT_EQUAL(assign(0, 4, fds, NULL), -EMSGSIZE);
	fds[0] = fds[3] = -1;
	CU_ASSERT_EQUAL(assign(0, 4, fds, NULL), 0);
	CU_ASSERT(fake_server_saw(&server, "ET0+1 ET1+1/1 ET2+2 "));
	CU_ASSERT_EQUAL(assign(0, 2, eventfds, NULL), -EBUSY);
	fds[1] = -1;
	CU_ASSERT_EQUAL(assign(0, 4, fds, NULL), 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(dev, &mask, VUC_IRQ_MASK, eventfds, NULL), 0);
}

const struct tap_suite tap_suite = {"irq messages", set_up, tear_down,
	{
		{"messages", test_messages},
		{"refused on the way", test_refused_on_the_way},
		{"other forms", test_other_forms},
		{"select many", test_select_many},
		{"noresize", test_noresize},
		{"noresize, holes", test_noresize_holes},
	}};
