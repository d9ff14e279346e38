/* SPDX-License-Identifier: BSD-3-Clause */

/* A device that is away and comes back: lib/device/record.h. */

#include <sys/mman.h>

#include <linux/pci_regs.h>

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
#define MAP_0 "map 1000+2000 flags 7 offset 0 memory\n"
#define MAP_1 "map 10000+4000 flags 7 offset 8000 memory\n"
#define RESTORED_IRQS(masked)               \
	"irq 0 trigger eventfd 0+1 fds 1\n" \
	"irq 0 unmask none 0+1\n"           \
	"irq 1 trigger eventfd 0+2 fds 2\n" \
	"irq 2 trigger eventfd 1+4 fds 4\n" \
	"irq 2 trigger eventfd 5+2 fds 2\n" masked "irq 3 trigger eventfd 0+1 fds 1\n"
#define MASKED "irq 2 mask none 3+2\n"
#define RESTORED_WITH(power, maps, masked)                                                       \
	"reset\nread 7:44/2\n" power RESTORED_BARS maps RESTORED_IRQS(masked) RESTORED_REGISTERS \
		"write 7:4/2 = 406\n"
#define RESTORED RESTORED_WITH("", MAP_0 MAP_1, MASKED)
/* Nothing is masked, and the first map is gone. */
#define RESTORED_CHANGED(map) RESTORED_WITH("", MAP_1 map, "")

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
	for (unsigned int i = 0; i < NR(writes); i++)
		CU_ASSERT_EQUAL(write_region(writes[i].region, writes[i].offset, writes[i].value,
					writes[i].count),
			0);
}

static void
test_return(void)
{
	unsigned int nr, cursor = 0;
	int fds[16];

	set_all();
	lose_and_restore();
	expect_log(&fresh, RESTORED);
	CU_ASSERT(reaches(&fresh, VFIO_PCI_INTX_IRQ_INDEX, 0, 0));
	CU_ASSERT(reaches(&fresh, VFIO_PCI_MSIX_IRQ_INDEX, 6, 6));
	CU_ASSERT_EQUAL(vuc_device_take_remapped(dut), 0);
	/* INTx, MSI and MSI-X, without ERR. */
	nr = vuc_device_hold_eventfds(dut, &cursor, fds, 4);
	CU_ASSERT_EQUAL(nr, 4);
	nr += vuc_device_hold_eventfds(dut, &cursor, fds + nr, NR(fds) - nr);
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

/* A device that sleeps even after its reset is woken before anything else, and keeps its PME
 * status, which a one would clear. */
static void
test_power(void)
{
	const uint16_t sleeping = 3 /* D3hot */ | PCI_PM_CTRL_PME_ENABLE | PCI_PM_CTRL_PME_STATUS;

	set_all();
	lose();
	memcpy(fresh.config + 0x44, &sleeping, sizeof(sleeping));
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, RESTORED_WITH("write 7:44/2 = 100\n", MAP_0 MAP_1, MASKED));
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
		renew_fresh();
		fresh.dies_at = nth++;
		restore(&job);
		CU_ASSERT(job.status == 0 || job.status == -ECONNRESET);
	} while (job.status != 0);
	/* Config space by dwords, and each line; and one more, with which it lived. */
	CU_ASSERT_EQUAL(nth - 2, sizeof(fresh.config) / 4 + count_lines(RESTORED));
	expect_log(&fresh, RESTORED);
	lose();
	renew_fresh();
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, RESTORED);
}

/* ---- what differs ---- */

#define FIELD(field) \
	offsetof(struct restore_server, field), sizeof(((struct restore_server *)0)->field)
#define BODY_AT(type, field) (uint32_t) offsetof(struct type, field)
#define BYTES(at, size)      offsetof(struct restore_server, config) + (at), (size)
#define INTX                 VFIO_PCI_INTX_IRQ_INDEX
#define MSI                  VFIO_PCI_MSI_IRQ_INDEX
#define MSIX                 VFIO_PCI_MSIX_IRQ_INDEX

