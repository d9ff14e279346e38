/* SPDX-License-Identifier: BSD-3-Clause */

/* Regions, interrupts, descriptors of regions, reset: what is asked, and what comes of it. */

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <linux/vfio.h>

#include "fake_vucd.h"

/* A region is asked for once, and its areas can be mapped. */
static void
test_region(void)
{
	const struct vuc_vmm_region *region, *again;
	uint8_t *p;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT(region->index == 0 && region->size == FAKE_REGION && region->flags == 7);
	CU_ASSERT(region->type == 7 && region->subtype == 9);
	CU_ASSERT_EQUAL_FATAL(region->nr_areas, 2);
	CU_ASSERT(region->areas[0].offset == 0 && region->areas[0].size == 4096);
	CU_ASSERT_EQUAL(region->areas[0].file_offset, 4096);
	CU_ASSERT_EQUAL(region->areas[1].offset, FAKE_REGION - 4096);
	CU_ASSERT_EQUAL(region->areas[1].fd, region->areas[0].fd);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, region->areas[0].fd,
		(off_t)region->areas[0].file_offset);
	CU_ASSERT_FATAL(p != MAP_FAILED);
	p[4095] = 1;
	munmap(p, 4096);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &again, NULL), 0);
	CU_ASSERT_PTR_EQUAL(again, region);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_REGION_INFO), 1);
}

static void
test_region_without_areas(void)
{
	const struct vuc_vmm_region *region;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 1, &region, &err), 0);
	CU_ASSERT(region->size == 0 && region->nr_areas == 0);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 2, &region, &err), 0);
	CU_ASSERT_EQUAL(region->size, 256);
	CU_ASSERT(fake_failed(vuc_vmm_region(dev, FAKE_REGIONS, &region, &err), -EINVAL,
		"there is no region 3, the device has 3"));
	CU_ASSERT_PTR_NULL(region);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, UINT32_MAX, &region, NULL), -EINVAL);
}

/* A refusal is answered, and nothing else changes: the next call is as if it had not been. */
static void
test_refused(void)
{
	int status = -EIO;
	const struct vuc_vmm_region *region;
	struct vuc_vmm_io_fds *io;

	fake_twist(VUC_SHM_REGION_INFO, 0, fake_refuse, &status);
	CU_ASSERT(fake_failed(vuc_vmm_region(dev, 0, &region, &err), -EIO, "because"));
	fake_twist(VUC_SHM_RESET, 0, fake_refuse, &status);
	CU_ASSERT(fake_failed(vuc_vmm_reset(dev, &err), -EIO, "because"));
	status = -EOPNOTSUPP;
	fake_twist(VUC_SHM_IO_FDS, 0, fake_refuse, &status);
	CU_ASSERT(fake_failed(vuc_vmm_io_fds(dev, 0, &io, &err), -EOPNOTSUPP, "because"));
	CU_ASSERT_PTR_NULL(io);
	CU_ASSERT_EQUAL(vuc_vmm_region(dev, 0, &region, &err), 0);
	CU_ASSERT_EQUAL(vuc_vmm_reset(dev, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "because"); /* success leaves it alone */
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_RESET), 2);
}

static void
test_irq(void)
{
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};

	CU_ASSERT_EQUAL(vuc_vmm_irq(dev, 2, &irq, NULL), 0);
	CU_ASSERT(irq.index == 2 && irq.flags == VFIO_IRQ_INFO_EVENTFD && irq.count == 2048 + 64);
	CU_ASSERT_EQUAL(vuc_vmm_irq(dev, 1, &irq, NULL), 0);
	CU_ASSERT_EQUAL(irq.count, 0);
	CU_ASSERT(fake_failed(vuc_vmm_irq(dev, FAKE_IRQS, &irq, &err), -EINVAL,
		"there is no IRQ index 3, the device has 3"));
}

/* ---- structs of programs that know another version of the header ---- */

#define LATER 16u /* bytes of fields that this version does not know */

union sized {
	struct vuc_vmm_irq irq;
	struct vuc_vmm_dma dma[2];
	struct vuc_vmm_counters counters;
	uint8_t bytes[8192];
};

static int
irq_use(union sized *s)
{
	return vuc_vmm_irq(dev, 2, &s->irq, &err);
}

