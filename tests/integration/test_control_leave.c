/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * How VMMs, devices and the daemon part: by word, by death, by force, by loss of a server. Whatever
 * happens, the next VMM finds the device as new.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "clock.h"
#include "control_rig.h"
#include "fd_count.h"
#include "memfd.h"
#include "refdev_regs.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define MIB  (1024u * 1024u)

static struct control_rig rig;
static struct shm_client client;

/* What a VMM leaves behind: memory, interrupts, a register. */
static void
make_traces(struct shm_client *c, int memory, int irq)
{
	const struct vuc_shm_set_irqs assign = {
		.index = MSIX, .count = 1, .data = VUC_SHM_IRQ_EVENT};
	static const uint8_t which[] = {1};
	uint64_t mark = 0x1234;
	struct shm_queue q;

	CU_ASSERT_EQUAL_FATAL(shm_open_queue(c, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_dma_map(c, 0, MIB, 0, VUC_SHM_DMA_READ, memory), 0);
	CU_ASSERT_EQUAL(shm_set_irqs(c, &assign, which, &irq, 1), 0);
	CU_ASSERT_EQUAL(shm_write(&q, BAR0, REFDEV_REG_SCRATCH, &mark, 8), 0);
	shm_forget_queue(&q);
}

/* The next one finds nothing of it. */
static void
find_no_traces(int irq)
{
	struct pollfd pfd = {.fd = irq, .events = POLLIN};
	uint32_t maps = 1, vector = 0;
	uint64_t mark = 1;
	struct shm_client c;
	struct shm_queue q;

	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	rig_attach(&rig, &c, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&c, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_DMA_MAPS, &maps, 4), 0);
	CU_ASSERT_EQUAL(maps, 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_SCRATCH, &mark, 8), 0);
	CU_ASSERT_EQUAL(mark, 0);
	CU_ASSERT_EQUAL(shm_write(&q, BAR0, REFDEV_REG_IRQ_TRIGGER, &vector, 4), 0);
	CU_ASSERT_EQUAL(poll(&pfd, 1, 0), 0);
	shm_forget_queue(&q);
	CU_ASSERT_EQUAL(shm_plain(&c, VUC_SHM_DETACH), 0);
	shm_close(&c);
}

/* What was posted before a VMM leaves is carried out, and only then is the device cleaned. */
static void
test_posted(void)
{
	enum {
		CLOSE_QUEUE,
		DETACH,
		HANG_UP,
		NR_WAYS
	};
	enum {
		NR_POSTED = 200
	};
	static const struct vuc_shm_set_irqs assign = {
		.index = MSIX, .count = 1, .data = VUC_SHM_IRQ_EVENT};
	static const struct vuc_shm_request trigger = {.op = VUC_SHM_WRITE_POSTED,
		.region = BAR0,
		.offset = REFDEV_REG_IRQ_TRIGGER,
		.count = 4};
	static const uint8_t which[] = {1};
	struct shm_queue q;
	uint64_t raised;

	rig_start(&rig, NULL);
	for (unsigned int way = CLOSE_QUEUE; way < NR_WAYS; way++) {
		int irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		rig_attach(&rig, &client, RIG_NAME);
		CU_ASSERT_EQUAL(shm_set_irqs(&client, &assign, which, &irq, 1), 0);
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 256, 64, &q), 0);
		for (unsigned int i = 0; i < NR_POSTED; i++)
			shm_submit(&q, &trigger);
		if (way == CLOSE_QUEUE)
			CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
		if (way == DETACH)
			CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
		shm_forget_queue(&q);
		shm_close(&client);
		CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
		CU_ASSERT_EQUAL(read(irq, &raised, sizeof(raised)), sizeof(raised));
		CU_ASSERT_EQUAL(raised, NR_POSTED);
		close(irq);
	}
	rig_stop(&rig);
}

/* A process with many requests under way, which tells when it has. */
static void
be_busy(const char *path, int ready)
{
	struct vuc_shm_request request = {
		.op = VUC_SHM_READ, .region = BAR0, .offset = REFDEV_REG_ID, .count = 4};
	struct vuc_shm_completion completion;
	struct shm_client c;
	uint32_t n = 1;
	struct shm_queue q;
	int memory = vuc_memfd_create("guest", MIB, F_SEAL_SEAL);

	if (memory < 0 || shm_start(&c, path, RIG_NAME) != 0 ||
		shm_open_queue(&c, 1024, 64, &q) != 0 ||
		shm_dma_map(&c, 0, MIB, 0, VUC_SHM_DMA_READ, memory) != 0 ||
		shm_write(&q, BAR0, REFDEV_REG_SCRATCH, &n, sizeof(n)) != 0) {
		dprintf(2, "# the VMM: %.239s\n", c.reply.failure.reason);
		_exit(1);
	}
	for (n = 0;; n++) {
		if (n == 1000 && write(ready, "x", 1) != 1)
			_exit(1);
		if (n >= 1000 && shm_complete(&q, &completion, SHM_TIMEOUT_MS) != 0)
			_exit(1);
		request.id = (uint16_t)(n < 1000 ? n : completion.id);
		shm_submit(&q, &request);
	}
}

