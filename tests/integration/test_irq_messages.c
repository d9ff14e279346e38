/* SPDX-License-Identifier: BSD-3-Clause */

/* What is sent to set interrupts: against a server that keeps a record and refuses when told. */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <vuc/irq.h>

#include "fake_server.h"
#include "fd_count.h"
#include "tap.h"

#define MSIX     VFIO_PCI_MSIX_IRQ_INDEX
#define NR_IRQS  9000u
#define NR_FDS   40u
#define MAX_SEEN 64u

#define ASSIGN (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)

struct seen {
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	unsigned int nr_fds;
	size_t len;          /* bytes behind the fixed part */
	unsigned int nr_set; /* those of them that are 1 */
	uint32_t first_set;  /* the first of those, as an interrupt */
};

struct setup {
	struct fake_server server;
	struct vuc_device *dev;
	unsigned int refuse; /* this message, from 1 on, is answered by EBUSY */
	unsigned int nr;
	struct seen seen[MAX_SEEN];
	int eventfds[NR_FDS];
};

static unsigned int fds_before;

/* Each descriptor gets the number of its interrupt, plus 1. */
static void
sign(const struct vuc_loopback_msg *request, uint32_t first)
{
	for (unsigned int i = 0; i < request->nr_fds; i++) {
		uint64_t n = first + i + 1;

		CU_ASSERT_EQUAL(write(request->fds[i], &n, sizeof(n)), sizeof(n));
	}
}

static int
record(void *arg, const struct vuc_loopback_msg *request, const struct vfio_user_header *header,
	struct fake_reply *reply)
{
	struct setup *s = arg;
	struct seen *seen = &s->seen[s->nr];
	struct vfio_user_irq_set set;
	const uint8_t *bools = request->bytes + sizeof(*header) + sizeof(set);

	(void)reply;
	CU_ASSERT_EQUAL_FATAL(header->cmd, VFIO_USER_DEVICE_SET_IRQS);
	CU_ASSERT_FATAL(s->nr < MAX_SEEN);
	fake_server_body(request, &set, sizeof(set));
	CU_ASSERT_EQUAL(set.argsz, request->len - sizeof(*header));
	*seen = (struct seen){
		.flags = set.flags,
		.index = set.index,
		.start = set.start,
		.count = set.count,
		.nr_fds = request->nr_fds,
		.len = request->len - sizeof(*header) - sizeof(set),
	};
	for (size_t i = seen->len; i-- > 0;) {
		if (bools[i] == 1) {
			seen->nr_set++;
			seen->first_set = set.start + (uint32_t)i;
		}
	}
	if (++s->nr == s->refuse)
		return EBUSY;
	sign(request, set.start);
	return 0;
}

