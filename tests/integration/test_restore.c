/* SPDX-License-Identifier: BSD-3-Clause */

/* A device that is away and comes back: lib/device/record.h. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "restore_rig.h"

/* ---- what is replayed, and in which order ---- */

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

static void
set_all(void)
{
	CU_ASSERT_EQUAL(map_and_commit(0x1000, 0, 2), 0);
	CU_ASSERT_EQUAL(map_and_commit(0x10000, 8, 4), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_INTX_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 0), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_MSIX_IRQ_INDEX, 1, 6, VUC_IRQ_TRIGGER, 1), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_ERR_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 7), 0);
}

static void
test_return(void)
{
	set_all();
	expect_log(&old,
		"map 1000+2000 flags 7 offset 0 memory\n"
		"map 10000+4000 flags 7 offset 8000 memory\n"
		"irq 0 trigger eventfd 0+1 fds 1\n"
		"irq 2 trigger eventfd 1+4 fds 4\n"
		"irq 2 trigger eventfd 5+2 fds 2\n"
		"irq 3 trigger eventfd 0+1 fds 1\n");
	lose();
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh,
		"reset\n"
		"map 1000+2000 flags 7 offset 0 memory\n"
		"map 10000+4000 flags 7 offset 8000 memory\n"
		"irq 0 trigger eventfd 0+1 fds 1\n"
		"irq 0 unmask none 0+1\n"
		"irq 2 trigger eventfd 1+4 fds 4\n"
		"irq 2 trigger eventfd 5+2 fds 2\n"
		"irq 3 trigger eventfd 0+1 fds 1\n");
	CU_ASSERT(reaches(&fresh, VFIO_PCI_INTX_IRQ_INDEX, 0, 0));
	CU_ASSERT(reaches(&fresh, VFIO_PCI_MSIX_IRQ_INDEX, 6, 6));
}

static CU_TestInfo tests[] = {
	{"everything is replayed in its order", test_return},
	CU_TEST_INFO_NULL,
};

int
main(void)
{
	CU_SuiteInfo suites[] = {
		{"restore", NULL, NULL, set_up, tear_down, tests},
		CU_SUITE_INFO_NULL,
	};

	vuc_tap_count_fds();
	return vuc_tap_run(suites);
}
