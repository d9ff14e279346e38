/* SPDX-License-Identifier: BSD-3-Clause */

/* A new daemon is asked for what the VMM has asked for before, and for nothing else. */

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "fake_vucd.h"
#include "fds.h"

#define PAGE UINT64_C(4096)

static int eventfds[6];

static void
set_up(void)
{
	fake_start_attached();
	for (unsigned int i = 0; i < 6; i++)
		eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void
tear_down(void)
{
	vuc_fds_close(eventfds, 6);
	fake_stop();
}

static void
map(uint64_t page, int fd)
{
	const struct vuc_vmm_dma m = {.argsz = sizeof(m),
		.iova = page * PAGE,
		.size = PAGE,
		.offset = PAGE,
		.flags = 3,
		.fd = fd};

	CU_ASSERT_EQUAL(vuc_vmm_dma_map(dev, &m, 1, NULL), 0);
}

/* Mappings 0 … 69 of one file, which is closed then, but for 10 … 19. */
static void
use_memory(void)
{
	int fd = fake_memory(2 * PAGE), again = dup(fd);

	for (uint64_t i = 0; i < 70; i++)
		map(69 - i, i % 2 == 0 ? fd : again);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, 10 * PAGE, 10 * PAGE, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	close(fd);
	close(again);
}

static void
assign(uint32_t index, uint32_t start, enum vuc_vmm_irq_action action, int fd)
{
	const struct vuc_vmm_irq_range range = {index, start, 1};

	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, action, &fd, NULL), 0);
}

/* Vectors 3 and 7 of index 2 are raised by eventfds 0 and 1; its vectors 5 and 6 are masked; index
 * 0 has a mask eventfd, and index 1 nothing any more. */
static void
use_interrupts(void)
{
	const struct vuc_vmm_irq_range four = {2, 4, 4}, two = {2, 7, 1};

	assign(2, 3, VUC_VMM_IRQ_TRIGGER, eventfds[5]);
	assign(2, 3, VUC_VMM_IRQ_TRIGGER, eventfds[0]);
	assign(2, 7, VUC_VMM_IRQ_TRIGGER, eventfds[1]);
	assign(2, 9, VUC_VMM_IRQ_TRIGGER, eventfds[2]);
	assign(2, 9, VUC_VMM_IRQ_TRIGGER, -1);
	assign(0, 0, VUC_VMM_IRQ_MASK, eventfds[3]);
	assign(1, 0, VUC_VMM_IRQ_TRIGGER, eventfds[4]);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable(dev, 1, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &four, VUC_VMM_IRQ_MASK, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &two, VUC_VMM_IRQ_UNMASK, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &(struct vuc_vmm_irq_range){2, 4, 1},
				VUC_VMM_IRQ_UNMASK, NULL),
		0);
}

static void
use_all(void)
{
	const struct vuc_vmm_region *region;
	struct vuc_queue *queue;

	use_memory();
	use_interrupts();
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 2, &region, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_open_queue(dev, NULL, &queue, NULL), 0);
}

static void
expect_irqs(unsigned int n, uint32_t index, uint32_t start, uint32_t action, uint32_t data,
	const char *which)
{
	const struct fake_request *r = fake_request(VUC_SHM_SET_IRQS, n);
	const struct vuc_shm_set_irqs *s = &r->packet->set_irqs;

	CU_ASSERT(s->index == index && s->start == start);
	CU_ASSERT(s->action == action && s->data == data);
	CU_ASSERT_EQUAL_FATAL(s->count, strlen(which));
	for (uint32_t i = 0; i < s->count; i++)
		CU_ASSERT_EQUAL(s->which[i], which[i] - '0');
}

