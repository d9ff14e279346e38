/* SPDX-License-Identifier: BSD-3-Clause */

/* What the operations of the public functions copy; unmapping with dirty pages; and commits. */

#include <sys/eventfd.h>

#include <vuc/dirty.h>
#include <vuc/irq.h>
#include <vuc/migration.h>

#include "operation_rig.h"

#define DATA_SIZE 1500000u /* of migration data: more than a message holds */

/* A page that the server reports as dirty. */
#define DIRTY 3u

static const struct vuc_irq_range vectors = {
	.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = 1, .count = 3};
static uint64_t bitmap; /* of dirty pages */

/* Nothing has come from there on. */
static void
map_dirty_page(void)
{
	map_page(dut.dev, DIRTY, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit(dut.dev), 0);
	dut.server->nr_seen = 0;
}

static void
expect_done(const struct job *jobs, unsigned int nr)
{
	poll_until_done(&jobs[nr - 1]);
	for (unsigned int i = 0; i < nr; i++) {
		CU_ASSERT_EQUAL(jobs[i].status, 0);
		CU_ASSERT_EQUAL(jobs[i].order, i + 1);
	}
}

/* Eventfds and what is selected are copied; what is wrong is refused at once. */
static void
test_irqs(void)
{
	bool which[] = {true, false, true};
	struct job jobs[3] = {{0}};
	int fds[3], copies[3];
	uint64_t count;

	for (unsigned int i = 0; i < 3; i++) {
		fds[i] = i == 1 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		copies[i] = i == 1 ? -1 : dup(fds[i]);
	}
	CU_ASSERT_EQUAL(
		vuc_irq_assign_start(dut.dev, &vectors, VUC_IRQ_TRIGGER, fds, on_done, &jobs[0]),
		0);
	CU_ASSERT_EQUAL(
		vuc_irq_select_start(dut.dev, &vectors, VUC_IRQ_UNMASK, which, on_done, &jobs[1]),
		0);
	CU_ASSERT_EQUAL(vuc_irq_disable_start(dut.dev, 99, on_done, &jobs[2]), -EINVAL);
	close(fds[0]);
	close(fds[2]);
	memset(fds, 0xff, sizeof(fds));
	memset(which, 0, sizeof(which));
	expect_done(jobs, 2);
	CU_ASSERT_EQUAL(jobs[2].calls, 0);
	CU_ASSERT_EQUAL(dut.server->nr_seen, 3 + 1);
	for (unsigned int i = 0; i < 3; i += 2) {
		CU_ASSERT_EQUAL(read(copies[i], &count, sizeof(count)), sizeof(count));
		CU_ASSERT_EQUAL(count, 1);
		close(copies[i]);
	}
}

/* More than a message holds; what is written is copied. */
static void
test_migration_data(void)
{
	uint8_t *bytes = malloc(DATA_SIZE + 1);
	struct job jobs[2] = {{0}};
	size_t count = 0, wrong = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	for (size_t i = 0; i < DATA_SIZE; i++)
		bytes[i] = mig_byte(i);
	CU_ASSERT_EQUAL(vuc_migration_write_start(dut.dev, bytes, DATA_SIZE, on_done, &jobs[0]), 0);
	memset(bytes, 0, DATA_SIZE);
	expect_done(jobs, 1);
	CU_ASSERT_EQUAL(dut.mig.taken, DATA_SIZE);
	CU_ASSERT_EQUAL(dut.mig.wrong, 0);
	dut.mig.left = DATA_SIZE;
	CU_ASSERT_EQUAL(
		vuc_migration_read_start(dut.dev, bytes, DATA_SIZE + 1, &count, on_done, &jobs[1]),
		0);
	expect_done(jobs, 2);
	CU_ASSERT_EQUAL(count, DATA_SIZE);
	for (size_t i = 0; i < DATA_SIZE; i++)
		wrong += bytes[i] != mig_byte(i);
	CU_ASSERT_EQUAL(wrong, 0);
	free(bytes);
}

/* Pages that were dirty before stay so; ranges are copied. */
static void
test_dirty(void)
{
	struct vuc_dirty_range asked = {.iova = DIRTY * PAGE, .size = 2 * PAGE};
	struct job jobs[2] = {{0}};
	uint64_t page_size = PAGE;

	bitmap = 2;
	CU_ASSERT_EQUAL(
		vuc_dirty_enable_start(dut.dev, &page_size, &asked, 1, on_done, &jobs[0]), 0);
	CU_ASSERT_EQUAL(
		vuc_dirty_report_start(dut.dev, &asked, PAGE, &bitmap, 1, on_done, &jobs[1]), 0);
	CU_ASSERT_EQUAL(
		vuc_dirty_report_start(dut.dev, &asked, 3, &bitmap, 1, on_done, &jobs[1]), -EINVAL);
	memset(&asked, 0xff, sizeof(asked));
	expect_done(jobs, 2);
	CU_ASSERT_EQUAL(bitmap, 3);
}