/* Two mappings, as far apart as they are large. */
static int
dma_use(union sized *s)
{
	size_t argsz = s->dma->argsz;
	struct vuc_vmm_dma m = {argsz, 0x1000, 0x1000, 0, VUC_VMM_DMA_READ, fake.memory};

	memcpy(s, &m, offsetof(struct vuc_vmm_dma, fd) + sizeof(m.fd));
	m.iova = 0x2000;
	if (argsz >= sizeof(argsz) && argsz <= sizeof(*s) / 2)
		memcpy(s->bytes + argsz, &m, offsetof(struct vuc_vmm_dma, fd) + sizeof(m.fd));
	return vuc_vmm_dma_map(dev, s->dma, 2, &err);
}

static int
counters_use(union sized *s)
{
	return vuc_vmm_counters(dev, &s->counters);
}

/* Of these structs, what a program of the first version knows of them, and all that is known. */
#define FIRST(type, last) (offsetof(struct type, last) + sizeof(((struct type *)NULL)->last))

static const struct sized_row {
	const char *error;
	int (*use)(union sized *s);
	size_t first;
	size_t all;
	bool is_filled; /* by the library */
} sized_rows[] = {
	{"struct vuc_vmm_irq has an argsz of *, expected its sizeof", irq_use,
		FIRST(vuc_vmm_irq, count), sizeof(struct vuc_vmm_irq), true},
	{"struct vuc_vmm_dma has an argsz of *, expected its sizeof", dma_use,
		FIRST(vuc_vmm_dma, fd), sizeof(struct vuc_vmm_dma), false},
	{NULL, counters_use, FIRST(vuc_vmm_counters, errors), sizeof(struct vuc_vmm_counters),
		true},
};

static void
expect_sizes_refused(const struct sized_row *row)
{
	const size_t sizes[] = {0, 1, row->first - 1, 4097, SIZE_MAX};

	for (size_t i = 0; i < NR(sizes); i++) {
		union sized s = {.irq.argsz = sizes[i]};

		if (row->error == NULL) {
			CU_ASSERT_EQUAL(row->use(&s), -EINVAL);
		} else {
			CU_ASSERT(fake_failed(row->use(&s), -EINVAL, row->error));
		}
	}
}

static void
expect_sizes_taken(const struct sized_row *row)
{
	const size_t sizes[] = {row->first, row->all, row->all + LATER, 4096};

	for (size_t i = 0; i < NR(sizes); i++) {
		union sized s = {.bytes = {0}};

		memset(s.bytes + sizes[i], 0x5a, LATER);
		s.irq.argsz = sizes[i];
		CU_ASSERT_EQUAL(row->use(&s), 0);
		CU_ASSERT_EQUAL(s.irq.argsz, sizes[i]);
		for (size_t k = 0; row->is_filled && k < LATER; k++)
			CU_ASSERT_EQUAL(s.bytes[sizes[i] + k], 0x5a); /* nothing behind it */
	}
}

