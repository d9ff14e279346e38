/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Servers that are lost under a VMM that keeps its device, and come back: at each stage of that the
 * VMM may leave, the operator may intervene, or the server may be lost again. The device is behind
 * a link, so that a first server and a second one can be there at the same time.
 */

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

#include <linux/pci_regs.h>

#include "rig.h"

#define KEPT "kept"

static struct peer *first, *second;
static char link_path[VUC_TEMPDIR_SIZE + 16];
static struct shm_queue *queue;

/* ---- the device and its servers ---- */

/* The device is behind this server from now on. */
static void
link_to(struct peer *p)
{
	char path[sizeof(link_path) + 8];
	struct vuc_device_opts opts;

	peer_opts(p, 0, &opts);
	snprintf(path, sizeof(path), "%s.new", link_path);
	CU_ASSERT_EQUAL_FATAL(symlink(opts.path, path), 0);
	CU_ASSERT_EQUAL_FATAL(rename(path, link_path), 0);
}

/* At the end of each test, and before the next kept_start(). */
static void
kept_stop(void)
{
	if (first == NULL) {
		rig_stop();
		return;
	}
	shm_close(&client);
	if (rig.control != NULL)
		CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, KEPT, true, NULL), 0);
	unlink(link_path);
	peer_stop(first);
	if (second != NULL)
		peer_stop(second);
	first = second = NULL;
	rig_stop();
}

/* A VMM that has the device, with memory, an interrupt and a queue, and has enabled it. Its first
 * server ends the connection, and goes on, when the VMM asks for a reset. */
static void
kept_start(const struct rig_opts *opts)
{
	const uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	struct rig_opts o = opts != NULL ? *opts : (struct rig_opts){.outage = 0};

	kept_stop();
	o.outage = VUC_CONTROL_OUTAGE_HOLD;
	rig_start(NULL);
	snprintf(link_path, sizeof(link_path), "%s/kept", rig.folder);
	first = peer_start(1, "--fault=close@device_reset#2", NULL);
	link_to(first);
	rig_add_device(&o, KEPT, link_path);
	rig_attach(&client, KEPT);
	queue = rig_open_queue(&client, 8, 64);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB, 0, READ_WRITE, rig.memory), 0);
	CU_ASSERT_EQUAL(shm_assign_irqs(&client, &rig.irq, 1), 0);
	CU_ASSERT_EQUAL(shm_write(queue, CONFIG, PCI_COMMAND, &command, sizeof(command)), 0);
}

/* How the first server is lost. */
enum loss {
	KILLED,
	CLOSED, /* its process goes on */
};

static void
kept_lose_first(void)
{
	peer_kill(first);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST));
}

/* The second server is there, and the first one is lost. */
static void
kept_lose(enum loss loss, const char *fault)
{
	second = peer_start(1, fault, NULL);
	link_to(second);
	if (loss == KILLED)
		peer_kill(first);
	else
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), 0);
}

static uint64_t
irq_count(void)
{
	uint64_t count = 0;
	ssize_t n = read(rig.irq, &count, sizeof(count));

	return n == sizeof(count) ? count : 0;
}

static bool
irq_comes(void)
{
	struct pollfd pfd = {.fd = rig.irq, .events = POLLIN};

	return poll(&pfd, 1, RIG_WAIT_MS) == 1;
}

