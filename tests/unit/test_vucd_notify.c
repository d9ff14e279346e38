/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "notify.h"
#include "tap.h"

/* A datagram socket at a name; its first byte 0 for an abstract one. */
static int
listen_at(const char *name, size_t len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, name, len);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&addr,
				      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	return fd;
}

static void
check(int fd, const char *state)
{
	char buf[64];
	ssize_t n;

	CU_ASSERT_EQUAL(vucd_notify(state), 1);
	n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	buf[n > 0 ? n : 0] = '\0';
	CU_ASSERT_STRING_EQUAL(buf, state);
}

static void
test_path(void)
{
	const char *base = getenv("TMPDIR");
	char folder[64], path[80];
	int fd;

	snprintf(folder, sizeof(folder), "%s/vucd-test-XXXXXX", base != NULL ? base : "/tmp");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/notify", folder);
	fd = listen_at(path, strlen(path) + 1);
	setenv("NOTIFY_SOCKET", path, 1);
	check(fd, "READY=1\nSTATUS=2 devices");
	close(fd);
	CU_ASSERT_EQUAL(vucd_notify("STOPPING=1"), -ECONNREFUSED);
	unlink(path);
	CU_ASSERT_EQUAL(vucd_notify("STOPPING=1"), -ENOENT);
	rmdir(folder);
}

static void
test_abstract(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "@vucd-test-%d", (int)getpid());
	setenv("NOTIFY_SOCKET", name, 1);
	name[0] = '\0';
	fd = listen_at(name, 1 + strlen(name + 1));
	check(fd, "STOPPING=1");
	close(fd);
}

static void
test_none(void)
{
	char path[200];

	unsetenv("NOTIFY_SOCKET");
	CU_ASSERT_EQUAL(vucd_notify("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	CU_ASSERT_EQUAL(vucd_notify("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	CU_ASSERT_EQUAL(vucd_notify("READY=1"), -EINVAL);
	memset(path, '/', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	CU_ASSERT_EQUAL(vucd_notify("READY=1"), -ENAMETOOLONG);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"a path", test_path},
		{"an abstract name", test_abstract},
		{"nobody wants to know", test_none},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucd_notify", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
