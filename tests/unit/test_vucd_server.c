/* SPDX-License-Identifier: BSD-3-Clause */

/* The management socket, with clients of all manners. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd_count.h"
#include "server_rig.h"
#include "tap.h"

#define BYTES(text) text, sizeof(text) - 1

/* ---- lines ---- */

static void
test_lines(void)
{
	int fd;

	server_rig_start();
	fd = server_rig_connect();
	server_rig_say(fd, REQUEST);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, NO_X));
	server_rig_say(fd, REQUEST "\n \r\n" REQUEST);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, NO_X NO_X));
	close(fd);
	server_rig_turn();
	server_rig_stop();
}

static void
test_pieces(void)
{
	int fd;

	server_rig_start();
	fd = server_rig_connect();
	for (const char *c = REQUEST REQUEST; *c != '\0'; c++) {
		server_rig_say_bytes(fd, c, 1);
		server_rig_turn();
	}
	CU_ASSERT(server_rig_hears(fd, NO_X NO_X));
	close(fd);
	server_rig_stop();
}

/* What is no JSON costs its sender an answer, and nothing else. */
static void
test_rubbish(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *why;
	} lines[] = {
		{BYTES("\0\0\n"), "byte 0: expected a value"},
		{BYTES("\"\xff\xfe\"\n"), "byte 1: not UTF-8"},
		{BYTES("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n"), "byte 17: nested too deeply"},
		{BYTES("{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999}\n"),
			"byte 42: a number too long"},
	};
	char wanted[256];
	int fd;

	server_rig_start();
	fd = server_rig_connect();
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		server_rig_say_bytes(fd, lines[i].bytes, lines[i].len);
		server_rig_turn();
		snprintf(wanted, sizeof(wanted),
			"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"Parse "
			"error: %s\"},\"id\":null}\n",
			lines[i].why);
		CU_ASSERT(server_rig_hears(fd, wanted));
	}
	server_rig_say(fd, REQUEST);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, NO_X));
	close(fd);
	server_rig_stop();
}

static void
test_long_line(void)
{
	char *line = malloc(VUCD_MAX_LINE + 2);
	int fd;

	CU_ASSERT_PTR_NOT_NULL_FATAL(line);
	memset(line, ' ', VUCD_MAX_LINE);
	memcpy(line, REQUEST, strlen(REQUEST) - 1);
	line[VUCD_MAX_LINE] = '\n';
	server_rig_start();
	fd = server_rig_connect();
	server_rig_say_bytes(fd, line, VUCD_MAX_LINE + 1);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, NO_X));
	line[VUCD_MAX_LINE] = ' ';
	line[VUCD_MAX_LINE + 1] = '\n';
	server_rig_say_bytes(fd, line, VUCD_MAX_LINE + 2);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, TOO_LONG));
	CU_ASSERT(server_rig_is_over(fd));
	close(fd);
	server_rig_stop();
	free(line);
}

/* One that sends lines and no end of them has its turn like others. */
static void
test_flood(void)
{
	int fd, other;

	server_rig_start();
	fd = server_rig_connect();
	other = server_rig_connect();
	server_rig_turn();
	for (int i = 0; i < 100; i++)
		server_rig_say(fd, REQUEST);
	server_rig_say(other, REQUEST);
	/* A turn each. */
	CU_ASSERT_EQUAL(vucd_loop_step(&rig.loop, 0), 1);
	CU_ASSERT_EQUAL(vucd_loop_step(&rig.loop, 0), 1);
	CU_ASSERT(server_rig_hears(other, NO_X));
	server_rig_turn();
	close(fd);
	close(other);
	server_rig_stop();
}

/* ---- slow ones ---- */

static void
test_half_a_line(void)
{
	int half, fd;

	server_rig_start();
	half = server_rig_connect();
	server_rig_say(half, "{\"jsonrpc\":");
	fd = server_rig_connect();
	server_rig_say(fd, REQUEST);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, NO_X));
	CU_ASSERT(server_rig_hears(half, ""));
	server_rig_say(half, "\"2.0\",\"method\":\"x\",\"id\":1}\n");
	server_rig_turn();
	CU_ASSERT(server_rig_hears(half, NO_X));
	close(half);
	close(fd);
	server_rig_stop();
}

static size_t
count_lines(int fd)
{
	char buf[4096];
	size_t lines = 0;
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		lines += buf[i] == '\n';
	return lines;
}

