/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * SPDK's NVMe-oF target behind vucd: it answers DEVICE_RESET and keeps its queues, so the next VMM
 * must get another connection. VUC_SPDK_NVMF_SOCKET is that of test_spdk_nvme.c.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <vuc/vmm.h>

#include "clock.h"
#include "memfd.h"
#include "nvme.h"
#include "tap.h"
#include "vucd_rig.h"

#define BAR0        VFIO_PCI_BAR0_REGION_INDEX
#define MEMORY_SIZE (16u * NVME_PAGE)
#define ENABLE      0x00460001u /* CC: entries of 64 and 16 bytes, enabled */

struct vmm {
	struct vuc_vmm_device *dev;
	struct vuc_queue *queue;
};

/* Returns whether it could. Asserts nothing: it is called in other processes as well. */
static bool
begin(struct vmm *v, const struct vucd_rig *rig)
{
	struct vuc_vmm_attach_opts opts;
	struct vuc_error err = {""};

	vuc_vmm_attach_opts_init(&opts, sizeof(opts));
	opts.socket = rig->vmm_socket;
	opts.device = "nvme0";
	if (vuc_vmm_attach(&opts, &v->dev, &err) == 0 &&
		vuc_vmm_open_queue(v->dev, NULL, &v->queue, &err) == 0)
		return true;
	printf("# %s\n", err.text);
	return false;
}

static void
end(struct vmm *v)
{
	vuc_vmm_close_queue(v->dev, v->queue);
	vuc_vmm_detach(v->dev);
}

static uint32_t
get(const struct vmm *v, uint64_t offset)
{
	uint32_t value = UINT32_MAX;

	return vuc_queue_read(v->queue, BAR0, offset, &value, sizeof(value)) == 0 ? value
										  : UINT32_MAX;
}

static bool
set(const struct vmm *v, uint64_t offset, uint32_t value)
{
	return vuc_queue_write(v->queue, BAR0, offset, &value, sizeof(value)) == 0;
}

/* Admin queues at the first pages of its memory, and the controller enabled. */
static bool
enable(const struct vmm *v)
{
	struct vuc_vmm_dma memory = {
		.size = MEMORY_SIZE,
		.flags = VUC_VMM_DMA_READ | VUC_VMM_DMA_WRITE,
		.fd = vuc_memfd_create("guest", MEMORY_SIZE, F_SEAL_SHRINK),
	};
	bool well = vuc_vmm_dma_map(v->dev, &memory, 1, NULL) == 0 &&
		vuc_vmm_dma_commit(v->dev, NULL) == 0;

	close(memory.fd);
	well = well && set(v, NVME_AQA, 0x000f000f) && set(v, NVME_ASQ, 0) &&
		set(v, NVME_ASQ + 4, 0) && set(v, NVME_ACQ, NVME_PAGE) && set(v, NVME_ACQ + 4, 0) &&
		set(v, NVME_CC, ENABLE);
	for (unsigned int i = 0; well && (get(v, NVME_CSTS) & NVME_CSTS_RDY) == 0; i++) {
		well = i < 10000;
		vuc_clock_sleep_ms(1);
	}
	return well;
}

/* A VMM that enables the controller and is killed. */
static void
be_killed(const struct vucd_rig *rig)
{
	int status = 0;
	struct vmm v;
	pid_t pid = fork();

	if (pid == 0) {
		if (begin(&v, rig) && enable(&v))
			raise(SIGKILL);
		_exit(1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status));
}

static void
find_clean(const struct vucd_rig *rig)
{
	struct vmm v;

	CU_ASSERT_FATAL(begin(&v, rig));
	CU_ASSERT_EQUAL(get(&v, NVME_CC), 0);
	CU_ASSERT_EQUAL(get(&v, NVME_CSTS) & NVME_CSTS_RDY, 0);
	CU_ASSERT_EQUAL(get(&v, NVME_AQA), 0);
	CU_ASSERT_EQUAL(get(&v, NVME_ACQ), 0);
	end(&v);
}

static void
test_next_vmm(void)
{
	struct vucd_rig rig;
	char section[256];
	struct vmm v;

	snprintf(section, sizeof(section), "[device nvme0]\nsocket = %s\n",
		getenv("VUC_SPDK_NVMF_SOCKET"));
	vucd_rig_start(&rig, section);
	vucd_rig_await(&rig, "nvme0", "free");
	CU_ASSERT_FATAL(begin(&v, &rig) && enable(&v));
	end(&v);
	find_clean(&rig);
	be_killed(&rig);
	vucd_rig_await(&rig, "nvme0", "free");
	find_clean(&rig);
	vucd_rig_end(&rig);
	vucd_rig_stop(&rig);
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"the next VMM", test_next_vmm},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"spdk_nvme_vucd", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	if (getenv("VUC_SPDK_NVMF_SOCKET") == NULL) {
		printf("1..0 # SKIP VUC_SPDK_NVMF_SOCKET does not name a socket of SPDK's target\n");
		return 0;
	}
	return vuc_tap_run(suites);
}
