/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "memfd.h"
#include "raw_client.h"
#include "refdev_regs.h"
#include "refdev_server.h"
#include "tap.h"

/* Bytes of the longest path that a socket can have. */
#define MAX_PATH_BYTES 107u

/* What every server can do, in either mode. */
static void
check_serves(const char *path)
{
	int fd = raw_open(path);

	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	raw_set(fd, REFDEV_REG_SCRATCH, 8, 0x0123456789abcdef);
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_SCRATCH, 8), 0x0123456789abcdef);
	close(fd);
}

static void
test_block(void)
{
	struct refdev_server s;

	refdev_server_start_with(&s, NULL);
	check_serves(s.socket);
	refdev_server_stop(&s);
}

static void
test_poll(void)
{
	struct refdev_server s;

	refdev_server_start_with(&s, "--mode=poll");
	check_serves(s.socket);
	refdev_server_stop(&s);
}

/* The device outlives its clients; a client that comes early waits for its turn. */
static void
check_clients_in_turn(const char *mode)
{
	struct raw_message reply;
	struct refdev_server s;
	uint8_t bytes[64];
	int first;
	int second;

	refdev_server_start_with(&s, mode);
	first = raw_open(s.socket);
	second = raw_connect(s.socket);
	raw_send(
		second, bytes, raw_command(bytes, 9, VFIO_USER_VERSION, 0, "\0\0\2\0", 4), NULL, 0);
	raw_set(first, REFDEV_REG_SCRATCH, 4, 0x1234);
	CU_ASSERT_EQUAL(recv(second, bytes, 1, MSG_DONTWAIT), -1);
	close(first);
	CU_ASSERT(raw_receive(second, &reply) > 0);
	CU_ASSERT_EQUAL(reply.header.msg_id, 9);
	CU_ASSERT_EQUAL(raw_get(second, REFDEV_REG_SCRATCH, 4), 0x1234);
	close(second);
	refdev_server_stop(&s);
}

static void
test_clients_in_turn(void)
{
	check_clients_in_turn("--mode=block");
	check_clients_in_turn("--mode=poll");
}

static void
test_once(void)
{
	const char *const options[] = {"--once", NULL};
	struct refdev_server s;

	refdev_server_start(&s, options);
	check_serves(s.socket);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&s.process), 0);
	refdev_server_stop(&s);
}

/* Each path is a device of its own, and with --once each of them has its client. */
static void
check_two_devices(const char *mode)
{
	struct refdev_server s;
	const char *options[] = {mode, "--once", "--socket-path", s.second, NULL};
	int first;
	int second;

	refdev_server_start(&s, options);
	first = raw_open(s.socket);
	second = raw_open(s.second);
	raw_set(first, REFDEV_REG_SCRATCH, 4, 1);
	raw_set(second, REFDEV_REG_SCRATCH, 4, 2);
	CU_ASSERT_EQUAL(raw_get(first, REFDEV_REG_SCRATCH, 4), 1);
	close(first);
	CU_ASSERT_EQUAL(raw_get(second, REFDEV_REG_SCRATCH, 4), 2);
	close(second);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&s.process), 0);
	refdev_server_stop(&s);
}

static void
test_two_devices(void)
{
	check_two_devices("--mode=block");
	check_two_devices("--mode=poll");
}

/* A socket file that a process has left behind. */
static void
leave_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void
test_stale_socket(void)
{
	const char *const none[] = {NULL};
	struct refdev_server s;

	refdev_server_prepare(&s);
	leave_socket(s.socket);
	refdev_server_run(&s, none);
	check_serves(s.socket);
	refdev_server_stop(&s);
}

/* A socket that is served is left alone, and so is its server's client-to-be. */
static void
test_live_socket(void)
{
	const char *const once[] = {"--once", NULL};
	struct refdev_server s;
	struct refdev_server other;
	const char *const args[] = {s.socket, NULL};

	refdev_server_start(&s, once);
	refdev_server_fails(&other, args, 1, "another process serves this socket");
	check_serves(s.socket);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&s.process), 0);
	refdev_server_stop(&s);
}

