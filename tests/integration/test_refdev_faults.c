/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "raw_client.h"
#include "refdev_regs.h"
#include "refdev_server.h"
#include "tap.h"

#define REPLY VFIO_USER_F_TYPE_REPLY

/* A server with a fault, and a client that has negotiated with it. */
struct faulty {
	struct refdev_server server;
	int fd;
};

static void
start(struct faulty *f, const char *fault)
{
	const char *const options[] = {"--fault", fault, NULL};

	refdev_server_start(&f->server, options);
	f->fd = raw_open(f->server.socket);
}

static void
stop(struct faulty *f)
{
	close(f->fd);
	refdev_server_stop(&f->server);
}

/* Ask for a register by a message of this id. */
static void
ask(struct faulty *f, uint16_t id)
{
	uint8_t bytes[64];

	raw_send(f->fd, bytes, raw_read_command(bytes, id, 0, REFDEV_REG_ID, 4), NULL, 0);
}

/* Ask, and receive the 36 bytes of the answer, whatever its header says. */
static void
ask_and_receive(struct faulty *f, struct raw_message *reply)
{
	ask(f, 0x1234);
	CU_ASSERT_EQUAL(raw_receive_bytes(f->fd, reply, 36), 36);
}

static void
test_wrong_id(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "wrong-id@region_read");
	ask_and_receive(&f, &reply);
	CU_ASSERT_EQUAL(reply.header.msg_id, 0x1234 ^ 0xffff);
	CU_ASSERT_EQUAL(reply.header.msg_size, 36);
	stop(&f);
}

static void
test_wrong_size(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "wrong-size=0xffffffff@region_read");
	ask_and_receive(&f, &reply);
	CU_ASSERT_EQUAL(reply.header.msg_size, 0xffffffff);
	stop(&f);
}

static void
test_wrong_count(void)
{
	struct vfio_user_region_access access;
	struct raw_message reply;
	struct faulty f;

	start(&f, "wrong-count");
	ask_and_receive(&f, &reply);
	memcpy(&access, reply.bytes + 16, sizeof(access));
	CU_ASSERT_EQUAL(access.count, 5);
	CU_ASSERT_EQUAL(reply.header.msg_size, 36);
	stop(&f);
}

static void
test_wrong_type(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "wrong-type@region_read");
	ask_and_receive(&f, &reply);
	CU_ASSERT_EQUAL(reply.header.flags, VFIO_USER_F_TYPE_COMMAND);
	stop(&f);
}

static void
test_wrong_cmd(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "wrong-cmd@region_read");
	ask_and_receive(&f, &reply);
	CU_ASSERT_EQUAL(reply.header.cmd, VFIO_USER_REGION_WRITE);
	stop(&f);
}

static void
test_error(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "error=5@region_read#2");
	ask_and_receive(&f, &reply);
	CU_ASSERT_EQUAL(reply.header.flags, REPLY);
	ask(&f, 2);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 16);
	CU_ASSERT_EQUAL(reply.header.flags, REPLY | VFIO_USER_F_ERROR);
	CU_ASSERT_EQUAL(reply.header.error_no, 5);
	ask_and_receive(&f, &reply);
	CU_ASSERT_EQUAL(reply.header.flags, REPLY);
	stop(&f);
}

static void
test_drop(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "drop@region_read#1");
	ask(&f, 1);
	ask(&f, 2);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
	CU_ASSERT_EQUAL(reply.header.msg_id, 2);
	stop(&f);
}

static void
test_duplicate(void)
{
	struct raw_message first;
	struct raw_message second;
	struct raw_message third;
	struct faulty f;

	start(&f, "duplicate@region_read#1");
	ask(&f, 1);
	ask(&f, 2);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &first), 36);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &second), 36);
	CU_ASSERT_EQUAL(memcmp(first.bytes, second.bytes, 36), 0);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &third), 36);
	CU_ASSERT_EQUAL(third.header.msg_id, 2);
	stop(&f);
}

/* So many bytes, and the end. */
static void
check_truncate(const char *fault, size_t len)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, fault);
	ask(&f, 1);
	CU_ASSERT_EQUAL(raw_receive_bytes(f.fd, &reply, 100), len);
	stop(&f);
}

static void
test_truncate(void)
{
	check_truncate("truncate=0@region_read", 0);
	check_truncate("truncate=5@region_read", 5);
	check_truncate("truncate=20@region_read", 20);
	check_truncate("truncate=100@region_read", 36);
}

static void
test_close(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "close@region_read#2");
	ask_and_receive(&f, &reply);
	ask(&f, 2);
	CU_ASSERT_EQUAL(raw_receive_bytes(f.fd, &reply, 1), 0);
	close(f.fd);
	f.fd = raw_open(f.server.socket);
	ask_and_receive(&f, &reply);
	stop(&f);
}