static void
test_sizes(void)
{
	for (size_t i = 0; i < NR(sized_rows); i++) {
		expect_sizes_refused(&sized_rows[i]);
		expect_sizes_taken(&sized_rows[i]);
	}
	CU_ASSERT_EQUAL(vuc_vmm_dma_commit(dev, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_DMA), 1);
	CU_ASSERT_EQUAL(fake_request(VUC_SHM_DMA, 0)->packet->dma.nr, 8);
	for (uint32_t i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(fake_request(VUC_SHM_DMA, 0)->packet->dma.entries[i].iova,
			i % 2 == 0 ? 0x1000 : 0x2000);
}

/* What a program sets that this version does not know is not ignored; what it wants to have is 0.
 */
static void
test_unknown_fields(void)
{
	for (size_t i = 0; i < NR(sized_rows); i++) {
		const struct sized_row *row = &sized_rows[i];
		union sized s = {.irq.argsz = row->all + LATER};

		s.bytes[row->all + LATER - 1] = 1;
		CU_ASSERT_EQUAL(row->use(&s), row->is_filled ? 0 : -EINVAL);
		CU_ASSERT_EQUAL(s.bytes[row->all + LATER - 1], !row->is_filled);
	}
	CU_ASSERT_STRING_EQUAL(
		err.text, "struct vuc_vmm_dma: byte 55 is set, this library knows 40");
}

static void
test_sizes_apart(void)
{
	const struct vuc_vmm_dma two[2] = {
		{sizeof(two[0]), 0x1000, 0x1000, 0, VUC_VMM_DMA_READ, fake.memory},
		{sizeof(two[0]) - 4, 0x2000, 0x1000, 0, VUC_VMM_DMA_READ, fake.memory}};

	CU_ASSERT(fake_failed(vuc_vmm_dma_map(dev, two, 2, &err), -EINVAL,
		"DMA mapping 1: argsz differs from that of the first one, 40"));
}

/* What the library owns says what it knows. */
static void
test_sizes_told(void)
{
	const struct vuc_vmm_region *region;
	struct vuc_vmm_attach_opts opts;
	struct vuc_vmm_io_fds *io;
	struct vuc_vmm_list *list;

	CU_ASSERT_EQUAL(vuc_vmm_info(dev)->argsz, sizeof(struct vuc_vmm_info));
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_region(dev, 0, &region, NULL), 0);
	CU_ASSERT_EQUAL(region->argsz, sizeof(*region));
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_io_fds(dev, 0, &io, NULL), 0);
	CU_ASSERT_EQUAL(io->argsz, sizeof(*io));
	vuc_vmm_io_fds_free(io);
	fake_detach();
	fake_opts(&opts);
	CU_ASSERT_EQUAL_FATAL(vuc_vmm_list(&opts, &list, NULL), 0);
	CU_ASSERT_EQUAL(list->argsz, sizeof(*list));
	CU_ASSERT_EQUAL(list->devices[0]->argsz, sizeof(*list->devices[0]));
	vuc_vmm_list_free(list);
}

/* The n-th SET_IRQS message, without its bytes. */
static void
expect_irqs(unsigned int n, uint32_t start, uint32_t count, uint16_t action, uint16_t data,
	unsigned int nr_fds)
{
	const struct fake_request *r = fake_request(VUC_SHM_SET_IRQS, n);
	const struct vuc_shm_set_irqs *m = &r->packet->set_irqs;

	CU_ASSERT(m->index == 2 && m->start == start && m->count == count);
	CU_ASSERT(m->action == action && m->data == data);
	CU_ASSERT_EQUAL(r->nr_fds, nr_fds);
}

/* More eventfds than a message takes, with gaps: 16 of them and the 5 gaps among and behind them.
 */
static void
test_irq_assign(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 5, .count = 40};
	int fds[40], fd = eventfd(0, EFD_CLOEXEC);

	for (unsigned int i = 0; i < 40; i++)
		fds[i] = i % 4 == 3 ? -1 : fd;
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_SET_IRQS), 2);
	expect_irqs(0, 5, 21, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 16);
	expect_irqs(1, 26, 19, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 14);
	for (unsigned int i = 0; i < 21; i++)
		CU_ASSERT_EQUAL(
			fake_request(VUC_SHM_SET_IRQS, 0)->packet->set_irqs.which[i], i % 4 != 3);
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_MASK, fds, NULL), 0);
	expect_irqs(2, 5, 21, VUC_SHM_IRQ_MASK, VUC_SHM_IRQ_EVENT, 16);
	close(fd);
}

/* None of them is a descriptor: all fit, but for the limit of a message. */
static void
test_irq_unassign(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 2048 + 64};
	int fds[2048 + 64];

	memset(fds, 0xff, sizeof(fds));
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &range, VUC_VMM_IRQ_TRIGGER, fds, NULL), 0);
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_SET_IRQS), 2);
	expect_irqs(0, 0, 2048, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 0);
	expect_irqs(1, 2048, 64, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_EVENT, 0);
}

static void
test_irq_act(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 1, .count = 2050};

	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_UNMASK, NULL), 0);
	expect_irqs(0, 1, 2048, VUC_SHM_IRQ_UNMASK, VUC_SHM_IRQ_ALL, 0);
	expect_irqs(1, 2049, 2, VUC_SHM_IRQ_UNMASK, VUC_SHM_IRQ_ALL, 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable(dev, 2, NULL), 0);
	expect_irqs(2, 0, 0, VUC_SHM_IRQ_DISABLE, VUC_SHM_IRQ_ALL, 0);
	CU_ASSERT_EQUAL(vuc_vmm_irq_disable(dev, FAKE_IRQS, NULL), -EINVAL);
}

static void
do_three(struct fake_reply *reply, void *arg)
{
	(void)arg;
	reply->packet->irqs_reply.done = 3;
}

