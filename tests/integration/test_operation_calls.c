/* SPDX-License-Identifier: BSD-3-Clause */

/* The public functions that are operations: each follows the rules, whatever becomes of each of its
 * messages. */

#include <vuc/dirty.h>
#include <vuc/feature.h>
#include <vuc/io_fds.h>
#include <vuc/irq.h>
#include <vuc/migration.h>
#include <vuc/region_map.h>

#include "operation_rig.h"

/* A page that the server reports as dirty, which is mapped before each call. */
#define DIRTY 3u

static const struct vuc_irq_range vectors = {
	.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = 1, .count = 3};
static const struct vuc_dirty_range range = {.iova = DIRTY * PAGE, .size = 2 * PAGE};

/* What results go to. */
static struct results {
	uint64_t flags;
	enum vuc_migration_state state;
	bool supported;
	uint64_t page_size;
	uint64_t bitmap;
	uint32_t value;
	size_t len;
	uint8_t bytes[64];
} results;

/* A function that starts an operation, or waits for it where there is no job. */
#define CALL(name, ...)                                                       \
	static int call_##name(struct vuc_device *dev, struct job *job)       \
	{                                                                     \
		if (job != NULL)                                              \
			return vuc_##name##_start(__VA_ARGS__, on_done, job); \
		return vuc_##name(__VA_ARGS__);                               \
	}

/* One that there is only to wait for. */
#define WAIT(name, ...)                                                 \
	static int call_##name(struct vuc_device *dev, struct job *job) \
	{                                                               \
		(void)job;                                              \
		return vuc_##name(__VA_ARGS__);                         \
	}

CALL(dma_commit, dev)
CALL(dma_unmap_dirty, dev, DIRTY *PAGE, PAGE, PAGE, &results.bitmap, 1)
CALL(device_reset, dev)
CALL(irq_deassign, dev, &vectors, VUC_IRQ_TRIGGER)
CALL(irq_act, dev, &vectors, VUC_IRQ_MASK)
CALL(irq_disable, dev, vectors.index)
CALL(feature_probe, dev, 4, VUC_FEATURE_GET)
CALL(feature_get, dev, 5, &results.value, sizeof(results.value), &results.len)
CALL(feature_set, dev, 3, &results.value, sizeof(results.value))
CALL(migration_supported, dev, &results.flags)
CALL(migration_get_state, dev, &results.state)
CALL(migration_set_state, dev, VUC_MIGRATION_PRE_COPY)
CALL(migration_read, dev, results.bytes, sizeof(results.bytes), &results.len)
CALL(migration_write, dev, results.bytes, sizeof(results.bytes))
CALL(dirty_supported, dev, &results.supported)
CALL(dirty_enable, dev, &results.page_size, &range, 1)
CALL(dirty_disable, dev)
CALL(dirty_report, dev, &range, PAGE, &results.bitmap, 1)
WAIT(migration_save, dev, -1, NULL, NULL)
WAIT(migration_load, dev, -1, NULL, NULL)
WAIT(region_load, dev, 0, 0, &results.value, sizeof(results.value))
WAIT(region_store, dev, 0, 0, &results.value, sizeof(results.value))
WAIT(region_map, dev, 0, NULL)

static int
call_map(struct vuc_device *dev, struct job *job)
{
	map_page(dev, DIRTY + 2, VUC_DMA_READ);
	return call_dma_commit(dev, job);
}

static int
call_unmap(struct vuc_device *dev, struct job *job)
{
	CU_ASSERT_EQUAL(vuc_dma_unmap(dev, DIRTY * PAGE, PAGE), 0);
	return call_dma_commit(dev, job);
}

static int
call_irq_assign(struct vuc_device *dev, struct job *job)
{
	static const int no_fds[] = {-1, -1, -1};

	return job != NULL
		? vuc_irq_assign_start(dev, &vectors, VUC_IRQ_TRIGGER, no_fds, on_done, job)
		: vuc_irq_assign(dev, &vectors, VUC_IRQ_TRIGGER, no_fds, NULL);
}

static int
call_irq_select(struct vuc_device *dev, struct job *job)
{
	static const bool which[] = {true, false, true};

	return job != NULL
		? vuc_irq_select_start(dev, &vectors, VUC_IRQ_UNMASK, which, on_done, job)
		: vuc_irq_select(dev, &vectors, VUC_IRQ_UNMASK, which, NULL);
}

