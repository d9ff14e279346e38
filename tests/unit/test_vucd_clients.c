/* SPDX-License-Identifier: BSD-3-Clause */

/* The management socket: who is let in, and how many. */

#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "fd_count.h"
#include "server_rig.h"
#include "tap.h"

#define CROWD 1000

/* Both ends of each connection are in this process. */
static bool
has_room(void)
{
	const rlim_t wanted = CROWD + 2 * VUCD_MAX_CLIENTS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return false;
	if (limit.rlim_cur >= wanted)
		return true;
	limit.rlim_cur = limit.rlim_max;
	return limit.rlim_max >= wanted && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* The newest are served, and those that have been quiet for longest are not any more. */
static void
test_crowd(void)
{
	static int fds[CROWD];
	unsigned int served = 0;

	if (!has_room()) {
		vuc_tap_skip("there cannot be that many descriptors");
		return;
	}
	server_rig_start();
	for (int i = 0; i < CROWD; i++) {
		fds[i] = server_rig_connect();
		server_rig_turn();
	}
	CU_ASSERT(fd_count() <= rig.fds_before + CROWD + VUCD_MAX_CLIENTS + 2);
	server_rig_say(fds[CROWD - VUCD_MAX_CLIENTS], REQUEST);
	server_rig_say(fds[CROWD - 1], REQUEST);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fds[CROWD - VUCD_MAX_CLIENTS], NO_X));
	CU_ASSERT(server_rig_hears(fds[CROWD - 1], NO_X));
	for (int i = 0; i < CROWD; i++)
		served += !server_rig_is_over(fds[i]);
	CU_ASSERT_EQUAL(served, VUCD_MAX_CLIENTS);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	server_rig_turn();
	server_rig_stop();
}

/* When all wait for answers of ours, nobody has to go; the next one waits. */
static void
test_all_busy(void)
{
	int fds[VUCD_MAX_CLIENTS], fd;

	server_rig_start();
	rig.fake.later = true;
	for (int i = 0; i < VUCD_MAX_CLIENTS; i++) {
		fds[i] = server_rig_connect();
		server_rig_say(fds[i], REMOVE);
		server_rig_turn();
	}
	CU_ASSERT_EQUAL_FATAL(rig.fake.waiting, VUCD_MAX_CLIENTS);
	fd = server_rig_connect();
	server_rig_say(fd, REQUEST);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, ""));
	fake_service_finish(&rig.fake);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, NO_X));
	CU_ASSERT(server_rig_hears(fds[0], REMOVED));
	while (rig.fake.waiting > 0)
		fake_service_finish(&rig.fake);
	for (int i = 0; i < VUCD_MAX_CLIENTS; i++)
		close(fds[i]);
	close(fd);
	server_rig_turn();
	server_rig_stop();
}

#define REFUSED                                                            \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":"     \
	"\"Failed: user 65534 is neither root nor the daemon's user, 0\"," \
	"\"data\":{\"errno\":\"EACCES\"}},\"id\":null}\n"

/* In a process of its own: connect as another user. Exits with 0 when it is told why it is hung up
 * on. */
static void
connect_as_nobody(void)
{
	char text[sizeof(REFUSED) + 1];
	ssize_t n;
	int fd;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		_exit(2);
	fd = server_rig_connect();
	n = recv(fd, text, sizeof(text), MSG_WAITALL);
	if (n != (ssize_t)strlen(REFUSED) || memcmp(text, REFUSED, strlen(REFUSED)) != 0)
		_exit(1);
	_exit(0);
}

static void
test_other_user(void)
{
	int status = -1;
	pid_t pid;

	if (geteuid() != 0) {
		vuc_tap_skip("only root can become another user");
		return;
	}
	server_rig_start();
	CU_ASSERT_EQUAL(chmod(rig.folder, 0711), 0);
	CU_ASSERT_EQUAL(chmod(rig.path, 0666), 0);
	pid = fork();
	if (pid == 0)
		connect_as_nobody();
	CU_ASSERT_EQUAL(vucd_loop_step(&rig.loop, 10000), 1);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	server_rig_stop();
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"1000 clients", test_crowd},
		{"clients that are all busy", test_all_busy},
		{"another user", test_other_user},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"vucd_clients", server_rig_setup, server_rig_cleanup, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
