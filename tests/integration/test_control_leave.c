/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * How VMMs, devices and the daemon part: by word, by death, by force. Whatever happens, the next
 * VMM finds the device as new.
 */

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>

#include "clock.h"
#include "fd_count.h"
#include "rig.h"

/* Ways to leave. */
enum way {
	CLOSE_QUEUE, /* and hang up */
	DETACH,
	HANG_UP,
	FORCE,
	DEATH,
	NR_WAYS,
};

static void
leave(enum way way)
{
	if (way == DETACH)
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_DETACH), 0);
	if (way == FORCE)
		CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, NULL), 0);
	shm_close(&client);
}

/* What was posted before a VMM leaves is carried out, and only then is the device cleaned. */
static void
test_posted(void)
{
	enum {
		NR_POSTED = 200
	};
	static const struct vuc_shm_request trigger = {.op = VUC_SHM_WRITE_POSTED,
		.region = BAR0,
		.offset = REFDEV_REG_IRQ_TRIGGER,
		.count = 4};

	rig_start(NULL);
	for (enum way way = CLOSE_QUEUE; way <= HANG_UP; way++) {
		struct shm_queue *q;
		uint64_t raised = 0;

		rig_attach(&client, RIG_NAME);
		CU_ASSERT_EQUAL(shm_assign_irqs(&client, &rig.irq, 1), 0);
		q = rig_open_queue(&client, 256, 64);
		for (unsigned int i = 0; i < NR_POSTED; i++)
			shm_submit(q, &trigger);
		if (way == CLOSE_QUEUE)
			CU_ASSERT_EQUAL(shm_close_queue(q), 0);
		leave(way);
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		CU_ASSERT_EQUAL(read(rig.irq, &raised, sizeof(raised)), sizeof(raised));
		CU_ASSERT_EQUAL(raised, NR_POSTED);
	}
}

/* As another process, which is killed. */
static void
leave_by_death(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (shm_start(&client, rig.path, RIG_NAME) != 0)
			_exit(1);
		rig_leave_traces(&client);
		raise(SIGKILL);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status));
}

/* Whichever way a VMM leaves, and whatever the server does of a reset: its next VMM, which leaves
 * by word, finds nothing. */
static void
test_traces(void)
{
	static const struct {
		struct rig_opts opts;
		bool stays; /* the server's connection */
	} rows[] = {
		{{.reset = VUC_CONTROL_RESET_ON}, false},
		{{.reset = VUC_CONTROL_RESET_ON, .server = {"--pretend=reset"}}, false},
		{{.reset = VUC_CONTROL_RESET_TRUST}, true},
		{{.reset = VUC_CONTROL_RESET_TRUST, .server = {"--once"}}, true},
		{{.reset = VUC_CONTROL_RESET_NEVER, .server = {"--pretend=reset"}}, false},
	};

	for (unsigned int i = 0; i < NR(rows); i++) {
		rig_start(&rows[i].opts);
		for (enum way way = DETACH; way < NR_WAYS; way++) {
			if (way == DEATH) {
				leave_by_death();
			} else {
				rig_attach(&client, RIG_NAME);
				rig_leave_traces(&client);
				leave(way);
			}
			rig_expect_new();
		}
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).attaches, 8);
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).generation, rows[i].stays ? 1 : 9);
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

/* The server maps the memory though its answer comes too late, or never: it loses the connection,
 * and holds nothing of it when the device is free. An answer that is late by a second is in time
 * for a daemon that has not had the CPU for so long. */
static void
test_late_map(void)
{
	static const char *const faults[] = {
		"--fault=drop@dma_map#1", "--fault=delay=2000@dma_map#1"};

	for (unsigned int i = 0; i < 2; i++) {
		int rc;

		rig_start(&(struct rig_opts){.server = {faults[i]}, .long_timeout_ms = 1000});
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		rig_attach(&client, RIG_NAME);
		rc = shm_dma_map(&client, 0, MIB, 0, VUC_SHM_DMA_READ, rig.memory);
		CU_ASSERT_TRUE(rc == -ETIMEDOUT || (i == 1 && rc == 0));
		shm_close(&client);
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
		CU_ASSERT_FALSE(holds_file(peer_process(rig.peer)->pid, "memfd:guest"));
		rig_expect_new();
	}
}

static int detached, removed;

static void *
run_detach(void *arg)
{
	detached = vuc_control_detach(rig.control, RIG_NAME, NULL);
	return arg;
}