/* A daemon that does some of them is asked for the rest; 3 of 2 are too many. */
static void
test_irq_partial(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 10, .count = 8};

	fake_twist(VUC_SHM_SET_IRQS, 0, do_three, NULL);
	CU_ASSERT_EQUAL(vuc_vmm_irq_act(dev, &range, VUC_VMM_IRQ_TRIGGER, NULL), -EPROTO);
	expect_irqs(0, 10, 8, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_ALL, 0);
	expect_irqs(1, 13, 5, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_ALL, 0);
	expect_irqs(2, 16, 2, VUC_SHM_IRQ_TRIGGER, VUC_SHM_IRQ_ALL, 0);
}

static void
test_irq_invalid(void)
{
	static const struct {
		struct vuc_vmm_irq_range range;
		int action;
		const char *error;
	} rows[] = {
		{{FAKE_IRQS, 0, 1}, VUC_VMM_IRQ_TRIGGER, "there is no IRQ index 3*"},
		{{2, 0, 0}, VUC_VMM_IRQ_TRIGGER, "*: invalid range: 0 interrupts from 0 on"},
		{{2, UINT32_MAX, 1}, VUC_VMM_IRQ_TRIGGER,
			"IRQ index 2: invalid range: 1 interrupts from 4294967295 on"},
		{{2, 0, 1}, 3, "*"},
	};
	const struct vuc_vmm_irq_range two = {2, 0, 2};
	int fds[2] = {-1, -2};

	for (size_t i = 0; i < NR(rows); i++)
		CU_ASSERT(fake_failed(vuc_vmm_irq_act(dev, &rows[i].range,
					      (enum vuc_vmm_irq_action)rows[i].action, &err),
			-EINVAL, rows[i].error));
	CU_ASSERT_EQUAL(vuc_vmm_irq_assign(dev, &two, VUC_VMM_IRQ_TRIGGER, fds, &err), -EINVAL);
	fds[1] = eventfd(0, EFD_CLOEXEC);
	close(fds[1]);
	CU_ASSERT(fake_failed(vuc_vmm_irq_assign(dev, &two, VUC_VMM_IRQ_TRIGGER, fds, &err),
		-EINVAL, "*of interrupt 1 is not open*"));
	CU_ASSERT_EQUAL(fake_count(VUC_SHM_SET_IRQS), 0);
}