/* One that does not read gets its answers when it does; others do not wait for it. */
static void
test_no_reader(void)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"stats.get\",\"id\":1}\n";
	size_t said = 0, heard = 0;
	int fd, other;

	server_rig_start();
	fd = server_rig_connect();
	do {
		server_rig_turn();
		said++;
	} while (send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) > 0);
	said--;
	CU_ASSERT(said > 100);
	other = server_rig_connect();
	server_rig_say(other, REQUEST);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(other, NO_X));
	while (heard < said && !server_rig_is_over(fd)) {
		heard += count_lines(fd);
		server_rig_turn();
	}
	CU_ASSERT_EQUAL(heard, said);
	close(fd);
	close(other);
	server_rig_stop();
}

/* "echo | nc": the answer comes although nothing more will be asked. */
static void
test_half_closed(void)
{
	int fd;

	server_rig_start();
	rig.fake.later = true;
	fd = server_rig_connect();
	server_rig_say(fd, REMOVE);
	shutdown(fd, SHUT_WR);
	server_rig_turn();
	CU_ASSERT_EQUAL_FATAL(rig.fake.waiting, 1);
	CU_ASSERT_FALSE(server_rig_is_over(fd));
	fake_service_finish(&rig.fake);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, REMOVED));
	CU_ASSERT(server_rig_is_over(fd));
	close(fd);
	server_rig_stop();
}

/* ---- methods that take their time ---- */

static void
test_later(void)
{
	int fd, other;

	server_rig_start();
	rig.fake.later = true;
	fd = server_rig_connect();
	other = server_rig_connect();
	server_rig_say(fd, REMOVE REQUEST);
	server_rig_say(other, REQUEST);
	server_rig_turn();
	CU_ASSERT_EQUAL_FATAL(rig.fake.waiting, 1);
	CU_ASSERT(server_rig_hears(fd, ""));
	CU_ASSERT(server_rig_hears(other, NO_X));
	fake_service_finish(&rig.fake);
	server_rig_turn();
	CU_ASSERT(server_rig_hears(fd, REMOVED NO_X));
	close(fd);
	close(other);
	server_rig_stop();
}

static void
test_gone_meanwhile(void)
{
	int fd;

	server_rig_start();
	rig.fake.later = true;
	fd = server_rig_connect();
	server_rig_say(fd, REMOVE);
	server_rig_turn();
	CU_ASSERT_EQUAL_FATAL(rig.fake.waiting, 1);
	close(fd);
	server_rig_turn();
	fake_service_finish(&rig.fake);
	/* The same when the server goes. */
	fd = server_rig_connect();
	server_rig_say(fd, REMOVE);
	server_rig_turn();
	CU_ASSERT_EQUAL_FATAL(rig.fake.waiting, 1);
	vucd_server_destroy(rig.server);
	fake_service_finish(&rig.fake);
	CU_ASSERT(server_rig_is_over(fd));
	close(fd);
	CU_ASSERT_EQUAL(fd_count(), rig.fds_before);
}

/* ---- the socket ---- */

static void
test_socket(void)
{
	struct vucd_server *second;
	struct vuc_error err = {""};
	struct stat st;

	server_rig_start();
	CU_ASSERT_EQUAL(stat(rig.path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
	CU_ASSERT_EQUAL(
		vucd_server_create(&rig.loop, rig.path, &rig.fake.rpc, &rig.log, &second, &err),
		-EADDRINUSE);
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rig.path));
	server_rig_turn();
	server_rig_stop();
}

static void
test_in_the_way(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct vuc_error err = {""};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Left behind by one that was killed. */
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig.path);
	CU_ASSERT_EQUAL(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	server_rig_start();
	server_rig_stop();
	fd = open(rig.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
	CU_ASSERT_EQUAL(
		vucd_server_create(&rig.loop, rig.path, &rig.fake.rpc, &rig.log, &rig.server, &err),
		-EEXIST);
	CU_ASSERT_EQUAL(unlink(rig.path), 0);
}

int
main(void)
{
	static CU_TestInfo tests[] = {
		{"lines", test_lines},
		{"lines in pieces", test_pieces},
		{"rubbish", test_rubbish},
		{"a long line", test_long_line},
		{"a flood of lines", test_flood},
		{"half a line", test_half_a_line},
		{"a client that does not read", test_no_reader},
		{"a client that has said all", test_half_closed},
		{"methods that take their time", test_later},
		{"clients that go meanwhile", test_gone_meanwhile},
		{"the socket", test_socket},
		{"what is in its way", test_in_the_way},
		CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
		{"vucd_server", server_rig_setup, server_rig_cleanup, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