/* A field of the server that has come back, or its version data, and what is said of it. */
static const struct {
	const char *json;
	size_t at;
	size_t size;
	uint64_t value;
	const char *why;
	uint32_t info_at; /* the value is in the reply to DEVICE_GET_INFO there */
} differences[] = {
	{NULL, 0, 0, 8, "number of regions 0x8, was 0x9",
		BODY_AT(vfio_user_device_info, num_regions)},
	{NULL, 0, 0, 4, "number of IRQ indexes 0x4, was 0x5",
		BODY_AT(vfio_user_device_info, num_irqs)},
	{"\"max_msg_fds\":4,\"pgsizes\":8192", 0, 0, 0, "pgsizes 0x2000, was 0x1000"},
	{"\"max_msg_fds\":4,\"max_data_xfer_size\":4096", 0, 0, 0,
		"max_data_xfer_size 0x1000, was 0x100000"},
	{"\"max_msg_fds\":3", 0, 0, 0, "max_msg_fds 0x3, was 0x4"},
	{"\"max_msg_fds\":4,\"max_dma_maps\":100", 0, 0, 0, "max_dma_maps 0x64, was 0xffff"},
	{NULL, FIELD(fake.flags), 0, "device flags 0x2, was 0x3"},
	{NULL, FIELD(fake.regions[0].size), PAGE, "region 0: size 0x1000, was 0x2000"},
	{NULL, FIELD(fake.regions[0].offset), PAGE, "region 0: offset 0x1000, was 0x0"},
	{NULL, FIELD(fake.regions[7].flags), VFIO_REGION_INFO_FLAG_READ,
		"region 7: flags 0x1, was 0x3"},
	{NULL, FIELD(fake.regions[0].areas[0].offset), PAGE,
		"region 0: offset of area 0 0x1000, was 0x0"},
	{NULL, FIELD(fake.regions[0].areas[0].size), 2 * PAGE,
		"region 0: size of area 0 0x2000, was 0x1000"},
	{NULL, FIELD(fake.regions[0].nr_areas), 0, "region 0: flags 0x7, was 0xf"},
	{NULL, FIELD(fake.regions[0].nr_fds), 0, "region 0: number of files 0x0, was 0x1"},
	{NULL, FIELD(fake.irqs[MSI].count), 2, "IRQ index 1: count 0x2, was 0x4"},
	{NULL, FIELD(fake.irqs[INTX].count), 0, "IRQ index 0: count 0x0, was 0x1"},
	{NULL, FIELD(fake.irqs[MSIX].count), 9, "IRQ index 2: count 0x9, was 0x8"},
	{NULL, FIELD(fake.irqs[MSIX].count), 7, "IRQ index 2: count 0x7, was 0x8"},
	{NULL, FIELD(fake.irqs[INTX].flags), VFIO_IRQ_INFO_EVENTFD,
		"IRQ index 0: flags 0x1, was 0x3"},
	{NULL, FIELD(fake.regions[7].size), 128, "region 7: size 0x80, was 0x100"},
	{NULL, BYTES(PCI_VENDOR_ID, 2), 1, "vendor at 0x0: 0x1, was 0x1b36"},
	{NULL, BYTES(PCI_DEVICE_ID, 2), 1, "device at 0x2: 0x1, was 0x11"},
	{NULL, BYTES(PCI_REVISION_ID, 1), 1, "revision at 0x8: 0x1, was 0x3"},
	{NULL, BYTES(PCI_CLASS_PROG, 1), 1, "class at 0x9: 0x10801, was 0x10802"},
	{NULL, BYTES(PCI_HEADER_TYPE, 1), 0x80, "header type at 0xe: 0x80, was 0x0"},
	{NULL, BYTES(PCI_SUBSYSTEM_VENDOR_ID, 2), 1, "subsystem vendor at 0x2c: 0x1, was 0x4455"},
	{NULL, BYTES(PCI_SUBSYSTEM_ID, 2), 1, "subsystem at 0x2e: 0x1, was 0x3322"},
	{NULL, BYTES(PCI_INTERRUPT_PIN, 1), 2, "interrupt pin at 0x3d: 0x2, was 0x1"},
	{NULL, BYTES(PCI_STATUS, 2), 0, "capability list in STATUS at 0x6: 0x0, was 0x10"},
	{NULL, BYTES(PCI_CAPABILITY_LIST, 1), 0x50, "first capability at 0x34: 0x50, was 0x40"},
	{NULL, BYTES(PCI_BASE_ADDRESS_0, 1), 0, "type of BAR 0: 0x0, was 0x4"},
	{NULL, BYTES(PCI_BASE_ADDRESS_2, 1), 8, "type of BAR 2: 0x8, was 0x0"},
	{NULL, BYTES(0x50, 1), PCI_CAP_ID_VPD, "capability at 0x50: 0x3, was 0x5"},
	{NULL, BYTES(0x51, 1), 0x80, "next capability at 0x51: 0x80, was 0x70"},
	{NULL, BYTES(0x42, 2), 2, "power management at 0x42: 0x2, was 0x3"},
	{NULL, BYTES(0x52, 2), 0, "MSI at 0x52: 0x0, was 0x80"},
	{NULL, BYTES(0x72, 2), 6, "MSI-X vectors at 0x72: 0x6, was 0x7"},
	{NULL, BYTES(0x74, 4), 0, "MSI-X table at 0x74: 0x0, was 0x1000"},
	{NULL, BYTES(0x78, 4), 0, "MSI-X pending bits at 0x78: 0x0, was 0x1800"},
	{NULL, BYTES(0x82, 2), 1, "PCI Express at 0x82: 0x1, was 0x2"},
	{NULL, BYTES(0x84, 4), 0, "PCI Express device at 0x84: 0x0, was 0x10000000"},
	{NULL, BYTES(0xc2, 1), 8, "length of a vendor's capability at 0xc2: 0x8, was 0x10"},
};

