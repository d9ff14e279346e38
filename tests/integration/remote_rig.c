/* SPDX-License-Identifier: BSD-3-Clause */
#include "remote_rig.h"

#include <stdio.h>

#include <linux/vfio.h>

#include <vuc/eal.h>

#include "refdev_regs.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX

struct remote_rig
remote_rig_start(const char *option, uint32_t timeout_ms)
{
	struct remote_rig rig = {.peer = peer_start(2, option, NULL)};
	struct vuc_poller_opts opts;

	vuc_poller_opts_init(&opts, sizeof(opts));
	opts.transport = peer_transport();
	opts.cpu = VUC_POLLER_CPU_NONE;
	opts.idle = VUC_IDLE_SLEEP;
	opts.idle_loops = 0;
	CU_ASSERT_EQUAL_FATAL(vuc_poller_create(&opts, &rig.poller, NULL), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct vuc_device_opts dev_opts;

		peer_opts(rig.peer, i, &dev_opts);
		if (timeout_ms != 0)
			dev_opts.timeout_ms = timeout_ms;
		CU_ASSERT_EQUAL_FATAL(
			vuc_poller_open_device(rig.poller, &dev_opts, &rig.dev[i], NULL), 0);
	}
	return rig;
}

void
remote_rig_stop(struct remote_rig *rig)
{
	for (unsigned int i = 0; i < 2; i++)
		CU_ASSERT_EQUAL(vuc_poller_close_device(rig->poller, rig->dev[i]), 0);
	CU_ASSERT_EQUAL(vuc_poller_destroy(rig->poller), 0);
	peer_stop(rig->peer);
}

void
remote_rig_attach(struct remote_rig *rig, struct vmm *v)
{
	vmm_attach(v, rig->poller, rig->dev[0]);
	vmm_open_queue(v, RIG_DEPTH, RIG_MAX_DATA);
}

void
neighbour_start(struct neighbour *n, struct remote_rig *rig)
{
	vmm_attach(&n->vmm, rig->poller, rig->dev[1]);
	vmm_open_queue(&n->vmm, RIG_DEPTH, RIG_MAX_DATA);
	vmm_front_open(&n->front, &n->vmm, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(n->front.queue);
	vuc_queue_set_spin(n->front.queue, 0);
}

void
neighbour_goes_on(struct neighbour *n, uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t value = 0;

		CU_ASSERT_EQUAL(vuc_queue_post(n->front.queue, BAR0, REFDEV_REG_SCRATCH, &i, 4), 0);
		CU_ASSERT_EQUAL(
			vuc_queue_read(n->front.queue, BAR0, REFDEV_REG_SCRATCH, &value, 4), 0);
		CU_ASSERT_EQUAL(value, i);
	}
}

void
neighbour_stop(struct neighbour *n)
{
	vmm_front_close(&n->front);
	vmm_detach(&n->vmm);
}

static int
set_up(void)
{
	struct vuc_error err = {0};
	int rc = vuc_eal_init(NULL, &err);

	if (rc != 0)
		printf("# %s\n", err.text);
	return rc;
}

static int
clean_up(void)
{
	vuc_eal_fini();
	return 0;
}

int
remote_rig_main(int argc, char **argv, CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {
		{argc == 2 ? argv[1] : "", set_up, clean_up, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return peer_main(argc, argv, suites);
}
