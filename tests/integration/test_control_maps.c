/* SPDX-License-Identifier: BSD-3-Clause */

/* Regions that VMMs map: whether they can, and what the control plane does for the files. */

#include <linux/vfio.h>

#include "refdev_regs.h"
#include "rig.h"

#define BAR2 VFIO_PCI_BAR2_REGION_INDEX
#define BAR4 VFIO_PCI_BAR4_REGION_INDEX

static const uint32_t mappable[] = {BAR2, BAR4};

/* A VMM that has asked for what it can map writes as PCI would. */
static void
write_pci(struct shm_queue *q)
{
	const struct vuc_shm_request write = {.op = VUC_SHM_WRITE_PCI, .region = BAR2, .count = 4};
	struct vuc_shm_completion done;

	shm_submit(q, &write);
	CU_ASSERT_EQUAL_FATAL(shm_complete(q, &done, RIG_WAIT_MS), 0);
	CU_ASSERT_EQUAL(done.status, 0);
}

/* With `none` there is nothing to map, so that writes are still posted. */
static void
test_map(void)
{
	static const struct {
		enum vuc_control_map map;
		uint32_t nr_areas[2]; /* of BAR2 and BAR4 */
		uint64_t posted;
	} rows[] = {
		{VUC_CONTROL_MAP_DIRECT, {1, 2}, 0},
		{VUC_CONTROL_MAP_NONE, {0, 0}, 1},
	};
	const struct vuc_shm_region_reply *r = &client.reply.region;

	for (unsigned int i = 0; i < 2; i++) {
		rig_start(&(struct rig_opts){.map = rows[i].map});
		rig_attach(&client, RIG_NAME);
		for (unsigned int k = 0; k < 2; k++) {
			uint32_t nr = rows[i].nr_areas[k];

			CU_ASSERT_EQUAL_FATAL(
				shm_index(&client, VUC_SHM_REGION_INFO, mappable[k]), 0);
			CU_ASSERT_EQUAL(r->nr_areas, nr);
			CU_ASSERT_EQUAL(client.nr_fds, nr > 0);
			CU_ASSERT_EQUAL((r->flags & VFIO_REGION_INFO_FLAG_MMAP) != 0, nr > 0);
			CU_ASSERT_EQUAL(client.len, sizeof(*r) + nr * sizeof(r->areas[0]));
		}
		write_pci(rig_open_queue(&client, 4, 64));
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).posted, rows[i].posted);
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).writes, 1 - rows[i].posted);
		rig_stop();
	}
}

static CU_TestInfo tests[] = {
	{"map", test_map},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests, NULL);
}
