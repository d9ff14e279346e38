/* SPDX-License-Identifier: BSD-3-Clause */

/* An NVMe controller that comes back reports a failure until its driver writes CC. */

#include <linux/pci_regs.h>

#include "restore_rig.h"

#define CC   0x14u
#define CSTS 0x1cu
#define AQA  0x24u
#define ASQ  0x28u
#define ACQ  0x30u
#define ASQT 0x1000u

#define ENABLED 0x00460001u
#define CFS     2u

static uint64_t
read_bar0(uint64_t offset, uint32_t count)
{
	uint64_t value = 0;

	CU_ASSERT_EQUAL(vuc_device_read(dut, 0, offset, &value, count), 0);
	return value;
}

static bool
has_failed(void)
{
	struct vuc_nvme_queues queues;

	return vuc_device_nvme_queues(dut, &queues) && queues.failed;
}

static void
controller_enable(void)
{
	CU_ASSERT_EQUAL(write_region(0, AQA, 0x001f003f, 4), 0);
	CU_ASSERT_EQUAL(write_region(0, ASQ, 0x123456000, 8), 0);
	CU_ASSERT_EQUAL(write_region(0, ACQ, 0x89abc000, 4), 0);
	CU_ASSERT_EQUAL(write_region(0, ACQ + 4, 7, 4), 0);
	CU_ASSERT_EQUAL(write_region(0, CC, ENABLED, 4), 0);
}

static void
test_failure(void)
{
	struct vuc_nvme_queues queues = {0};

	controller_enable();
	CU_ASSERT_FALSE(has_failed());
	CU_ASSERT_EQUAL(vuc_device_nvme_enables(dut), 2);
	lose_and_restore();
	CU_ASSERT_TRUE_FATAL(vuc_device_nvme_queues(dut, &queues));
	CU_ASSERT_TRUE(queues.failed);
	CU_ASSERT_EQUAL(queues.enables, 2);
	CU_ASSERT_EQUAL(queues.aqa, 0x001f003f);
	CU_ASSERT_EQUAL(queues.asq, 0x123456000);
	CU_ASSERT_EQUAL(queues.acq, 0x789abc000);
	/* A bit of CSTS as it is, and of no other register. */
	memset(fresh.bar, 0x10, 0x40);
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0x10101012);
	CU_ASSERT_EQUAL(read_bar0(CSTS, 1), 0x12);
	CU_ASSERT_EQUAL(read_bar0(CSTS - 4, 8), 0x1010101210101010);
	CU_ASSERT_EQUAL(read_bar0(CSTS - 3, 4), 0x12101010);
	CU_ASSERT_EQUAL(read_bar0(CSTS + 1, 4), 0x10101010);
	CU_ASSERT_EQUAL(read_bar0(CSTS - 4, 4), 0x10101010);
	/* As long as CC is not written. */
	CU_ASSERT_EQUAL(write_region(0, AQA, 0, 4), 0);
	CU_ASSERT_EQUAL(write_region(0, CC - 4, 0, 4), 0);
	CU_ASSERT_EQUAL(write_region(0, CC + 4, 0, 4), 0);
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0x10101012);
	CU_ASSERT_EQUAL(write_region(0, CC, 0, 4), 0);
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0x10101010);
	CU_ASSERT_FALSE(vuc_device_nvme_queues(dut, &queues));
	controller_enable();
	CU_ASSERT_EQUAL(write_region(0, CC, ENABLED | 1 << 14, 4), 0);
	CU_ASSERT_TRUE(vuc_device_nvme_queues(dut, &queues));
	CU_ASSERT_EQUAL(queues.enables, 3);
}

/* It stays so through another loss, and comes again with the next one. */
static void
test_again(void)
{
	controller_enable();
	lose_and_restore();
	lose_and_restore();
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), CFS);
	controller_enable();
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0);
	lose_and_restore();
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), CFS);
}

/* A posted write of CC ends it as well. */
static void
test_posted(void)
{
	const uint32_t cc = ENABLED;

	CU_ASSERT_EQUAL(vuc_device_write_posted(dut, 0, CC, &cc, sizeof(cc)), 0);
	poll_often();
	lose_and_restore();
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), CFS);
	CU_ASSERT_EQUAL(vuc_device_write_posted(dut, 0, CC, &cc, sizeof(cc)), 0);
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0);
}

static bool
has_rung(uint32_t tail)
{
	struct vuc_nvme_queues queues = {0};

	return vuc_device_nvme_queues(dut, &queues) && queues.rung && queues.tail == tail;
}

/* The admin submission queue's doorbell is known, whether or not the server has got it, until the
 * controller is enabled anew. */
