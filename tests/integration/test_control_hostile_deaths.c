/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that die: at every step, and with their hands full. */

#include <sched.h>
#include <sys/wait.h>

#include "clock.h"
#include "hostile.h"

#define DEATHS 3u /* at each step */
#define QUEUES 4u
#define EACH   250u  /* requests under way in each of them: 1,000 in all */
#define DEPTH  4096u /* of each */

/* One thing after the other that a VMM does. */
enum step {
	CONNECT,
	HELLO,
	ATTACH,
	OPEN_QUEUE,
	MAP,
	COMMIT,
	ASSIGN_IRQS,
	SUBMIT,
	TRANSFER,
	CLOSE_QUEUE,
	RESET,
	DETACH,
	NR_STEPS,
};

static int
step_map(struct shm_client *c)
{
	const struct vuc_shm_dma_entry map = {
		.op = VUC_SHM_DMA_MAP, .flags = READ_WRITE, .size = MIB};

	return shm_dma(c, &map, 0, rig.memory);
}

static int
step_commit(struct shm_client *c)
{
	union shm_packet p = {.bytes = {0}};

	p.dma.flags = VUC_SHM_DMA_COMMIT;
	return shm_call(c, &p, VUC_SHM_DMA, sizeof(p.dma), NULL, 0);
}

static int
step_submit(struct shm_queue *q)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_ID, .count = 4};

	for (uint16_t i = 0; i < 1000; i++) {
		request.id = i;
		shm_submit(q, &request);
	}
	return 0;
}

/* Of the requests before, none has been looked at: its own completions come behind them. */
static int
step_transfer(struct shm_queue *q)
{
	static const uint32_t writes[][2] = {
		{REFDEV_REG_DMA_LEN, MIB},
		{REFDEV_REG_DMA_MODE, REFDEV_DMA_FILL},
		{REFDEV_REG_DMA_START, 1},
	};
	struct vuc_shm_request request = {.op = VUC_SHM_WRITE_POSTED, .region = BAR0, .count = 4};

	for (unsigned int i = 0; i < 3; i++) {
		request.offset = writes[i][0];
		memcpy(request.data, &writes[i][1], 4);
		shm_submit(q, &request);
	}
	return 0;
}

static int
take_step(struct shm_client *c, enum step step)
{
	struct shm_queue *q = &c->queues[0];

	switch (step) {
	case CONNECT:
		return shm_connect(c, rig.path);
	case HELLO:
		return shm_hello(c);
	case ATTACH:
		return shm_attach(c, RIG_NAME);
	case OPEN_QUEUE:
		return shm_open_queue(c, DEPTH, 256, q);
	case MAP:
		return step_map(c);
	case COMMIT:
		return step_commit(c);
	case ASSIGN_IRQS:
		return rig_assign_irqs(c);
	case SUBMIT:
		return step_submit(q);
	case TRANSFER:
		return step_transfer(q);
	case CLOSE_QUEUE:
		return shm_close_queue(q);
	default:
		return shm_plain(c, step == RESET ? VUC_SHM_RESET : VUC_SHM_DETACH);
	}
}

/*
 * Dies behind a step; or in the middle of it, having sent what it says without a wait for the
 * answer: then another process, which shares its connection, takes the last step for it, and is
 * killed as soon as it has begun.
 */
static void
live(enum step last, bool in_the_middle)
{
	struct shm_client c;
	pid_t pid;

	for (enum step i = CONNECT; i < last + !in_the_middle; i++)
		if (take_step(&c, i) != 0)
			_exit(1);
	if (!in_the_middle)
		raise(SIGKILL);
	pid = fork();
	if (pid == 0) {
		take_step(&c, last);
		_exit(0);
	}
	sched_yield();
	kill(pid, SIGKILL);
	raise(SIGKILL);
}