static void
test_file_in_the_way(void)
{
	struct refdev_server s;
	const char *const args[] = {s.socket, NULL};
	FILE *file;

	refdev_server_prepare(&s);
	file = fopen(s.socket, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fclose(file);
	refdev_server_fails(&s, args, 1, "exists and is not a socket");
	CU_ASSERT_EQUAL(vuc_tempdir_count(s.folder), 1);
	refdev_server_clean(&s);
}

/* A server removes the socket file that it made, not one that took its place. */
static void
test_replaced_socket(void)
{
	struct refdev_server s;
	char moved[VUC_TEMPDIR_SIZE + 16];

	refdev_server_start_with(&s, NULL);
	snprintf(moved, sizeof(moved), "%s/moved", s.folder);
	CU_ASSERT_EQUAL(rename(s.socket, moved), 0);
	leave_socket(s.socket);
	CU_ASSERT_EQUAL(vuc_spawn_stop(&s.process), 0);
	CU_ASSERT_EQUAL(access(s.socket, F_OK), 0);
	vuc_spawn_free(&s.process);
	refdev_server_clean(&s);
}

static void
test_long_paths(void)
{
	struct refdev_server s;
	char path[MAX_PATH_BYTES + 2];
	const char *const args[] = {path, NULL};
	size_t at;

	refdev_server_prepare(&s);
	at = (size_t)snprintf(path, sizeof(path), "%s/", s.folder);
	memset(path + at, 'x', sizeof(path) - at);
	path[MAX_PATH_BYTES + 1] = '\0';
	refdev_server_fails(&s, args, 1, "socket path of 108 bytes");
	CU_ASSERT_EQUAL(vuc_tempdir_count(s.folder), 0);
	path[MAX_PATH_BYTES] = '\0';
	CU_ASSERT_EQUAL(vuc_spawn_server(&s.process, getenv("VUC_REFDEV"), args), 0);
	check_serves(path);
	refdev_server_stop(&s);
}

static void
test_no_folder(void)
{
	static const char *const args[] = {"/nonexistent/folder/socket", NULL};
	struct refdev_server s;

	refdev_server_fails(&s, args, 1, "No such file or directory");
}

/* Options that can't be: usage errors, one line each. */
static void
test_wrong_options(void)
{
	static const struct {
		const char *option;
		const char *text;
	} wrong[] = {
		{"--bogus", "--bogus"},
		{"--mode=fast", "'fast'"},
		{"--mode", "option '--mode' requires an argument"},
		{"--cpu=x", "'x'"},
		{"--cpu=-1", "'-1'"},
		{"--minor=65536", "65536"},
		{"--max-msg-fds=17", "17"},
		{"--max-data-xfer-size=0", "0 is not within 1"},
		{"--pgsizes=4097", "4097"},
		{"--fd=3", "--fd can't go with a socket path"},
		{"--fault=explode", "'explode'"},
		{"--fault=delay", "delay needs a number"},
		{"--fault=delay=soon", "'soon'"},
		{"--fault=extra-fds=0", "'0'"},
		{"--fault=close@version#0", "'0'"},
		{"--fault=close@versions", "'versions'"},
		{"--fault=wrong-count@version", "wrong-count can't be done to version"},
		{"--fault=close-on-accept@version", "can't be done"},
		{"--fault=reorder", "reorder needs a number"},
		{"--fault=reorder=0", "'0'"},
		{"--fault=reorder=5@dma_read", "reorder can't be done to dma_read"},
		{"--fault=drop=1", "drop takes no value"},
		{"--fault=wrong-version=patch", "'patch'"},
		{"--fault=bad-json", "needs a text"},
		{"--fault=", "''"},
	};
	struct refdev_server s;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *const args[] = {"never-made", wrong[i].option, NULL};

		refdev_server_fails(&s, args, 2, wrong[i].text);
	}
	CU_ASSERT_NOT_EQUAL(access("never-made", F_OK), 0);
}

static void
test_no_path(void)
{
	static const char *const args[] = {NULL};
	struct refdev_server s;

	refdev_server_fails(&s, args, 2, "no socket path");
}

static void
check_prints(const char *option, const char *text)
{
	const char *const args[] = {option, NULL};
	struct vuc_spawn s;
	char *output;

	CU_ASSERT_EQUAL_FATAL(vuc_spawn_start(&s, getenv("VUC_REFDEV"), args), 0);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&s), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&s), 0);
	output = vuc_spawn_output(&s);
	CU_ASSERT_PTR_NOT_NULL_FATAL(output);
	CU_ASSERT_PTR_NOT_NULL(strstr(output, text));
	free(output);
	vuc_spawn_free(&s);
}