static void *
run_remove(void *arg)
{
	removed = vuc_control_remove_device(rig.control, RIG_NAME, true, NULL);
	return arg;
}

#define GRACE_MS 100u /* until a VMM is sent away */
#define TRIES    20u  /* of one to leave before, for which it needs the CPU */

/* It is told, and leaves; or it does not, or not in time, and is sent away, no sooner. Returns
 * whether it has left. */
static bool
take_away(void *(*run)(void *), bool obedient)
{
	int rc = SHM_GONE;
	uint64_t begun;
	pthread_t thread;

	rig_start_attached(NULL);
	detached = removed = 0;
	begun = vuc_clock_ms();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, NULL), 0);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_REMOVED));
	CU_ASSERT_TRUE(rig_has_logged("disk0: waiting for VMM shm-client (pid "));
	if (obedient)
		rc = shm_plain(&client, VUC_SHM_DETACH);
	CU_ASSERT_TRUE(rc == 0 || rc == SHM_GONE);
	CU_ASSERT_TRUE(shm_is_ended(&client));
	CU_ASSERT_TRUE(rc == 0 || vuc_clock_ms() - begun >= GRACE_MS);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(detached, 0);
	CU_ASSERT_EQUAL(removed, 0);
	CU_ASSERT_EQUAL(rig_has_logged("the device was taken away"), rc == SHM_GONE);
	shm_close(&client);
	return rc == 0;
}

static void
test_detach(void)
{
	bool left = false;

	for (unsigned int i = 0; !left && i <= TRIES; i++) {
		left = take_away(run_detach, i > 0);
		rig_attach(&client, RIG_NAME);
	}
	CU_ASSERT_TRUE(left);
}

static void
test_remove(void)
{
	bool left = false;

	for (unsigned int i = 0; !left && i <= TRIES; i++) {
		left = take_away(run_remove, i > 0);
		CU_ASSERT_EQUAL(shm_start(&client, rig.path, RIG_NAME), -ENOENT);
		CU_ASSERT_TRUE(rig_has_logged("disk0: removed"));
	}
	CU_ASSERT_TRUE(left);
}

/* What cannot be removed is not; a name that was removed can be used again. */
static void
test_remove_errors(void)
{
	struct vuc_error err = {0};
	struct rig_device d;

	rig_start(NULL);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, "no", true, &err), -ENOENT);
	CU_ASSERT_STRING_EQUAL(err.text, "there is no device no");
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, "no", NULL), -ENOENT);
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, &err), -ENOTCONN);
	rig_attach(&client, RIG_NAME);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, false, &err), -EBUSY);
	leave(DETACH);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, false, NULL), 0);
	rig_device_opts(&d, NULL, RIG_SECOND, rig.sockets[0]);
	CU_ASSERT_EQUAL(vuc_control_add_device(rig.control, &d.control, &err), -EEXIST);
	rig_add_device(NULL, RIG_NAME, rig.sockets[0]);
	rig_attach(&client, RIG_NAME);
}

static void *
run_destroy(void *arg)
{
	rig_stop_control();
	return arg;
}

/* The daemon ends: who is attached is told, and has a moment; who is not, has not. */
static void
test_stop(void)
{
	pthread_t thread;

	rig_start_attached(NULL);
	rig_greet(&other_client);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_destroy, NULL), 0);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_STOPPING));
	CU_ASSERT_TRUE(shm_is_ended(&other_client));
	CU_ASSERT_TRUE(shm_is_ended(&client));
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(access(rig.path, F_OK), -1);
}

/* Devices that come and go while others wait for them: nobody waits for ever. */
#define CHURN_ROUNDS 100u
#define CHURN_NAME   "churn"

static int
churn_add(void)
{
	struct rig_device d;

	rig_device_opts(&d, NULL, CHURN_NAME, rig.sockets[1]);
	return vuc_control_add_device(rig.control, &d.control, NULL);
}

static int
churn_remove(void)
{
	return vuc_control_remove_device(rig.control, CHURN_NAME, true, NULL);
}

static int
churn_detach(void)
{
	return vuc_control_detach(rig.control, CHURN_NAME, NULL);
}

static int
churn_attach(void)
{
	struct shm_client c;

	(void)shm_start(&c, rig.path, CHURN_NAME);
	shm_close(&c);
	return 0;
}