static void
kill_busy_vmm(void)
{
	int ends[2];
	pid_t pid;
	char byte;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	pid = fork();
	if (pid == 0)
		be_busy(rig.path, ends[1]);
	close(ends[1]);
	CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ends[0]);
}

/* kill -9 of a VMM with 1,000 requests under way, again and again: each time the device is free
 * soon, and its mappings gone from the server. */
static void
test_killed(void)
{
	unsigned int rounds = getenv("VUC_TEST_LONG") != NULL ? 1000 : 100;
	uint64_t begun, longest = 0;

	rig_start(&rig, NULL);
	for (unsigned int i = 0; i < rounds; i++) {
		kill_busy_vmm();
		begun = vuc_clock_ms();
		CU_ASSERT_TRUE_FATAL(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
		if (vuc_clock_ms() - begun > longest)
			longest = vuc_clock_ms() - begun;
		CU_ASSERT_EQUAL(rig_server_maps(&rig, RIG_NAME), 0);
	}
	printf("# the device was free again within %u ms\n", (unsigned int)longest);
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).attaches, 2 * rounds);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).generation, 1 + 2 * rounds);
	rig_stop(&rig);
}

static void
leave_by_word(int memory, int irq)
{
	rig_attach(&rig, &client, RIG_NAME);
	make_traces(&client, memory, irq);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	shm_close(&client);
}

static void
leave_by_hanging_up(int memory, int irq)
{
	rig_attach(&rig, &client, RIG_NAME);
	make_traces(&client, memory, irq);
	shm_close(&client);
}

static void
leave_by_force(int memory, int irq)
{
	rig_attach(&rig, &client, RIG_NAME);
	make_traces(&client, memory, irq);
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, NULL), 0);
	shm_close(&client);
}

static void
leave_by_death(int memory, int irq)
{
	(void)memory;
	(void)irq;
	kill_busy_vmm();
}

/* Whichever way a VMM leaves, and whatever the server does of a reset: its next VMM, which leaves
 * by word, finds nothing. */
static void
test_traces(void)
{
	static void (*const leave[])(int memory, int irq) = {
		leave_by_word, leave_by_hanging_up, leave_by_force, leave_by_death};
	static const unsigned int ways = sizeof(leave) / sizeof(leave[0]);
	static const struct {
		enum vuc_control_reset reset;
		const char *server; /* option of it */
		bool stays;         /* its connection does */
	} rows[] = {
		{VUC_CONTROL_RESET_ON, "--verbose", false},
		{VUC_CONTROL_RESET_ON, "--pretend=reset", false},
		{VUC_CONTROL_RESET_TRUST, "--verbose", true},
		{VUC_CONTROL_RESET_TRUST, "--once", true},
		{VUC_CONTROL_RESET_NEVER, "--pretend=reset", false},
	};
	int memory = rig_memory(MIB, true), irq = eventfd(0, EFD_CLOEXEC);

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const options[] = {rows[i].server, NULL};
		struct rig_opts opts;

		rig_opts_init(&opts);
		opts.server = options;
		opts.device.reset = rows[i].reset;
		rig_start(&rig, &opts);
		for (unsigned int k = 0; k < ways; k++) {
			leave[k](memory, irq);
			find_no_traces(irq);
		}
		CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
		CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).attaches, 2 * ways);
		CU_ASSERT_EQUAL(
			rig_look(&rig, RIG_NAME).generation, rows[i].stays ? 1 : 1 + 2 * ways);
		rig_stop(&rig);
	}
	close(memory);
	close(irq);
}

struct remover {
	pthread_t thread;
	const char *name;
	bool detach;
	int result;
};

static void *
take_away(void *arg)
{
	struct remover *r = arg;

	r->result = r->detach ? vuc_control_detach(rig.control, r->name, NULL)
			      : vuc_control_remove_device(rig.control, r->name, true, NULL);
	return NULL;
}

/* It is told, and leaves; or it does not, and is sent away. */
static void
check_taking_away(bool detach, bool obedient)
{
	struct remover r = {.name = RIG_NAME, .detach = detach};

	rig_start(&rig, NULL);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&r.thread, NULL, take_away, &r), 0);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_REMOVED, RIG_WAIT_MS));
	CU_ASSERT_TRUE(rig_has_logged("disk0: waiting for VMM shm-client (pid "));
	if (obedient)
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	CU_ASSERT_TRUE(shm_is_ended(&client, RIG_WAIT_MS));
	pthread_join(r.thread, NULL);
	CU_ASSERT_EQUAL(r.result, 0);
	CU_ASSERT_EQUAL(rig_has_logged("the device was taken away"), !obedient);
	shm_close(&client);
	if (detach) {
		rig_attach(&rig, &client, RIG_NAME);
	} else {
		CU_ASSERT_EQUAL(shm_start(&client, rig.path, RIG_NAME), -ENOENT);
		CU_ASSERT_TRUE(rig_has_logged("disk0: removed"));
	}
	shm_close(&client);
	rig_stop(&rig);
}

static void
test_detach(void)
{
	check_taking_away(true, true);
	check_taking_away(true, false);
}

static void
test_remove(void)
{
	check_taking_away(false, true);
	check_taking_away(false, false);
}