/* The signals of an eventfd since the last look. */
static uint64_t
signals(unsigned int i)
{
	uint64_t n = 0;

	return read(eventfds[i], &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void
expect_all(void)
{
	const struct vuc_shm_dma *m;

	CU_ASSERT_EQUAL(fake_count(VUC_SHM_REGION_INFO), 2);
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_REGION_INFO, 1)->packet->index.index, 2);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 1);
	m = &fake_request(VUC_SHM_DMA, 0)->packet->dma;
	CU_ASSERT(m->nr == 60 && m->nr_fds == 1 && m->flags == VUC_SHM_DMA_COMMIT);
	for (uint32_t i = 0; i < m->nr; i++) {
		const struct vuc_shm_dma_entry *e = &m->entries[i];

		CU_ASSERT_EQUAL(e->iova, (i < 10 ? i : i + 10) * PAGE);
		CU_ASSERT(e->size == PAGE && e->offset == PAGE && e->flags == 3);
	}
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_SET_IRQS), 3);
	for (unsigned int i = 0; i < 3; i++) {
		const struct vuc_shm_set_irqs *s =
			&fake_request(VUC_SHM_SET_IRQS, i)->packet->set_irqs;

		if (s->index == 0)
			expect_irqs(i, 0, 0, VUC_SHM_IRQ_MASK, VUC_SHM_IRQ_EVENT, "1");
		else if (s->data == VUC_SHM_IRQ_EVENT)
			expect_irqs(i, 2, 3, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, "10001");
		else
			expect_irqs(i, 2, 5, VUC_SHM_IRQ_MASK, VUC_SHM_IRQ_SOME, "11");
	}
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_OPEN_QUEUE), 1);
	for (unsigned int i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(signals(i), i < 2);
}

static void
test_replay(void)
{
	const struct vuc_vmm_region *before, *after;

	use_all();
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &before, NULL), 0);
	for (unsigned int i = 0; i < 3; i++) {
		fake_restart();
		CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_GONE);
		CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
		expect_all();
		CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_RESET | VUC_VMM_EVENT_REMAP);
		CU_ASSERT_EQUAL(vuc_vmm_events(dev), 0);
		CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &after, NULL), 0);
		/* What was said before the last change is there still. */
		CU_ASSERT(after != before && fcntl(before->areas[0].fd, F_GETFD) >= 0);
		CU_ASSERT(after->fd == -1 && before->size == after->size);
		before = after;
	}
	/* The new daemon's state is watched. */
	fake_publish(&(const struct vuc_shm_state){.state = VUC_SHM_LOST, .generation = 1});
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_LOST);
	fake_hang_up();
	CU_ASSERT(fake_has_events(-1));
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_GONE);
}

/* A region lives until the second change that the VMM was told of. */
static void
test_untold(void)
{
	const struct vuc_vmm_region *before, *after;
	int fd;

	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &before, NULL), 0);
	fd = before->areas[0].fd;
	for (unsigned int i = 0; i < 3; i++) {
		fake_restart();
		CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	}
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &after, NULL), 0);
	CU_ASSERT(before->index == 0 && before->size == after->size);
	CU_ASSERT_EQUAL(vuc_vmm_events(dev), VUC_VMM_EVENT_RESET | VUC_VMM_EVENT_REMAP);
	CU_ASSERT(before->size == after->size && fcntl(before->areas[0].fd, F_GETFD) >= 0);
	fake_restart();
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	CU_ASSERT(vuc_vmm_events(dev) & VUC_VMM_EVENT_REMAP);
	CU_ASSERT(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
	CU_ASSERT(fcntl(after->areas[0].fd, F_GETFD) >= 0);
}

/* More than a message takes, of mappings, files and eventfds. */
static void
test_many(void)
{
	int fds[20];

	for (unsigned int i = 0; i < 20; i++)
		fds[i] = fake_memory(2 * PAGE);
	for (unsigned int i = 0; i < 150; i++)
		map(i, fds[i % 20]);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	vuc_fds_close(fds, 20);
	for (uint32_t i = 0; i < 40; i++)
		assign(2, i, VUC_VMM_IRQ_TRIGGER, eventfds[i % 2]);
	fake_restart();
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	CU_ASSERT_EQUAL(fake.mappings, 150);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_SET_IRQS), 3);
	CU_ASSERT(signals(0) == 20 && signals(1) == 20);
}

