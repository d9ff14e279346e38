/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Servers of the daemon's devices that die, hang, come late, or do not do what they say: their VMM
 * is told, nobody else waits for them, and whoever has the device next finds it as new.
 */

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "clock.h"
#include "rig.h"

#define HUNG 8u /* servers */

/* Posted writes of a page each: more than the socket of a server that does not read takes, and less
 * than that and what the connection keeps to be sent. */
#define NR_POSTED 70u

/* The server dies and comes back: the VMM is told of both, its requests fail in between, and after
 * it has attached anew the device works. */
static void
test_loss(void)
{
	struct shm_queue *q;
	uint32_t id = 0;
	int rc;

	rig_start_attached(NULL);
	q = rig_open_queue(&client, 4, 64);
	rig_lose_server();
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_AWAY);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).vmm_pid, getpid());
	rc = shm_read(q, BAR0, REFDEV_REG_ID, &id, 4);
	CU_ASSERT_TRUE(rc < 0 && rc != -ETIMEDOUT);
	CU_ASSERT_TRUE(shm_plain(&client, VUC_SHM_RESET) < 0);
	peer_restart(rig.peer);
	CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_STALE));
	CU_ASSERT_EQUAL(shm_state(&client).generation, 2);
	rig_detach(&client);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).errors, 1);
	rig_attach(&client, RIG_NAME);
	CU_ASSERT_EQUAL(client.reply.attach_reply.generation, 2);
	CU_ASSERT_EQUAL(
		rig_read(rig_open_queue(&client, 4, 64), REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
}

/* A VMM that leaves while the server is away, and one that comes then. */
static void
test_away(void)
{
	rig_start_attached(NULL);
	rig_lose_server();
	rig_detach(&client);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_AWAY);
	CU_ASSERT_STRING_NOT_EQUAL(rig_look(RIG_NAME).reason, "");
	CU_ASSERT_TRUE(rig_becomes(RIG_SECOND, VUC_CONTROL_AWAY));
	CU_ASSERT_EQUAL(shm_start(&client, rig.path, RIG_NAME), -ENOTCONN);
	/* An attempt to connect has failed before the server is there again. */
	CU_ASSERT_TRUE(rig_logs("disk1: away: "));
	peer_restart(rig.peer);
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(shm_attach(&client, RIG_NAME), 0);
	CU_ASSERT_TRUE(rig_becomes(RIG_SECOND, VUC_CONTROL_FREE));
	CU_ASSERT_TRUE(rig_has_logged("disk1: lost: "));
	CU_ASSERT_TRUE(rig_logs("generation 2"));
}

/* A VMM whose server is away when its device is removed has nothing to end in order, and is not
 * given the time for that. */
static void
test_remove_while_away(void)
{
	for (unsigned int back = 0; back < 2; back++) {
		rig_start_attached(NULL);
		rig_lose_server();
		if (back != 0) {
			peer_restart(rig.peer);
			CU_ASSERT_TRUE(shm_becomes(&client, VUC_SHM_STALE));
		}
		CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
		CU_ASSERT_TRUE(rig_logs("disconnected: its device is lost, and is removed"));
	}
}

/* A device whose server is away from the beginning. */
static void
test_late_server(void)
{
	char path[sizeof(rig.path) + 8];

	rig_start(NULL);
	snprintf(path, sizeof(path), "%s.late", rig.path);
	rig_add_device(NULL, "late", path);
	CU_ASSERT_EQUAL(rig_look("late").state, VUC_CONTROL_AWAY);
	CU_ASSERT_EQUAL(rig_look("late").generation, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_look("late").reason, "No such file"));
	CU_ASSERT_EQUAL(shm_start(&client, rig.path, "late"), -ENOTCONN);
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, "late", false, NULL), 0);
}

/* A VMM that attaches while the server is being connected to for the first time waits for that; and
 * is told, when it takes too long. */
static void
test_coming(void)
{
	const struct rig_opts opts = {
		.server = {"--fault=delay=200@version#2", "--fault=never@version#3"},
		.handshake_timeout_ms = 10000,
	};
	struct shm_client first;
	atomic_uint tried = 0;
	struct rig_device again;

	rig_start(&opts);
	rig_device_opts(&again, &(struct rig_opts){.timeout_ms = 5500}, RIG_NAME, rig.sockets[0]);
	for (unsigned int i = 0; i < 2; i++) {
		/* Before it is removed, the device is not connected to anew. */
		first = client;
		CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
		CU_ASSERT_EQUAL_FATAL(vuc_control_add_device_start(rig.control, &again.control,
					      rig_count_end, &tried, NULL),
			0);
		CU_ASSERT_EQUAL(shm_start(&client, rig.path, RIG_NAME), i == 0 ? 0 : -ENOTCONN);
	}
	CU_ASSERT_STRING_EQUAL(
		client.reply.failure.reason, "device disk0 is still connecting to its server");
	shm_close(&first);
	shm_close(&client);
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(tried, 2);
}