/* What the VMM has set is there. */
static void
kept_expect_restored(void)
{
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_BACK));
	CU_ASSERT_EQUAL(rig_look(KEPT).state, VUC_CONTROL_ATTACHED);
	/* One may have been lost. */
	CU_ASSERT_TRUE(irq_comes());
	CU_ASSERT_EQUAL(irq_count(), 1);
	CU_ASSERT_EQUAL(rig_read(queue, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	CU_ASSERT_EQUAL(rig_read(queue, REFDEV_REG_DMA_MAPS, 4), 1);
	CU_ASSERT_EQUAL(rig_transfer(queue, REFDEV_DMA_BY_MMAP, 0, 4096), REFDEV_DMA_STATUS_DONE);
	rig_write(queue, REFDEV_REG_IRQ_TRIGGER, 0, 4);
	CU_ASSERT_TRUE(irq_comes());
	CU_ASSERT_EQUAL(irq_count(), 1);
}

/* ---- tests ---- */

/* The VMM keeps what it has: one line tells of the begin, and one of the end. */
static void
test_return(void)
{
	kept_start(NULL);
	kept_lose_first();
	CU_ASSERT_TRUE(rig_has_logged("kept: lost: "));
	CU_ASSERT_TRUE(rig_has_logged(" keeps it, it is restored when its server is back"));
	CU_ASSERT_EQUAL(rig_look(KEPT).state, VUC_CONTROL_AWAY);
	peer_restart(first);
	kept_expect_restored();
	CU_ASSERT_EQUAL(shm_state(&client).generation, 2);
	CU_ASSERT_TRUE(rig_logs("kept: restored for its VMM after "));
	CU_ASSERT_EQUAL(rig_look(KEPT).outages, 1);
	CU_ASSERT_TRUE(rig_look(KEPT).outage_ms >= rig_look(KEPT).outage_last_ms);
	rig_detach(&client);
	CU_ASSERT_TRUE(rig_becomes(KEPT, VUC_CONTROL_FREE));
}

/* Whether this process watches a folder. */
static bool
folder_is_watched(void)
{
	char path[48], line[128];
	bool found = false;

	for (int fd = 0; fd < 256 && !found; fd++) {
		FILE *info;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		info = fopen(path, "re");
		while (info != NULL && !found && fgets(line, sizeof(line), info) != NULL)
			found = strncmp(line, "inotify wd:", strlen("inotify wd:")) == 0;
		if (info != NULL)
			fclose(info);
	}
	return found;
}

/* Watched, or not. */
static bool
folder_becomes(bool watched)
{
	time_t end = time(NULL) + RIG_WAIT_MS / 1000;

	while (folder_is_watched() != watched) {
		if (time(NULL) > end)
			return false;
		sched_yield();
	}
	return true;
}

/* A server is connected to when its socket appears, without waiting for the next retry. */
static void
test_arrival(void)
{
	struct rig_opts opts = {.retry_min_ms = AN_HOUR, .retry_max_ms = AN_HOUR};

	/* A file that is moved there. */
	kept_start(&opts);
	CU_ASSERT_FALSE(folder_is_watched());
	peer_kill(first);
	CU_ASSERT_TRUE_FATAL(folder_becomes(true));
	peer_restart(first);
	link_to(first);
	kept_expect_restored();
	CU_ASSERT_TRUE_FATAL(folder_becomes(false));
	kept_stop();

	/* A file that is created there. A second device would have the folder watched before the
	 * first one waits. */
	opts.outage = VUC_CONTROL_OUTAGE_HOLD;
	rig_start(&opts);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_SECOND, false, NULL), 0);
	rig_attach(&client, RIG_NAME);
	peer_kill(rig.peer);
	CU_ASSERT_TRUE_FATAL(folder_becomes(true));
	peer_restart(rig.peer);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_BACK));
}

/* It is nobody else's meanwhile; and with outage = fail the VMM has to attach anew. */
static void
test_others(void)
{
	kept_start(NULL);
	kept_lose_first();
	CU_ASSERT_EQUAL(shm_start(&other_client, rig.path, KEPT), -EBUSY);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(other_client.reply.failure.reason, ", and its server is away"));
	CU_ASSERT_PTR_NOT_NULL(strstr(other_client.reply.failure.reason, "is in use by VMM "));
	shm_close(&other_client);
	rig_attach(&other_client, RIG_SECOND);
	CU_ASSERT_EQUAL(
		rig_read(rig_open_queue(&other_client, 4, 64), REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	shm_close(&other_client);
	peer_restart(first);
	kept_expect_restored();
}

/* While the server is away, the VMM is answered: with what was learned, what is recorded, or a
 * reason. */
static void
test_messages(void)
{
	struct shm_queue q;
	int fds[2];

	kept_start(NULL);
	fds[0] = rig.irq;
	fds[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	kept_lose_first();
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_REGION_INFO, BAR0), 0);
	CU_ASSERT_TRUE(client.reply.region.size > 0);
	CU_ASSERT_EQUAL(shm_index(&client, VUC_SHM_IRQ_INFO, MSIX), 0);
	CU_ASSERT_EQUAL(client.reply.irq.count, REFDEV_MSIX_VECTORS);
	CU_ASSERT_TRUE(shm_index(&client, VUC_SHM_IO_FDS, BAR0) < 0);
	CU_ASSERT_PTR_NULL(strstr(client.reply.failure.reason, "attach again"));
	CU_ASSERT_EQUAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
	CU_ASSERT_EQUAL(shm_dma_unmap(&client, 0, MIB), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, MIB, MIB, 0, READ_WRITE, rig.memory), 0);
	CU_ASSERT_EQUAL(shm_assign_irqs(&client, fds, 2), 0);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), 0);
	peer_restart(first);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_BACK));
	CU_ASSERT_EQUAL(rig_transfer(queue, REFDEV_DMA_BY_MMAP, MIB, 4096), REFDEV_DMA_STATUS_DONE);
	CU_ASSERT_NOT_EQUAL(
		rig_transfer(queue, REFDEV_DMA_BY_MMAP, 0, 4096), REFDEV_DMA_STATUS_DONE);
	close(fds[1]);
}