static const struct call {
	const char *name;
	int (*call)(struct vuc_device *dev, struct job *job);
	unsigned int messages; /* of the operation; 0: it cannot be started */
	uint16_t first;        /* of them */
	bool vital;            /* unanswered, it ends the connection */
	bool brings;           /* results */
} calls[] = {
	{"map", call_map, 1, VFIO_USER_DMA_MAP, true},
	{"unmap", call_unmap, 1, VFIO_USER_DMA_UNMAP, true},
	{"unmap with dirty pages", call_dma_unmap_dirty, 1, VFIO_USER_DMA_UNMAP, true, true},
	{"reset", call_device_reset, 1, VFIO_USER_DEVICE_RESET, true},
	{"assign", call_irq_assign, 1, VFIO_USER_DEVICE_SET_IRQS, false},
	{"deassign", call_irq_deassign, 1, VFIO_USER_DEVICE_SET_IRQS, false},
	{"act", call_irq_act, 1, VFIO_USER_DEVICE_SET_IRQS, false},
	{"select", call_irq_select, 1, VFIO_USER_DEVICE_SET_IRQS, false},
	{"disable", call_irq_disable, 1, VFIO_USER_DEVICE_SET_IRQS, false},
	{"probe", call_feature_probe, 1, VFIO_USER_DEVICE_FEATURE, false},
	{"get", call_feature_get, 1, VFIO_USER_DEVICE_FEATURE, false, true},
	{"set", call_feature_set, 1, VFIO_USER_DEVICE_FEATURE, false},
	{"migration supported", call_migration_supported, 1, VFIO_USER_DEVICE_FEATURE, false, true},
	{"get state", call_migration_get_state, 1, VFIO_USER_DEVICE_FEATURE, false, true},
	{"set state", call_migration_set_state, 3, VFIO_USER_DEVICE_FEATURE, false},
	{"read data", call_migration_read, 1, VFIO_USER_MIG_DATA_READ, false, true},
	{"write data", call_migration_write, 1, VFIO_USER_MIG_DATA_WRITE, false},
	{"logging supported", call_dirty_supported, 3, VFIO_USER_DEVICE_FEATURE, false, true},
	{"enable logging", call_dirty_enable, 1, VFIO_USER_DEVICE_FEATURE, false},
	{"disable logging", call_dirty_disable, 1, VFIO_USER_DEVICE_FEATURE, false},
	{"report", call_dirty_report, 1, VFIO_USER_DEVICE_FEATURE, false, true},
	{"save", call_migration_save, 0, 0, false},
	{"load", call_migration_load, 0, 0, false},
	{"load from a region", call_region_load, 0, 0, false},
	{"store to a region", call_region_store, 0, 0, false},
	{"map a region", call_region_map, 0, 0, false},
};

#define NR_CALLS NR(calls)

/* A page is mapped; nothing has come from there on. */
static void
map_first(void)
{
	map_page(dut.dev, DIRTY, VUC_DMA_READ);
	CU_ASSERT_EQUAL(vuc_dma_commit(dut.dev), 0);
	dut.server->nr_seen = 0;
	dut.mig.left = sizeof(results.bytes);
	memset(&results, 0, sizeof(results));
	results.page_size = PAGE;
}

static void
start_and_hold(const struct call *c, struct job *job)
{
	CU_ASSERT_EQUAL(c->call(dut.dev, job), 0);
	poll_often();
	CU_ASSERT_EQUAL(job->calls, 0);
	CU_ASSERT_EQUAL(dut.server->nr_seen, dut.server->hold_from);
}

static void
check_closed(const struct call *c, struct job *job)
{
	start_and_hold(c, job);
	close_setup(&dut);
	CU_ASSERT_EQUAL(job->calls, 1);
	CU_ASSERT_EQUAL(job->status, -ECANCELED);
}

static void
check_cancelled(const struct call *c, struct job *job)
{
	start_and_hold(c, job);
	device_cancel_operations(dut.dev, -ECANCELED, "the test gives up");
	CU_ASSERT_EQUAL(job->calls, 1);
	CU_ASSERT_EQUAL(job->status, -ECANCELED);
	CU_ASSERT_EQUAL(vuc_device_connected(dut.dev), !c->vital);
}

static void
check_late(const struct call *c, struct job *job)
{
	dut.dev->timeout_ms = SHORT_MS;
	dut.dev->long_timeout_ms = SHORT_MS;
	CU_ASSERT_EQUAL(c->call(dut.dev, job), 0);
	poll_until_done(job);
	CU_ASSERT_EQUAL(job->status, -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(job->err.text, "no answer to VFIO_USER_"));
	CU_ASSERT_EQUAL(dut.server->nr_seen, dut.server->hold_from);
	CU_ASSERT_EQUAL(vuc_device_connected(dut.dev), !c->vital);
}