static void
test_remove_errors(void)
{
	struct rig_opts opts;
	struct vuc_error err = {0};

	rig_start(&rig, NULL);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, "no", true, &err), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err.text, "there is no device no");
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, "no", NULL), -ENOENT);
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, &err), -ENOTCONN);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, false, &err), -EBUSY);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	shm_close(&client);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, false, NULL), 0);
	/* Its name is free again. */
	rig_device_opts(&rig, &opts, RIG_SECOND, rig.server.socket);
	CU_ASSERT_EQUAL(vuc_control_add_device(rig.control, &opts.device, &err), -EEXIST);
	opts.device.name = RIG_NAME;
	CU_ASSERT_EQUAL(vuc_control_add_device(rig.control, &opts.device, NULL), 0);
	rig_attach(&rig, &client, RIG_NAME);
	shm_close(&client);
	rig_stop(&rig);
}

static void *
destroy(void *arg)
{
	vuc_control_destroy(arg);
	return NULL;
}

/* The daemon ends: who is attached is told, and has a moment; who is not, has not. */
static void
test_stop(void)
{
	struct shm_client idle;
	pthread_t thread;

	rig_start(&rig, NULL);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(shm_connect(&idle, rig.path), 0);
	CU_ASSERT_EQUAL(shm_hello(&idle), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, destroy, rig.control), 0);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_STOPPING, RIG_WAIT_MS));
	CU_ASSERT_TRUE(shm_is_ended(&idle, RIG_WAIT_MS));
	CU_ASSERT_TRUE(shm_is_ended(&client, RIG_WAIT_MS));
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(access(rig.path, F_OK), -1);
	shm_close(&client);
	shm_close(&idle);
	rig.control = NULL;
	rig_stop(&rig);
}

#define HUNG 8u

/* Listens at a path, and never answers. */
static int
listen_at(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CU_ASSERT_TRUE_FATAL(fd >= 0 && strlen(path) < sizeof(addr.sun_path));
	strcpy(addr.sun_path, path);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 4), 0);
	return fd;
}

/* A connection that has come, and something by it: what is asked there is never answered. */
static int
await_question(int listener)
{
	struct pollfd pfd = {.fd = listener, .events = POLLIN};
	int fd;

	CU_ASSERT_EQUAL_FATAL(poll(&pfd, 1, RIG_WAIT_MS), 1);
	fd = pfd.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(poll(&pfd, 1, RIG_WAIT_MS), 1);
	return fd;
}

/* Whether the other end has closed it. */
static bool
is_closed(int fd)
{
	char bytes[4096];
	ssize_t n;

	do {
		n = recv(fd, bytes, sizeof(bytes), 0);
	} while (n > 0);
	return n == 0;
}

/* A vuc_done_fn. */
static void
count_end(void *arg, int status, const struct vuc_error *err)
{
	(void)err;
	CU_ASSERT_EQUAL(status, 0);
	atomic_fetch_add((atomic_uint *)arg, 1);
}

#define AN_HOUR 3600000u /* longer than any test waits */

/* What is waited for is told meanwhile, and what it was afterwards: no server has ended anything.
 */
static void
test_unanswered_reset(void)
{
	static const char *const options[] = {"--fault=drop@device_reset", NULL};
	struct rig_opts opts;
	bool told = false;

	rig_opts_init(&opts);
	opts.server = options;
	opts.open.long_timeout_ms = 200;
	rig_start(&rig, &opts);
	CU_ASSERT_TRUE(rig_has_logged(
		"disk0: away: DEVICE_RESET was not answered on the last connection (\"reset = "
		"never\" does without): "));
	CU_ASSERT_FALSE(rig_has_logged("has ended the last"));
	for (unsigned int i = 0; !told && i < RIG_WAIT_MS; i++) {
		told = strstr(rig_look(&rig, RIG_NAME).reason,
			       "waiting for the answer to DEVICE_RESET") != NULL;
		vuc_clock_sleep_ms(1);
	}
	CU_ASSERT_TRUE(told);
	rig_stop(&rig);
}

/* Servers that hang in VERSION, and one that hangs in a reset: all are asked at the same time, by
 * one poller, and none holds up the others, those who add devices, or the end. */
static void
test_stop_beside_hung_servers(void)
{
	static const char *const options[] = {"--fault=never@device_reset#2", NULL};
	struct rig_opts opts;
	int listeners[HUNG], asked[HUNG];
	char path[128], name[16];
	atomic_uint ended = 0;
	struct rig_opts rig_options;

	rig_opts_init(&rig_options);
	rig_options.server = options;
	rig_options.open.long_timeout_ms = AN_HOUR;
	rig_start(&rig, &rig_options);
	for (unsigned int i = 0; i < HUNG; i++) {
		snprintf(path, sizeof(path), "%s.hung%u", rig.path, i);
		snprintf(name, sizeof(name), "hung%u", i);
		listeners[i] = listen_at(path);
		rig_device_opts(&rig, &opts, name, path);
		opts.open.timeout_ms = AN_HOUR;
		CU_ASSERT_EQUAL_FATAL(vuc_control_add_device_start(
					      rig.control, &opts.device, count_end, &ended, NULL),
			0);
	}
	for (unsigned int i = 0; i < HUNG; i++)
		asked[i] = await_question(listeners[i]);
	/* The next reset is that of the connection that is made anew. */
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	shm_close(&client);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).state, VUC_CONTROL_CLEANING);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, "hung0", false, NULL), 0);
	CU_ASSERT_EQUAL(ended, 1);
	CU_ASSERT_TRUE(is_closed(asked[0]));
	vuc_control_destroy(rig.control);
	CU_ASSERT_EQUAL(ended, HUNG);
	for (unsigned int i = 0; i < HUNG; i++) {
		CU_ASSERT_TRUE(is_closed(asked[i]));
		close(asked[i]);
		close(listeners[i]);
		snprintf(path, sizeof(path), "%s.hung%u", rig.path, i);
		unlink(path);
	}
	rig.control = NULL;
	rig_stop(&rig);
}

