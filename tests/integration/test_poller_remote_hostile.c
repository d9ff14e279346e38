/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Other processes with queues of a poller that break the rules, or die: the poller and the one
 * beside them go on.
 */

#include "fd_count.h"
#include "hostile.h"
#include "remote_vmm.h"

#define KILLS 20
#define RINGS 20000

/* The second device by a queue of this process, which must not suffer from what the first one does.
 */
static struct vmm_pair neighbour;
static struct vmm vmm; /* on the first device, with a queue */
static struct vmm_process process;

static int
ring_at_random(const struct vmm *v, struct vmm_shared *shared)
{
	uint64_t state = 88172645463325252;
	struct vmm_front f;

	vmm_front_open(&f, v, 0);
	VMM_EXPECT(f.queue != NULL);
	while (!atomic_load(&shared->stop) || atomic_load(&shared->progress) < RINGS) {
		uint64_t one = 1;

		atomic_store(f.opts.bell.word, hostile_random(&state));
		if (state % 16 == 0)
			VMM_EXPECT(write(v->kick_fd, &one, sizeof(one)) == sizeof(one));
		atomic_fetch_add(&shared->progress, 1);
	}
	vmm_front_close(&f);
	return 0;
}

static void
test_bells_at_random(void)
{
	vmm_start(&process, ring_at_random, &vmm);
	vmm_await(&process, 1);
	rig_use_queue(neighbour.front.queue, 200);
	vmm_stop(&process);
	rig_use_queue(neighbour.front.queue, 200);
}

/* Posted writes without an end; the queue is closed under it. */
static int
flood(const struct vmm *v, struct vmm_shared *shared)
{
	struct vmm_front f;
	uint32_t value = 0;
	int rc;

	vmm_front_open(&f, v, 0);
	VMM_EXPECT(f.queue != NULL);
	while ((rc = vuc_queue_post(f.queue, BAR0, REFDEV_REG_SCRATCH, &value, 4)) == 0)
		atomic_fetch_add(&shared->progress, 1);
	VMM_EXPECT(rc == -ECONNRESET);
	vmm_front_close(&f);
	return 0;
}

static void
test_close_while_it_floods(void)
{
	unsigned int index = vmm.queues[0].index;

	vmm_start(&process, flood, &vmm);
	vmm_await(&process, 1000);
	rig_use_queue(neighbour.front.queue, 100);
	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(vmm.remote, index), 0);
	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(vmm.remote, index), -ENOENT);
	vmm_stop(&process);
}

static int
read_asleep(struct vuc_queue *q, uint32_t rounds)
{
	uint32_t value;

	for (uint32_t i = 0; i < rounds; i++)
		VMM_EXPECT(vuc_queue_read(q, BAR0, REFDEV_REG_ID, &value, 4) == 0);
	return 0;
}

/* A poller that read this eventfd would wait for ever: for a write, or for room. */
static int
spoil_kicks(const struct vmm *v, struct vmm_shared *shared)
{
	uint64_t kicks = UINT64_MAX - 1;
	struct vmm_front f;

	vmm_front_open(&f, v, 0);
	VMM_EXPECT(f.queue != NULL);
	vuc_queue_set_spin(f.queue, 0);
	VMM_EXPECT(read_asleep(f.queue, 100) == 0);
	VMM_EXPECT(fcntl(v->kick_fd, F_SETFL, O_NONBLOCK) == 0);
	(void)!read(v->kick_fd, &kicks, sizeof(kicks));
	VMM_EXPECT(fcntl(v->kick_fd, F_SETFL, 0) == 0);
	VMM_EXPECT(read_asleep(f.queue, 100) == 0);
	VMM_EXPECT(fcntl(v->kick_fd, F_SETFL, O_NONBLOCK) == 0);
	(void)!read(v->kick_fd, &kicks, sizeof(kicks));
	kicks = UINT64_MAX - 1;
	VMM_EXPECT(write(v->kick_fd, &kicks, sizeof(kicks)) == sizeof(kicks));
	VMM_EXPECT(fcntl(v->kick_fd, F_SETFL, 0) == 0);
	atomic_store(&shared->progress, 1);
	vmm_front_close(&f);
	return 0;
}