static void
expect_fault(const struct call *c, struct job *job, enum fake_wrong wrong)
{
	dut.server->fault =
		(struct fake_fault){.nth = dut.server->hold_from, .wrong = wrong, .value = EIO};
	dut.server->matched = 0;
	dut.server->hold_from = 0;
	CU_ASSERT_EQUAL(c->call(dut.dev, job), 0);
	poll_until_done(job);
	CU_ASSERT_EQUAL(job->status, wrong == FAKE_CLOSE ? -ECONNRESET : -EIO);
	CU_ASSERT_EQUAL(vuc_device_connected(dut.dev), wrong != FAKE_CLOSE);
	CU_ASSERT_NOT_EQUAL(job->err.text[0], '\0');
}

static void
check_lost(const struct call *c, struct job *job)
{
	expect_fault(c, job, FAKE_CLOSE);
	CU_ASSERT_EQUAL(dut.server->nr_seen, dut.server->fault.nth);
}

static void
check_refused(const struct call *c, struct job *job)
{
	expect_fault(c, job, FAKE_ERROR);
}

/* Whatever becomes of each message of it, an operation ends once, with one deadline for all of
 * them. */
static void
test_each_message(void)
{
	static const struct {
		const char *name;
		void (*check)(const struct call *c, struct job *job);
	} rows[] = {{"refused", check_refused}, {"late", check_late}, {"lost", check_lost},
		{"cancelled", check_cancelled}, {"closed", check_closed}};
	const struct call *c;

	for (size_t i = 0; i < NR_CALLS * NR(rows); i++) {
		c = &calls[i / NR(rows)];
		for (unsigned int n = 1; n <= c->messages; n++) {
			struct job job = {0};

			next_row("%s, message %u %s", c->name, n, rows[i % NR(rows)].name);
			map_first();
			dut.server->hold_from = n;
			rows[i % NR(rows)].check(c, &job);
			close_setup(&dut);
			CU_ASSERT_EQUAL(job.calls, 1);
		}
	}
}

/* Each goes behind posted writes that came before; one that is waited for brings what one that is
 * started does. */
static void
test_answered(void)
{
	struct results before, brought;

	for (size_t i = 0; i < 2 * NR_CALLS; i++) {
		const struct call *c = &calls[i / 2];
		struct job job = {0};
		bool waits = i % 2;
		struct writes w;

		if (c->messages == 0)
			continue;
		next_row("%s, %s", c->name, waits ? "waited for" : "started");
		map_first();
		before = results;
		submit_writes(&dut, &w, VUC_OP_WRITE_POSTED);
		CU_ASSERT_EQUAL(c->call(dut.dev, waits ? NULL : &job), 0);
		CU_ASSERT_EQUAL(job.calls, 0);
		if (!waits) {
			poll_until_done(&job);
			brought = results;
		}
		CU_ASSERT_EQUAL(job.status, 0);
		CU_ASSERT_STRING_EQUAL(job.err.text, "");
		CU_ASSERT_EQUAL(memcmp(&before, &results, sizeof(results)) != 0, c->brings);
		CU_ASSERT_EQUAL(memcmp(&brought, &results, sizeof(results)), 0);
		CU_ASSERT_EQUAL_FATAL(dut.server->nr_seen, NR_WRITES + c->messages);
		CU_ASSERT_EQUAL(dut.server->seen[NR_WRITES - 1], VFIO_USER_REGION_WRITE);
		CU_ASSERT_EQUAL(dut.server->seen[NR_WRITES], c->first);
		close_setup(&dut);
		CU_ASSERT_EQUAL(job.calls, !waits);
	}
}

static const struct call *called; /* in the callback */

static int
call_inside(struct vuc_device *dev)
{
	return called->call(dev, NULL);
}

/* Nobody waits in a callback; whoever tries has done nothing. */
static void
test_called_from_callback(void)
{
	for (size_t i = 0; i < NR_CALLS; i++) {
		struct job job = {.call = call_inside};

		next_row("%s", calls[i].name);
		map_first();
		called = &calls[i];
		job.dev = dut.dev;
		start_feature(&dut, &job);
		poll_until_done(&job);
		CU_ASSERT_EQUAL(job.inside, -EDEADLK);
		CU_ASSERT_EQUAL(job.polled, -EDEADLK);
		CU_ASSERT_EQUAL(dut.server->nr_seen, 1);
		close_setup(&dut);
		CU_ASSERT_EQUAL(job.calls, 1);
	}
}

