/* SPDX-License-Identifier: BSD-3-Clause */
#include "server_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd_count.h"
#include "tap.h"

struct server_rig rig;

int
server_rig_setup(void)
{
	const char *base = getenv("TMPDIR");
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	snprintf(rig.folder, sizeof(rig.folder), "%s/vucd-test-XXXXXX",
		base != NULL ? base : "/tmp");
	if (null < 0 || mkdtemp(rig.folder) == NULL)
		return -1;
	snprintf(rig.path, sizeof(rig.path), "%s/s", rig.folder);
	vucd_log_init(&rig.log, null);
	return vucd_loop_init(&rig.loop);
}

int
server_rig_cleanup(void)
{
	vucd_loop_fini(&rig.loop);
	close(rig.log.fd);
	vucd_log_fini(&rig.log);
	return rmdir(rig.folder);
}

void
server_rig_start(void)
{
	struct vuc_error err = {""};

	rig.fds_before = fd_count();
	fake_service_init(&rig.fake);
	CU_ASSERT_EQUAL_FATAL(
		vucd_server_create(&rig.loop, rig.path, &rig.fake.rpc, &rig.log, &rig.server, &err),
		0);
}

void
server_rig_stop(void)
{
	vucd_server_destroy(rig.server);
	CU_ASSERT_EQUAL(fd_count(), rig.fds_before);
	CU_ASSERT_NOT_EQUAL(access(rig.path, F_OK), 0);
}

void
server_rig_turn(void)
{
	while (vucd_loop_step(&rig.loop, 0) == 1)
		;
}

int
server_rig_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig.path);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void
server_rig_say_bytes(int fd, const char *bytes, size_t len)
{
	CU_ASSERT_EQUAL_FATAL(send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)len);
}

void
server_rig_say(int fd, const char *text)
{
	server_rig_say_bytes(fd, text, strlen(text));
}

bool
server_rig_hears(int fd, const char *text)
{
	static char buf[65536];
	ssize_t n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	if (strcmp(buf, text) == 0)
		return true;
	printf("# heard %zd bytes: %.400s\n", n, buf);
	return false;
}

/* Whether the server has hung up, and nothing is left to read. */
bool
server_rig_is_over(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}
