/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Queues of a poller whose submitting end is another process, by the transport that the command
 * line names: what an honest one gets, and what is refused.
 */

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>

#include <vuc/stats.h>

#include "asleep.h"
#include "internal.h"
#include "remote_vmm.h"
#include "rig.h"

#define WAKE_UPS 10000
#define LONG_RUN 100000 /* of the same, with VUC_TEST_LONG */
#define FLOOD    4096   /* requests of a queue */
#define MANY     16     /* queues */
#define HANG_MS  1000
#define KICKS    200

static void
start(void)
{
	rig_start(&(struct rig_opts){.alone = 2, .idle_loops = -1});
}

/* ---- an honest process ---- */

static int
access_all(const struct vmm *v, struct vmm_shared *shared)
{
	uint8_t out[600], in[600] = {0};
	struct vmm_front f;

	(void)shared;
	vmm_front_open(&f, v, 0);
	VMM_EXPECT(f.queue != NULL);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t value = 0;

		VMM_EXPECT(vuc_queue_post(f.queue, BAR0, REFDEV_REG_SCRATCH, &i, 4) == 0);
		VMM_EXPECT(vuc_queue_read(f.queue, BAR0, REFDEV_REG_SCRATCH, &value, 4) == 0);
		VMM_EXPECT(value == i);
	}
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	VMM_EXPECT(vuc_queue_write(f.queue, BAR2, 4096, out, sizeof(out)) == 0);
	VMM_EXPECT(vuc_queue_read(f.queue, BAR2, 4096, in, sizeof(in)) == 0);
	VMM_EXPECT(memcmp(in, out, sizeof(in)) == 0);
	VMM_EXPECT(vuc_queue_read(f.queue, 77, 0, in, 4) == -EINVAL);
	vmm_front_close(&f);
	return 0;
}

static void
test_access(void)
{
	struct vuc_access_stats counters;
	struct vuc_device_stats stats;
	struct vmm_process process;
	struct vmm v;

	start();
	vmm_attach_one(&v, 0);
	vmm_start(&process, access_all, &v);
	vmm_stop(&process);
	vuc_poller_remote_counters(v.remote, &counters);
	CU_ASSERT_EQUAL(counters.reads, 202);
	CU_ASSERT_EQUAL(counters.writes, 1);
	CU_ASSERT_EQUAL(counters.posted, 200);
	CU_ASSERT_EQUAL(counters.read_bytes, 1400);
	CU_ASSERT_EQUAL(counters.written_bytes, 1400);
	CU_ASSERT_EQUAL(counters.errors, 1);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(rig.poller, rig.dev[0], &stats), 0);
	CU_ASSERT_EQUAL(stats.queues, 1);
	CU_ASSERT_EQUAL(memcmp(&stats.accesses, &counters, sizeof(counters)), 0);
	vmm_detach_device(&v);
	CU_ASSERT_EQUAL(vuc_poller_get_device_stats(rig.poller, rig.dev[0], &stats), 0);
	CU_ASSERT_EQUAL(stats.queues, 0);
	CU_ASSERT_EQUAL(memcmp(&stats.accesses, &counters, sizeof(counters)), 0);
}

/* Both ends sleep in each round, and each has to be woken by the other one. */
static int
sleep_and_read(const struct vmm *v, struct vmm_shared *shared)
{
	uint32_t rounds = getenv("VUC_TEST_LONG") != NULL ? LONG_RUN : WAKE_UPS;
	struct vmm_front f;
	uint32_t value;

	(void)shared;
	vmm_front_open(&f, v, 0);
	VMM_EXPECT(f.queue != NULL);
	vuc_queue_set_spin(f.queue, 0);
	for (uint32_t i = 0; i < rounds; i++) {
		VMM_EXPECT(vuc_queue_read(f.queue, BAR0, REFDEV_REG_ID, &value, 4) == 0);
		VMM_EXPECT(value == REFDEV_ID_VALUE);
	}
	vmm_front_close(&f);
	return 0;
}

static void
test_wake_ups(void)
{
	struct vuc_poller_stats stats;
	struct vmm_process process;
	struct vmm v;

	start();
	vmm_attach_one(&v, 0);
	vmm_start(&process, sleep_and_read, &v);
	vmm_stop(&process);
	CU_ASSERT_EQUAL(vuc_poller_get_stats(rig.poller, &stats), 0);
	CU_ASSERT_TRUE(stats.sleeps > 0);
	vmm_detach_device(&v);
}

/* On the poller's thread. */
static int
thread_id(void *arg)
{
	(void)arg;
	return (int)gettid();
}