static void
start(struct setup *s, uint32_t max_msg_fds, uint32_t more_flags)
{
	*s = (struct setup){.server = {.max_msg_fds = max_msg_fds, .command = record, .arg = s}};
	s->server.irqs[MSIX].count = NR_IRQS;
	s->server.irqs[MSIX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | more_flags;
	s->server.irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 2;
	s->server.irqs[VFIO_PCI_MSI_IRQ_INDEX].flags = VFIO_IRQ_INFO_MASKABLE;
	s->dev = fake_server_open(&s->server);
	for (unsigned int i = 0; i < NR_FDS; i++)
		s->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void
finish(struct setup *s)
{
	for (unsigned int i = 0; i < NR_FDS; i++)
		CU_ASSERT_EQUAL(close(s->eventfds[i]), 0);
	vuc_device_close(s->dev);
}

static int
assign(struct setup *s, uint32_t first, uint32_t count, const int *fds, uint32_t *done)
{
	const struct vuc_irq_range range = {.index = MSIX, .start = first, .count = count};

	return vuc_irq_assign(s->dev, &range, VUC_IRQ_TRIGGER, fds, done);
}

/* Whether the nth message was this. */
static bool
saw(const struct setup *s, unsigned int n, uint32_t flags, uint32_t first, uint32_t count,
	unsigned int nr_fds)
{
	const struct seen *seen = &s->seen[n];

	return n < s->nr && seen->index == MSIX && seen->flags == flags && seen->start == first &&
		seen->count == count && seen->nr_fds == nr_fds;
}

static uint64_t
events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void
test_chunks(void)
{
	uint32_t done = 0;
	struct setup s;

	start(&s, 12, 0);
	CU_ASSERT_EQUAL(assign(&s, 100, NR_FDS, s.eventfds, &done), 0);
	CU_ASSERT_EQUAL(done, NR_FDS);
	CU_ASSERT_EQUAL(s.nr, 4);
	CU_ASSERT(saw(&s, 0, ASSIGN, 100, 12, 12));
	CU_ASSERT(saw(&s, 1, ASSIGN, 112, 12, 12));
	CU_ASSERT(saw(&s, 2, ASSIGN, 124, 12, 12));
	CU_ASSERT(saw(&s, 3, ASSIGN, 136, 4, 4));
	for (unsigned int i = 0; i < NR_FDS; i++)
		CU_ASSERT_EQUAL(events(s.eventfds[i]), 100 + i + 1);
	finish(&s);
}

/* However many the server would take, we have a limit as well. */
static void
test_own_limit(void)
{
	struct setup s;

	start(&s, 60000, 0);
	CU_ASSERT_EQUAL(assign(&s, 0, NR_FDS, s.eventfds, NULL), 0);
	CU_ASSERT_EQUAL(s.nr, 3);
	CU_ASSERT(saw(&s, 0, ASSIGN, 0, 16, 16));
	CU_ASSERT(saw(&s, 1, ASSIGN, 16, 16, 16));
	CU_ASSERT(saw(&s, 2, ASSIGN, 32, 8, 8));
	finish(&s);
}

/* Interrupts without an eventfd go by themselves, however many they are. */
static void
test_holes(void)
{
	uint32_t done = 0;
	struct setup s;
	int fds[NR_FDS];

	start(&s, 4, 0);
	for (unsigned int i = 0; i < NR_FDS; i++)
		fds[i] = i >= 1 && i < 7 ? s.eventfds[i] : -1;
	CU_ASSERT_EQUAL(assign(&s, 0, NR_FDS, fds, &done), 0);
	CU_ASSERT_EQUAL(done, NR_FDS);
	CU_ASSERT_EQUAL(s.nr, 4);
	CU_ASSERT(saw(&s, 0, ASSIGN, 0, 1, 0));
	CU_ASSERT(saw(&s, 1, ASSIGN, 1, 4, 4));
	CU_ASSERT(saw(&s, 2, ASSIGN, 5, 2, 2));
	CU_ASSERT(saw(&s, 3, ASSIGN, 7, 33, 0));
	finish(&s);
}

static void
test_refused_on_the_way(void)
{
	uint32_t done = UINT32_MAX;
	struct setup s;

	start(&s, 8, 0);
	s.refuse = 3;
	CU_ASSERT_EQUAL(assign(&s, 10, NR_FDS, s.eventfds, &done), -EBUSY);
	CU_ASSERT_EQUAL(done, 16);
	CU_ASSERT_EQUAL(s.nr, 3);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev),
		"IRQ index 2, interrupts 26 to 33: the server answered "
		"VFIO_USER_DEVICE_SET_IRQS with error 16 (Device or resource busy)");
	CU_ASSERT_EQUAL(assign(&s, 26, 24, s.eventfds + 16, &done), 0);
	CU_ASSERT_EQUAL(done, 24);
	finish(&s);
}

