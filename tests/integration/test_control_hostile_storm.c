/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A storm of VMMs that come, work, break the rules and die, while something else happens: the
 * operator takes devices away, adds and removes them, the server dies and comes back, the daemon
 * ends.
 */

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "clock.h"
#include "hostile.h"
#include "memfd.h"

#define STORMERS 3u
#define ROUNDS   20u
#define VISITS   10u /* of the storm, between two rounds */

/* Whoever is taken its device away loses the server's connection when the server is slow. */
static const struct rig_opts trusting = {.reset = VUC_CONTROL_RESET_TRUST};

/* Connections that had the device; the processes of a storm share it with the test. */
static _Atomic uint64_t *visits;
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

		if (shm_start(&c, rig.path, RIG_NAME) == 0) {
			work(&c, &state, memory);
			atomic_fetch_add(visits, 1);
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
	void *shared = mmap(
		NULL, sizeof(*visits), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_FATAL(shared != MAP_FAILED);
	visits = shared;
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
	munmap(visits, sizeof(*visits));
}

/* Until there have been some more visits. */
static void
let_it_rage(void)
{
	uint64_t until = atomic_load(visits) + VISITS;
	unsigned int ms = 0;

	while (atomic_load(visits) < until && rig_wait(&ms))
		continue;
	CU_ASSERT_TRUE(atomic_load(visits) >= until);
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
	hostile_start(&trusting);
	begin_storm();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int n = 0;
		int rc;

		let_it_rage();
		rc = vuc_control_detach(rig.control, RIG_NAME, NULL);
		CU_ASSERT_TRUE(rc == 0 || rc == -ENOTCONN);
		vuc_control_list(rig.control, look, &n);
		CU_ASSERT_EQUAL(n, 2);
	}
	end_storm();
}

/* It removes the device, and adds it again. */
static void
test_remove(void)
{
	hostile_start(&trusting);
	begin_storm();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		let_it_rage();
		CU_ASSERT_EQUAL_FATAL(
			vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
		rig_add_device(&trusting, RIG_NAME, rig.sockets[0]);
	}
	end_storm();
}

/* The server dies, and comes back. It is that of the neighbour as well, so there is none. */
static void
test_server_dies(void)
{
	rig_start(NULL);
	begin_storm();
	for (unsigned int i = 0; i < ROUNDS / 2; i++) {
		let_it_rage();
		peer_kill(rig.peer);
		CU_ASSERT_TRUE(rig_becomes(RIG_SECOND, VUC_CONTROL_AWAY));
		peer_restart(rig.peer);
		CU_ASSERT_TRUE(rig_becomes(RIG_SECOND, VUC_CONTROL_FREE));
	}
	let_it_rage();
	end_storm();
	CU_ASSERT_TRUE(rig_has_connections(0));
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
}

/* The daemon ends in the middle of it: rig_stop() looks at what is left. */
static void
test_stop(void)
{
	for (unsigned int i = 0; i < ROUNDS / 4; i++) {
		rig_start(NULL);
		begin_storm();
		let_it_rage();
		rig_stop();
		end_storm();
	}
}

const struct tap_suite tap_suite = {NULL, NULL, hostile_stop,
	{
		{"detach", test_detach},
		{"remove", test_remove},
		{"server_dies", test_server_dies},
		{"stop", test_stop},
	}};