static void
test_close_on_version(void)
{
	static const char *const options[] = {"--fault=close@version", NULL};
	struct raw_message reply;
	struct refdev_server s;
	uint8_t bytes[32];
	int fd;

	refdev_server_start(&s, options);
	fd = raw_connect(s.socket);
	raw_send(fd, bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, "\0\0\2\0", 4), NULL, 0);
	CU_ASSERT_EQUAL(raw_receive_bytes(fd, &reply, 1), 0);
	close(fd);
	refdev_server_stop(&s);
}

static void
test_close_on_accept(void)
{
	static const char *const options[] = {"--fault=close-on-accept#1", NULL};
	struct raw_message reply;
	struct refdev_server s;
	int fd;

	refdev_server_start(&s, options);
	fd = raw_connect(s.socket);
	CU_ASSERT_EQUAL(raw_receive_bytes(fd, &reply, 1), 0);
	close(fd);
	fd = raw_open(s.socket);
	CU_ASSERT_EQUAL(raw_get(fd, REFDEV_REG_ID, 4), REFDEV_ID_VALUE);
	close(fd);
	refdev_server_stop(&s);
}

/* Nothing comes any more, to the end of the stream; what was asked for is done all the same, and
 * the next client is answered. */
static void
test_never(void)
{
	struct raw_message reply;
	struct faulty f;
	uint8_t bytes[64];

	start(&f, "never@region_read#2");
	ask_and_receive(&f, &reply);
	ask(&f, 2);
	ask(&f, 3);
	raw_send(
		f.fd, bytes, raw_write_command(bytes, 4, 0, 0, REFDEV_REG_SCRATCH, 8, 99), NULL, 0);
	shutdown(f.fd, SHUT_WR);
	CU_ASSERT_EQUAL(raw_receive_bytes(f.fd, &reply, 1), 0);
	close(f.fd);
	f.fd = raw_open(f.server.socket);
	CU_ASSERT_EQUAL(raw_get(f.fd, REFDEV_REG_SCRATCH, 8), 99);
	stop(&f);
}

/* Only the delayed reply takes its time, and nothing overtakes it. */
static void
check_delay(const char *mode)
{
	const char *const options[] = {mode, "--fault=delay=60@region_read#1", NULL};
	struct raw_message reply;
	struct faulty f;
	uint64_t begin_ns;

	refdev_server_start(&f.server, options);
	f.fd = raw_open(f.server.socket);
	begin_ns = vuc_clock_ns();
	ask(&f, 1);
	ask(&f, 2);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
	CU_ASSERT(vuc_clock_ns() - begin_ns >= 60000000);
	CU_ASSERT_EQUAL(reply.header.msg_id, 1);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
	CU_ASSERT_EQUAL(reply.header.msg_id, 2);
	stop(&f);
}

static void
test_delay(void)
{
	check_delay("--mode=block");
	check_delay("--mode=poll");
}

/* A stream glues what has arrived, so this sees no more than that all bytes come. */
static void
test_split(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "split");
	for (uint16_t id = 0; id < 20; id++) {
		ask(&f, id);
		CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
		CU_ASSERT_EQUAL(reply.header.msg_id, id);
	}
	stop(&f);
}

/* Propose a version to a server with a fault in its answer. */
static void
get_version(const char *fault, struct raw_message *reply)
{
	const char *const options[] = {"--fault", fault, NULL};
	struct refdev_server s;
	uint8_t bytes[32];
	int fd;

	refdev_server_start(&s, options);
	fd = raw_connect(s.socket);
	raw_send(fd, bytes, raw_command(bytes, 1, VFIO_USER_VERSION, 0, "\0\0\2\0", 4), NULL, 0);
	CU_ASSERT(raw_receive(fd, reply) > 20);
	close(fd);
	refdev_server_stop(&s);
}

static void
test_wrong_version(void)
{
	struct raw_message reply;

	get_version("wrong-version", &reply);
	CU_ASSERT_EQUAL(memcmp(reply.bytes + 16, "\1\0\2\0", 4), 0);
	get_version("wrong-version=major@version", &reply);
	CU_ASSERT_EQUAL(memcmp(reply.bytes + 16, "\1\0\2\0", 4), 0);
	get_version("wrong-version=minor", &reply);
	CU_ASSERT_EQUAL(memcmp(reply.bytes + 16, "\0\0\xff\xff", 4), 0);
}

/* The text is everything but what reads as the parts behind it. */
static void
test_bad_json(void)
{
	static const struct {
		const char *fault;
		const char *text;
	} specs[] = {
		{"bad-json={\"a\":1", "{\"a\":1"},
		{"bad-json=a=b@c#d", "a=b@c#d"},
		{"bad-json=x@version#1", "x"},
		{"bad-json=x@version", "x"},
		{"bad-json=", ""},
	};
	struct raw_message reply;

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		get_version(specs[i].fault, &reply);
		CU_ASSERT_EQUAL(reply.len, 20 + strlen(specs[i].text) + 1);
		CU_ASSERT_STRING_EQUAL((const char *)reply.bytes + 20, specs[i].text);
	}
}