/* Its kicks are taken, though never read: one wakes the poller once. */
static void
test_sleeps_again(void)
{
	const uint64_t one = 1;
	struct vmm v;
	pid_t poller;

	start();
	poller = vuc_poller_call(rig.poller, thread_id, NULL);
	vmm_attach_one(&v, 0);
	for (unsigned int i = 0; i < KICKS; i++) {
		asleep_await(poller);
		CU_ASSERT_EQUAL(write(v.kick_fd, &one, sizeof(one)), sizeof(one));
	}
	asleep_await(poller);
	vmm_detach_device(&v);
	asleep_await(poller);
}

/* ---- closing a queue of a device that hangs ---- */

struct closer {
	struct vmm *vmm;
	pthread_t thread;
	_Atomic bool done;
};

static void *
close_queue(void *arg)
{
	struct closer *c = arg;

	vmm_run_closing(c->vmm);
	atomic_store(&c->done, true);
	return NULL;
}

static void
await_reads(const struct vuc_poller_remote *r, uint64_t reads)
{
	struct vuc_access_stats counters;

	do {
		sched_yield();
		vuc_poller_remote_counters(r, &counters);
	} while (counters.reads < reads);
}

static void
test_close_while_it_hangs(void)
{
	struct vuc_queue_request r = {.op = VUC_QUEUE_READ, .region = BAR0, .count = 4};
	struct vuc_queue_result result;
	struct closer closer = {0};
	bool called = false;
	struct vmm_pair p;
	uint32_t value;

	if (rig_skips_loopback("the loopback's server cannot hang"))
		return;
	rig_start(&(struct rig_opts){.alone = 2,
		.idle_loops = -1,
		.timeout_ms = HANG_MS,
		.server = {"--fault=drop@region_read#7"}});
	vmm_pair_start(&p, 0);
	r.data = &value;
	CU_ASSERT_EQUAL(vuc_queue_submit(p.front.queue, &r, 1), 1);
	await_reads(p.vmm.remote, 1);
	closer.vmm = &p.vmm;
	pthread_create(&closer.thread, NULL, close_queue, &closer);
	while (!atomic_load(&closer.done))
		called |= vuc_poller_call(rig.poller, vmm_sees_closing, &p.vmm);
	pthread_join(closer.thread, NULL);
	CU_ASSERT_TRUE(called);
	CU_ASSERT_EQUAL(vuc_queue_poll(p.front.queue, &result, 1), 1);
	CU_ASSERT_EQUAL(result.status, -ETIMEDOUT);
	CU_ASSERT_EQUAL(vuc_queue_submit(p.front.queue, &r, 1), -ECONNRESET);
	vmm_pair_stop(&p);
}

/* ---- fairness ---- */

struct race {
	struct vmm vmms[2];
	struct vmm_front many[MANY], single;
	uint64_t posted[2]; /* when the single queue was empty */
};

static void
submit_many(struct vuc_queue *q, enum vuc_queue_op op, unsigned int nr)
{
	static uint32_t value;
	const struct vuc_queue_request r = {
		.op = op,
		.region = BAR0,
		.offset = REFDEV_REG_SCRATCH,
		.count = 4,
		.data = &value,
	};

	while (nr-- > 0)
		CU_ASSERT_EQUAL_FATAL(vuc_queue_submit(q, &r, 1), 1);
}

/* On the poller's thread, which serves nobody but in the polls here. */
static int
run_race(void *arg)
{
	struct race *race = arg;
	struct vuc_access_stats counters;

	for (unsigned int i = 0; i < MANY; i++)
		submit_many(race->many[i].queue, VUC_QUEUE_WRITE_POSTED, FLOOD);
	submit_many(race->single.queue, VUC_QUEUE_WRITE_POSTED, FLOOD);
	while (race->posted[1] < FLOOD) {
		vuc_poll_group_poll(vuc_poller_poll_group(rig.poller));
		for (unsigned int i = 0; i < 2; i++) {
			vuc_poller_remote_counters(race->vmms[i].remote, &counters);
			race->posted[i] = counters.posted;
		}
	}
	return 0;
}

/* One process has 16 times as many queues as the other, all of them full. */
static void
test_fair(void)
{
	static struct race race;

	start();
	for (unsigned int i = 0; i < 2; i++)
		vmm_attach_device(&race.vmms[i], i);
	for (unsigned int i = 0; i < MANY; i++) {
		vmm_add_queue(&race.vmms[0], FLOOD, 64);
		vmm_front_open(&race.many[i], &race.vmms[0], i);
	}
	vmm_add_queue(&race.vmms[1], FLOOD, 64);
	vmm_front_open(&race.single, &race.vmms[1], 0);
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, run_race, &race), 0);
	printf("# %llu of many queues, %llu of one\n", (unsigned long long)race.posted[0],
		(unsigned long long)race.posted[1]);
	CU_ASSERT_TRUE(race.posted[0] * 5 <= race.posted[1] * 6);
	CU_ASSERT_TRUE(race.posted[1] * 5 <= race.posted[0] * 6);
	for (unsigned int i = 0; i < MANY; i++)
		vmm_front_close(&race.many[i]);
	vmm_front_close(&race.single);
	for (unsigned int i = 0; i < 2; i++)
		vmm_detach_device(&race.vmms[i]);
}