/* It is told in one line, nothing of the record reaches that server, and the next one gets all. */
static void
test_differences(void)
{
	char json[128], why[128];
	struct job job;

	set_all();
	lose();
	for (unsigned int i = 0; i < NR(differences); i++) {
		vuc_tap_row("%s", differences[i].why);
		renew_fresh();
		if (differences[i].json != NULL) {
			snprintf(
				json, sizeof(json), "{\"capabilities\":{%s}}", differences[i].json);
			fresh.fake.json = json;
		}
		memcpy((uint8_t *)&fresh + differences[i].at, &differences[i].value,
			differences[i].size);
		if (differences[i].info_at != 0)
			fresh.fake.fault = (struct fake_fault){.nth = 1,
				.cmd = VFIO_USER_DEVICE_GET_INFO,
				.wrong = FAKE_FIELD,
				.at = differences[i].info_at,
				.value = (uint32_t)differences[i].value};
		CU_ASSERT_EQUAL(restore(&job), -ENODEV);
		snprintf(why, sizeof(why), "the device came back different: %s%s",
			differences[i].at >= offsetof(struct restore_server, config)
				? "config space, "
				: "",
			differences[i].why);
		if (strncmp(differences[i].why, "type of BAR", 11) == 0)
			snprintf(why, sizeof(why), "the device came back different: %s",
				differences[i].why);
		CU_ASSERT_STRING_EQUAL(job.err.text, why);
		expect_log(&fresh, "");
	}
	renew_fresh();
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, RESTORED);
}

/* ---- what is refused ---- */

/* Registers, and that INTx is unmasked, can be gone without; the rest can not. */
static void
test_refusals(void)
{
	const char *line = RESTORED;
	struct job job;

	set_all();
	lose();
	for (unsigned int nth = 1; *line != '\0'; nth++) {
		bool is_needed = strncmp(line, "reset", 5) == 0 || strncmp(line, "map", 3) == 0 ||
			(strncmp(line, "irq", 3) == 0 && strstr(line, "unmask") != line + 6);

		vuc_tap_row("%.*s", (int)strcspn(line, "\n"), line);
		line += strcspn(line, "\n") + 1;
		renew_fresh();
		fresh.refuse_nth = nth;
		CU_ASSERT_EQUAL(restore(&job), is_needed ? -EIO : 0);
		CU_ASSERT(fresh.logged >= nth);
		CU_ASSERT_EQUAL(job.err.text[0] != '\0', is_needed);
		if (!is_needed) {
			expect_log(&fresh, RESTORED);
			lose();
		}
	}
	renew_fresh();
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, RESTORED);
}

/* ---- what the client does meanwhile ---- */

static void
test_changes_while_away(void)
{
	set_all();
	lose();
	CU_ASSERT_EQUAL(write_region(CONFIG, 0x04, 0, 2), -ECONNRESET);
	/* The server took two. */
	CU_ASSERT_EQUAL(map_and_commit(0x20000, 0, 1), -ENOSPC);
	CU_ASSERT_EQUAL(unmap_and_commit(0x1000, 2 * PAGE), 0);
	CU_ASSERT_EQUAL(map_and_commit(0x20000, 0, 1), 0);
	CU_ASSERT_EQUAL(map_and_commit(0x30000, 0, 1), -ENOSPC);
	CU_ASSERT_EQUAL(assign(VFIO_PCI_ERR_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 9), 0);
	mask(MSIX, 2, 3, VUC_IRQ_UNMASK);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, RESTORED_CHANGED("map 20000+1000 flags 7 offset 0 memory\n"));
	CU_ASSERT(reaches(&fresh, VFIO_PCI_ERR_IRQ_INDEX, 0, 9));
}

