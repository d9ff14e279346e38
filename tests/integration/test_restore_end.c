/* SPDX-License-Identifier: BSD-3-Clause */

/* Restores that end before they are over: by a loss, by the end of the record, by closing. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "restore_rig.h"

/* A restore that has begun, and its end. */
static struct job restored;

static void
restore_begin(uint16_t hangs_at)
{
	const struct vuc_restore_opts opts = {.reset = true};
	struct vuc_device *dev = open_fresh();

	restored = (struct job){0};
	fresh.fake.held = 1u << hangs_at;
	CU_ASSERT_EQUAL_FATAL(
		vuc_device_restore_start(dut, dev, &opts, on_done, &restored, NULL), 0);
	vuc_device_close(dev);
	poll_often();
	CU_ASSERT_STRING_NOT_EQUAL(vuc_device_restore_step(dut), "");
}

static void
restore_expect_end(int status)
{
	CU_ASSERT_EQUAL(await(&restored), status);
	CU_ASSERT_FALSE(vuc_device_connected(dut));
	CU_ASSERT_STRING_EQUAL(vuc_device_restore_step(dut), "");
}

/* What hangs: the restore waits for an answer to it. */
static const uint16_t hangs[] = {
	VFIO_USER_REGION_READ,
	VFIO_USER_DEVICE_RESET,
	VFIO_USER_DMA_MAP,
	VFIO_USER_DEVICE_SET_IRQS,
	VFIO_USER_REGION_WRITE,
};

static void
hang_at(uint16_t command)
{
	next_row("command %u hangs", command);
	CU_ASSERT_EQUAL(map_and_commit(0x1000, 0, 2), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_INTX_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 0), 0);
	CU_ASSERT_EQUAL(write_region(VFIO_PCI_CONFIG_REGION_INDEX, 0x04, 0x0406, 2), 0);
	lose();
	restore_begin(command);
}

/* A poll source whose queues always have something for the device. */
static bool
source_drain(void *arg, struct vuc_device *dev)
{
	(void)dev;
	*(unsigned int *)arg += 1;
	return true;
}

/* Queues of a device that is away are not waited for by its reset. */
static void
test_reset_and_queues(void)
{
	unsigned int nr_drained = 0;
	const struct vuc_poll_source source = {.drain = source_drain, .arg = &nr_drained};
	struct job reset = {0};

	vuc_poll_group_set_source(group, &source);
	CU_ASSERT_EQUAL(vuc_device_reset_start(dut, on_done, &reset), 0);
	poll_often();
	CU_ASSERT_EQUAL(nr_drained, 1);
	CU_ASSERT_EQUAL(reset.calls, 0);
	lose();
	CU_ASSERT_EQUAL(await(&reset), 0);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, "reset\nread 7:44/2\n");
	CU_ASSERT_EQUAL(nr_drained, 1);
	vuc_poll_group_set_source(group, NULL);
}

static void
test_loss(void)
{
	for (unsigned int i = 0; i < NR_ROWS(hangs); i++) {
		hang_at(hangs[i]);
		lose();
		restore_expect_end(-ECONNRESET);
		CU_ASSERT(vuc_device_is_away(dut));
	}
}

static void
test_record_stop(void)
{
	for (unsigned int i = 0; i < NR_ROWS(hangs); i++) {
		hang_at(hangs[i]);
		vuc_device_record_stop(dut);
		CU_ASSERT_EQUAL(restored.calls, 1);
		restore_expect_end(-ECANCELED);
		CU_ASSERT_FALSE(vuc_device_is_away(dut));
	}
}

static void
test_close(void)
{
	for (unsigned int i = 0; i < NR_ROWS(hangs); i++) {
		hang_at(hangs[i]);
		vuc_device_close(dut);
		CU_ASSERT_EQUAL(restored.calls, 1);
		CU_ASSERT_EQUAL(restored.status, -ECANCELED);
		dut = NULL;
	}
}

/* The client leaves before config space has been read into its record, with the threads that close
 * its descriptors. */