static int
unmap_dirty(struct job *job)
{
	return vuc_dma_unmap_dirty_start(
		dut.dev, DIRTY * PAGE, PAGE, PAGE, &bitmap, 1, on_done, job);
}

/* While it is being unmapped, nothing else is done with the mapping; if the server refuses, it is
 * as before. */
static void
test_unmap_dirty(void)
{
	static uint8_t page[PAGE];
	const struct vuc_dma_mapping over = {
		.iova = DIRTY * PAGE, .size = PAGE, .flags = VUC_DMA_READ, .fd = -1, .addr = page};

	for (unsigned int refused = 0; refused < 2; refused++) {
		struct job job = {0}, second = {0};

		next_row("%s", refused ? "refused" : "answered");
		bitmap = 0;
		map_dirty_page();
		dut.server->held = 1u << VFIO_USER_DMA_UNMAP;
		dut.server->refused = refused << VFIO_USER_DMA_UNMAP;
		CU_ASSERT_EQUAL(unmap_dirty(&job), 0);
		CU_ASSERT_EQUAL(unmap_dirty(&second), -EBUSY);
		CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, DIRTY * PAGE, PAGE), -EBUSY);
		CU_ASSERT_PTR_NOT_NULL(strstr(vuc_device_reason(dut.dev), "is being unmapped"));
		CU_ASSERT_EQUAL(vuc_dma_unmap_all(dut.dev), -EBUSY);
		CU_ASSERT_EQUAL(vuc_dma_map(dut.dev, &over), -EEXIST);
		poll_often();
		CU_ASSERT_EQUAL(job.calls, 0);
		release_all();
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, refused ? -EIO : 0);
		CU_ASSERT_EQUAL(bitmap, refused ? 0 : 1);
		CU_ASSERT_EQUAL(vuc_dma_count(dut.dev), refused);
		CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, DIRTY * PAGE, PAGE), refused ? 0 : -ENOENT);
		dut.server->refused = 0;
		CU_ASSERT_EQUAL(vuc_dma_commit(dut.dev), 0);
		CU_ASSERT_EQUAL(second.calls, 0);
	}
}

/* Who started it may be gone, and its memory and descriptors, before anything is sent. */
static void
test_copies(void)
{
	struct vfio_user_irq_set set = {.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = 5,
		.count = 1};
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), copy = dup(fd);
	struct vuc_session_request req = {
		.cmd = VFIO_USER_DEVICE_SET_IRQS,
		.body = &set,
		.len = sizeof(set),
		.fds = &fd,
		.nr_fds = 1,
	};
	struct message_operation *m;
	struct job job = {0};
	uint64_t count = 0;
	int rc;

	m = message_operation_create(dut.dev, sizeof(*m), &req, NULL, &rc, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL_FATAL(operation_start(&m->op, on_done, &job, NULL), 0);
	close(fd);
	memset(&set, 0xff, sizeof(set));
	memset(&req, 0xff, sizeof(req));
	poll_until_done(&job);
	CU_ASSERT_EQUAL(job.status, 0);
	CU_ASSERT_EQUAL(dut.last_vector, 5);
	CU_ASSERT_EQUAL(read(copy, &count, sizeof(count)), sizeof(count));
	CU_ASSERT_EQUAL(count, 1);
	close(copy);
}

/* ---- commits ---- */

/* Nothing is mapped where the server may still have something else: behind an UNMAP that is not
 * answered or that is refused, which the next commit repeats. */
static void
test_map_over_unmap(void)
{
	for (unsigned int refused = 0; refused < 2; refused++) {
		unsigned int seen = refused ? 1 : 2;
		struct job job = {0};

		next_row("%s", refused ? "refused" : "answered");
		map_dirty_page();
		dut.server->held = 1u << VFIO_USER_DMA_UNMAP;
		dut.server->refused = refused << VFIO_USER_DMA_UNMAP;
		CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, DIRTY * PAGE, PAGE), 0);
		map_page(dut.dev, DIRTY, VUC_DMA_READ | VUC_DMA_WRITE);
		CU_ASSERT_EQUAL(vuc_dma_commit_start(dut.dev, on_done, &job), 0);
		poll_often();
		CU_ASSERT_EQUAL(dut.server->nr_seen, 1);
		release_all();
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.status, refused ? -EIO : 0);
		CU_ASSERT_EQUAL(dut.server->nr_seen, seen);
		dut.server->refused = 0;
		CU_ASSERT_EQUAL(vuc_dma_unmap_all(dut.dev), 0);
		CU_ASSERT_EQUAL(vuc_dma_commit(dut.dev), 0);
		CU_ASSERT_EQUAL(dut.server->nr_seen, seen + 2);
		CU_ASSERT_EQUAL(vuc_dma_count(dut.dev), 0);
	}
}