static void
ask_region(struct faulty *f, uint32_t index, uint32_t argsz, struct raw_message *reply)
{
	const struct vfio_user_region_info info = {.argsz = argsz, .index = index};
	uint8_t bytes[64];

	raw_send(f->fd, bytes,
		raw_command(bytes, 1, VFIO_USER_DEVICE_GET_REGION_INFO, 0, &info, sizeof(info)),
		NULL, 0);
	CU_ASSERT(raw_receive(f->fd, reply) > 0);
}

static void
test_extra_fds(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "extra-fds=3@device_get_region_info");
	ask_region(&f, 0, 32, &reply);
	CU_ASSERT_EQUAL(reply.nr_fds, 3);
	raw_close_fds(&reply);
	ask_region(&f, 2, 32, &reply);
	CU_ASSERT_EQUAL(reply.nr_fds, 4);
	raw_close_fds(&reply);
	stop(&f);
	start(&f, "extra-fds=250@region_read");
	ask(&f, 1);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
	CU_ASSERT_EQUAL(reply.nr_fds, 250);
	raw_close_fds(&reply);
	stop(&f);
}

static void
test_argsz(void)
{
	struct vfio_user_region_info info;
	struct raw_message reply;
	struct faulty f;

	start(&f, "argsz=4294967295");
	ask_region(&f, 0, 32, &reply);
	memcpy(&info, reply.bytes + 16, sizeof(info));
	CU_ASSERT_EQUAL(info.argsz, UINT32_MAX);
	CU_ASSERT_EQUAL(info.size, REFDEV_BAR0_SIZE);
	stop(&f);
}

static void
test_cap_loop(void)
{
	struct vfio_user_region_info info;
	struct vfio_user_cap_header cap;
	struct raw_message reply;
	struct faulty f;

	start(&f, "cap-loop");
	ask_region(&f, 4, 4096, &reply);
	memcpy(&info, reply.bytes + 16, sizeof(info));
	memcpy(&cap, reply.bytes + 16 + info.cap_offset, sizeof(cap));
	CU_ASSERT_EQUAL(cap.next, info.cap_offset);
	raw_close_fds(&reply);
	ask_region(&f, 0, 4096, &reply);
	CU_ASSERT_EQUAL(reply.len, 16 + 32);
	stop(&f);
}

/* An error instead of a reply with a descriptor has none, and none is left behind. */
static void
test_error_without_fd(void)
{
	struct raw_message reply;
	struct faulty f;

	start(&f, "error=12@device_get_region_info");
	ask_region(&f, 2, 32, &reply);
	CU_ASSERT_EQUAL(reply.len, 16);
	CU_ASSERT_EQUAL(reply.header.error_no, ENOMEM);
	CU_ASSERT_EQUAL(reply.nr_fds, 0);
	stop(&f);
}

/* Several faults at once, each in its own place. */
static void
test_together(void)
{
	static const char *const options[] = {"--fault=wrong-id@region_read#2", "--fault=split",
		"--fault=drop@region_read#3", NULL};
	struct raw_message reply;
	struct faulty f;

	refdev_server_start(&f.server, options);
	f.fd = raw_open(f.server.socket);
	for (uint16_t id = 1; id <= 4; id++)
		ask(&f, id);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
	CU_ASSERT_EQUAL(reply.header.msg_id, 1);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
	CU_ASSERT_EQUAL(reply.header.msg_id, 2 ^ 0xffff);
	CU_ASSERT_EQUAL(raw_receive(f.fd, &reply), 36);
	CU_ASSERT_EQUAL(reply.header.msg_id, 4);
	stop(&f);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"wrong-id", test_wrong_id},
		{"wrong-size", test_wrong_size},
		{"wrong-count", test_wrong_count},
		{"wrong-type", test_wrong_type},
		{"wrong-cmd", test_wrong_cmd},
		{"error", test_error},
		{"error instead of a descriptor", test_error_without_fd},
		{"drop", test_drop},
		{"duplicate", test_duplicate},
		{"truncate", test_truncate},
		{"close", test_close},
		{"close@version", test_close_on_version},
		{"close-on-accept", test_close_on_accept},
		{"never", test_never},
		{"delay", test_delay},
		{"split", test_split},
		{"wrong-version", test_wrong_version},
		{"bad-json", test_bad_json},
		{"extra-fds", test_extra_fds},
		{"argsz", test_argsz},
		{"cap-loop", test_cap_loop},
		{"several at once", test_together},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vuc-refdev faults", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
