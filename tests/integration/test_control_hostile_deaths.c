/* SPDX-License-Identifier: BSD-3-Clause */

/* VMMs that die: at every step, and with their hands full. */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "hostile.h"
#include "refdev_regs.h"

#define BAR0       VFIO_PCI_BAR0_REGION_INDEX
#define MSIX       VFIO_PCI_MSIX_IRQ_INDEX
#define MIB        (1024u * 1024u)
#define DEATHS     3u /* at each step */
#define KILLS      100u
#define HANG_MS    5000u
#define VECTORS    8u
#define QUEUES     4u
#define EACH       250u  /* requests under way in each of them: 1,000 in all */
#define DEPTH      4096u /* of each */
#define READ_WRITE (VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE)

/* The device is to be free for the next VMM within a second of a death. A machine that has other
 * things to do, and a sanitizer, may take longer; what it took is printed. */
#define FREE_MS 5000u

static struct hostile hostile;

/* What a VMM has in its hands. */
struct life {
	struct shm_queue q;
	int memory;
	int irq;
	struct shm_client c;
};

/* One thing after the other that a VMM does; each returns whether it went well. */
static bool
connects(struct life *l)
{
	return shm_connect(&l->c, hostile.rig.path) == 0;
}

static bool
says_hello(struct life *l)
{
	return shm_hello(&l->c) == 0;
}

static bool
attaches(struct life *l)
{
	return shm_attach(&l->c, RIG_NAME) == 0;
}

static bool
opens_queue(struct life *l)
{
	return shm_open_queue(&l->c, DEPTH, 256, &l->q) == 0;
}

static bool
maps(struct life *l)
{
	union shm_packet p = {.bytes = {0}};

	p.dma.nr = 1;
	p.dma.nr_fds = 1;
	p.dma.entries[0] =
		(struct vuc_shm_dma_entry){.op = VUC_SHM_DMA_MAP, .flags = READ_WRITE, .size = MIB};
	return shm_call(&l->c, &p, VUC_SHM_DMA, sizeof(p.dma) + sizeof(p.dma.entries[0]),
		       &l->memory, 1) == 0;
}

static bool
commits(struct life *l)
{
	union shm_packet p = {.bytes = {0}};

	p.dma.flags = VUC_SHM_DMA_COMMIT;
	return shm_call(&l->c, &p, VUC_SHM_DMA, sizeof(p.dma), NULL, 0) == 0;
}

static bool
assigns_irqs(struct life *l)
{
	const struct vuc_shm_set_irqs what = {
		.index = MSIX, .count = VECTORS, .data = VUC_SHM_IRQ_EVENT};
	const uint8_t which[VECTORS] = {1, 1, 1, 1, 1, 1, 1, 1};
	int fds[VECTORS];

	for (unsigned int i = 0; i < VECTORS; i++)
		fds[i] = l->irq;
	return shm_set_irqs(&l->c, &what, which, fds, VECTORS) == 0;
}

static bool
submits(struct life *l)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_ID, .count = 4};

	for (uint16_t i = 0; i < 1000; i++) {
		request.id = i;
		shm_submit(&l->q, &request);
	}
	return true;
}

static bool
transfers(struct life *l)
{
	const uint32_t len = MIB, mode = REFDEV_DMA_FILL, one = 1;

	/* Of the requests before, none has been looked at: its own completions come behind them. */
	struct vuc_shm_request request = {.op = VUC_SHM_WRITE_POSTED, .region = BAR0, .count = 4};

	request.offset = REFDEV_REG_DMA_LEN;
	memcpy(request.data, &len, 4);
	shm_submit(&l->q, &request);
	request.offset = REFDEV_REG_DMA_MODE;
	memcpy(request.data, &mode, 4);
	shm_submit(&l->q, &request);
	request.offset = REFDEV_REG_DMA_START;
	memcpy(request.data, &one, 4);
	shm_submit(&l->q, &request);
	return true;
}

static bool
closes_queue(struct life *l)
{
	return shm_close_queue(&l->q) == 0;
}

static bool
resets(struct life *l)
{
	return shm_plain(&l->c, VUC_SHM_RESET) == 0;
}