static void
test_kicks_spoilt(void)
{
	vmm_start(&process, spoil_kicks, &vmm);
	rig_use_queue(neighbour.front.queue, 500);
	vmm_await(&process, 1);
	rig_use_queue(neighbour.front.queue, 500);
	vmm_stop(&process);
}

/* As many reads as there is room for, of all lengths, of all its queues. */
static int
read_much(const struct vmm *v, struct vmm_shared *shared)
{
	struct vmm_front f[4];
	struct vuc_queue_result results[VMM_DEPTH];
	static uint8_t data[VMM_MAX_DATA];

	for (unsigned int i = 0; i < 4; i++) {
		vmm_front_open(&f[i], v, i);
		VMM_EXPECT(f[i].queue != NULL);
	}
	for (uint32_t i = 0;; i++) {
		struct vuc_queue *q = f[i % 4].queue;
		const struct vuc_queue_request r = {
			.op = i % 3 == 0 ? VUC_QUEUE_WRITE : VUC_QUEUE_READ,
			.region = BAR2,
			.count = i % VMM_MAX_DATA + 1,
			.data = data,
		};

		VMM_EXPECT(vuc_queue_submit(q, &r, 1) >= 0);
		if (i % 8 == 0)
			vuc_queue_poll(q, results, VMM_DEPTH);
		atomic_fetch_add(&shared->progress, 1);
	}
}

static void
test_death(void)
{
	uint64_t state = 362436069;
	unsigned int fds;

	if (VMM_IS_THREAD) {
		vuc_tap_skip("a thread cannot be killed alone");
		return;
	}
	for (unsigned int i = 0; i < KILLS; i++) {
		struct vmm v;

		fds = fd_count();
		vmm_attach_device(&v, 0);
		for (unsigned int j = 0; j < 4; j++)
			vmm_add_queue(&v, VMM_DEPTH, VMM_MAX_DATA);
		vmm_start(&process, read_much, &v);
		vmm_await(&process, (uint32_t)(hostile_random(&state) % 500));
		vmm_kill(&process);
		vmm_detach_device(&v);
		CU_ASSERT_EQUAL(fd_count(), fds);
		rig_use_queue(neighbour.front.queue, 10);
	}
}

/* A request that is none ends its queue and is counted; the queue beside it goes on. */
static void
test_broken_queue(void)
{
	struct vuc_queue_request r = {.op = VUC_QUEUE_READ, .region = BAR0, .count = 4};
	struct vmm_front bad, good;
	uint32_t value;

	vmm_add_queue(&vmm, VMM_DEPTH, 64);
	/* The front takes its requests for longer than the back does. */
	vmm.queues[0].geometry.chunk = 2 * VMM_MAX_DATA;
	vmm_front_open(&bad, &vmm, 0);
	vmm_front_open(&good, &vmm, 1);
	r.count = 2 * VMM_MAX_DATA;
	CU_ASSERT_EQUAL(vuc_queue_submit(bad.queue, &r, 1), 1);
	CU_ASSERT_EQUAL(vuc_queue_wait(bad.queue, -1), -EPROTO);
	CU_ASSERT_EQUAL(vuc_poller_remote_broken(vmm.remote), 1);
	CU_ASSERT_EQUAL(vuc_queue_read(good.queue, BAR0, REFDEV_REG_ID, &value, 4), 0);
	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(vmm.remote, 0), 0);
	CU_ASSERT_EQUAL(vuc_queue_read(good.queue, BAR0, REFDEV_REG_ID, &value, 4), 0);
	vmm_front_close(&bad);
	vmm_front_close(&good);
}

static void
set_up(void)
{
	rig_start(&(struct rig_opts){.alone = 2, .idle_loops = -1});
	vmm_pair_start(&neighbour, 1);
	vuc_queue_set_spin(neighbour.front.queue, 0);
	vmm_attach_one(&vmm, 0);
}

static void
tear_down(void)
{
	vmm_detach_device(&vmm);
	rig_use_queue(neighbour.front.queue, 100);
	vmm_pair_stop(&neighbour);
	rig_stop();
}

const struct tap_suite tap_suite = {NULL, set_up, tear_down,
	{
		{"bells_at_random", test_bells_at_random},
		{"close_while_it_floods", test_close_while_it_floods},
		{"kicks_spoilt", test_kicks_spoilt},
		{"death", test_death},
		{"broken_queue", test_broken_queue},
	}};