/* The server dies and comes back: the VMM is told of both, its requests fail in between, and after
 * it has attached anew the device works. */
static void
test_loss(void)
{
	struct shm_queue q;
	uint32_t id = 0;
	int rc;

	rig_start(&rig, NULL);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	rig_kill_server(&rig);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST, RIG_WAIT_MS));
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).state, VUC_CONTROL_AWAY);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).vmm_pid, getpid());
	rc = shm_read(&q, BAR0, REFDEV_REG_ID, &id, 4);
	CU_ASSERT_TRUE(rc < 0 && rc != -ETIMEDOUT);
	CU_ASSERT_TRUE(shm_plain(&client, VUC_SHM_RESET) < 0);
	rig_restart_server(&rig);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_BACK, RIG_WAIT_MS));
	CU_ASSERT_EQUAL(shm_state(&client).generation, 2);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	shm_forget_queue(&q);
	shm_close(&client);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).errors, 1);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL(client.reply.attach_reply.generation, 2);
	CU_ASSERT_EQUAL_FATAL(shm_open_queue(&client, 4, 64, &q), 0);
	CU_ASSERT_EQUAL(shm_read(&q, BAR0, REFDEV_REG_ID, &id, 4), 0);
	CU_ASSERT_EQUAL(id, REFDEV_ID_VALUE);
	shm_forget_queue(&q);
	shm_close(&client);
	rig_stop(&rig);
}

/* A VMM whose server is away when its device is removed has nothing to end in order, and is not
 * given the time for that. */
static void
test_remove_while_away(void)
{
	for (unsigned int back = 0; back < 2; back++) {
		rig_start(&rig, NULL);
		rig_attach(&rig, &client, RIG_NAME);
		rig_kill_server(&rig);
		CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST, RIG_WAIT_MS));
		if (back != 0) {
			rig_restart_server(&rig);
			CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_BACK, RIG_WAIT_MS));
		}
		CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
		CU_ASSERT_TRUE(rig_logs("disconnected: its device is lost, and is removed"));
		shm_close(&client);
		rig_stop(&rig);
	}
}

/* A VMM that leaves while the server is away, and one that comes then. */
static void
test_away(void)
{
	rig_start(&rig, NULL);
	rig_attach(&rig, &client, RIG_NAME);
	rig_kill_server(&rig);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_LOST, RIG_WAIT_MS));
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	shm_close(&client);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).state, VUC_CONTROL_AWAY);
	CU_ASSERT_STRING_NOT_EQUAL(rig_look(&rig, RIG_NAME).reason, "");
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_SECOND, VUC_CONTROL_AWAY));
	CU_ASSERT_EQUAL(shm_start(&client, rig.path, RIG_NAME), -ENOTCONN);
	/* An attempt to connect has failed before the server is there again. */
	CU_ASSERT_TRUE(rig_logs("disk1: away: "));
	rig_restart_server(&rig);
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(shm_attach(&client, RIG_NAME), 0);
	shm_close(&client);
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_SECOND, VUC_CONTROL_FREE));
	CU_ASSERT_TRUE(rig_has_logged("disk1: lost: "));
	CU_ASSERT_TRUE(rig_logs("generation 2"));
	rig_stop(&rig);
}

/* A device whose server is away from the beginning. */
static void
test_late_server(void)
{
	struct rig_opts opts;
	char path[sizeof(rig.path) + 8];

	rig_start(&rig, NULL);
	snprintf(path, sizeof(path), "%s.late", rig.path);
	rig_device_opts(&rig, &opts, "late", path);
	CU_ASSERT_EQUAL(vuc_control_add_device(rig.control, &opts.device, NULL), 0);
	CU_ASSERT_EQUAL(rig_look(&rig, "late").state, VUC_CONTROL_AWAY);
	CU_ASSERT_EQUAL(rig_look(&rig, "late").generation, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_look(&rig, "late").reason, "No such file"));
	CU_ASSERT_EQUAL(shm_start(&client, rig.path, "late"), -ENOTCONN);
	shm_close(&client);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, "late", false, NULL), 0);
	rig_stop(&rig);
}

/* A server that does not go along with the cleaning loses its connection; the next VMM gets a new
 * one, on which there is nothing of the last VMM. */