/* Each commit does what was queued before it was started, and says what came of that. */
static void
test_two_commits(void)
{
	struct job jobs[2] = {{0}};

	dut.server->held = 1u << VFIO_USER_DMA_MAP;
	map_page(dut.dev, 1, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(dut.dev, on_done, &jobs[0]), 0);
	map_page(dut.dev, 3, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(dut.dev, on_done, &jobs[1]), 0);
	poll_often();
	CU_ASSERT_EQUAL(dut.server->nr_seen, 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, PAGE, PAGE), -EBUSY);
	CU_ASSERT_EQUAL(vuc_dma_unmap_all(dut.dev), -EBUSY);
	dut.server->refused = 1u << VFIO_USER_DMA_MAP;
	release_all();
	poll_until_done(&jobs[1]);
	CU_ASSERT_EQUAL(jobs[0].status, 0);
	CU_ASSERT_EQUAL(jobs[1].status, -EIO);
	CU_ASSERT_EQUAL(vuc_dma_count(dut.dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, PAGE, PAGE), 0);
}

/* One that never had its turn has done nothing. */
static void
test_commit_without_turn(void)
{
	struct job jobs[2] = {{0}};

	map_dirty_page();
	dut.server->held = UINT32_MAX;
	start_feature(&dut, &jobs[0]);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, DIRTY * PAGE, PAGE), 0);
	map_page(dut.dev, 1, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(dut.dev, on_done, &jobs[1]), 0);
	CU_ASSERT_EQUAL(vuc_dma_count(dut.dev), 1);
	device_cancel_operations(dut.dev, -ECANCELED, "the test gives up");
	CU_ASSERT_EQUAL(jobs[1].status, -ECANCELED);
	CU_ASSERT(vuc_device_connected(dut.dev));
	CU_ASSERT_EQUAL(vuc_dma_count(dut.dev), 1);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, PAGE, PAGE), -ENOENT);
	CU_ASSERT_EQUAL(vuc_dma_unmap(dut.dev, DIRTY * PAGE, PAGE), 0);
}

struct neighbour {
	struct setup *busy; /* the device that commits */
	struct vuc_request req;
	uint32_t value;
	unsigned int seen; /* of the messages of that, by the last read */
	unsigned int most; /* between two reads */
	bool stopped;
};

static void
neighbour_read(struct vuc_request *req, int status)
{
	struct neighbour *n = req->arg;
	unsigned int seen = n->busy->server->nr_seen;

	CU_ASSERT_EQUAL(status, 0);
	if (seen - n->seen > n->most)
		n->most = seen - n->seen;
	n->seen = seen;
	n->stopped = seen == NR_PAGES;
	if (!n->stopped)
		CU_ASSERT_EQUAL(vuc_device_submit(req->priv.dev, req), 0);
}

/* However much a device has to map, its neighbours are served in between. */
static void
test_commit_storm(void)
{
	struct setup busy, other;
	struct neighbour n = {.busy = &busy};
	struct job job = {0};

	open_setup(&busy, 1024);
	open_setup(&other, 16);
	n.req = (struct vuc_request){.op = VUC_OP_READ,
		.data = &n.value,
		.count = sizeof(n.value),
		.done = neighbour_read,
		.arg = &n};
	CU_ASSERT_EQUAL_FATAL(vuc_device_submit(other.dev, &n.req), 0);
	for (unsigned int i = 0; i < NR_PAGES; i++)
		map_page(busy.dev, 2 * i, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(busy.dev, on_done, &job), 0);
	poll_until_done(&job);
	while (!n.stopped)
		vuc_poll_group_poll(group);
	CU_ASSERT_EQUAL(job.status, 0);
	CU_ASSERT_EQUAL(busy.server->nr_seen, NR_PAGES);
	printf("# at most %u mappings between two reads of a neighbour\n", n.most);
	/* A window, and one more when the poll serves the two in another order. */
	CU_ASSERT(n.most > 0 && n.most <= 64);
	close_setup(&busy);
	close_setup(&other);
}

static const struct tap_suite commit_suite = {"commits", set_up, tear_down,
	{
		{"mapping over what is unmapped", test_map_over_unmap},
		{"two commits", test_two_commits},
		{"one without its turn", test_commit_without_turn},
		{"a storm", test_commit_storm},
	}};

const struct tap_suite tap_suite = {"results", set_up, tear_down,
	{
		{"interrupts", test_irqs},
		{"migration data", test_migration_data},
		{"dirty pages", test_dirty},
		{"unmapping with dirty pages", test_unmap_dirty},
		{"copies of all", test_copies},
	},
	.next = &commit_suite};
