/* SPDX-License-Identifier: BSD-3-Clause */

/* Restores that end before they are over: by a loss, by the end of the record, by closing; or that
 * may not begin yet. */

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "restore_rig.h"

/* A restore that has begun, and its end. */
static struct job restored;

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
	const struct vuc_restore_opts opts = {.reset = true};

	next_row("command %u hangs", command);
	CU_ASSERT_EQUAL(map_and_commit(0x1000, 0, 2), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_INTX_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 0), 0);
	CU_ASSERT_EQUAL(write_region(VFIO_PCI_CONFIG_REGION_INDEX, 0x04, 0x0406, 2), 0);
	lose();
	begin_restore(&opts, 1u << command, on_done, &restored);
	poll_often();
	CU_ASSERT_STRING_NOT_EQUAL(vuc_device_restore_step(dut), "");
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
	for (unsigned int i = 0; i < NR(hangs); i++) {
		hang_at(hangs[i]);
		lose();
		restore_expect_end(-ECONNRESET);
		CU_ASSERT(vuc_device_is_away(dut));
	}
}

static void
test_record_stop(void)
{
	for (unsigned int i = 0; i < NR(hangs); i++) {
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
	for (unsigned int i = 0; i < NR(hangs); i++) {
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
	end_session();
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

	for (unsigned int i = 0; i < NR(hangs) * NR(callbacks); i++) {
		struct job commit = {0};

		hang_at(hangs[i / NR(callbacks)]);
		CU_ASSERT_EQUAL_FATAL(
			vuc_dma_commit_start(dut, callbacks[i % NR(callbacks)], &commit), 0);
		end_session();
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
	lose_and_restore();
	expect_log(&fresh,
		"reset\nread 7:44/2\n"
		"irq 1 trigger eventfd 0+1 fds 1\n"
		"irq 1 trigger eventfd 1+1 fds 1\n");
}

/* The old server may still have what the new one gets, as long as its process is there. */
static void
test_fence(void)
{
	struct vuc_device *dev = open_fresh();
	struct vuc_error why = {0};
	char expected[64];
	pid_t pid = fork();
	int pidfd;

	if (pid == 0) {
		pause();
		_exit(0);
	}
	CU_ASSERT_FATAL(pid > 0);
	snprintf(expected, sizeof(expected), "process %d (%.15s)", (int)pid,
		program_invocation_short_name);
	dut->peer = (struct device_peer){.known = true, .pid = pid, .uid = 7};
	dut->peer.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	dev->peer = (struct device_peer){.known = true, .pid = getpid(), .uid = 7, .pidfd = -1};
	CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, true, &why), -EAGAIN);
	CU_ASSERT_STRING_EQUAL(why.text, expected);
	CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, false, &why), 0);
	/* No descriptor was left for its pidfd. */
	pidfd = dut->peer.pidfd;
	dut->peer.pidfd = -1;
	CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, true, &why), -EAGAIN);
	dut->peer.pidfd = pidfd;
	/* The same process, and one that the kernel does not name. */
	dev->peer.pid = pid;
	CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, true, &why), 0);
	dev->peer.pid = 0;
	CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, true, &why), 0);
	dev->peer.pid = getpid();
	for (unsigned int on = 0; on < 2; on++) {
		dev->peer.uid = 8;
		CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, on != 0, &why), -EACCES);
		CU_ASSERT_STRING_EQUAL(
			why.text, "the server is run by user 8, and was run by user 7 before");
		dev->peer.uid = 7;
	}
	/* A zombie holds no memory. */
	kill(pid, SIGKILL);
	CU_ASSERT_EQUAL(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, true, &why), 0);
	waitpid(pid, NULL, 0);
	CU_ASSERT_EQUAL(vuc_device_fence(dut, dev, true, &why), 0);
	vuc_device_close(dev);
}

const struct tap_suite tap_suite = {"restore_end", set_up, tear_down,
	{
		{"a reset waits for no queue", test_reset_and_queues},
		{"the server is lost", test_loss},
		{"the record is stopped", test_record_stop},
		{"the device is closed", test_close},
		{"the record is stopped before it is complete", test_early_stop},
		{"a callback stops the record or closes the device", test_callbacks},
		{"what is started at a loss", test_order_at_loss},
		{"interrupts beyond their set", test_beyond_set},
		{"the old server's process is waited for", test_fence},
	}};
