/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "refdev_peer.h"
#include "tap.h"

/* Propose a version; data is sent with its NUL unless it is NULL. */
static int
propose(struct refdev_peer *p, uint16_t major, uint16_t minor, const char *data)
{
	struct vfio_user_version version = {.major = major, .minor = minor};
	size_t data_len = data != NULL ? strlen(data) + 1 : 0;
	uint8_t *body = malloc(sizeof(version) + data_len);
	struct refdev_peer_message m = {
		.cmd = VFIO_USER_VERSION, .body = body, .len = sizeof(version) + data_len};
	struct vfio_user_header header;
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	memcpy(body, &version, sizeof(version));
	if (data != NULL)
		memcpy(body + sizeof(version), data, data_len);
	rc = refdev_peer_send(p, &m);
	free(body);
	if (rc != 0)
		return rc;
	memcpy(&header, p->reply.bytes, sizeof(header));
	return (header.flags & VFIO_USER_F_ERROR) != 0 ? -(int)header.error_no : 0;
}

static uint16_t
replied_minor(const struct refdev_peer *p)
{
	struct vfio_user_version version;

	memcpy(&version, p->reply.bytes + sizeof(struct vfio_user_header), sizeof(version));
	CU_ASSERT_EQUAL(version.major, 0);
	return version.minor;
}

static const char *
replied_data(const struct refdev_peer *p)
{
	const char *data = (const char *)p->reply.bytes + 16 + 4;

	CU_ASSERT_EQUAL_FATAL(strlen(data) + 1, p->reply.len - 16 - 4);
	return data;
}

static void
test_minor(void)
{
	static const uint16_t minors[][3] = {
		{2, 2, 2}, {2, 0, 0}, {2, 65535, 2}, {0, 2, 0}, {7, 3, 3}};

	for (size_t i = 0; i < sizeof(minors) / sizeof(minors[0]); i++) {
		struct refdev_config config;
		struct refdev_peer p;

		refdev_config_init(&config);
		config.minor = minors[i][0];
		refdev_peer_make(&p, &config);
		CU_ASSERT_EQUAL(propose(&p, 0, minors[i][1], NULL), 0);
		CU_ASSERT_EQUAL(replied_minor(&p), minors[i][2]);
		refdev_peer_close(&p);
	}
}

static void
test_major(void)
{
	struct refdev_peer p;

	refdev_peer_make(&p, NULL);
	CU_ASSERT_EQUAL(propose(&p, 1, 0, NULL), -EPROTO);
	CU_ASSERT_STRING_EQUAL(refdev_reason(p.dev), "client proposes version 1.0, spoken is 0.2");
	refdev_peer_close(&p);
}

static void
test_capabilities(void)
{
	struct refdev_config config = {
		.minor = 1,
		.max_msg_fds = 3,
		.max_data_xfer_size = 12345,
		.max_dma_maps = 99,
		.pgsizes = 0x201000,
	};
	struct refdev_peer p;

	refdev_peer_make(&p, &config);
	CU_ASSERT_EQUAL(propose(&p, 0, 1, "{}"), 0);
	CU_ASSERT_STRING_EQUAL(replied_data(&p),
		"{\"capabilities\":{\"max_msg_fds\":3,\"max_data_xfer_size\":12345,"
		"\"max_dma_maps\":99,\"pgsizes\":2101248}}");
	refdev_peer_close(&p);
}

static void
test_accepted(void)
{
	static const char *const texts[] = {
		"{}",
		" { } ",
		"{\"capabilities\":{}}",
		"{\"capabilities\":{\"max_msg_fds\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":1,\"max_dma_maps\":1,\"pgsizes\":4096}}",
		"{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}",
		"{\"capabilities\":{\"write_multiple\":true,\"unknown\":[1,2]}}",
		"{\"capabilities\":{\"migration\":{\"pgsize\":4096}},\"other\":null}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct refdev_peer p;

		refdev_peer_make(&p, NULL);
		CU_ASSERT_EQUAL(propose(&p, 0, 2, texts[i]), 0);
		CU_ASSERT_PTR_NULL(strstr(replied_data(&p), "twin_socket"));
		CU_ASSERT_EQUAL(strstr(replied_data(&p), "write_multiple") != NULL,
			strstr(texts[i], "write_multiple") != NULL);
		refdev_peer_close(&p);
	}
}