/* What was refused is not asked for again; what it was to take away is not, either. */
static void
test_failed_commit(void)
{
	int status = -EEXIST;

	map(1, fake.memory);
	map(2, fake.memory);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	fake_twist(VUC_SHM_DMA, 0, fake_refuse, &status);
	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, PAGE, PAGE, NULL), 0);
	map(3, fake.memory);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), -EEXIST);
	fake_twist(0, 0, NULL, NULL);
	fake_restart();
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_DMA, 0)->packet->dma.nr, 1);
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_DMA, 0)->packet->dma.entries[0].iova, 2 * PAGE);
}

/* ---- a daemon that is not what it was ---- */

#define AT(packet, field) offsetof(union fake_packet, packet.field)
static const struct difference {
	unsigned int type;
	size_t offset;
	uint32_t value;
	const char *error;
} differences[] = {
	{VUC_SHM_ATTACH, AT(attach_reply, device_flags), 1, "another device: flags was 0x3, and*"},
	{VUC_SHM_ATTACH, AT(attach_reply, num_regions), 4, "another device: num_regions was *"},
	{VUC_SHM_ATTACH, AT(attach_reply, num_irqs), 2, "another device: num_irqs was 0x3*"},
	{VUC_SHM_ATTACH, AT(attach_reply, pgsizes), 8192, "another device: pgsizes was 0x1000*"},
	{VUC_SHM_ATTACH, AT(attach_reply, flags), 0, "another device: dma_message was 0x1*"},
	{VUC_SHM_ATTACH, AT(attach_reply, max_dma_maps), 899, "another device: max_dma_maps*"},
	{VUC_SHM_ATTACH, AT(attach_reply, max_data), 4096, "another device: max_data *"},
	{VUC_SHM_HELLO, AT(hello_reply, max_queues), 7, "another device: max_queues was 0x8*"},
	{VUC_SHM_HELLO, AT(hello_reply, max_depth), 128, "another device: max_depth was *"},
	{VUC_SHM_REGION_INFO, AT(region_reply, size), 0x5000, "another device: size of a region*"},
	{VUC_SHM_REGION_INFO, AT(region_reply, subtype), 8, "another device: type of a region*"},
};

static void
set_field(struct fake_reply *reply, void *arg)
{
	const struct difference *d = arg;

	memcpy(&reply->packet->bytes[d->offset], &d->value, sizeof(d->value));
}

static void
test_differences(void)
{
	use_all();
	for (size_t i = 0; i < NR(differences); i++) {
		fake_restart();
		fake_twist(differences[i].type, 0, set_field, (void *)(uintptr_t)&differences[i]);
		if (!fake_failed(vuc_vmm_reattach(dev, -1, &err), -ENODEV, differences[i].error))
			CU_FAIL("another device was taken");
		CU_ASSERT(fake_failed(vuc_vmm_reset(dev, &err), -ECONNRESET, differences[i].error));
		fake_twist(0, 0, NULL, NULL);
	}
	fake_restart();
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	expect_all();
}

/* A daemon that refuses each thing, ends with each, or does not answer it: nothing is left of it,
 * and the next one has all. */
static void
test_steps(void)
{
	static const unsigned int types[] = {VUC_SHM_HELLO, VUC_SHM_ATTACH, VUC_SHM_REGION_INFO,
		VUC_SHM_DMA, VUC_SHM_SET_IRQS, VUC_SHM_OPEN_QUEUE};
	int status = -EIO;

	use_all();
	for (size_t i = 0; i < NR(types); i++) {
		const struct {
			fake_twist_fn twist;
			int rc;
		} ends[] = {{fake_refuse, status}, {fake_end, -ECONNRESET}};

		for (unsigned int k = 0; k < 2; k++) {
			fake_restart();
			fake_twist(types[i], types[i] == VUC_SHM_SET_IRQS ? 2 : 0, ends[k].twist,
				&status);
			CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), ends[k].rc);
			CU_ASSERT_EQUAL(vuc_vmm_reset(dev, NULL), -ECONNRESET);
			fake_twist(0, 0, NULL, NULL);
			CU_ASSERT_EQUAL(signals(0), 0);
		}
	}
	fake_restart();
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	expect_all();
}