static void
test_stubborn_server(void)
{
	static const struct {
		enum vuc_control_reset reset;
		const char *fault, *line;
	} rows[] = {
		{VUC_CONTROL_RESET_TRUST, "--fault=error=5@device_reset#2", "error 5"},
		{VUC_CONTROL_RESET_TRUST, "--fault=close@device_reset#2",
			"disconnected on DEVICE_RESET: "},
		{VUC_CONTROL_RESET_TRUST, "--fault=error=22@dma_unmap#1", "DMA unmapping of 0x0"},
		{VUC_CONTROL_RESET_TRUST, "--fault=error=5@device_set_irqs#2", "error 5"},
		{VUC_CONTROL_RESET_ON, "--fault=error=22@dma_unmap#1", "DMA unmapping of 0x0"},
		{VUC_CONTROL_RESET_ON, "--fault=error=5@device_set_irqs#2", "error 5"},
	};
	int memory = rig_memory(MIB, true), irq = eventfd(0, EFD_CLOEXEC);

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const options[] = {rows[i].fault, NULL};
		struct rig_opts opts;

		rig_opts_init(&opts);
		opts.server = options;
		opts.device.reset = rows[i].reset;
		/* One that is closed in any case is made anew at once, and not retried. */
		if (rows[i].reset == VUC_CONTROL_RESET_ON)
			opts.device.retry_min_ms = opts.device.retry_max_ms = 3600000;
		rig_start(&rig, &opts);
		leave_by_word(memory, irq);
		CU_ASSERT_TRUE(rig_has_logged("closing the connection to the server"));
		CU_ASSERT_TRUE(rig_has_logged(rows[i].line));
		find_no_traces(irq);
		CU_ASSERT_TRUE(rig_look(&rig, RIG_NAME).generation >= 2);
		rig_stop(&rig);
	}
	close(memory);
	close(irq);
}

/* A server that answers UNMAP_ALL and keeps the mappings, where the connection stays. */
static void
test_pretended_unmap(void)
{
	static const char *const options[] = {"--pretend=unmap-all", NULL};
	int memory = rig_memory(MIB, true);
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.server = options;
	opts.device.reset = VUC_CONTROL_RESET_TRUST;
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB / 4, 0, VUC_SHM_DMA_READ, memory), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, MIB, MIB / 4, 0, VUC_SHM_DMA_READ, memory), 0);
	CU_ASSERT_EQUAL(shm_dma_unmap_all(&client), 0);
	CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	shm_close(&client);
	CU_ASSERT_EQUAL(rig_server_maps(&rig, RIG_NAME), 0);
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).generation, 1);
	rig_stop(&rig);
	close(memory);
}

/* A server that a reset ends: the device is away, the reason says why, and it is tried seldom. One
 * that is never reset is there, and its VMM cannot reset it. */
static void
test_fatal_reset(void)
{
	static const char *const always[] = {"--fault=close@device_reset", NULL};
	static const char *const options[] = {"--fault=close@device_reset#1",
		"--fault=close@device_reset#2", "--fault=close@device_reset#3", NULL};
	struct rig_opts opts;
	uint64_t begun;

	rig_opts_init(&opts);
	opts.server = always;
	rig_start(&rig, &opts);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(rig_look(&rig, RIG_NAME).reason, "DEVICE_RESET has ended the last "));
	rig_stop(&rig);

	opts.server = options;
	begun = vuc_clock_ms();
	rig_start(&rig, &opts);
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_TRUE(vuc_clock_ms() - begun >= 12 * opts.device.retry_max_ms);
	CU_ASSERT_TRUE(rig_has_logged("DEVICE_RESET has ended the last connection ("));
	CU_ASSERT_TRUE(rig_has_logged("DEVICE_RESET has ended the last 3 connections"));
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).generation, 1);
	rig_stop(&rig);

	opts.device.reset = VUC_CONTROL_RESET_NEVER;
	rig_start(&rig, &opts);
	for (uint64_t generation = 1; generation <= 2; generation++) {
		rig_attach(&rig, &client, RIG_NAME);
		CU_ASSERT_EQUAL(client.reply.attach_reply.generation, generation);
		CU_ASSERT_EQUAL(
			client.reply.attach_reply.device_flags & VFIO_DEVICE_FLAGS_RESET, 0);
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), -EOPNOTSUPP);
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
		shm_close(&client);
	}
	rig_stop(&rig);
}

/* A VMM that attaches while the server is being connected to for the first time waits for that; and
 * is told, when it takes too long. */
static void
test_coming(void)
{
	static const char *const options[] = {
		"--fault=delay=200@version#2", "--fault=never@version#3", NULL};
	struct shm_client clients[2];
	atomic_uint tried = 0;
	struct rig_opts opts, again;

	rig_opts_init(&opts);
	opts.server = options;
	opts.control.handshake_timeout_ms = 6000;
	rig_start(&rig, &opts);
	rig_device_opts(&rig, &again, RIG_NAME, rig.server.socket);
	again.open.timeout_ms = 4500;
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
		CU_ASSERT_EQUAL_FATAL(vuc_control_add_device_start(
					      rig.control, &again.device, count_end, &tried, NULL),
			0);
		CU_ASSERT_EQUAL(shm_start(&client, rig.path, RIG_NAME), i == 0 ? 0 : -ENOTCONN);
		if (i == 1)
			CU_ASSERT_STRING_EQUAL(client.reply.failure.reason,
				"device disk0 is still connecting to its server");
		/* Before it is removed, the device is not connected to anew. */
		clients[i] = client;
	}
	shm_close(&clients[0]);
	shm_close(&clients[1]);
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(tried, 2);
	rig_stop(&rig);
}