static void
test_early_stop(void)
{
	struct vuc_closers *closers = vuc_closers_create();
	struct vuc_closer *closer = vuc_closer_create(closers, 1);
	const struct vuc_record_opts opts = {.closer = closer};
	struct job started = {0};

	vuc_device_record_stop(dut);
	old.fake.held = 1u << VFIO_USER_REGION_READ;
	CU_ASSERT_EQUAL_FATAL(vuc_device_record_start(dut, &opts, on_done, &started), 0);
	vuc_closer_let_go(closer);
	poll_often();
	CU_ASSERT_EQUAL(started.calls, 0);
	vuc_device_record_stop(dut);
	CU_ASSERT_EQUAL(vuc_closers_destroy(closers, 0, NULL), 0);
	vuc_session_end(dut->session, -ECONNRESET, "the server closed the connection");
	device_mark_dirty(dut);
	CU_ASSERT_EQUAL(await(&started), -ECANCELED);
}

/* A vuc_done_fn. */
static void
on_done_stop(void *arg, int status, const struct vuc_error *err)
{
	on_done(arg, status, err);
	vuc_device_record_stop(dut);
}

/* A vuc_done_fn. */
static void
on_done_close(void *arg, int status, const struct vuc_error *err)
{
	on_done(arg, status, err);
	vuc_device_close_start(dut, NULL, NULL);
	dut = NULL;
}

/* By the callback of an operation that ends with the restore. */
static void
test_callbacks(void)
{
	static const vuc_done_fn callbacks[] = {on_done_stop, on_done_close};

	for (unsigned int i = 0; i < NR_ROWS(hangs) * NR_ROWS(callbacks); i++) {
		struct job commit = {0};

		hang_at(hangs[i / NR_ROWS(callbacks)]);
		CU_ASSERT_EQUAL_FATAL(
			vuc_dma_commit_start(dut, callbacks[i % NR_ROWS(callbacks)], &commit), 0);
		vuc_session_end(dut->session, -ECONNRESET, "the server closed the connection");
		device_mark_dirty(dut);
		poll_often();
		CU_ASSERT_EQUAL(commit.calls, 1);
		CU_ASSERT_EQUAL(restored.calls, 1);
	}
}

/* Operations that are started after the connection has ended, before anyone has noticed, come after
 * those that were started before. */
static void
test_order_at_loss(void)
{
	const struct vuc_irq_range range = {
		.index = VFIO_PCI_MSIX_IRQ_INDEX, .start = 4, .count = 1};
	struct job before = {0}, after = {0};

	CU_ASSERT_EQUAL(assign(VFIO_PCI_MSIX_IRQ_INDEX, 4, 1, VUC_IRQ_TRIGGER, 0), 0);
	CU_ASSERT_EQUAL(vuc_irq_deassign_start(dut, &range, VUC_IRQ_TRIGGER, on_done, &before), 0);
	vuc_session_end(dut->session, -ECONNRESET, "the server closed the connection");
	CU_ASSERT_EQUAL(
		vuc_irq_assign_start(dut, &range, VUC_IRQ_TRIGGER, &eventfds[1], on_done, &after),
		0);
	lose();
	CU_ASSERT_EQUAL(await(&before), 0);
	CU_ASSERT_EQUAL(await(&after), 0);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, "reset\nread 7:44/2\nirq 2 trigger eventfd 4+1 fds 1\n");
	CU_ASSERT(reaches(&fresh, VFIO_PCI_MSIX_IRQ_INDEX, 4, 1));
}

/* A server has accepted interrupts outside the first set of an index with
 * VFIO_IRQ_INFO_NORESIZE. */
static void
test_beyond_set(void)
{
	const struct vuc_irq_range sets[] = {{.index = VFIO_PCI_MSI_IRQ_INDEX, .count = 1},
		{.index = VFIO_PCI_MSI_IRQ_INDEX, .start = 1, .count = 1}};
	struct job jobs[2] = {0};

	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(vuc_irq_assign_start(dut, &sets[i], VUC_IRQ_TRIGGER, &eventfds[i],
					on_done, &jobs[i]),
			0);
	CU_ASSERT_EQUAL(await(&jobs[1]), 0);
	lose();
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh,
		"reset\nread 7:44/2\n"
		"irq 1 trigger eventfd 0+1 fds 1\n"
		"irq 1 trigger eventfd 1+1 fds 1\n");
}

static CU_TestInfo tests[] = {
	{"a reset waits for no queue", test_reset_and_queues},
	{"the server is lost", test_loss},
	{"the record is stopped", test_record_stop},
	{"the device is closed", test_close},
	{"the record is stopped before it is complete", test_early_stop},
	{"a callback stops the record or closes the device", test_callbacks},
	{"what is started at a loss", test_order_at_loss},
	{"interrupts beyond their set", test_beyond_set},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"restore_end", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	vuc_tap_count_fds();
	return vuc_tap_run(suites);
}