/* ---- calls ---- */

/* What is called meanwhile comes behind it, and it is called once at a time. */
static void
test_start(void)
{
	struct fake_outcome in_vain = {0}, again = {0}, reset = {0}, lost = {0};

	fake_twist(VUC_SHM_RESET, 0, fake_keep_silent, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, fake_keep_outcome, &lost, NULL), 0);
	fake_await(VUC_SHM_RESET, 1);
	fake_restart();
	fake_twist(VUC_SHM_HELLO, 0, fake_keep_silent, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reattach_start(dev, -1, NULL, NULL, NULL), -EINVAL);
	CU_ASSERT_EQUAL(vuc_vmm_reattach_start(dev, -1, fake_keep_outcome, &in_vain, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, NULL), -EALREADY);
	fake_await(VUC_SHM_HELLO, 1);
	fake_restart();
	fake_run_until(&in_vain);
	fake_twist(0, 0, NULL, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reattach_start(dev, -1, fake_keep_outcome, &again, NULL), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset_start(dev, fake_keep_outcome, &reset, NULL), 0);
	fake_run_until(&reset);
	CU_ASSERT(lost.calls == 1 && lost.status == -ECONNRESET);
	CU_ASSERT(in_vain.calls == 1 && in_vain.status == -ECONNRESET);
	CU_ASSERT(again.calls == 1 && again.status == 0 && reset.status == 0);
}

/* A daemon that lives is left: it may be about to stop. */
static void
test_alive(void)
{
	use_interrupts();
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_HELLO), 2);
}

static void
test_detach_meanwhile(void)
{
	struct fake_outcome again = {0}, left = {0};

	use_all();
	fake_restart();
	fake_twist(VUC_SHM_DMA, 0, fake_keep_silent, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_reattach_start(dev, -1, fake_keep_outcome, &again, NULL), 0);
	while (fake_count(VUC_SHM_DMA) == 0)
		vuc_vmm_events(dev);
	CU_ASSERT_EQUAL(vuc_vmm_detach_start(dev, fake_keep_outcome, &left, NULL), 0);
	fake_run_until(&left);
	CU_ASSERT(again.calls == 1 && again.status == -ECANCELED);
	CU_ASSERT_EQUAL(left.status, -ECONNRESET);
	dev = NULL;
}

/* What the VMM has wanted to take away when the daemon died is not handed out again, and what it
 * has wanted to have neither: the calls have failed. */
static void
take_away(void)
{
	static struct fake_outcome ignored;
	const struct vuc_vmm_irq_range replaced = {2, 3, 1}, masked = {2, 4, 1},
				       unmasked = {2, 5, 1};

	CU_ASSERT_EQUAL(vuc_vmm_dma_unmap(dev, PAGE, PAGE, NULL), 0);
	map(3, fake.memory);
	vuc_vmm_dma_commit_start(dev, fake_keep_outcome, &ignored, NULL);
	vuc_vmm_irq_assign_start(dev, &replaced, VUC_VMM_IRQ_TRIGGER, &eventfds[2],
		fake_keep_outcome, &ignored, NULL);
	vuc_vmm_irq_act_start(dev, &masked, VUC_VMM_IRQ_MASK, fake_keep_outcome, &ignored, NULL);
	vuc_vmm_irq_act_start(
		dev, &unmasked, VUC_VMM_IRQ_UNMASK, fake_keep_outcome, &ignored, NULL);
	vuc_vmm_irq_disable_start(dev, 1, fake_keep_outcome, &ignored, NULL);
}

static void
use_some(void)
{
	const struct vuc_vmm_irq_range masked = {2, 5, 1};

	map(1, fake.memory);
	map(2, fake.memory);
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	assign(2, 3, VUC_VMM_IRQ_TRIGGER, eventfds[0]);
	assign(1, 0, VUC_VMM_IRQ_TRIGGER, eventfds[1]);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &masked, VUC_VMM_IRQ_MASK, NULL), 0);
}