/* Devices that come and go while others wait for them: nobody waits for ever. */
#define CHURN_ROUNDS 100u
#define CHURN_NAME   "churn"

static void *
churn_add(void *arg)
{
	struct rig_opts opts;

	rig_device_opts(&rig, &opts, CHURN_NAME, arg);
	for (unsigned int i = 0; i < CHURN_ROUNDS; i++) {
		int rc = vuc_control_add_device(rig.control, &opts.device, NULL);

		CU_ASSERT_TRUE(rc == 0 || rc == -EEXIST);
	}
	return NULL;
}

static void *
churn_remove(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < CHURN_ROUNDS; i++) {
		int rc = vuc_control_remove_device(rig.control, CHURN_NAME, true, NULL);

		CU_ASSERT_TRUE(rc == 0 || rc == -ENOENT);
		sched_yield();
	}
	return NULL;
}

static void *
churn_detach(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < CHURN_ROUNDS; i++) {
		int rc = vuc_control_detach(rig.control, CHURN_NAME, NULL);

		CU_ASSERT_TRUE(rc == 0 || rc == -ENOENT || rc == -ENOTCONN);
		sched_yield();
	}
	return NULL;
}

static void *
churn_attach(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < CHURN_ROUNDS; i++) {
		struct shm_client c;

		(void)shm_start(&c, rig.path, CHURN_NAME);
		shm_close(&c);
	}
	return NULL;
}

static void
test_churn(void)
{
	static void *(*const churn[])(void *arg) = {churn_add, churn_add, churn_remove,
		churn_remove, churn_detach, churn_attach, churn_attach};
	pthread_t threads[sizeof(churn) / sizeof(churn[0])];
	struct timespec end;

	rig_start(&rig, NULL);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_SECOND, true, NULL), 0);
	for (size_t i = 0; i < sizeof(churn) / sizeof(churn[0]); i++)
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, churn[i], rig.server.second), 0);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 60;
	for (size_t i = 0; i < sizeof(churn) / sizeof(churn[0]); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_timedjoin_np(threads[i], NULL, &end), 0);
	rig_stop(&rig);
}

/* Whatever another client has left in a device is gone, for the server keeps it. */
static void
test_strange_state(void)
{
	struct vuc_device_opts opts;
	uint64_t mark = 0x1234;
	struct vuc_device *dev;

	rig_start(&rig, NULL);
	CU_ASSERT_EQUAL_FATAL(vuc_control_remove_device(rig.control, RIG_NAME, false, NULL), 0);
	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = rig.server.socket;
	CU_ASSERT_EQUAL_FATAL(vuc_device_open(&opts, &dev, NULL), 0);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, REFDEV_REG_SCRATCH, &mark, sizeof(mark)), 0);
	vuc_device_close(dev);
	rig_add_device(&rig, NULL, RIG_NAME, rig.server.socket);
	find_no_traces(-1);
	rig_stop(&rig);
}

/* A device that cannot be reset is no VMM's, and nobody waits for it. */
static void
test_no_reset(void)
{
	static const char *const options[] = {
		"--fault=error=5@device_reset#1", "--fault=error=5@device_reset#2", NULL};
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.server = options;
	rig_start(&rig, &opts);
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(rig_look(&rig, RIG_NAME).generation, 1);
	CU_ASSERT_TRUE(rig_has_logged("disk0: away: "));
	CU_ASSERT_TRUE(rig_has_logged(
		"the server answered VFIO_USER_DEVICE_RESET with error 5 (Input/output error)"));
	rig_stop(&rig);
}

/* A server that does not go along with the end is not connected to again. */
static void
test_stubborn_at_the_end(void)
{
	static const char *const options[] = {"--fault=error=5@device_reset#2", NULL};
	struct rig_opts opts;

	rig_opts_init(&opts);
	opts.server = options;
	opts.device.reset = VUC_CONTROL_RESET_TRUST;
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
	shm_close(&client);
	CU_ASSERT_TRUE(rig_has_logged("closing the connection to the server"));
	CU_ASSERT_FALSE(rig_has_logged("generation 2"));
	rig_stop(&rig);
}

/* One whose connections all end soon is connected to less and less often: it cannot keep the poller
 * busy, nor fill the log. */
static void
test_flapping_server(void)
{
	/* Each second reset is that of a VMM that leaves. */
	static const char *const options[] = {"--fault=error=5@device_reset#2",
		"--fault=error=5@device_reset#4", "--fault=error=5@device_reset#6", NULL};
	struct rig_opts opts;
	uint64_t begun;

	rig_opts_init(&opts);
	opts.server = options;
	opts.device.reset = VUC_CONTROL_RESET_TRUST;
	opts.device.retry_min_ms = 50;
	opts.device.retry_max_ms = 3600000;
	rig_start(&rig, &opts);
	begun = vuc_clock_ms();
	for (uint64_t generation = 1; generation <= 3; generation++) {
		rig_attach(&rig, &client, RIG_NAME);
		CU_ASSERT_EQUAL(client.reply.attach_reply.generation, generation);
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
		shm_close(&client);
		CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	}
	CU_ASSERT_TRUE(vuc_clock_ms() - begun >= 50 + 100 + 200);
	rig_stop(&rig);
}