static void
expect_killed(pid_t pid)
{
	int status = 0;

	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void
test_every_step(void)
{
	static const enum vuc_dma_policy policies[] = {VUC_DMA_SHARED, VUC_DMA_MESSAGE};

	for (unsigned int way = 0; way < 2; way++) {
		hostile_start(
			&(struct rig_opts){.dma = policies[way], .reset = VUC_CONTROL_RESET_TRUST});
		for (unsigned int i = 0; i < NR_STEPS * 2 * DEATHS; i++) {
			pid_t pid = hostile_fork();

			if (pid == 0)
				live(i / (2 * DEATHS), i % 2 != 0);
			expect_killed(pid);
			hostile_wait_until_gone();
			rig_expect_new();
		}
	}
}

/*
 * One that asks for a reset, and leaves; and a server that never answers that. The neighbour has
 * the same poller, and its accesses go on meanwhile. The daemon waits for the answer until it is
 * late, or the operator takes the device away.
 */
static void
test_hung(void)
{
	/* After those of two connections, and that of the VMM that hostile_start() lets attach. */
	static const struct rig_opts opts = {
		.server = {"--fault=drop@device_reset#4"}, .reset = VUC_CONTROL_RESET_TRUST};
	static const uint32_t deadlines[] = {2000, 0};

	for (unsigned int i = 0; i < 2; i++) {
		/* The neighbour's device keeps its own deadline. */
		const struct rig_opts device = {
			.long_timeout_ms = deadlines[i], .reset = VUC_CONTROL_RESET_TRUST};

		hostile_start(&opts);
		CU_ASSERT_EQUAL_FATAL(
			vuc_control_remove_device(rig.control, RIG_NAME, false, NULL), 0);
		rig_add_device(&device, RIG_NAME, rig.sockets[0]);
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		rig_attach(&client, RIG_NAME);
		CU_ASSERT_EQUAL(shm_send_plain(&client, VUC_SHM_RESET), 0);
		shm_close(&client);
		hostile_neighbour_goes_on();
		if (deadlines[i] == 0) {
			CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_ATTACHED);
			CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, NULL), 0);
		}
		hostile_wait_until_gone();
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		CU_ASSERT_TRUE(rig_look(RIG_NAME).generation > 1);
	}
}

/* A process with so many requests under way all the time; it says when it has. */
static void
be_busy(int ready)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_COUNTER, .count = 8};
	struct vuc_shm_completion completion;
	struct shm_client c;
	uint64_t mark = 0x1234;

	for (enum step i = CONNECT; i < SUBMIT; i++)
		if (i != OPEN_QUEUE && take_step(&c, i) != 0)
			_exit(1);
	for (unsigned int i = 0; i < QUEUES; i++)
		if (shm_open_queue(&c, DEPTH, 256, &c.queues[i]) != 0)
			_exit(1);
	if (shm_write(&c.queues[0], BAR0, REFDEV_REG_SCRATCH, &mark, 8) != 0)
		_exit(1);
	for (unsigned int i = 0; i < QUEUES * EACH; i++) {
		request.id = (uint16_t)(i / QUEUES);
		shm_submit(&c.queues[i % QUEUES], &request);
	}
	if (write(ready, "x", 1) != 1)
		_exit(1);
	for (unsigned int i = 0;; i++) {
		struct shm_queue *q = &c.queues[i % QUEUES];

		if (shm_complete(q, &completion, SHM_TIMEOUT_MS) != 0 || completion.status != 0)
			_exit(1);
		request.id = completion.id;
		shm_submit(q, &request);
	}
}

/* Returns in how many ms the device is free again. */
static uint64_t
kill_busy_one(void)
{
	uint64_t begun;
	int ends[2];
	pid_t pid;
	char byte;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	pid = hostile_fork();
	if (pid == 0)
		be_busy(ends[1]);
	close(ends[1]);
	CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	expect_killed(pid);
	close(ends[0]);
	begun = vuc_clock_ms();
	CU_ASSERT_TRUE_FATAL(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	return vuc_clock_ms() - begun;
}

/* kill -9 of a VMM with 1,000 requests under way, again and again. */
static void
test_killed(void)
{
	static const struct rig_opts rows[] = {
		{.dma = VUC_DMA_SHARED, .reset = VUC_CONTROL_RESET_TRUST},
		{.dma = VUC_DMA_MESSAGE, .reset = VUC_CONTROL_RESET_TRUST},
		{.dma = VUC_DMA_SHARED, .reset = VUC_CONTROL_RESET_ON},
	};
	unsigned int rounds = getenv("VUC_TEST_LONG") != NULL ? 1000 : 70;

	for (size_t row = 0; row < NR(rows); row++) {
		bool stays = rows[row].reset == VUC_CONTROL_RESET_TRUST;
		struct vuc_control_device begun, ended;
		uint64_t longest = 0;

		hostile_start(&rows[row]);
		begun = rig_look(RIG_NAME);
		for (unsigned int i = 0; i < rounds; i++) {
			uint64_t took = kill_busy_one();

			longest = took > longest ? took : longest;
			rig_expect_new();
		}
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		ended = rig_look(RIG_NAME);
		CU_ASSERT_EQUAL(ended.attaches, begun.attaches + 2 * rounds);
		CU_ASSERT_EQUAL(ended.generation, begun.generation + (stays ? 0 : 2 * rounds));
		printf("# %u times: the device was free again within %u ms\n", rounds,
			(unsigned int)longest);
	}
}

const struct tap_suite tap_suite = {NULL, NULL, hostile_stop,
	{
		{"every_step", test_every_step},
		{"hung", test_hung},
		{"killed", test_killed},
	}};