static void
test_help(void)
{
	check_prints("--help", "--socket-path=PATH");
	check_prints("--version", "vuc-refdev ");
}

/* A descriptor of a socket that listens already, without a path. */
static void
test_fd_listening(void)
{
	struct refdev_server s;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char option[32];
	const char *const args[] = {option, "--once", NULL};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	refdev_server_prepare(&s);
	memcpy(address.sun_path, s.socket, strlen(s.socket) + 1);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
	snprintf(option, sizeof(option), "--fd=%d", fd);
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(&s.process, getenv("VUC_REFDEV"), args), 0);
	close(fd);
	check_serves(s.socket);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&s.process), 0);
	unlink(s.socket);
	refdev_server_stop(&s);
}

/* A descriptor of a connection: the server ends with it. */
static void
test_fd_connected(void)
{
	char option[32];
	const char *const args[] = {option, "--mode=poll", NULL};
	struct raw_message reply;
	struct vuc_spawn s;
	uint8_t bytes[32];
	int ends[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	fcntl(ends[1], F_SETFD, 0);
	snprintf(option, sizeof(option), "--fd=%d", ends[1]);
	CU_ASSERT_EQUAL_FATAL(vuc_spawn_server(&s, getenv("VUC_REFDEV"), args), 0);
	close(ends[1]);
	raw_send(ends[0], bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, "\0\0\2\0", 4), NULL,
		0);
	CU_ASSERT(raw_receive(ends[0], &reply) > 0);
	CU_ASSERT_EQUAL(raw_get(ends[0], REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	close(ends[0]);
	CU_ASSERT_EQUAL(vuc_spawn_wait(&s), 0);
	CU_ASSERT_EQUAL(vuc_spawn_status(&s), 0);
	vuc_spawn_free(&s);
}

static void
test_fd_no_socket(void)
{
	static const char *const args[] = {"--fd=2", NULL};
	struct refdev_server s;

	refdev_server_fails(&s, args, 1, "fd 2 is no UNIX stream socket");
}

static void
test_verbose(void)
{
	struct refdev_server s;
	char *errors;
	int fd;

	refdev_server_start_with(&s, "--verbose");
	fd = raw_open(s.socket);
	raw_get(fd, REFDEV_REG_ID, 4);
	close(fd);
	CU_ASSERT_EQUAL(vuc_spawn_stop(&s.process), 0);
	errors = vuc_spawn_errors(&s.process);
	CU_ASSERT_PTR_NOT_NULL_FATAL(errors);
	CU_ASSERT_PTR_NOT_NULL(strstr(errors, ": version (1) id 1, "));
	CU_ASSERT_PTR_NOT_NULL(strstr(errors,
		": region_read (9) id 2, 32 bytes 0 fds region 0 offset 0x0 count 4 -> "
		"36 bytes 0 fds\n"));
	free(errors);
	vuc_spawn_free(&s.process);
	refdev_server_clean(&s);
}

static void
test_limits(void)
{
	const char *const options[] = {"--minor=1", "--max-msg-fds=3", "--max-data-xfer-size=4096",
		"--max-dma-maps=7", "--pgsizes=0x201000", NULL};
	struct refdev_server s;
	struct raw_message reply;
	uint8_t bytes[32];
	int fd;

	refdev_server_start(&s, options);
	fd = raw_connect(s.socket);
	raw_send(fd, bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, "\0\0\2\0", 4), NULL, 0);
	CU_ASSERT(raw_receive(fd, &reply) > 0);
	CU_ASSERT_EQUAL(memcmp(reply.bytes + 16, "\0\0\1\0", 4), 0);
	CU_ASSERT_STRING_EQUAL((const char *)reply.bytes + 20,
		"{\"capabilities\":{\"max_msg_fds\":3,\"max_data_xfer_size\":4096,"
		"\"max_dma_maps\":7,\"pgsizes\":2101248}}");
	close(fd);
	refdev_server_stop(&s);
}

/* More maps with descriptors than a process may have open by default. */
static void
test_many_maps(void)
{
	struct vfio_user_dma_map map = {.argsz = 32, .flags = 3, .size = 4096};
	struct refdev_server s;
	struct raw_message reply;
	uint8_t bytes[64];
	int mem = vuc_memfd_create("dma", 4096, 0);
	int fd;

	refdev_server_start_with(&s, NULL);
	fd = raw_open(s.socket);
	for (uint16_t i = 0; i < 1100; i++) {
		map.addr = 4096u * i;
		raw_send(fd, bytes, raw_command(bytes, i, VFIO_USER_DMA_MAP, 0, &map, sizeof(map)),
			&mem, 1);
		CU_ASSERT_EQUAL_FATAL(raw_receive(fd, &reply), 16);
		CU_ASSERT_EQUAL_FATAL(reply.header.flags, VFIO_USER_F_TYPE_REPLY);
	}
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_DMA_MAPS, 4), 1100);
	close(fd);
	close(mem);
	refdev_server_stop(&s);
}