static void
test_doorbell(void)
{
	const uint32_t tail = 7;
	struct vuc_nvme_queues queues = {0};

	controller_enable();
	CU_ASSERT_TRUE(vuc_device_nvme_queues(dut, &queues) && !queues.rung);
	CU_ASSERT_EQUAL(write_region(0, ASQT + 4, 9, 4), 0);
	CU_ASSERT_EQUAL(write_region(0, ASQT - 4, 9, 4), 0);
	CU_ASSERT_TRUE(vuc_device_nvme_queues(dut, &queues) && !queues.rung);
	CU_ASSERT_EQUAL(write_region(0, ASQT, 5, 4), 0);
	CU_ASSERT_TRUE(has_rung(5));
	CU_ASSERT_EQUAL(write_region(0, ASQT, 0, 4), 0);
	CU_ASSERT_TRUE(has_rung(0));
	CU_ASSERT_EQUAL(vuc_device_write_posted(dut, 0, ASQT, &tail, sizeof(tail)), 0);
	CU_ASSERT_TRUE(has_rung(tail));
	old.refuse_nth = old.logged + 1;
	CU_ASSERT_NOT_EQUAL(write_region(0, ASQT, 6, 4), 0);
	old.refuse_nth = 0;
	CU_ASSERT_TRUE(has_rung(6));
	lose();
	vuc_device_record_dropped(dut, 0, ASQT, &tail, sizeof(tail));
	vuc_device_record_dropped(dut, 0, ASQT, &tail, 2);
	vuc_device_record_dropped(dut, 1, ASQT, "....", 4);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	CU_ASSERT_TRUE(has_rung(tail));
	CU_ASSERT_EQUAL(write_region(0, CC, 0, 4), 0);
	controller_enable();
	CU_ASSERT_TRUE(vuc_device_nvme_queues(dut, &queues) && !queues.rung);
	CU_ASSERT_EQUAL(write_region(0, ASQT, 5, 4), 0);
	vuc_device_record_stop(dut);
	vuc_device_record_dropped(dut, 0, ASQT, &tail, sizeof(tail));
}

/* What the driver writes while the server is away reaches no server, but is known. */
static void
drop(uint64_t offset, uint64_t value, size_t count)
{
	vuc_device_record_dropped(dut, 0, offset, &value, count);
}

static void
disable_away(void)
{
	drop(CC, ENABLED & ~1u, 4);
}

static void
disable_byte_away(void)
{
	drop(CC, 0, 1);
}

static void
move_away(void)
{
	drop(AQA, 0x00070007, 4);
	drop(ASQ, 0xabcde000, 8);
	drop(ACQ, 0xfedcb000, 8);
}

static void
enable_away(void)
{
	disable_away();
	move_away();
	drop(CC, ENABLED, 4);
}

static const struct {
	const char *name;
	void (*then)(void);
	bool enabled, rung;
	uint32_t enables;
	uint64_t asq;
} changes[] = {
	{"nothing", poll_often, true, true, 2, 0x123456000},
	{"disabled", disable_away, false, false, 2, 0},
	{"disabled by a byte", disable_byte_away, false, false, 2, 0},
	{"other queues", move_away, true, true, 2, 0xabcde000},
	{"enabled with other queues", enable_away, true, false, 3, 0xabcde000},
};

static void
test_changed_away(void)
{
	for (unsigned int i = 0; i < NR(changes); i++) {
		struct vuc_nvme_queues queues = {0};

		next_row("%s", changes[i].name);
		controller_enable();
		CU_ASSERT_EQUAL(write_region(0, ASQT, 5, 4), 0);
		lose();
		changes[i].then();
		CU_ASSERT_EQUAL(restore(NULL), 0);
		CU_ASSERT_EQUAL(vuc_device_nvme_queues(dut, &queues), changes[i].enabled);
		CU_ASSERT_EQUAL(queues.failed, changes[i].enabled);
		CU_ASSERT_EQUAL(queues.asq, changes[i].asq);
		CU_ASSERT_EQUAL(queues.rung, changes[i].rung);
		CU_ASSERT_EQUAL(vuc_device_nvme_enables(dut), changes[i].enables);
		CU_ASSERT_EQUAL(read_bar0(CSTS, 4), changes[i].enabled ? CFS : 0);
	}
}

static void
count_call(void *arg)
{
	++*(unsigned int *)arg;
}

/* Whoever wants to know is told when the driver enables the controller. */
static void
test_told(void)
{
	unsigned int calls = 0;
	const struct vuc_record_opts opts = {
		.recovers_nvme = true, .nvme_enabled = count_call, .arg = &calls};
	struct job job = {0};

	vuc_device_record_stop(dut);
	CU_ASSERT_EQUAL_FATAL(vuc_device_record_start(dut, &opts, on_done, &job), 0);
	CU_ASSERT_EQUAL(await(&job), 0);
	calls = 0;
	controller_enable();
	CU_ASSERT_EQUAL(write_region(0, CC, ENABLED | 1 << 14, 4), 0);
	CU_ASSERT_EQUAL(calls, 1);
	lose();
	enable_away();
	CU_ASSERT_EQUAL(calls, 2);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	vuc_device_record_set_client(dut, &(struct vuc_record_opts){0});
	CU_ASSERT_EQUAL(write_region(0, CC, 0, 4), 0);
	controller_enable();
	vuc_device_record_set_client(dut, &opts);
	CU_ASSERT_EQUAL(write_region(0, CC, 0, 4), 0);
	vuc_device_record_stop(dut);
	controller_enable();
	CU_ASSERT_EQUAL(calls, 2);
}