/* One whose connections all end soon is connected to less and less often: it cannot keep the poller
 * busy, nor fill the log. */
static void
test_flapping_server(void)
{
	/* Each second reset is that of a VMM that leaves. */
	const struct rig_opts opts = {
		.server = {"--fault=error=5@device_reset#2", "--fault=error=5@device_reset#4",
			"--fault=error=5@device_reset#6"},
		.reset = VUC_CONTROL_RESET_TRUST,
		.retry_min_ms = 50,
		.retry_max_ms = AN_HOUR,
	};
	uint64_t begun;

	rig_start(&opts);
	begun = vuc_clock_ms();
	for (uint64_t generation = 1; generation <= 3; generation++) {
		rig_attach(&client, RIG_NAME);
		CU_ASSERT_EQUAL(client.reply.attach_reply.generation, generation);
		rig_detach(&client);
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	}
	CU_ASSERT_TRUE(vuc_clock_ms() - begun >= 50 + 100 + 200);
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

	for (unsigned int i = 0; i < NR(rows); i++) {
		/* One that is closed in any case is made anew at once, and not retried. */
		uint32_t retry_ms = rows[i].reset == VUC_CONTROL_RESET_ON ? AN_HOUR : 0;

		rig_start_attached(&(struct rig_opts){.server = {rows[i].fault},
			.reset = rows[i].reset,
			.retry_min_ms = retry_ms,
			.retry_max_ms = retry_ms});
		rig_leave_traces(&client);
		rig_detach(&client);
		CU_ASSERT_TRUE(rig_has_logged("closing the connection to the server"));
		CU_ASSERT_TRUE(rig_has_logged(rows[i].line));
		rig_expect_new();
		CU_ASSERT_TRUE(rig_look(RIG_NAME).generation >= 2);
	}
}

/* One that does not go along with the end is not connected to again. */
static void
test_stubborn_at_the_end(void)
{
	rig_start_attached(&(struct rig_opts){
		.server = {"--fault=error=5@device_reset#2"}, .reset = VUC_CONTROL_RESET_TRUST});
	CU_ASSERT_EQUAL(vuc_control_remove_device(rig.control, RIG_NAME, true, NULL), 0);
	CU_ASSERT_TRUE(rig_has_logged("closing the connection to the server"));
	CU_ASSERT_FALSE(rig_has_logged("generation 2"));
}

/* A server that answers UNMAP_ALL and keeps the mappings, where the connection stays. */
static void
test_pretended_unmap(void)
{
	rig_start_attached(&(struct rig_opts){
		.server = {"--pretend=unmap-all"}, .reset = VUC_CONTROL_RESET_TRUST});
	CU_ASSERT_EQUAL(shm_dma_map(&client, 0, MIB / 4, 0, VUC_SHM_DMA_READ, rig.memory), 0);
	CU_ASSERT_EQUAL(shm_dma_map(&client, MIB, MIB / 4, 0, VUC_SHM_DMA_READ, rig.memory), 0);
	CU_ASSERT_EQUAL(shm_dma_unmap_all(&client), 0);
	rig_detach(&client);
	rig_expect_new();
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).generation, 1);
}

/* Whatever another client has left in a device is gone, for the server keeps it. */
static void
test_strange_state(void)
{
	uint64_t mark = 0x1234;
	struct vuc_device *dev;

	rig_start(NULL);
	CU_ASSERT_EQUAL_FATAL(vuc_control_remove_device(rig.control, RIG_NAME, false, NULL), 0);
	dev = peer_open(rig.peer, 0);
	CU_ASSERT_EQUAL(vuc_device_write(dev, BAR0, REFDEV_REG_SCRATCH, &mark, sizeof(mark)), 0);
	vuc_device_close(dev);
	rig_add_device(NULL, RIG_NAME, rig.sockets[0]);
	rig_expect_new();
}

/* A server that a reset ends: the device is away, the reason says why, and it is tried seldom. One
 * that is never reset is there, and its VMM cannot reset it. */