static void
test_other_forms(void)
{
	const struct vuc_irq_range range = {.index = MSIX, .start = 3, .count = 500};
	struct setup s;

	start(&s, 4, 0);
	CU_ASSERT_EQUAL(vuc_irq_deassign(s.dev, &range, VUC_IRQ_UNMASK), 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(s.dev, &(struct vuc_irq_range){MSIX, 7, 2}, VUC_IRQ_MASK,
				s.eventfds, NULL),
		0);
	CU_ASSERT_EQUAL(vuc_irq_act(s.dev, &range, VUC_IRQ_MASK), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(s.dev, &range, VUC_IRQ_UNMASK), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(s.dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(vuc_irq_disable(s.dev, MSIX), 0);
	CU_ASSERT_EQUAL(s.nr, 6);
	CU_ASSERT(saw(&s, 0, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK, 3, 500, 0));
	CU_ASSERT(saw(&s, 1, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_MASK, 7, 2, 2));
	CU_ASSERT(saw(&s, 2, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, 3, 500, 0));
	CU_ASSERT(saw(&s, 3, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 3, 500, 0));
	CU_ASSERT(saw(&s, 4, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 3, 500, 0));
	CU_ASSERT(saw(&s, 5, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, 0));
	finish(&s);
}

/* More than a message selects from. */
static void
test_select_many(void)
{
	const struct vuc_irq_range range = {.index = MSIX, .start = 1, .count = NR_IRQS - 1};
	const uint32_t flags = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_MASK;
	static bool which[NR_IRQS - 1];
	uint32_t done = 0;
	struct setup s;

	start(&s, 4, 0);
	which[0] = which[4095] = which[8192] = true;
	CU_ASSERT_EQUAL(vuc_irq_select(s.dev, &range, VUC_IRQ_MASK, which, &done), 0);
	CU_ASSERT_EQUAL(done, range.count);
	CU_ASSERT_EQUAL(s.nr, 3);
	CU_ASSERT(saw(&s, 0, flags, 1, 4096, 0));
	CU_ASSERT(saw(&s, 1, flags, 4097, 4096, 0));
	CU_ASSERT(saw(&s, 2, flags, 8193, 807, 0));
	for (unsigned int i = 0; i < s.nr; i++)
		CU_ASSERT_EQUAL(s.seen[i].len, s.seen[i].count);
	CU_ASSERT_EQUAL(s.seen[0].nr_set, 2);
	CU_ASSERT_EQUAL(s.seen[0].first_set, 1);
	CU_ASSERT_EQUAL(s.seen[1].nr_set, 0);
	CU_ASSERT_EQUAL(s.seen[2].nr_set, 1);
	CU_ASSERT_EQUAL(s.seen[2].first_set, 8193);
	s.refuse = 5;
	CU_ASSERT_EQUAL(vuc_irq_select(s.dev, &range, VUC_IRQ_MASK, which, &done), -EBUSY);
	CU_ASSERT_EQUAL(done, 4096);
	finish(&s);
}

static void
test_no_eventfds(void)
{
	const struct vuc_irq_range range = {.index = VFIO_PCI_MSI_IRQ_INDEX, .count = 2};
	struct setup s;

	start(&s, 4, 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(s.dev, &range, VUC_IRQ_TRIGGER, s.eventfds, NULL), 0);
	CU_ASSERT_EQUAL(vuc_irq_deassign(s.dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(vuc_irq_act(s.dev, &range, VUC_IRQ_TRIGGER), 0);
	CU_ASSERT_EQUAL(s.nr, 3);
	finish(&s);
}

/* Set up once, within one message, and not widened until it is disabled. */
static void
test_noresize(void)
{
	uint32_t done = UINT32_MAX;
	struct setup s;

	start(&s, 8, VFIO_IRQ_INFO_NORESIZE);
	CU_ASSERT_EQUAL(assign(&s, 4, 9, s.eventfds, &done), -EMSGSIZE);
	CU_ASSERT_EQUAL(done, 0);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev),
		"IRQ index 2: VFIO_IRQ_INFO_NORESIZE requires interrupts 4 to 12 in one "
		"message, without gaps and with at most 8 descriptors");
	CU_ASSERT_EQUAL(s.nr, 0);
	CU_ASSERT_EQUAL(assign(&s, 4, 8, s.eventfds, NULL), 0);
	CU_ASSERT_EQUAL(assign(&s, 5, 3, s.eventfds, NULL), 0);
	CU_ASSERT_EQUAL(assign(&s, 11, 2, s.eventfds, NULL), -EBUSY);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(s.dev),
		"IRQ index 2: VFIO_IRQ_INFO_NORESIZE allows interrupts 11 to 12 only with 4 to 11 "
		"disabled");
	CU_ASSERT_EQUAL(assign(&s, 3, 1, s.eventfds, NULL), -EBUSY);
	CU_ASSERT_EQUAL(vuc_irq_disable(s.dev, MSIX), 0);
	CU_ASSERT_EQUAL(assign(&s, 11, 2, s.eventfds, NULL), 0);
	CU_ASSERT_EQUAL(s.nr, 4);
	finish(&s);
}

static void
test_noresize_holes(void)
{
	struct setup s;
	int fds[4];

	start(&s, 8, VFIO_IRQ_INFO_NORESIZE);
	memcpy(fds, s.eventfds, sizeof(fds));
	fds[2] = -1;
	CU_ASSERT_EQUAL(assign(&s, 0, 4, fds, NULL), -EMSGSIZE);
	fds[0] = -1;
	fds[3] = -1;
	CU_ASSERT_EQUAL(assign(&s, 0, 4, fds, NULL), 0);
	CU_ASSERT(saw(&s, 1, ASSIGN, 1, 1, 1));
	CU_ASSERT_EQUAL(assign(&s, 0, 2, s.eventfds, NULL), -EBUSY);
	fds[1] = -1;
	CU_ASSERT_EQUAL(assign(&s, 0, 4, fds, NULL), 0);
	CU_ASSERT_EQUAL(vuc_irq_assign(s.dev, &(struct vuc_irq_range){MSIX, 0, 20}, VUC_IRQ_MASK,
				s.eventfds, NULL),
		0);
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
	{"chunks", test_chunks},
	{"own limit", test_own_limit},
	{"holes", test_holes},
	{"refused on the way", test_refused_on_the_way},
	{"other forms", test_other_forms},
	{"select many", test_select_many},
	{"no eventfds", test_no_eventfds},
	{"noresize", test_noresize},
	{"noresize, holes", test_noresize_holes},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	return vuc_tap_tests("irq messages", set_up, tear_down, tests);
}