/* A socket for commands is there for those who ask, can receive it, and where there are commands.
 */
static void
test_twin_socket(void)
{
	static const struct {
		const char *text;
		bool commands;
		bool twin_socket;
		bool twin;
	} cases[] = {
		{"{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}", true, true, true},
		{"{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}", false, true, false},
		{"{\"capabilities\":{\"twin_socket\":{\"supported\":true}}}", true, false, false},
		{"{\"capabilities\":{\"twin_socket\":{\"supported\":false}}}", true, true, false},
		{"{\"capabilities\":{\"twin_socket\":{}}}", true, true, false},
		{"{\"capabilities\":{\"max_msg_fds\":0,\"twin_socket\":{\"supported\":true}}}",
			true, true, false},
		{"{}", true, true, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refdev_config config;
		struct refdev_peer p;
		int fd;

		refdev_config_init(&config);
		config.commands = cases[i].commands;
		config.twin_socket = cases[i].twin_socket;
		refdev_peer_make(&p, &config);
		CU_ASSERT_EQUAL(propose(&p, 0, 2, cases[i].text), 0);
		CU_ASSERT_EQUAL(p.reply.nr_fds, cases[i].twin);
		CU_ASSERT_EQUAL(
			strstr(replied_data(&p),
				"\"twin_socket\":{\"supported\":true,\"fd_index\":0}") != NULL,
			cases[i].twin);
		fd = refdev_take_twin(p.dev);
		CU_ASSERT_EQUAL(fd >= 0, cases[i].twin);
		CU_ASSERT_EQUAL(refdev_take_twin(p.dev), -1);
		if (cases[i].twin) {
			char c = 0;

			CU_ASSERT_EQUAL(write(fd, "x", 1), 1);
			CU_ASSERT_EQUAL(read(p.reply.fds[0], &c, 1), 1);
			close(fd);
		}
		refdev_peer_drop_fds(&p);
		refdev_peer_close(&p);
	}
}

/* What is refused may be proposed again, better. */
static void
test_refused(void)
{
	static const char *const texts[] = {
		"",
		"x",
		"null",
		"[]",
		"1",
		"\"\"",
		"{",
		"{}x",
		"{}{}",
		"{\"capabilities\":[]}",
		"{\"capabilities\":null}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"max_msg_fds\":\"8\"}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_dma_maps\":0}}",
		"{\"capabilities\":{\"pgsizes\":0}}",
		"{\"capabilities\":{\"twin_socket\":true}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{},}",
	};
	struct refdev_peer p;

	refdev_peer_make(&p, NULL);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		CU_ASSERT_EQUAL(propose(&p, 0, 2, texts[i]), -EINVAL);
	CU_ASSERT_EQUAL(propose(&p, 0, 2, "{}"), 0);
	refdev_peer_close(&p);
}

/* One NUL, at the end. */
static void
test_nul(void)
{
	struct refdev_peer p;

	refdev_peer_make(&p, NULL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, "\0\0\2\0{}", 6), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, "\0\0\2\0{}\0\0", 8), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, "\0\0\2\0{\0}", 8), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, "\0\0\2", 3), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_VERSION, "\0\0\2\0{}", 7), 0);
	refdev_peer_close(&p);
}

static void
test_twice(void)
{
	struct refdev_peer p;

	refdev_peer_make(&p, NULL);
	CU_ASSERT_EQUAL(propose(&p, 0, 2, NULL), 0);
	CU_ASSERT_EQUAL(propose(&p, 0, 2, NULL), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	refdev_disconnect(p.dev);
	CU_ASSERT_EQUAL(propose(&p, 0, 2, NULL), 0);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"minor", test_minor},
		{"major", test_major},
		{"capabilities of the server", test_capabilities},
		{"data that is accepted", test_accepted},
		{"twin socket", test_twin_socket},
		{"data that is refused", test_refused},
		{"NUL at the end of data", test_nul},
		{"twice", test_twice},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev version", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
