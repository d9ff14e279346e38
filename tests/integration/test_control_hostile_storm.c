/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A storm of VMMs that come, work, break the rules and die, while something else happens: the
 * operator takes devices away, adds and removes them, the server dies and comes back, the daemon
 * ends.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "hostile.h"
#include "memfd.h"
#include "refdev_regs.h"

#define BAR0     VFIO_PCI_BAR0_REGION_INDEX
#define PAGE     4096u
#define STORMERS 3u
#define ROUNDS   20u
#define VISITS   10u /* of the storm, between two rounds */

static struct hostile hostile;

/* What the processes of a storm share with the test. */
struct storm {
	_Atomic uint64_t visits; /* connections that had the device */
};

static struct storm *storm;
static pid_t stormers[STORMERS];

/* ---- one of them ---- */

static void
submit_some(struct shm_queue *q, uint64_t *state)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_ID, .count = 4};

	for (uint16_t i = 0; i < 32; i++) {
		request.id = i;
		/* One in a hundred is wrong. */
		if (hostile_below(state, 100) == 0)
			request.op = 99;
		shm_submit(q, &request);
	}
}

static void
work(struct shm_client *c, uint64_t *state, int memory)
{
	struct vuc_shm_completion completion;
	struct shm_queue q;

	if (shm_open_queue(c, 64, 64, &q) != 0) {
		shm_forget_queue(&q);
		return;
	}
	submit_some(&q, state);
	if (hostile_below(state, 2) == 0)
		(void)shm_dma_map(c, 0, PAGE, 0, VUC_SHM_DMA_READ, memory);
	for (uint32_t n = hostile_below(state, 32); n > 0; n--) {
		if (shm_complete(&q, &completion, 1000) != 0)
			break;
	}
	if (hostile_below(state, 2) == 0)
		(void)shm_plain(c, VUC_SHM_RESET);
	if (hostile_below(state, 2) == 0)
		(void)shm_plain(c, VUC_SHM_DETACH);
	shm_forget_queue(&q);
}

static void
visit_all_the_time(unsigned int which)
{
	uint64_t state = 1 + which;
	int memory;

	close_range(3, ~0u, 0);
	memory = vuc_memfd_create("guest", PAGE, F_SEAL_SEAL);
	if (memory < 0)
		_exit(1);
	for (;;) {
		struct shm_client c;

		if (shm_start(&c, hostile.rig.path, RIG_NAME) == 0) {
			work(&c, &state, memory);
			atomic_fetch_add(&storm->visits, 1);
		}
		shm_close(&c);
		/* Who has no daemon waits for one, and leaves the CPU to the others. */
		vuc_clock_sleep_ms(1);
	}
}

/* ---- all of them ---- */

static void
begin_storm(void)
{
	storm = mmap(
		NULL, sizeof(*storm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(storm != MAP_FAILED);
	for (unsigned int i = 0; i < STORMERS; i++) {
		stormers[i] = hostile_fork();
		if (stormers[i] == 0)
			visit_all_the_time(i);
	}
}

static void
end_storm(void)
{
	for (unsigned int i = 0; i < STORMERS; i++) {
		kill(stormers[i], SIGKILL);
		CU_ASSERT_EQUAL(waitpid(stormers[i], NULL, 0), stormers[i]);
	}
	munmap(storm, sizeof(*storm));
}

/* Until there have been some more visits. */
static void
let_it_rage(void)
{
	uint64_t until = atomic_load(&storm->visits) + VISITS;

	for (unsigned int i = 0; i < RIG_WAIT_MS && atomic_load(&storm->visits) < until; i++)
		vuc_clock_sleep_ms(1);
	CU_ASSERT_TRUE(atomic_load(&storm->visits) >= until);
}

static void
look(void *arg, const struct vuc_control_device *device)
{
	unsigned int *n = arg;

	CU_ASSERT_TRUE(strnlen(device->name, sizeof(device->name)) < sizeof(device->name));
	(*n)++;
}

/* The operator takes the device away again and again, and looks at all there is. */
static void
test_detach(void)
{
	hostile_start(&hostile, NULL);
	begin_storm();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int n = 0;
		int rc;

		let_it_rage();
		rc = vuc_control_detach(hostile.rig.control, RIG_NAME, NULL);
		CU_ASSERT_TRUE(rc == 0 || rc == -ENOTCONN);
		vuc_control_list(hostile.rig.control, look, &n);
		CU_ASSERT_EQUAL(n, 2);
	}
	end_storm();
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

/* It removes the device, and adds it again. */
static void
test_remove(void)
{
	struct rig_opts opts;

	hostile_start(&hostile, NULL);
	begin_storm();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		let_it_rage();
		CU_ASSERT_EQUAL_FATAL(
			vuc_control_remove_device(hostile.rig.control, RIG_NAME, true, NULL), 0);
		rig_device_opts(&hostile.rig, &opts, RIG_NAME, hostile.rig.server.socket);
		opts.device.reset = VUC_CONTROL_RESET_TRUST;
		CU_ASSERT_EQUAL_FATAL(
			vuc_control_add_device(hostile.rig.control, &opts.device, NULL), 0);
	}
	end_storm();
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

/* The server dies, and comes back. It is that of the neighbour as well, so there is none. */
static void
test_server_dies(void)
{
	rig_start(&hostile.rig, NULL);
	begin_storm();
	for (unsigned int i = 0; i < ROUNDS / 2; i++) {
		let_it_rage();
		rig_kill_server(&hostile.rig);
		CU_ASSERT_TRUE(rig_becomes(&hostile.rig, RIG_SECOND, VUC_CONTROL_AWAY));
		rig_restart_server(&hostile.rig);
		CU_ASSERT_TRUE(rig_becomes(&hostile.rig, RIG_SECOND, VUC_CONTROL_FREE));
	}
	let_it_rage();
	end_storm();
	CU_ASSERT_TRUE(rig_is_left(&hostile.rig));
	CU_ASSERT_TRUE(rig_becomes(&hostile.rig, RIG_NAME, VUC_CONTROL_FREE));
	rig_stop(&hostile.rig);
}

/* The daemon ends in the middle of it: rig_stop() looks at what is left. */
static void
test_stop(void)
{
	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		rig_start(&hostile.rig, NULL);
		begin_storm();
		let_it_rage();
		rig_stop(&hostile.rig);
		end_storm();
	}
}

static CU_TestInfo tests[] = {
	{"detach", test_detach},
	{"remove", test_remove},
	{"server_dies", test_server_dies},
	{"stop", test_stop},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