/* An eventfd that its VMM has filled, and made blocking, blocks nobody. */
static void
test_full_eventfd(void)
{
	const uint64_t full = UINT64_MAX - 1;
	int fd;

	rig_start(&rig, NULL);
	rig_attach(&rig, &client, RIG_NAME);
	fd = client.attach_fds[VUC_SHM_FD_EVENT];
	CU_ASSERT_EQUAL(write(fd, &full, sizeof(full)), sizeof(full));
	CU_ASSERT_EQUAL(fcntl(fd, F_SETFL, 0), 0);
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, NULL), 0);
	CU_ASSERT_EQUAL(shm_state(&client).state, VUC_SHM_REMOVED);
	shm_close(&client);
	rig_stop(&rig);
}

static void *
reset(void *arg)
{
	int *result = arg;

	*result = shm_plain(&client, VUC_SHM_RESET);
	return NULL;
}

/* A server that never answers delays the VMM that asks it, for an hour if it may, and no other one
 * of its poller: not even what that asks of its own server. Nor does it delay the end. */
static void
test_hung_server(void)
{
	static const char *const options[] = {"--fault=drop@device_reset#2", NULL};
	int memory = rig_memory(MIB, true);
	struct shm_client other;
	struct rig_opts opts;
	struct shm_queue q;
	pthread_t thread;
	int result = 0;

	rig_opts_init(&opts);
	opts.server = options;
	opts.open.timeout_ms = AN_HOUR;
	opts.open.long_timeout_ms = AN_HOUR;
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, reset, &result), 0);
	rig_attach(&rig, &other, RIG_SECOND);
	for (unsigned int i = 0; i < 50; i++) {
		CU_ASSERT_EQUAL_FATAL(shm_open_queue(&other, 4, 64, &q), 0);
		CU_ASSERT_EQUAL(shm_close_queue(&q), 0);
		CU_ASSERT_EQUAL(shm_dma_map(&other, 0, MIB, 0, VUC_SHM_DMA_READ, memory), 0);
		CU_ASSERT_EQUAL(shm_dma_unmap(&other, 0, MIB), 0);
	}
	vuc_control_destroy(rig.control);
	pthread_join(thread, NULL);
	/* It is told that the connection has ended, or finds that the daemon has. */
	CU_ASSERT_NOT_EQUAL(result, 0);
	shm_close(&other);
	shm_close(&client);
	rig.control = NULL;
	rig_stop(&rig);
	close(memory);
}

/* Whether the server has had so many resets; it says so on stderr. */
static bool
has_had_resets(unsigned int nr)
{
	char *errors = vuc_spawn_errors(&rig.server.process);
	unsigned int n = 0;

	for (const char *at = errors; (at = strstr(at, "device_reset (")) != NULL; at++)
		n++;
	free(errors);
	return n >= nr;
}

/* A VMM that waits for its own server, for an hour if it may, is taken its device away all the
 * same, or the device is removed. */
static void
leave_hung_server(bool removed)
{
	static const char *const options[] = {"--verbose", "--fault=drop@device_reset#2", NULL};
	struct rig_opts opts;
	pthread_t thread;
	int result = 0;

	rig_opts_init(&opts);
	opts.server = options;
	opts.open.timeout_ms = AN_HOUR;
	opts.open.long_timeout_ms = AN_HOUR;
	rig_start(&rig, &opts);
	rig_attach(&rig, &client, RIG_NAME);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, reset, &result), 0);
	/* Each of its two devices has been reset once before. */
	for (unsigned int i = 0; !has_had_resets(3) && i < RIG_WAIT_MS; i++)
		vuc_clock_sleep_ms(1);
	CU_ASSERT_EQUAL(removed ? vuc_control_remove_device(rig.control, RIG_NAME, true, NULL)
				: vuc_control_detach(rig.control, RIG_NAME, NULL),
		0);
	pthread_join(thread, NULL);
	CU_ASSERT_NOT_EQUAL(result, 0);
	CU_ASSERT_TRUE(
		rig_logs("the server did not answer while the device was taken away from its VMM"));
	shm_close(&client);
	if (!removed) {
		CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
		rig_attach(&rig, &client, RIG_NAME);
		shm_close(&client);
	}
	rig_stop(&rig);
}

static void
test_leave_hung_server(void)
{
	leave_hung_server(false);
	leave_hung_server(true);
}

/* Descriptors whose closing takes as long as the VMM likes, in a packet that was taken and in one
 * that was not: they hold up their VMM alone, and neither its removal nor the end of the daemon. */
