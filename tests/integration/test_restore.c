/* SPDX-License-Identifier: BSD-3-Clause */

/* A device that is away and comes back: lib/device/record.h. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "restore_rig.h"

/* ---- what is replayed, and in which order ---- */

#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX

static const struct {
	uint32_t region;
	uint32_t offset;
	uint32_t count;
	uint64_t value;
} writes[] = {
	/* Sizing, and then the address, of which only the last value counts. */
	{CONFIG, 0x04, 2, 0x0000},
	{CONFIG, 0x10, 4, 0xffffffff},
	{CONFIG, 0x14, 4, 0xffffffff},
	{CONFIG, 0x10, 4, 0xfe000000},
	{CONFIG, 0x14, 4, 0x00000001},
	{CONFIG, 0x06, 2, 0xf900}, /* STATUS: ones clear */
	{CONFIG, 0x3c, 1, 0x0b},   /* interrupt line */
	{CONFIG, 0x0c, 1, 0x10},   /* cache line size */
	{CONFIG, 0x44, 2, 0x8100}, /* PMCSR: PME status is cleared, PME enabled */
	{CONFIG, 0x5c, 2, 0x4041}, /* MSI: data, address, control */
	{CONFIG, 0x54, 4, 0xfee00000},
	{CONFIG, 0x52, 2, 0x0000},
	{CONFIG, 0x72, 2, 0x8000},     /* MSI-X control */
	{CONFIG, 0x89, 1, 0x20},       /* device control, its upper half */
	{CONFIG, 0x8a, 2, 0xffff},     /* device status: ones clear */
	{CONFIG, 0xc4, 4, 0x01020304}, /* the vendor's, as it was written */
	{CONFIG, 0xc6, 1, 0xaa},
	{CONFIG, 0xc8, 2, 0x5566},
	{CONFIG, 0x04, 2, 0x0406},
	/* Entry 1 of the MSI-X table. */
	{0, PAGE + 0x10, 8, 0x00000000fee01000},
	{0, PAGE + 0x18, 4, 0x4021},
	{0, PAGE + 0x1c, 4, 0},
	/* Neither the table nor config space. */
	{0, 0x20, 4, 0x12345678},
};

#define RESTORED_REGISTERS            \
	"write 0:1010/4 = fee01000\n" \
	"write 0:1014/4 = 0\n"        \
	"write 0:1018/4 = 4021\n"     \
	"write 0:101c/4 = 0\n"        \
	"write 7:54/4 = fee00000\n"   \
	"write 7:5c/2 = 4041\n"       \
	"write 7:52/2 = 0\n"          \
	"write 7:72/2 = 8000\n"       \
	"write 7:88/2 = 2000\n"       \
	"write 7:c/1 = 10\n"          \
	"write 7:3c/1 = b\n"          \
	"write 7:44/2 = 100\n"        \
	"write 7:c4/4 = 1aa0304\n"    \
	"write 7:c8/2 = 5566\n"
#define RESTORED_BARS               \
	"write 7:10/4 = fe000000\n" \
	"write 7:14/4 = 1\n"
#define RESTORED_MAPS                             \
	"map 1000+2000 flags 7 offset 0 memory\n" \
	"map 10000+4000 flags 7 offset 8000 memory\n"
#define RESTORED_IRQS                       \
	"irq 0 trigger eventfd 0+1 fds 1\n" \
	"irq 0 unmask none 0+1\n"           \
	"irq 1 trigger eventfd 0+2 fds 2\n" \
	"irq 2 trigger eventfd 1+4 fds 4\n" \
	"irq 2 trigger eventfd 5+2 fds 2\n" \
	"irq 2 mask none 3+2\n"             \
	"irq 3 trigger eventfd 0+1 fds 1\n"
#define RESTORED                                                                            \
	"reset\nread 7:44/2\n" RESTORED_BARS RESTORED_MAPS RESTORED_IRQS RESTORED_REGISTERS \
	"write 7:4/2 = 406\n"