/* The record is bounded by what the server took before, and ends with its VMM: the next one finds
 * nothing of it. */
static void
test_record(void)
{
	struct shm_client next;
	struct shm_queue *q;

	kept_start(NULL);
	kept_lose_first();
	for (uint64_t i = 1; i < 4; i++)
		CU_ASSERT_EQUAL(shm_dma_map(&client, i * MIB, MIB, 0, VUC_SHM_DMA_READ, rig.memory),
			-ENOSPC);
	shm_close(&client);
	peer_restart(first);
	CU_ASSERT_TRUE(rig_becomes(KEPT, VUC_CONTROL_FREE));
	rig_attach(&next, KEPT);
	q = rig_open_queue(&next, 4, 64);
	CU_ASSERT_EQUAL(rig_read(q, REFDEV_REG_DMA_MAPS, 4), 0);
	rig_write(q, REFDEV_REG_IRQ_TRIGGER, 0, 4);
	CU_ASSERT_EQUAL(irq_count(), 0);
	shm_close(&next);
}

/* The first server's process has the VMM's memory: the second one gets it when that has ended. */
static void
test_fence(void)
{
	struct vuc_control_device look;
	char who[64];

	kept_start(NULL);
	kept_lose(CLOSED, NULL);
	CU_ASSERT_TRUE(rig_becomes(KEPT, VUC_CONTROL_FENCED));
	snprintf(who, sizeof(who), "waiting for process %d (vuc-refdev) of the old server to end",
		(int)peer_process(first)->pid);
	CU_ASSERT_STRING_EQUAL(rig_look(KEPT).reason, who);
	CU_ASSERT_EQUAL(rig_count_logged(who), 1);
	peer_kill(first);
	kept_expect_restored();
	CU_ASSERT_EQUAL(rig_count_logged(who), 1);

	kept_start(&(struct rig_opts){.no_fence = true});
	kept_lose(CLOSED, NULL);
	kept_expect_restored();

	/* Once the VMM has left, nothing waits for the process. */
	kept_start(NULL);
	kept_lose(CLOSED, NULL);
	CU_ASSERT_TRUE(rig_becomes(KEPT, VUC_CONTROL_FENCED));
	shm_close(&client);
	do {
		look = rig_look(KEPT);
	} while (look.vmm_pid != 0 || look.state == VUC_CONTROL_CLEANING);
	CU_ASSERT_PTR_NULL(strstr(look.reason, "waiting for process"));
	CU_ASSERT_TRUE(rig_becomes(KEPT, VUC_CONTROL_FREE));
}

/* One that has come back as another device is not the VMM's, which is told. */
static void
test_another_device(void)
{
	kept_start(NULL);
	kept_lose(KILLED, "--pgsizes=65536");
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_REMOVED));
	CU_ASSERT_EQUAL(rig_look(KEPT).state, VUC_CONTROL_AWAY);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_look(KEPT).reason, "another device has come back: "));
	CU_ASSERT_TRUE(rig_logs("kept: another device has come back, the VMM has to detach: "));
	CU_ASSERT_EQUAL(rig_count_logged("another device has come back"), 1);
	rig_detach(&client);
	CU_ASSERT_TRUE(rig_becomes(KEPT, VUC_CONTROL_FREE));
}

/* ---- each stage, and what interrupts it ---- */