static bool
detaches(struct life *l)
{
	return shm_plain(&l->c, VUC_SHM_DETACH) == 0;
}

static bool (*const steps[])(struct life *l) = {
	connects,
	says_hello,
	attaches,
	opens_queue,
	maps,
	commits,
	assigns_irqs,
	submits,
	transfers,
	closes_queue,
	resets,
	detaches,
};

#define NR_STEPS (sizeof(steps) / sizeof(steps[0]))

/*
 * Dies behind so many steps; or in the middle of the last one, having sent what it says without a
 * wait for the answer: then another process, which shares its connection, does the last step for
 * it, and is killed as soon as it has begun.
 */
static void
live(const struct life *traces, size_t nr, bool in_the_middle)
{
	struct life l = *traces;
	pid_t pid;

	for (size_t i = 0; i < nr - in_the_middle; i++) {
		if (!steps[i](&l))
			_exit(1);
	}
	if (!in_the_middle)
		raise(SIGKILL);
	pid = fork();
	if (pid == 0) {
		steps[nr - 1](&l);
		_exit(0);
	}
	sched_yield();
	kill(pid, SIGKILL);
	raise(SIGKILL);
}

static void
let_die(const struct life *traces, size_t nr, bool in_the_middle)
{
	pid_t pid = hostile_fork();
	int status = 0;

	if (pid == 0)
		live(traces, nr, in_the_middle);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	hostile_wait_until_gone(&hostile);
}

/* Those of this process, so that they are there when the VMM is not any more. */
static void
make_traces(struct life *traces)
{
	traces->memory = rig_memory(MIB, true);
	traces->irq = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_FATAL(traces->irq >= 0);
}

static void
forget_traces(struct life *traces)
{
	close(traces->memory);
	close(traces->irq);
}

static bool
is_signalled(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) > 0;
}

static void
trigger_all(struct shm_queue *q)
{
	for (uint32_t vector = 0; vector < VECTORS; vector++)
		CU_ASSERT_EQUAL(shm_write(q, BAR0, REFDEV_REG_IRQ_TRIGGER, &vector, 4), 0);
}

/* The next VMM: no mappings, no interrupts to the last one, a device as new. */
static void
find_nothing(const struct life *traces)
{
	uint64_t scratch = 1;
	uint32_t nr_maps = 1;
	struct shm_client c;
	struct shm_queue q;

	rig_attach(&hostile.rig, &c, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&c, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_DMA_MAPS, &nr_maps, 4), 0);
	CU_ASSERT_EQUAL(nr_maps, 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_SCRATCH, &scratch, 8), 0);
	CU_ASSERT_EQUAL(scratch, 0);
	trigger_all(&q);
	CU_ASSERT_FALSE(is_signalled(traces->irq));
	shm_forget_queue(&q);
	CU_ASSERT_EQUAL(shm_plain(&c, VUC_SHM_DETACH), 0);
	shm_close(&c);
}

static void
check_every_step(enum vuc_dma_policy policy)
{
	struct life traces = {.c.fd = -1};
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.open.dma = policy;
	hostile_start(&hostile, &opts);
	make_traces(&traces);
	for (size_t nr = 1; nr <= NR_STEPS; nr++) {
		for (unsigned int i = 0; i < 2 * DEATHS; i++) {
			let_die(&traces, nr, i % 2 != 0);
			find_nothing(&traces);
		}
	}
	forget_traces(&traces);
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

static void
test_every_step(void)
{
	check_every_step(VUC_DMA_SHARED);
	check_every_step(VUC_DMA_MESSAGE);
}

/*
 * One that asks for a reset, and leaves; and a server that never answers that. The daemon waits for
 * the answer until it is late. The neighbour has the same poller, and its accesses go on meanwhile.
 */
static void
test_hung(void)
{
	/* After that of the connection, and that of the VMM that hostile_start() lets attach. */
	static const char *const options[] = {"--fault=drop@device_reset#3", NULL};
	struct vuc_shm_plain reset;
	struct rig_opts opts;
	struct shm_client c;

	rig_opts_init(&opts);
	opts.server = options;
	/* Who waits for the end of it is not sent away meanwhile. */
	opts.control.handshake_timeout_ms = 20 * HANG_MS;
	opts.open.timeout_ms = HANG_MS;
	opts.open.long_timeout_ms = HANG_MS;
	hostile_start(&hostile, &opts);
	rig_attach(&hostile.rig, &c, RIG_NAME);
	shm_header(&c, &reset.header, VUC_SHM_RESET, sizeof(reset));
	CU_ASSERT_EQUAL(shm_send(&c, &reset, sizeof(reset), NULL, 0), 0);
	shm_close(&c);
	hostile_neighbour_goes_on(&hostile);
	CU_ASSERT_EQUAL(rig_look(&hostile.rig, RIG_NAME).state, VUC_CONTROL_ATTACHED);
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

static bool
fill_queues(struct shm_queue *queues, uint32_t *values)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_COUNTER, .count = 8};

	for (unsigned int n = 0; n < QUEUES; n++) {
		for (uint16_t i = 0; i < EACH; i++) {
			request.id = i;
			shm_submit(&queues[n], &request);
		}
	}
	*values = QUEUES * EACH;
	return true;
}