static void
test_io_fds(void)
{
	struct vuc_vmm_io_fds *fds;

	CU_ASSERT_EQUAL_FATAL(vuc_vmm_io_fds(dev, 0, &fds, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(fds->nr, 3);
	CU_ASSERT(fds->io[0].type == VUC_VMM_IO_EVENTFD && fds->io[0].flags == 1);
	CU_ASSERT(fds->io[0].size == 4 && fds->io[0].datamatch == 5);
	CU_ASSERT_EQUAL(fds->io[0].shadow_fd, -1);
	CU_ASSERT_EQUAL(eventfd_write(fds->io[0].fd, 1), 0);
	CU_ASSERT(fds->io[1].type == VUC_VMM_IO_EVENTFD_SHADOW && fds->io[1].offset == 8);
	CU_ASSERT_EQUAL(fds->io[1].fd, fds->io[0].fd);
	CU_ASSERT(fds->io[1].shadow_offset == 16 && fds->io[1].shadow_fd >= 0);
	CU_ASSERT(fds->io[2].type == VUC_VMM_IO_REGIONFD && fds->io[2].user_data == 77);
	CU_ASSERT_EQUAL(fds->io[2].fd, -1);
	vuc_vmm_io_fds_free(fds);
	vuc_vmm_io_fds_free(NULL);
	CU_ASSERT_EQUAL(vuc_vmm_io_fds(dev, FAKE_REGIONS, &fds, NULL), -EINVAL);
	CU_ASSERT_PTR_NULL(fds);
}

/* Wrong use of what is started is told at once, and nothing is called. */
static void
test_wrong_start(void)
{
	const struct vuc_vmm_irq_range range = {.index = 2, .start = 0, .count = 1};
	const vuc_vmm_done_fn done = fake_keep_outcome;
	const struct vuc_vmm_region *region;
	const struct vuc_vmm_attach_opts opts = {.size = sizeof(opts), .device = FAKE_DEVICE};
	struct fake_outcome closed = {0};
	struct vuc_vmm_device *none;
	struct vuc_vmm_io_fds *io;
	struct vuc_queue *other, *queue = NULL;
	struct vuc_vmm_irq irq = {.argsz = sizeof(irq)};
	int fd = -1, bad = -2;
	const int opened = vuc_vmm_open_queue(dev, NULL, &queue, NULL);
	const int results[] = {
		vuc_vmm_attach_start(&opts, &none, NULL, NULL, NULL),
		vuc_vmm_detach_start(dev, NULL, NULL, NULL),
		vuc_vmm_region_start(dev, 0, &region, NULL, NULL, NULL),
		vuc_vmm_irq_start(dev, 0, &irq, NULL, NULL, NULL),
		vuc_vmm_irq_start(dev, FAKE_IRQS, &irq, done, &closed, NULL),
		vuc_vmm_open_queue_start(dev, NULL, &other, NULL, NULL, NULL),
		vuc_vmm_dma_commit_start(dev, NULL, NULL, NULL),
		vuc_vmm_irq_assign_start(dev, &range, VUC_VMM_IRQ_TRIGGER, &fd, NULL, NULL, NULL),
		vuc_vmm_irq_act_start(dev, &range, VUC_VMM_IRQ_MASK, NULL, NULL, NULL),
		vuc_vmm_irq_disable_start(dev, 0, NULL, NULL, NULL),
		vuc_vmm_io_fds_start(dev, 0, &io, NULL, NULL, NULL),
		vuc_vmm_close_queue_start(dev, queue, NULL, NULL, NULL),
		vuc_vmm_attach_start(&opts, NULL, done, &closed, NULL),
		vuc_vmm_region_start(dev, 0, NULL, done, &closed, NULL),
		vuc_vmm_irq_start(dev, 0, NULL, done, &closed, NULL),
		vuc_vmm_open_queue_start(dev, NULL, NULL, done, &closed, NULL),
		vuc_vmm_region(dev, 0, NULL, NULL),
		vuc_vmm_irq(dev, 0, NULL, NULL),
		vuc_vmm_open_queue(dev, NULL, NULL, NULL),
		vuc_vmm_io_fds(dev, 0, NULL, NULL),
	};

	CU_ASSERT_EQUAL_FATAL(opened, 0);
	for (size_t i = 0; i < NR(results); i++)
		CU_ASSERT_EQUAL(results[i], -EINVAL);
	CU_ASSERT(fake_failed(
		vuc_vmm_io_fds_start(dev, 0, NULL, done, &closed, &err), -EINVAL, "fds is NULL"));
	CU_ASSERT(fake_failed(
		vuc_vmm_reset_start(dev, NULL, NULL, &err), -EINVAL, "no completion callback"));
	CU_ASSERT(fake_failed(vuc_vmm_region_start(dev, FAKE_REGIONS, &region, done, &closed, &err),
		-EINVAL, "there is no region 3, the device has 3"));
	CU_ASSERT(fake_failed(vuc_vmm_irq_assign_start(
				      dev, &range, VUC_VMM_IRQ_TRIGGER, &bad, done, &closed, &err),
		-EINVAL, "descriptor -2 of interrupt 0 is not open"));
	CU_ASSERT_EQUAL(vuc_vmm_close_queue_start(dev, queue, done, &closed, NULL), 0);
	CU_ASSERT(fake_failed(vuc_vmm_close_queue_start(dev, queue, done, &closed, &err), -EINVAL,
		"the device has no such queue, or it is closed"));
	/* Functions are called for what was started only. */
	fake_run_until(&closed);
	CU_ASSERT(closed.calls == 1 && closed.status == 0);
}

const struct tap_suite tap_suite = {"vmm", fake_start_attached, fake_stop,
	{
		{"region", test_region},
		{"region without areas", test_region_without_areas},
		{"refused", test_refused},
		{"irq", test_irq},
		{"sizes of structs", test_sizes},
		{"fields that are not known", test_unknown_fields},
		{"structs of two sizes", test_sizes_apart},
		{"structs of the library's", test_sizes_told},
		{"irq assign", test_irq_assign},
		{"irq unassign", test_irq_unassign},
		{"irq act", test_irq_act},
		{"irq done in parts", test_irq_partial},
		{"irq invalid", test_irq_invalid},
		{"io fds", test_io_fds},
		{"wrong start", test_wrong_start},
	}};
