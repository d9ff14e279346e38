/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd_count.h"
#include "listener.h"
#include "socket.h"
#include "tap.h"

static char folder[32];
static char path[sizeof(folder) + 2];

static int
make_folder(void)
{
	strcpy(folder, "/tmp/vuc-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int
remove_folder(void)
{
	return rmdir(folder) == 0 ? 0 : 1;
}

static void
test_mode(void)
{
	const mode_t mask = umask(0077);
	struct vuc_listener l;
	struct stat st = {0};

	CU_ASSERT_EQUAL_FATAL(vuc_listener_bind(&l, path, SOCK_STREAM, 0666, NULL), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0666);
	vuc_listener_close(&l);
	CU_ASSERT_EQUAL_FATAL(vuc_listener_bind(&l, path, SOCK_STREAM, 0, NULL), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0700);
	vuc_listener_close(&l);
	CU_ASSERT_EQUAL(access(path, F_OK), -1);
	umask(mask);
}

/* Also from the moment on at which it is bound, before others can connect. */
static void
test_used(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	const unsigned int before = fd_count();

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct vuc_listener first, second;
		struct vuc_error err = {""};

		CU_ASSERT_EQUAL_FATAL(vuc_listener_bind(&first, path, types[i], 0600, NULL), 0);
		CU_ASSERT_EQUAL(
			vuc_listener_bind(&second, path, SOCK_STREAM, 0600, &err), -EADDRINUSE);
		CU_ASSERT_EQUAL(second.fd, -1);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another process serves this socket"));
		CU_ASSERT_PTR_EQUAL(strstr(err.text, path), err.text);
		CU_ASSERT_EQUAL(access(path, F_OK), 0);
		vuc_listener_close(&first);
	}
	CU_ASSERT_EQUAL(fd_count(), before);
}

static void
test_stale(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	struct vuc_listener l;

	CU_ASSERT_EQUAL(vuc_socket_address(path, &address, NULL), 0);
	CU_ASSERT_EQUAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	CU_ASSERT_EQUAL_FATAL(vuc_listener_bind(&l, path, SOCK_STREAM, 0600, NULL), 0);
	CU_ASSERT_EQUAL(vuc_listener_listen(&l, 1, NULL), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	/* What has taken its place meanwhile stays. */
	CU_ASSERT_EQUAL(unlink(path), 0);
	close(open(path, O_CREAT | O_CLOEXEC, 0600));
	vuc_listener_close(&l);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void
test_not_a_socket(void)
{
	struct vuc_error err = {""};
	struct vuc_listener l;

	close(open(path, O_CREAT | O_CLOEXEC, 0600));
	CU_ASSERT_EQUAL(vuc_listener_bind(&l, path, SOCK_STREAM, 0600, &err), -EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "exists and is not a socket"));
	CU_ASSERT_EQUAL(unlink(path), 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"the path has the given mode, whatever the umask, or that of the umask",
			test_mode},
		{"a socket that a process has is left alone", test_used},
		{"one that no process has is replaced, and only one's own removed", test_stale},
		{"a file that is not a socket is left alone", test_not_a_socket},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"listener", make_folder, remove_folder, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