/* A reset is recorded: what the client has set of config space and the MSI-X table is forgotten,
 * mappings and interrupts are not. What it sets afterwards counts again. */
static void
test_reset_while_away(void)
{
	struct job reset = {0};

	set_all();
	lose();
	CU_ASSERT_EQUAL(vuc_device_reset_start(dut, on_done, &reset), 0);
	CU_ASSERT_EQUAL(await(&reset), 0);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh, "reset\nread 7:44/2\n" MAP_0 MAP_1 RESTORED_IRQS(MASKED));
	CU_ASSERT_EQUAL(write_region(CONFIG, 0x04, 0x0402, 2), 0);
	lose();
	renew_fresh();
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh,
		"reset\nread 7:44/2\n" MAP_0 MAP_1 RESTORED_IRQS(MASKED) "write 7:4/2 = 402\n");
}

/* Behind what is begun, with a server that does not answer that: each is answered all the same. */
static void
test_changes_during_restore(void)
{
	static const uint16_t hangs[] = {
		VFIO_USER_DEVICE_RESET,
		VFIO_USER_DMA_MAP,
		VFIO_USER_DEVICE_SET_IRQS,
		VFIO_USER_REGION_WRITE,
	};
	const struct vuc_restore_opts opts = {.reset = true};

	for (unsigned int i = 0; i < NR(hangs); i++) {
		struct job job;

		next_row("command %u hangs", hangs[i]);
		set_all();
		lose();
		begin_restore(&opts, 1u << hangs[i], on_done, &job);
		poll_often();
		CU_ASSERT_STRING_NOT_EQUAL(vuc_device_restore_step(dut), "");
		CU_ASSERT_EQUAL(map_and_commit(0x30000, 0, 1), -ENOSPC);
		CU_ASSERT_EQUAL(unmap_and_commit(0x1000, 2 * PAGE), 0);
		CU_ASSERT_EQUAL(assign(VFIO_PCI_ERR_IRQ_INDEX, 0, 1, VUC_IRQ_TRIGGER, 9), 0);
		mask(MSIX, 2, 3, VUC_IRQ_UNMASK);
		CU_ASSERT_EQUAL(job.calls, 0);
		lose();
		CU_ASSERT_EQUAL(await(&job), -ECONNRESET);
		renew_fresh();
		CU_ASSERT_EQUAL(restore(NULL), 0);
		expect_log(&fresh, RESTORED_CHANGED(""));
		CU_ASSERT(reaches(&fresh, VFIO_PCI_ERR_IRQ_INDEX, 0, 9));
	}
}

/* After each poll of a restore: the server has the changes when that is over. */
static void
test_changes_at_each_poll(void)
{
	const struct vuc_restore_opts opts = {.reset = true};
	unsigned int nr_polls = 0;
	bool is_over;

	do {
		struct job job;
		const char *map;

		next_row("poll %u", ++nr_polls);
		set_all();
		lose();
		begin_restore(&opts, 0, on_done, &job);
		for (unsigned int i = 0; i < nr_polls; i++)
			vuc_poll_group_poll(group);
		is_over = job.calls > 0;
		CU_ASSERT_EQUAL(unmap_and_commit(0x1000, 2 * PAGE), 0);
		CU_ASSERT_EQUAL(map_and_commit(0x20000, 0, 1), 0);
		CU_ASSERT_EQUAL(assign(MSIX, 1, 1, VUC_IRQ_TRIGGER, 9), 0);
		CU_ASSERT_EQUAL(await(&job), 0);
		CU_ASSERT_EQUAL(vuc_dma_server_count(dut), 2);
		map = strstr(fresh.log, "\nmap 1000+2000");
		CU_ASSERT(map == NULL || strstr(map, "\nunmap 1000+2000") != NULL);
		map = strstr(fresh.log, "\nmap 20000+1000 flags 7 offset 0 memory\n");
		CU_ASSERT(map != NULL && strstr(map, "unmap 20000") == NULL);
		CU_ASSERT(reaches(&fresh, MSIX, 1, 9));
		CU_ASSERT(reaches(&fresh, MSIX, 6, 6));
	} while (!is_over);
	CU_ASSERT(nr_polls > 10);
}

