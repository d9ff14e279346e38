/* SPDX-License-Identifier: BSD-3-Clause */

/* Whether a new server's process may get what the old one's had. */

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "restore_rig.h"

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
	snprintf(expected, sizeof(expected), "process %d (test_fence)", (int)pid);
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

const struct tap_suite tap_suite = {"fence", set_up, tear_down,
	{
		{"the old server's process is waited for", test_fence},
	}};