static void
mask(uint32_t index, uint32_t start, uint32_t count, enum vuc_irq_action action)
{
	const struct vuc_irq_range range = {.index = index, .start = start, .count = count};
	struct job job = {0};

	CU_ASSERT_EQUAL_FATAL(vuc_irq_act_start(dut, &range, action, on_done, &job), 0);
	CU_ASSERT_EQUAL(await(&job), 0);
}

/* All that a record has. */
static void
set_all(void)
{
	CU_ASSERT_EQUAL(map_and_commit(0x1000, 0, 2), 0);
	CU_ASSERT_EQUAL(map_and_commit(0x10000, 8, 4), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_INTX_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 0), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_MSI_IRQ_INDEX, 0, 2, VUC_IRQ_TRIGGER, 8), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_MSIX_IRQ_INDEX, 1, 6, VUC_IRQ_TRIGGER, 1), 0);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_ERR_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 7), 0);
	mask(VFIO_PCI_MSIX_IRQ_INDEX, 2, 3, VUC_IRQ_MASK);
	mask(VFIO_PCI_MSIX_IRQ_INDEX, 2, 1, VUC_IRQ_UNMASK);
	for (unsigned int i = 0; i < NR_ROWS(writes); i++)
		CU_ASSERT_EQUAL(write_region(writes[i].region, writes[i].offset, writes[i].value,
					writes[i].count),
			0);
}

static void
test_return(void)
{
	int fds[16];
	unsigned int nr;

	set_all();
	lose();
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, RESTORED);
	CU_ASSERT(reaches(&fresh, VFIO_PCI_INTX_IRQ_INDEX, 0, 0));
	CU_ASSERT(reaches(&fresh, VFIO_PCI_MSIX_IRQ_INDEX, 6, 6));
	CU_ASSERT_EQUAL(vuc_device_remapped(dut), 0);
	/* INTx, MSI and MSI-X, without ERR. */
	nr = vuc_device_hold_eventfds(dut, fds, NR_ROWS(fds));
	CU_ASSERT_EQUAL(nr, 9);
	for (unsigned int i = 0; i < nr; i++)
		close(fds[i]);
	/* It is a device as any other. */
	CU_ASSERT_EQUAL(unmap_and_commit(0x1000, 2 * PAGE), 0);
	CU_ASSERT_EQUAL(map_and_commit(0x1000, 4, 2), 0);
	CU_ASSERT_EQUAL(write_region(CONFIG, 0x04, 0x0402, 2), 0);
	expect_log(&fresh,
		"unmap 1000+2000\n"
		"map 1000+2000 flags 7 offset 4000 memory\n"
		"write 7:4/2 = 402\n");
}

static unsigned int
count_lines(const char *text)
{
	unsigned int n = 0;

	while ((text = strchr(text, '\n')) != NULL) {
		text++;
		n++;
	}
	return n;
}

/* A server that dies after so many messages of a restore, at each of them. */
static void
test_loss_at_each_step(void)
{
	struct job job;
	unsigned int nth = 1;

	set_all();
	lose();
	do {
		vuc_tap_row("message %u", nth);
		restore_server_clear(&fresh);
		restore_server_init(&fresh);
		fresh.dies_at = nth++;
		restore(&job);
		CU_ASSERT(job.status == 0 || job.status == -ECONNRESET);
	} while (job.status != 0);
	/* Config space by dwords, and each line; and one more, with which it lived. */
	CU_ASSERT_EQUAL(nth - 2, sizeof(fresh.config) / 4 + count_lines(RESTORED));
	expect_log(&fresh, RESTORED);
	lose();
	restore_server_clear(&fresh);
	restore_server_init(&fresh);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, RESTORED);
}

static CU_TestInfo tests[] = {
	{"everything is replayed in its order", test_return},
	{"the next server dies at each step", test_loss_at_each_step},
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