/* Sent, and the answer is lost: they have ended well, and the next server gets them. */
static void
test_under_way_at_loss(void)
{
	const struct vuc_irq_range range = {.index = MSIX, .start = 0, .count = 1};
	struct job commit = {0}, irq = {0};

	old.fake.held = 1u << VFIO_USER_DMA_MAP | 1u << VFIO_USER_DEVICE_SET_IRQS;
	CU_ASSERT_EQUAL(map_pages(0x1000, 0, 2), 0);
	CU_ASSERT_EQUAL(vuc_dma_commit_start(dut, on_done, &commit), 0);
	CU_ASSERT_EQUAL(
		vuc_irq_assign_start(dut, &range, VUC_IRQ_TRIGGER, eventfds, on_done, &irq), 0);
	poll_often();
	CU_ASSERT_EQUAL(commit.calls + irq.calls, 0);
	lose();
	CU_ASSERT_EQUAL(await(&commit), 0);
	CU_ASSERT_EQUAL(await(&irq), 0);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	expect_log(&fresh,
		"reset\nread 7:44/2\n"
		"map 1000+2000 flags 7 offset 0 memory\n"
		"irq 2 trigger eventfd 0+1 fds 1\n");
	CU_ASSERT(reaches(&fresh, MSIX, 0, 0));
}

/* ---- mapped regions ---- */

/* The client does not know the new file of a restore that has failed. */
static void
test_remapped(void)
{
	int other = memfd_create("other", MFD_CLOEXEC);

	CU_ASSERT_EQUAL_FATAL(ftruncate(other, sizeof(fresh.bar)), 0);
	lose();
	for (unsigned int nth = 0; nth < 2; nth++) {
		restore_server_init(&fresh);
		fresh.fake.regions[0].fds[0] = other;
		fresh.refuse_nth = nth == 0; /* RESET */
		CU_ASSERT_EQUAL(restore(NULL), nth == 0 ? -EIO : 0);
	}
	CU_ASSERT_EQUAL(vuc_device_take_remapped(dut), 1u << 0);
	CU_ASSERT_EQUAL(vuc_device_take_remapped(dut), 0);
	close(other);
}

/* ---- interrupts that are assigned together ---- */

static void
deassign(uint32_t index, uint32_t start, uint32_t count)
{
	const struct vuc_irq_range range = {.index = index, .start = start, .count = count};
	struct job job = {0};

	CU_ASSERT_EQUAL_FATAL(
		vuc_irq_deassign_start(dut, &range, VUC_IRQ_TRIGGER, on_done, &job), 0);
	CU_ASSERT_EQUAL(await(&job), 0);
}

/* Of three that VFIO_IRQ_INFO_NORESIZE binds, some have no eventfd when the server is lost: the
 * next server gets the same set, and then they are deassigned. */
static void
test_noresize(void)
{
	static const struct {
		uint32_t start, count; /* without eventfd */
		const char *log;
	} rows[] = {
		{0, 0, "irq 1 trigger eventfd 1+3 fds 3\n"},
		{1, 1,
			"irq 1 trigger eventfd 1+3 fds 3\n"
			"irq 1 trigger eventfd 1+1\n"
			"irq 1 trigger eventfd 2+2 fds 2\n"},
		{2, 1,
			"irq 1 trigger eventfd 1+3 fds 3\n"
			"irq 1 trigger eventfd 1+1 fds 1\n"
			"irq 1 trigger eventfd 2+1\n"
			"irq 1 trigger eventfd 3+1 fds 1\n"},
		{1, 3, ""},
	};

	for (unsigned int i = 0; i < NR(rows); i++) {
		bool empty = rows[i].log[0] == '\0';

		next_row("%u from %u on", rows[i].count, rows[i].start);
		CU_ASSERT_EQUAL(assign(MSI, 1, 3, VUC_IRQ_TRIGGER, 0), 0);
		if (rows[i].count > 0)
			deassign(MSI, rows[i].start, rows[i].count);
		lose_and_restore();
		CU_ASSERT_PTR_NOT_NULL(strstr(fresh.log, "read 7:44/2\n"));
		CU_ASSERT_STRING_EQUAL(
			strstr(fresh.log, "read 7:44/2\n") + strlen("read 7:44/2\n"), rows[i].log);
		/* A new server is bound by what it got. */
		CU_ASSERT_EQUAL(assign(MSI, 0, 1, VUC_IRQ_TRIGGER, 0), empty ? 0 : -EBUSY);
		CU_ASSERT_EQUAL(assign(MSI, 1, 1, VUC_IRQ_TRIGGER, 5), empty ? -EBUSY : 0);
		CU_ASSERT(empty || reaches(&fresh, MSI, 1, 5));
	}
}