static const struct stage {
	const char *name;
	enum loss loss;
	const char *fault; /* of the second server: what is never answered */
	bool absent;       /* there is no second server */
	enum vuc_control_state state;
	const char *reason;
} stages[] = {
	{"no server", KILLED, NULL, true, VUC_CONTROL_AWAY, "connect: "},
	{"version", KILLED, "--fault=never@version", false, VUC_CONTROL_AWAY, ""},
	{"learning", KILLED, "--fault=never@device_get_region_info#2", false, VUC_CONTROL_AWAY, ""},
	{"fence", CLOSED, NULL, false, VUC_CONTROL_FENCED, "waiting for process "},
	{"reset", KILLED, "--fault=never@device_reset", false, VUC_CONTROL_RESTORING, ""},
	{"maps", KILLED, "--fault=never@dma_map", false, VUC_CONTROL_RESTORING, "mapping 0 of 1"},
	{"config", KILLED, "--fault=never@region_write", false, VUC_CONTROL_RESTORING, "enabling"},
	{"irqs", KILLED, "--fault=never@device_set_irqs", false, VUC_CONTROL_RESTORING, ""},
};

static void
interrupt_by_detach(void)
{
	rig_detach(&client);
}

static void
interrupt_by_hanging_up(void)
{
	shm_close(&client);
}

static void
interrupt_by_operator(void)
{
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, KEPT, NULL), 0);
	CU_ASSERT_TRUE(shm_is_ended(&client));
}

static void
interrupt_by_removal(void)
{
	static atomic_uint ended;
	struct rig_device d;

	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, KEPT, false, NULL), -EBUSY);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, KEPT, true, NULL), 0);
	CU_ASSERT_TRUE(shm_is_ended(&client));
	rig_device_opts(&d, NULL, KEPT, link_path);
	CU_ASSERT_EQUAL(
		vuc_control_add_device_start(rig.control, &d.control, rig_count_end, &ended, NULL),
		0);
}

static void
interrupt_by_stop(void)
{
	rig_stop_control();
}

static void
interrupt_by_loss(void)
{
	if (second != NULL)
		peer_kill(second);
}

static const struct interruption {
	const char *name;
	void (*interrupt)(void);
	bool stays; /* the VMM has the device, and gets it back */
} interruptions[] = {
	{"detach", interrupt_by_detach, false},
	{"hang up", interrupt_by_hanging_up, false},
	{"operator", interrupt_by_operator, false},
	{"removal", interrupt_by_removal, false},
	{"stop", interrupt_by_stop, false},
	{"loss", interrupt_by_loss, true},
};

static bool
stage_is_reached(const struct stage *s)
{
	struct vuc_control_device d;
	unsigned int ms = 0;

	do {
		d = rig_look(KEPT);
		if (d.state == s->state && strstr(d.reason, s->reason) != NULL)
			return true;
	} while (rig_wait(&ms));
	printf("# %s: state %d: %s\n", s->name, (int)d.state, d.reason);
	return false;
}

/* A server without any fault. */
static void
kept_serve(void)
{
	if (second != NULL) {
		peer_kill(second);
		peer_restart(second);
	} else {
		peer_restart(first);
	}
}

static void
interrupt_stage(const struct stage *s, const struct interruption *i)
{
	kept_start(NULL);
	if (s->absent)
		peer_kill(first);
	else
		kept_lose(s->loss, s->fault);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST));
	CU_ASSERT_TRUE_FATAL(stage_is_reached(s));
	i->interrupt();
	if (i->stays && s->loss == CLOSED)
		peer_kill(first);
	kept_serve();
	if (i->stays)
		kept_expect_restored();
	else if (rig.control != NULL)
		CU_ASSERT_TRUE(rig_becomes(KEPT, VUC_CONTROL_FREE));
}

static void
test_interruptions(void)
{
	for (size_t s = 0; s < NR(stages); s++) {
		for (size_t i = 0; i < NR(interruptions); i++) {
			vuc_tap_row("%s, %s", stages[s].name, interruptions[i].name);
			interrupt_stage(&stages[s], &interruptions[i]);
		}
	}
}

/* Where systemd's RestrictSUIDSGID=, and so DynamicUser=, forbids openat2(2). */
static void
test_filtered_arrival(void)
{
	if (peer_forbid_call(SYS_openat2, ENOSYS) == 0)
		test_arrival();
	else
		vuc_tap_skip("seccomp filters are not allowed here");
}

const struct tap_suite tap_suite = {NULL, NULL, kept_stop,
	{
		{"return", test_return},
		{"arrival", test_arrival},
		{"others", test_others},
		{"messages", test_messages},
		{"record", test_record},
		{"fence", test_fence},
		{"another_device", test_another_device},
		{"interruptions", test_interruptions},
		/* The filter stays: behind all others. */
		{"filtered_arrival", test_filtered_arrival},
	}};