static void
expect_taken_away(void)
{
	const struct vuc_shm_dma *m;

	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, -1, &err), 0);
	CU_ASSERT_EQUAL_FATAL(fake_count(VUC_SHM_DMA), 1);
	m = &fake_request(VUC_SHM_DMA, 0)->packet->dma;
	CU_ASSERT(m->nr == 1 && m->entries[0].iova == 2 * PAGE);
	CU_ASSERT_EQUAL_FATAL(fake_count(VUC_SHM_SET_IRQS), 1);
	expect_irqs(0, 2, 4, VUC_SHM_IRQ_MASK, VUC_SHM_IRQ_SOME, "11");
	for (unsigned int i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(signals(i), 0);
	/* Nothing of it is left for the next commit. */
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, &err), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 1);
}

static void
test_taken_away(void)
{
	static const struct {
		bool silent; /* the daemon has the first request, and no more */
		bool told;   /* its end, before these calls */
		bool heard;  /* its end, before attaching again */
	} rows[] = {{true, false, true}, {true, false, false}, {false, false, true},
		{false, true, true}};

	for (size_t i = 0; i < NR(rows); i++) {
		struct fake_outcome first = {0};

		tear_down();
		set_up();
		use_some();
		if (rows[i].silent) {
			fake_twist(VUC_SHM_RESET, 0, fake_keep_silent, NULL);
			CU_ASSERT_EQUAL(
				vuc_vmm_reset_start(dev, fake_keep_outcome, &first, NULL), 0);
			fake_await(VUC_SHM_RESET, 1);
			take_away();
		}
		fake_restart();
		fake_twist(0, 0, NULL, NULL);
		if (rows[i].told)
			vuc_vmm_events(dev);
		if (!rows[i].silent)
			take_away();
		if (rows[i].heard)
			vuc_vmm_events(dev);
		expect_taken_away();
	}
}

/* ---- a connection of the VMM's ---- */

static void
test_descriptor(void)
{
	struct vuc_vmm_attach_opts opts;
	int fd, other;

	fake_detach();
	fake_opts(&opts);
	opts.socket = "/there/is/none";
	other = fake_connect(SOCK_STREAM);
	opts.fd = other;
	CU_ASSERT(fake_failed(vuc_vmm_attach(&opts, &dev, &err), -EINVAL,
		"descriptor * is no connected UNIX socket of type SOCK_SEQPACKET"));
	close(other);
	fd = fake_connect(SOCK_SEQPACKET);
	opts.fd = fd;
	opts.wait_ms = 1;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, &err), -EINVAL);
	opts.wait_ms = 0;
	opts.reattach_wait_ms = 1;
	CU_ASSERT_EQUAL(vuc_vmm_attach(&opts, &dev, &err), -EINVAL);
	opts.reattach_wait_ms = 0;
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_attach(&opts, &dev, &err), 0);
	close(fd);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), 0);
	use_all();
	fake_restart();
	CU_ASSERT(fake_failed(vuc_vmm_reattach(dev, -1, &err), -EINVAL, "*another one is needed"));
	fd = fake_connect(SOCK_SEQPACKET);
	CU_ASSERT_EQUAL(vuc_vmm_reattach(dev, fd, &err), 0);
	close(fd);
	expect_all();
}

const struct tap_suite tap_suite = {"vmm", set_up, tear_down,
	{
		{"replay", test_replay},
		{"regions live until the second change that was reported", test_untold},
		{"more than a message takes", test_many},
		{"a commit that failed", test_failed_commit},
		{"another device", test_differences},
		{"each step refused or lost", test_steps},
		{"asynchronous", test_start},
		{"a daemon that lives", test_alive},
		{"detached meanwhile", test_detach_meanwhile},
		{"taken away meanwhile", test_taken_away},
		{"by a connected descriptor", test_descriptor},
	}};