/* What each thread does, and how that may fail. */
static const struct churn {
	int (*act)(void);
	int errors[2];
} churns[] = {
	{churn_add, {-EEXIST}},
	{churn_add, {-EEXIST}},
	{churn_remove, {-ENOENT}},
	{churn_remove, {-ENOENT}},
	{churn_detach, {-ENOENT, -ENOTCONN}},
	{churn_attach, {0}},
	{churn_attach, {0}},
};

static void *
run_churn(void *arg)
{
	const struct churn *c = arg;

	for (unsigned int i = 0; i < CHURN_ROUNDS; i++) {
		int rc = c->act();

		CU_ASSERT_TRUE(rc == 0 || rc == c->errors[0] || rc == c->errors[1]);
		sched_yield();
	}
	return NULL;
}

static void
test_churn(void)
{
	pthread_t threads[NR(churns)];
	struct timespec end;

	rig_start(NULL);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_SECOND, true, NULL), 0);
	for (size_t i = 0; i < NR(churns); i++)
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&threads[i], NULL, run_churn, (void *)(uintptr_t)&churns[i]),
			0);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 2 * RIG_WAIT_MS / 1000;
	for (size_t i = 0; i < NR(churns); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_timedjoin_np(threads[i], NULL, &end), 0);
}

/* An eventfd that its VMM has filled, and made blocking, blocks nobody. */
static void
test_full_eventfd(void)
{
	const uint64_t full = UINT64_MAX - 1;
	int fd;

	rig_start_attached(NULL);
	fd = client.attach_fds[VUC_SHM_FD_EVENT];
	CU_ASSERT_EQUAL(write(fd, &full, sizeof(full)), sizeof(full));
	CU_ASSERT_EQUAL(fcntl(fd, F_SETFL, 0), 0);
	CU_ASSERT_EQUAL(vuc_control_detach(rig.control, RIG_NAME, NULL), 0);
	CU_ASSERT_EQUAL(shm_state(&client).state, VUC_SHM_REMOVED);
}

/* Descriptors whose closing takes as long as the VMM likes, in a packet that was taken and in one
 * that was not: they hold up their VMM alone, and neither its removal nor the end of the daemon. */
static void
slow_fds(bool remove)
{
	const struct vuc_shm_dma_entry entry = {
		.op = VUC_SHM_DMA_MAP, .flags = VUC_SHM_DMA_READ, .size = MIB};
	union shm_packet map = {.bytes = {0}};
	const size_t size = sizeof(map.dma) + sizeof(entry);
	int fd, peers[2];

	map.dma.nr = 1;
	map.dma.nr_fds = 1;
	map.dma.entries[0] = entry;
	rig_start_attached(NULL);
	/* Nothing of what follows the reset is taken before it is the daemon's alone. */
	rig_signal_server(SIGSTOP);
	CU_ASSERT_EQUAL(shm_send_plain(&client, VUC_SHM_RESET), 0);
	for (unsigned int i = 0; i < 2; i++) {
		fd = fd_slow(&peers[i]);
		CU_ASSERT_TRUE_FATAL(fd >= 0);
		shm_header(&client, &map.header, VUC_SHM_DMA, size);
		CU_ASSERT_EQUAL(shm_send(&client, &map, size, &fd, 1), 0);
		close(fd);
	}
	rig_signal_server(SIGCONT);
	CU_ASSERT_EQUAL(shm_receive(&client, SHM_TIMEOUT_MS), 0);
	CU_ASSERT_EQUAL(client.reply.header.status, 0);
	CU_ASSERT_EQUAL(shm_receive(&client, SHM_TIMEOUT_MS), 0);
	CU_ASSERT_TRUE(client.reply.header.status < 0);
	rig_attach(&other_client, RIG_SECOND);
	CU_ASSERT_EQUAL(shm_plain(&other_client, VUC_SHM_RESET), 0);
	if (remove)
		CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
	rig_stop_control();
	close(peers[0]);
	close(peers[1]);
}

static void
test_slow_fds(void)
{
	slow_fds(true);
	slow_fds(false);
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"posted", test_posted},
		{"traces", test_traces},
		{"late_map", test_late_map},
		{"detach", test_detach},
		{"remove", test_remove},
		{"remove_errors", test_remove_errors},
		{"stop", test_stop},
		{"churn", test_churn},
		{"full_eventfd", test_full_eventfd},
		{"slow_fds", test_slow_fds},
	}};