#define PLACES 4  /* requests that the device works on at a time */
#define READS  64 /* of each queue */

struct crowd {
	struct vmm vmm;
	struct vmm_front fronts[2];
	unsigned int results[2]; /* when half of them were there */
};

/* On the poller's thread. */
static int
run_crowd(void *arg)
{
	struct crowd *c = arg;
	struct vuc_queue_result results[READS];

	for (unsigned int i = 0; i < 2; i++)
		submit_many(c->fronts[i].queue, VUC_QUEUE_READ, READS);
	while (c->results[0] + c->results[1] < READS) {
		vuc_poll_group_poll(vuc_poller_poll_group(rig.poller));
		for (unsigned int i = 0; i < 2; i++)
			c->results[i] += vuc_queue_poll(c->fronts[i].queue, results, READS);
	}
	return 0;
}

/* Two queues want more than the device has room for: neither waits until the other is done. */
static void
test_full_device(void)
{
	struct crowd c = {0};

	rig_start(&(struct rig_opts){.alone = 1, .idle_loops = -1, .max_requests = PLACES});
	vmm_attach_device(&c.vmm, 0);
	for (unsigned int i = 0; i < 2; i++) {
		vmm_add_queue(&c.vmm, READS, 64);
		vmm_front_open(&c.fronts[i], &c.vmm, i);
	}
	CU_ASSERT_EQUAL(vuc_poller_call(rig.poller, run_crowd, &c), 0);
	printf("# %u of one queue, %u of the other\n", c.results[0], c.results[1]);
	CU_ASSERT_TRUE(c.results[0] >= READS / 4 && c.results[1] >= READS / 4);
	for (unsigned int i = 0; i < 2; i++)
		vmm_front_close(&c.fronts[i]);
	vmm_detach_device(&c.vmm);
}

/* ---- what is refused ---- */