/* ---- the next client ---- */

/* Its client leaves while it is away, or is being restored: the server gets nothing of it, only
 * what the next one has set. */
static void
test_next_client(void)
{
	const struct vuc_restore_opts restore_opts = {.reset = true};
	const struct vuc_record_opts opts = {0};
	struct job job;
	uint32_t first, bar;

	CU_ASSERT_EQUAL(vuc_device_record_forget_client(dut), -EINVAL);
	CU_ASSERT_EQUAL(vuc_device_record_read_config(dut, 0x10, &first, sizeof(first)), 0);
	for (unsigned int polls = 0; polls < 100; polls += 3) {
		vuc_tap_row("after %u polls", polls);
		set_all();
		lose();
		renew_fresh();
		job = (struct job){0};
		begin_restore(&restore_opts, 0, on_done, &job);
		for (unsigned int i = 0; i < polls && job.calls == 0; i++)
			vuc_poll_group_poll(group);
		if (job.calls > 0) {
			CU_ASSERT_EQUAL(vuc_device_record_forget_client(dut), -EINVAL);
			CU_ASSERT_TRUE(vuc_device_connected(dut));
			CU_ASSERT_EQUAL(unmap_and_commit(0, UINT64_MAX), 0);
			break;
		}
		CU_ASSERT_EQUAL(vuc_device_record_forget_client(dut), 0);
		CU_ASSERT_EQUAL(job.status, -ECANCELED);
		CU_ASSERT_EQUAL(job.calls, 1);
		CU_ASSERT_TRUE(vuc_device_is_away(dut));
		CU_ASSERT_EQUAL(vuc_dma_count(dut), 0);
		CU_ASSERT_EQUAL(vuc_device_record_read_config(dut, 0x10, &bar, sizeof(bar)), 0);
		CU_ASSERT_EQUAL(bar, first);
		if (polls % 2 == 0)
			poll_often();
		vuc_device_record_set_client(dut, &opts);
		CU_ASSERT_EQUAL(map_and_commit(0x5000, 2, 1), 0);
		CU_ASSERT_EQUAL(assign(VFIO_PCI_MSIX_IRQ_INDEX, 0, 2, VUC_IRQ_TRIGGER, 3), 0);
		poll_often();
		renew_fresh();
		CU_ASSERT_EQUAL(restore(NULL), 0);
		expect_log(&fresh,
			"reset\nread 7:44/2\n"
			"map 5000+1000 flags 7 offset 2000 memory\n"
			"irq 2 trigger eventfd 0+2 fds 2\n");
		CU_ASSERT_EQUAL(unmap_and_commit(0, UINT64_MAX), 0);
		lose();
		CU_ASSERT_EQUAL(vuc_device_record_forget_client(dut), 0);
		renew_fresh();
		CU_ASSERT_EQUAL(restore(NULL), 0);
		expect_log(&fresh, "reset\nread 7:44/2\n");
	}
	CU_ASSERT_EQUAL(job.calls, 1);
	vuc_device_record_stop(dut);
	CU_ASSERT_EQUAL(vuc_device_record_forget_client(dut), -EINVAL);
}

const struct tap_suite tap_suite = {"restore", set_up, tear_down,
	{
		{"everything is replayed in its order", test_return},
		{"a device that sleeps is woken first", test_power},
		{"the next server dies at each step", test_loss_at_each_step},
		{"a device that differs stays away", test_differences},
		{"what the next server refuses", test_refusals},
		{"what changes while it is away", test_changes_while_away},
		{"a reset while it is away", test_reset_while_away},
		{"what changes during a restore that hangs", test_changes_during_restore},
		{"what changes at each poll of a restore", test_changes_at_each_poll},
		{"what was under way at the loss", test_under_way_at_loss},
		{"files of mapped regions", test_remapped},
		{"interrupts that are assigned together", test_noresize},
		{"the next client of one that is away", test_next_client},
	}};