static void
test_slow_fds(void)
{
	enum {
		REMOVED,
		STOPPED,
		NR_WAYS
	};
	const struct vuc_shm_dma_entry entry = {
		.op = VUC_SHM_DMA_MAP, .flags = VUC_SHM_DMA_READ, .size = MIB};
	union shm_packet map = {.bytes = {0}};
	struct vuc_shm_plain reset;
	struct shm_client other;
	int fds[2], peers[2];

	map.dma.nr = 1;
	map.dma.nr_fds = 1;
	map.dma.entries[0] = entry;
	for (unsigned int way = REMOVED; way < NR_WAYS; way++) {
		rig_start(&rig, NULL);
		rig_attach(&rig, &client, RIG_NAME);
		/* Nothing of what follows the reset is taken before it is the daemon's alone. */
		kill(rig.server.process.pid, SIGSTOP);
		shm_header(&client, &reset.header, VUC_SHM_RESET, sizeof(reset));
		CU_ASSERT_EQUAL(shm_send(&client, &reset, sizeof(reset), NULL, 0), 0);
		for (unsigned int i = 0; i < 2; i++) {
			size_t size = sizeof(map.dma) + sizeof(entry);

			fds[i] = fd_slow(&peers[i]);
			CU_ASSERT_TRUE_FATAL(fds[i] >= 0);
			shm_header(&client, &map.header, VUC_SHM_DMA, size);
			CU_ASSERT_EQUAL(shm_send(&client, &map, size, &fds[i], 1), 0);
			close(fds[i]);
		}
		kill(rig.server.process.pid, SIGCONT);
		CU_ASSERT_EQUAL(shm_receive(&client, SHM_TIMEOUT_MS), 0);
		CU_ASSERT_EQUAL(client.reply.header.status, 0);
		CU_ASSERT_EQUAL(shm_receive(&client, SHM_TIMEOUT_MS), 0);
		CU_ASSERT_TRUE(client.reply.header.status < 0);
		rig_attach(&rig, &other, RIG_SECOND);
		CU_ASSERT_EQUAL(shm_plain(&other, VUC_SHM_RESET), 0);
		if (way == REMOVED)
			CU_ASSERT_EQUAL(
				vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
		vuc_control_destroy(rig.control);
		rig.control = NULL;
		shm_close(&other);
		shm_close(&client);
		close(peers[0]);
		close(peers[1]);
		rig_stop(&rig);
	}
}

/* Whether a process has a file mapped or open, by the name that /proc shows of it. */
static bool
holds_file(pid_t pid, const char *name)
{
	char path[64], line[512];
	struct dirent *entry;
	bool held = false;
	FILE *maps;
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	CU_ASSERT_PTR_NOT_NULL_FATAL(maps);
	while (!held && fgets(line, sizeof(line), maps) != NULL)
		held = strstr(line, name) != NULL;
	fclose(maps);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	fds = opendir(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(fds);
	while (!held && (entry = readdir(fds)) != NULL) {
		ssize_t n = readlinkat(dirfd(fds), entry->d_name, line, sizeof(line) - 1);

		line[n > 0 ? n : 0] = '\0';
		held = strstr(line, name) != NULL;
	}
	closedir(fds);
	return held;
}

/* The server maps the memory though its answer comes too late: it loses the connection, and holds
 * nothing of it when the device is free. */
static void
test_late_map(void)
{
	static const char *const options[] = {"--fault=delay=1500@dma_map#1", NULL};
	int memory = vuc_memfd_create("late-guest", MIB, F_SEAL_SHRINK);
	struct rig_opts opts;
	pid_t server;
	int rc;

	rig_opts_init(&opts);
	opts.server = options;
	opts.open.long_timeout_ms = 500;
	rig_start(&rig, &opts);
	server = rig.server.process.pid;
	rig_attach(&rig, &client, RIG_NAME);
	/* From here on the server may see the end of the connection at any time. */
	rc = shm_dma_map(&client, 0, MIB, 0, VUC_SHM_DMA_READ, memory);
	CU_ASSERT_EQUAL(rc, -ETIMEDOUT);
	if (rc != -ETIMEDOUT)
		printf("# %d: %.239s\n", rc, rc < 0 ? client.reply.failure.reason : "");
	shm_close(&client);
	CU_ASSERT_TRUE(rig_becomes(&rig, RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_FALSE(holds_file(server, "memfd:late-guest"));
	CU_ASSERT_EQUAL(rig_server_maps(&rig, RIG_NAME), 0);
	rig_stop(&rig);
	close(memory);
}

static CU_TestInfo tests[] = {
	{"traces", test_traces},
	{"late_map", test_late_map},
	{"posted", test_posted},
	{"killed", test_killed},
	{"detach", test_detach},
	{"remove", test_remove},
	{"remove_errors", test_remove_errors},
	{"stop", test_stop},
	{"stop_beside_hung_servers", test_stop_beside_hung_servers},
	{"loss", test_loss},
	{"away", test_away},
	{"remove_while_away", test_remove_while_away},
	{"late_server", test_late_server},
	{"stubborn_server", test_stubborn_server},
	{"pretended_unmap", test_pretended_unmap},
	{"fatal_reset", test_fatal_reset},
	{"unanswered_reset", test_unanswered_reset},
	{"coming", test_coming},
	{"churn", test_churn},
	{"strange_state", test_strange_state},
	{"no_reset", test_no_reset},
	{"stubborn_at_the_end", test_stubborn_at_the_end},
	{"flapping_server", test_flapping_server},
	{"full_eventfd", test_full_eventfd},
	{"hung_server", test_hung_server},
	{"leave_hung_server", test_leave_hung_server},
	{"slow_fds", test_slow_fds},
	CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	return rig_main(argc, argv, tests);
}