/* Its own callback closes the device. */
static void
test_closed_from_callback(void)
{
	for (size_t i = 0; i < NR_CALLS; i++) {
		struct job job = {.closes = true};

		if (calls[i].messages == 0)
			continue;
		next_row("%s", calls[i].name);
		map_first();
		CU_ASSERT_EQUAL(calls[i].call(dut.dev, &job), 0);
		poll_until_done(&job);
		poll_often();
		CU_ASSERT_EQUAL(job.calls, 1);
		CU_ASSERT_EQUAL(job.status, 0);
	}
}

/* Whatever is waited for, a callback may close the device, be it by the last poll of it, and be it
 * alone in a group that goes with it. */
static void
test_closed_while_waiting(void)
{
	for (size_t i = 0; i < 2 * NR_CALLS; i++) {
		const struct call *c = &calls[i / 2];
		struct closer closer = {.calls = 0};
		struct setup other;
		bool alone = i % 2;

		next_row("%s, %s", c->name, alone ? "alone" : "by a neighbour");
		open_setup(&other, 16);
		if (alone) {
			close_setup(&dut);
			open_setup(&dut, ALONE);
		}
		map_first();
		submit_closer(&closer, alone ? dut.dev : other.dev, VUC_OP_WRITE_POSTED);
		dut.server->held = UINT32_MAX;
		CU_ASSERT(c->call(dut.dev, NULL) < 0);
		CU_ASSERT_EQUAL(closer.calls, 1);
		close_setup(&other);
	}
}

static void
expect_null(int rc, const char *reason)
{
	CU_ASSERT_EQUAL(rc, -EINVAL);
	CU_ASSERT_STRING_EQUAL(vuc_device_reason(dut.dev), reason);
}

/* A function that has no place for its result is refused at once. */
static void
test_no_place(void)
{
	const struct vuc_region_mapping *mappings;
	struct vuc_error err;
	uint32_t nr;

	expect_null(vuc_region_map_start(dut.dev, 0, NULL, &nr, on_done, NULL),
		"mappings or nr_mappings is NULL");
	expect_null(vuc_region_map_start(dut.dev, 0, &mappings, NULL, on_done, NULL),
		"mappings or nr_mappings is NULL");
	expect_null(vuc_io_fds_get_start(dut.dev, 0, NULL, on_done, NULL), "io_fds is NULL");
	expect_null(vuc_dirty_supported_start(dut.dev, NULL, on_done, NULL), "supported is NULL");
	expect_null(vuc_dirty_enable_start(dut.dev, NULL, &range, 1, on_done, NULL),
		"page_size is NULL");
	expect_null(vuc_dirty_report_start(dut.dev, &range, PAGE, NULL, 1, on_done, NULL),
		"bitmap is NULL");
	expect_null(vuc_dma_unmap_dirty_start(dut.dev, 0, PAGE, PAGE, NULL, 1, on_done, NULL),
		"bitmap is NULL");
	expect_null(vuc_migration_supported_start(dut.dev, NULL, on_done, NULL), "flags is NULL");
	expect_null(vuc_migration_get_state_start(dut.dev, NULL, on_done, NULL), "state is NULL");
	expect_null(vuc_migration_read_start(dut.dev, NULL, 8, &results.len, on_done, NULL),
		"data or count is NULL");
	expect_null(vuc_migration_read_start(dut.dev, results.bytes, 8, NULL, on_done, NULL),
		"data or count is NULL");
	expect_null(vuc_feature_get_start(dut.dev, 5, NULL, 8, &results.len, on_done, NULL),
		"data or len is NULL");
	expect_null(vuc_feature_get_start(dut.dev, 5, &results.value, 4, NULL, on_done, NULL),
		"data or len is NULL");
	CU_ASSERT_EQUAL(vuc_device_open_start(NULL, NULL, on_done, NULL, &err), -EINVAL);
	CU_ASSERT_STRING_EQUAL(err.text, "dev is NULL");
}

const struct tap_suite tap_suite = {"each call", set_up, tear_down,
	{
		{"answered", test_answered},
		{"refused, late, lost, cancelled or closed at each message", test_each_message},
		{"closed from its callback", test_closed_from_callback},
		{"closed while it is waited for", test_closed_while_waiting},
		{"called from a callback", test_called_from_callback},
		{"no place for a result", test_no_place},
	}};