/* For each answer another request: so many are always under way. */
static bool
keep_full(struct shm_queue *queues)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_COUNTER, .count = 8};
	struct vuc_shm_completion completion;

	for (unsigned int n = 0; n < QUEUES; n++) {
		if (shm_complete(&queues[n], &completion, SHM_TIMEOUT_MS) != 0 ||
			completion.status != 0)
			return false;
		request.id = completion.id;
		shm_submit(&queues[n], &request);
	}
	return true;
}

static void
be_busy(const struct life *traces, int ready)
{
	struct shm_queue queues[QUEUES];
	struct life l = *traces;
	uint64_t mark = 0x1234;
	uint32_t under_way = 0;
	bool ok = connects(&l) && says_hello(&l) && attaches(&l) && maps(&l) && commits(&l) &&
		assigns_irqs(&l);

	for (unsigned int i = 0; ok && i < QUEUES; i++)
		ok = shm_open_queue(&l.c, DEPTH, 256, &queues[i]) == 0;
	ok = ok && shm_write(&queues[0], BAR0, REFDEV_REG_SCRATCH, &mark, 8) == 0 &&
		fill_queues(queues, &under_way) &&
		write(ready, &under_way, sizeof(under_way)) == sizeof(under_way);
	while (ok)
		ok = keep_full(queues);
	_exit(1);
}

static void
kill_busy_one(const struct life *traces)
{
	uint32_t under_way = 0;
	int ends[2], status = 0;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	pid = hostile_fork();
	if (pid == 0)
		be_busy(traces, ends[1]);
	close(ends[1]);
	CU_ASSERT_EQUAL(read(ends[0], &under_way, sizeof(under_way)), sizeof(under_way));
	CU_ASSERT_EQUAL(under_way, 1000);
	kill(pid, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(ends[0]);
}

static void
check_killed(enum vuc_dma_policy policy)
{
	struct life traces = {.c.fd = -1};
	uint64_t longest = 0;
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.open.dma = policy;
	hostile_start(&hostile, &opts);
	make_traces(&traces);
	for (unsigned int i = 0; i < KILLS; i++) {
		uint64_t begun, took;

		kill_busy_one(&traces);
		begun = vuc_clock_ms();
		CU_ASSERT_TRUE_FATAL(rig_becomes(&hostile.rig, RIG_NAME, VUC_CONTROL_FREE));
		took = vuc_clock_ms() - begun;
		longest = took > longest ? took : longest;
		CU_ASSERT_TRUE(took < FREE_MS);
		find_nothing(&traces);
	}
	printf("# %u times: the device was free again within %u ms\n", KILLS,
		(unsigned int)longest);
	forget_traces(&traces);
	hostile_survived(&hostile);
	hostile_stop(&hostile);
}

static void
test_killed(void)
{
	check_killed(VUC_DMA_SHARED);
	check_killed(VUC_DMA_MESSAGE);
}

static CU_TestInfo tests[] = {
	{"every_step", test_every_step},
	{"hung", test_hung},
	{"killed", test_killed},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