static void
test_fatal_reset(void)
{
	struct rig_opts opts = {.server = {"--fault=close@device_reset"}};
	uint64_t begun;

	rig_start(&opts);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(rig_look(RIG_NAME).reason, "DEVICE_RESET has ended the last "));
	rig_stop();

	opts = (struct rig_opts){
		.server = {"--fault=close@device_reset#1", "--fault=close@device_reset#2",
			"--fault=close@device_reset#3"},
		.retry_max_ms = 50};
	begun = vuc_clock_ms();
	rig_start(&opts);
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_TRUE(vuc_clock_ms() - begun >= 12 * opts.retry_max_ms);
	CU_ASSERT_TRUE(rig_has_logged("DEVICE_RESET has ended the last connection ("));
	CU_ASSERT_TRUE(rig_has_logged("DEVICE_RESET has ended the last 3 connections"));
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).generation, 1);
	rig_stop();

	opts.reset = VUC_CONTROL_RESET_NEVER;
	rig_start(&opts);
	for (uint64_t generation = 1; generation <= 2; generation++) {
		rig_attach(&client, RIG_NAME);
		CU_ASSERT_EQUAL(client.reply.attach_reply.generation, generation);
		CU_ASSERT_EQUAL(
			client.reply.attach_reply.device_flags & VFIO_DEVICE_FLAGS_RESET, 0);
		CU_ASSERT_EQUAL(shm_plain(&client, VUC_SHM_RESET), -EOPNOTSUPP);
		rig_detach(&client);
	}
}

/* A device that cannot be reset is no VMM's, and nobody waits for it. */
static void
test_no_reset(void)
{
	rig_start(&(struct rig_opts){
		.server = {"--fault=error=5@device_reset#1", "--fault=error=5@device_reset#2"}});
	CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).generation, 1);
	CU_ASSERT_TRUE(rig_has_logged("disk0: away: "));
	CU_ASSERT_TRUE(rig_has_logged(
		"the server answered VFIO_USER_DEVICE_RESET with error 5 (Input/output error)"));
}

/* What is waited for is told meanwhile, and what it was afterwards: no server has ended anything.
 */
static void
test_unanswered_reset(void)
{
	unsigned int ms = 0;
	bool told;

	rig_start(&(struct rig_opts){
		.server = {"--fault=drop@device_reset"}, .long_timeout_ms = 200});
	CU_ASSERT_TRUE(rig_has_logged(
		"disk0: away: DEVICE_RESET was not answered on the last connection (\"reset = "
		"never\" avoids it): "));
	CU_ASSERT_FALSE(rig_has_logged("has ended the last"));
	do {
		told = strstr(rig_look(RIG_NAME).reason,
			       "waiting for the answer to DEVICE_RESET") != NULL;
	} while (!told && rig_wait(&ms));
	CU_ASSERT_TRUE(told);
}

static void *
run_reset(void *arg)
{
	*(int *)arg = shm_plain(&client, VUC_SHM_RESET);
	return NULL;
}

/* A server that never answers delays the VMM that asks it, for an hour if it may, and no other one
 * of its poller: not even what that asks of its own server. Nor does it delay the end. */
static void
test_hung_server(void)
{
	int result = 0;
	pthread_t thread;

	rig_start_attached(&(struct rig_opts){.server = {"--fault=drop@device_reset#2"}});
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_reset, &result), 0);
	rig_attach(&other_client, RIG_SECOND);
	for (unsigned int i = 0; i < 50; i++) {
		rig_pass_time(&other_client, 1);
		CU_ASSERT_EQUAL(
			shm_dma_map(&other_client, 0, MIB, 0, VUC_SHM_DMA_READ, rig.memory), 0);
		CU_ASSERT_EQUAL(shm_dma_unmap(&other_client, 0, MIB), 0);
	}
	vuc_control_destroy(rig.control);
	pthread_join(thread, NULL);
	/* It is told that the connection has ended, or finds that the daemon has. */
	CU_ASSERT_NOT_EQUAL(result, 0);
	shm_close(&other_client);
	rig.control = NULL;
}

/* How many resets the server has had; it says so on stderr. */
static unsigned int
count_resets(void)
{
	char *errors = process_errors(peer_process(rig.peer));
	unsigned int n = 0;

	for (const char *at = errors; (at = strstr(at, "device_reset (")) != NULL; at++)
		n++;
	free(errors);
	return n;
}

/* A VMM that waits for its own server, for an hour if it may, is taken its device away all the
 * same, or the device is removed. */