/* Ask for a register by messages with ids 1 ... nr, all in one send. */
static void
ask_at_once(int fd, uint16_t nr)
{
	uint8_t bytes[256];
	size_t len = 0;

	for (uint16_t id = 1; id <= nr; id++)
		len += raw_read_command(bytes + len, id, 0, REFDEV_REG_ID, 4);
	raw_send(fd, bytes, len, NULL, 0);
}

static uint16_t
next_id(int fd)
{
	struct raw_message reply;

	CU_ASSERT(raw_receive(fd, &reply) > 0);
	CU_ASSERT_EQUAL(reply.header.msg_size, 36);
	return reply.header.msg_id;
}

/* Each second reply overtakes the one before it; the last one, which none follows, is late. */
static void
check_reorder(const char *mode)
{
	const char *const options[] = {mode, "--fault=reorder=60@region_read", NULL};
	struct refdev_server s;
	uint64_t begin;
	int fd;

	refdev_server_start(&s, options);
	fd = raw_open(s.socket);
	begin = vuc_clock_ms();
	ask_at_once(fd, 5);
	CU_ASSERT_EQUAL(next_id(fd), 2);
	CU_ASSERT_EQUAL(next_id(fd), 1);
	CU_ASSERT_EQUAL(next_id(fd), 4);
	CU_ASSERT_EQUAL(next_id(fd), 3);
	CU_ASSERT_EQUAL(next_id(fd), 5);
	CU_ASSERT(vuc_clock_ms() - begin >= 60);
	close(fd);
	refdev_server_stop(&s);
}

static void
test_reorder(void)
{
	check_reorder("--mode=block");
	check_reorder("--mode=poll");
}

/* BAR2, which comes with a descriptor. */
static void
ask_region(int fd)
{
	const struct vfio_user_region_info info = {.argsz = sizeof(info), .index = 2};
	uint8_t bytes[64];

	raw_send(fd, bytes,
		raw_command(bytes, 9, VFIO_USER_DEVICE_GET_REGION_INFO, 0, &info, sizeof(info)),
		NULL, 0);
}

/* A reply that is held keeps its descriptor; a client that leaves takes the reply along. */
static void
test_reorder_with_fd(void)
{
	struct raw_message reply;
	struct refdev_server s;
	int fd;

	refdev_server_start_with(&s, "--fault=reorder=3600000@device_get_region_info");
	for (int round = 0; round < 2; round++) {
		fd = raw_open(s.socket);
		ask_region(fd);
		ask_at_once(fd, 1);
		CU_ASSERT_EQUAL(next_id(fd), 1);
		CU_ASSERT_EQUAL(raw_receive(fd, &reply), 48);
		CU_ASSERT_EQUAL(reply.header.msg_id, 9);
		CU_ASSERT_EQUAL(reply.nr_fds, 1);
		raw_close_fds(&reply);
		ask_region(fd);
		close(fd);
	}
	refdev_server_stop(&s);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"serves, sleeping", test_block},
		{"serves, polling", test_poll},
		{"clients one after another", test_clients_in_turn},
		{"--once", test_once},
		{"two devices", test_two_devices},
		{"stale socket", test_stale_socket},
		{"socket of a living server", test_live_socket},
		{"file in the way", test_file_in_the_way},
		{"socket of another one at the end", test_replaced_socket},
		{"long paths", test_long_paths},
		{"no folder", test_no_folder},
		{"wrong options", test_wrong_options},
		{"no path", test_no_path},
		{"--help and --version", test_help},
		{"--fd listening", test_fd_listening},
		{"--fd connected", test_fd_connected},
		{"--fd that is no socket", test_fd_no_socket},
		{"--verbose", test_verbose},
		{"limits", test_limits},
		{"many DMA maps", test_many_maps},
		{"reorder", test_reorder},
		{"reorder with a descriptor", test_reorder_with_fd},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vuc-refdev", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