static void
test_sleeps_memory(void)
{
	uint32_t word = 1;
	void *addr;
	int fd;

	start();
	fd = vuc_poller_sleeps_fd(rig.poller);
	CU_ASSERT_EQUAL(pwrite(fd, &word, sizeof(word), 0), -1);
	CU_ASSERT_EQUAL(ftruncate(fd, 0), -1);
	CU_ASSERT_EQUAL(ftruncate(fd, 65536), -1);
	addr = mmap(NULL, sizeof(word), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CU_ASSERT_PTR_EQUAL(addr, MAP_FAILED);
	addr = mmap(NULL, sizeof(word), PROT_READ, MAP_SHARED, fd, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(addr, MAP_FAILED);
	CU_ASSERT_EQUAL(mprotect(addr, sizeof(word), PROT_READ | PROT_WRITE), -1);
	munmap(addr, sizeof(word));
}

static void
refused_queues(struct vmm *v)
{
	struct vuc_queue_back_opts memory = {
		.requests = v->queues[0].requests.addr,
		.completions = v->queues[0].completions.addr,
	};
	struct vuc_error err;
	unsigned int index;

	memory.geometry = (struct vuc_queue_geometry){.depth = 3, .chunk = 64};
	CU_ASSERT_EQUAL(vuc_poller_remote_open_queue(v->remote, &memory, &index, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "depth 3"));
	memory.geometry = (struct vuc_queue_geometry){.depth = 4, .chunk = QUEUE_CHUNK_MAX};
	CU_ASSERT_EQUAL(vuc_poller_remote_open_queue(v->remote, &memory, &index, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1048576 bytes"));
	memory.geometry = (struct vuc_queue_geometry){.depth = 4, .chunk = 64};
	CU_ASSERT_EQUAL(vuc_poller_remote_open_queue(v->remote, &memory, &index, &err), -ENOSPC);
	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(v->remote, VUC_SHM_MAX_QUEUES), -ENOENT);
}

static unsigned int
reopen_queue(struct vmm *v, unsigned int nr)
{
	const struct vmm_queue *q = &v->queues[nr];
	const struct vuc_queue_back_opts memory = {
		.geometry = q->geometry,
		.requests = q->requests.addr,
		.completions = q->completions.addr,
	};
	unsigned int index = UINT_MAX;

	memset(q->completions.addr, 0, q->completions.size);
	CU_ASSERT_EQUAL(vuc_poller_remote_open_queue(v->remote, &memory, &index, NULL), 0);
	return index;
}

static void
test_refused(void)
{
	struct vuc_poller_remote_opts opts = {.kick_fd = -1};
	struct vuc_poller_remote *remote;
	struct vuc_error err = {0};
	struct vmm v;

	rig_start(&(struct rig_opts){
		.alone = 2, .idle_loops = -1, .server = {"--max-data-xfer-size=4096"}});
	CU_ASSERT_EQUAL(vuc_poller_add_remote(rig.poller, &opts, &remote, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(remote);
	opts.dev = rig.dev[0];
	CU_ASSERT_EQUAL(vuc_poller_add_remote(rig.poller, &opts, &remote, &err), -EBADF);
	vmm_attach_device(&v, 0);
	CU_ASSERT_EQUAL(vuc_poller_close_device(rig.poller, rig.dev[0]), -EBUSY);
	for (unsigned int i = 0; i < VUC_SHM_MAX_QUEUES; i++)
		CU_ASSERT_EQUAL(vmm_add_queue(&v, 4, 64)->index, i);
	refused_queues(&v);
	/* An index that is free again is given again. */
	CU_ASSERT_EQUAL(vuc_poller_remote_close_queue(v.remote, 7), 0);
	CU_ASSERT_EQUAL(reopen_queue(&v, 7), 7);
	vmm_detach_device(&v);
}

#define POSTS 1000u

/* Posts itself again and again, and at the end to a mailbox. */
struct poster {
	struct vuc_post post, last;
	struct vuc_poller *poller;
	struct vuc_mailbox *mailbox;
	unsigned int left;
	unsigned int *started; /* posters that have run */
	unsigned int place;    /* among them */
	pid_t thread, receiver;
};

static void
receive_poster(void *arg)
{
	struct poster *p = arg;

	p->receiver = thread_id(NULL);
}

static void
run_poster(void *arg)
{
	struct poster *p = arg;

	p->thread = thread_id(NULL);
	if (p->left == POSTS)
		p->place = (*p->started)++;
	if (--p->left > 0)
		vuc_poller_post(p->poller, &p->post);
	else
		vuc_mailbox_post(p->mailbox, &p->last);
}

/* What is posted to a poller runs on its thread, in order, in loop after loop; what it posts to a
 * mailbox runs on that of the mailbox's owner, who is woken by it. */
static void
test_post(void)
{
	struct poster posters[3];
	struct vuc_mailbox mailbox;
	struct pollfd pfd = {.events = POLLIN};
	unsigned int started = 0, received = 0;
	pid_t poller;

	CU_ASSERT_EQUAL_FATAL(vuc_mailbox_init(&mailbox), 0);
	start();
	poller = vuc_poller_call(rig.poller, thread_id, NULL);
	pfd.fd = mailbox.fd;
	CU_ASSERT_EQUAL(poll(&pfd, 1, 0), 0);
	for (unsigned int i = 0; i < 3; i++) {
		posters[i] = (struct poster){
			.post = {.fn = run_poster, .arg = &posters[i]},
			.last = {.fn = receive_poster, .arg = &posters[i]},
			.poller = rig.poller,
			.mailbox = &mailbox,
			.left = POSTS,
			.started = &started,
		};
		vuc_poller_post(rig.poller, &posters[i].post);
	}
	while (received < 3) {
		CU_ASSERT_EQUAL_FATAL(poll(&pfd, 1, 20000), 1);
		received += vuc_mailbox_run(&mailbox);
	}
	CU_ASSERT_EQUAL(poll(&pfd, 1, 0), 0);
	CU_ASSERT_EQUAL(vuc_mailbox_run(&mailbox), 0);
	for (unsigned int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(posters[i].place, i);
		CU_ASSERT_EQUAL(posters[i].thread, poller);
		CU_ASSERT_EQUAL(posters[i].receiver, thread_id(NULL));
	}
	/* What nobody waits for is run before the poller ends. */
	posters[0].left = POSTS;
	vuc_poller_post(rig.poller, &posters[0].post);
	rig_stop();
	CU_ASSERT_EQUAL(posters[0].left, 0);
	CU_ASSERT_EQUAL(vuc_mailbox_run(&mailbox), 1);
	vuc_mailbox_fini(&mailbox);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"post", test_post},
		{"close_while_it_hangs", test_close_while_it_hangs},
		{"full_device", test_full_device},
		{"refused", test_refused},
		{"access", test_access},
		{"wake_ups", test_wake_ups},
		{"sleeps_again", test_sleeps_again},
		{"fair", test_fair},
		{"sleeps_memory", test_sleeps_memory},
	}};