/* The connection is lost with the write that disables the controller. */
static void
test_lost_write(void)
{
	controller_enable();
	old.fake.matched = 0;
	old.fake.fault = (struct fake_fault){.nth = 1, .wrong = FAKE_CLOSE};
	CU_ASSERT_NOT_EQUAL(write_region(0, CC, ENABLED & ~1u, 4), 0);
	CU_ASSERT_TRUE_FATAL(vuc_device_is_away(dut));
	CU_ASSERT_EQUAL(restore(NULL), 0);
	CU_ASSERT_FALSE(has_failed());
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0);
}

static void
controller_disable(void)
{
	CU_ASSERT_EQUAL(write_region(0, CC, ENABLED & ~1u, 4), 0);
}

static void
controller_reset(void)
{
	CU_ASSERT_EQUAL(vuc_device_reset(dut), 0);
}

static void
controller_reset_function(void)
{
	CU_ASSERT_EQUAL(write_region(VFIO_PCI_CONFIG_REGION_INDEX, 0x88, 0x8000, 2), 0);
}

static void
controller_refuse_enabling(void)
{
	old.refuse_nth = old.logged + 1;
	CU_ASSERT_NOT_EQUAL(write_region(0, CC, ENABLED, 4), 0);
	old.refuse_nth = 0;
}

static void
start_record(bool recovers_nvme, uint32_t class)
{
	const struct vuc_record_opts opts = {.recovers_nvme = recovers_nvme};
	struct job job = {0};

	vuc_device_record_stop(dut);
	memcpy(old.config + PCI_CLASS_REVISION, &class, sizeof(class));
	memcpy(fresh.config + PCI_CLASS_REVISION, &class, sizeof(class));
	CU_ASSERT_EQUAL_FATAL(vuc_device_record_start(dut, &opts, on_done, &job), 0);
	CU_ASSERT_EQUAL(await(&job), 0);
	controller_enable();
}

static void
record_without_recovery(void)
{
	start_record(false, 0x01080200);
}

static void
record_of_ahci(void)
{
	start_record(true, 0x01060100);
}

static const struct {
	const char *name;
	bool enabled;
	void (*then)(void);
} sound[] = {
	{"never enabled", false, poll_often},
	{"disabled", true, controller_disable},
	{"reset", true, controller_reset},
	{"reset by config space", true, controller_reset_function},
	{"the server refuses CC", false, controller_refuse_enabling},
	{"not to be recovered", true, record_without_recovery},
	{"another class", true, record_of_ahci},
};

static void
test_sound(void)
{
	for (unsigned int i = 0; i < NR(sound); i++) {
		next_row("%s", sound[i].name);
		if (sound[i].enabled)
			controller_enable();
		sound[i].then();
		lose_and_restore();
		CU_ASSERT_FALSE(has_failed());
		CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0);
	}
}

/* A reset, during the outage or after it, clears the failure. */
static void
test_reset(void)
{
	struct job job = {0};

	controller_enable();
	lose();
	CU_ASSERT_EQUAL_FATAL(vuc_device_reset_start(dut, on_done, &job), 0);
	CU_ASSERT_EQUAL(await(&job), 0);
	CU_ASSERT_EQUAL(restore(NULL), 0);
	CU_ASSERT_FALSE(has_failed());
	controller_enable();
	lose_and_restore();
	CU_ASSERT_TRUE(has_failed());
	controller_reset();
	CU_ASSERT_FALSE(has_failed());
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0);
}

/* The next VMM sees nothing of it. */
static void
test_record_stopped(void)
{
	controller_enable();
	lose_and_restore();
	vuc_device_record_stop(dut);
	CU_ASSERT_FALSE(has_failed());
	CU_ASSERT_EQUAL(read_bar0(CSTS, 4), 0);
}

const struct tap_suite tap_suite = {"restore_nvme", set_up, tear_down,
	{
		{"it says that it has failed until CC is written", test_failure},
		{"it is lost again", test_again},
		{"posted writes", test_posted},
		{"the admin doorbell", test_doorbell},
		{"its driver changes it while it is away", test_changed_away},
		{"its enabling is told", test_told},
		{"its driver's write is lost with the server", test_lost_write},
		{"it has not failed for its driver", test_sound},
		{"a reset ends it", test_reset},
		{"the end of the record ends it", test_record_stopped},
	}};