static void
test_leave_hung_server(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		bool removed = i == 1;
		unsigned int ms = 0;
		pthread_t thread;
		int result = 0;

		rig_start_attached(
			&(struct rig_opts){.server = {"--verbose", "--fault=drop@device_reset#2"}});
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_reset, &result), 0);
		/* Each of its two devices has been reset once before. */
		while (count_resets() < 3 && rig_wait(&ms))
			continue;
		CU_ASSERT_EQUAL(removed
				? vuc_control_remove_device(rig.control, RIG_NAME, true, NULL)
				: vuc_control_detach(rig.control, RIG_NAME, NULL),
			0);
		pthread_join(thread, NULL);
		CU_ASSERT_NOT_EQUAL(result, 0);
		CU_ASSERT_TRUE(rig_logs("the server did not answer while the device was taken away "
					"from its VMM"));
		shm_close(&client);
		if (!removed) {
			CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_FREE));
			rig_attach(&client, RIG_NAME);
		}
	}
}

/* Neither the removal nor the end waits for a server that has stopped reading, though its VMM left
 * before, and the connection is being closed, for which the server has an hour. */
static void
test_hung_server_after_leaving(void)
{
	const struct vuc_shm_request post = {
		.op = VUC_SHM_WRITE_POSTED, .region = BAR2, .count = 4096};
	struct shm_queue *q;

	for (unsigned int removed = 0; removed < 2; removed++) {
		rig_start_attached(&(struct rig_opts){.posted_writes = VUC_POSTED_WRITES_ON + 1});
		rig_attach(&other_client, RIG_SECOND);
		q = rig_open_queue(&client, 128, post.count);
		rig_signal_server(SIGSTOP);
		for (unsigned int i = 0; i < NR_POSTED; i++)
			shm_submit(q, &post);
		for (unsigned int ms = 0; shm_taken(q) < NR_POSTED && rig_wait(&ms);)
			continue;
		CU_ASSERT_EQUAL(shm_taken(q), NR_POSTED);
		shm_close(&client);
		CU_ASSERT_TRUE(rig_becomes(RIG_NAME, VUC_CONTROL_CLEANING));
		/* Time in which the closing begins. */
		rig_pass_time(&other_client, 20);
		CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_CLEANING);
		if (removed == 1) {
			CU_ASSERT_EQUAL(
				vuc_control_remove_device(rig.control, RIG_NAME, false, NULL), 0);
		} else {
			rig_stop_control();
		}
		rig_signal_server(SIGCONT);
	}
}

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

/* Servers that hang in VERSION, and one that hangs in a reset: all are asked at the same time, by
 * one poller, and none holds up the others, those who add devices, or the end. */
static void
test_stop_beside_hung_servers(void)
{
	int listeners[HUNG], asked[HUNG];
	char path[128], name[16];
	atomic_uint ended = 0;
	struct rig_device d;

	rig_start(&(struct rig_opts){.server = {"--fault=never@device_reset#2"}});
	for (unsigned int i = 0; i < HUNG; i++) {
		snprintf(path, sizeof(path), "%s.hung%u", rig.path, i);
		snprintf(name, sizeof(name), "hung%u", i);
		listeners[i] = listen_at(path);
		rig_device_opts(&d, NULL, name, path);
		CU_ASSERT_EQUAL_FATAL(vuc_control_add_device_start(
					      rig.control, &d.control, rig_count_end, &ended, NULL),
			0);
	}
	for (unsigned int i = 0; i < HUNG; i++)
		asked[i] = await_question(listeners[i]);
	/* The next reset is that of the connection that is made anew. */
	rig_attach(&client, RIG_NAME);
	rig_detach(&client);
	CU_ASSERT_EQUAL(rig_look(RIG_NAME).state, VUC_CONTROL_CLEANING);
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
}

const struct tap_suite tap_suite = {NULL, NULL, NULL,
	{
		{"loss", test_loss},
		{"away", test_away},
		{"remove_while_away", test_remove_while_away},
		{"late_server", test_late_server},
		{"coming", test_coming},
		{"flapping_server", test_flapping_server},
		{"stubborn_server", test_stubborn_server},
		{"stubborn_at_the_end", test_stubborn_at_the_end},
		{"pretended_unmap", test_pretended_unmap},
		{"strange_state", test_strange_state},
		{"fatal_reset", test_fatal_reset},
		{"no_reset", test_no_reset},
		{"unanswered_reset", test_unanswered_reset},
		{"hung_server", test_hung_server},
		{"leave_hung_server", test_leave_hung_server},
		{"hung_server_after_leaving", test_hung_server_after_leaving},
		{"stop_beside_hung_servers", test_stop_beside_hung_servers},
	}};
