/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd_count.h"

unsigned int
fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

int
fd_slow(int *peer)
{
	static const char bytes[65536];
	const struct linger hour = {.l_onoff = 1, .l_linger = 3600};
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*peer = -1;
	if (bind(listener, (struct sockaddr *)&addr, len) == 0 && listen(listener, 1) == 0 &&
		getsockname(listener, (struct sockaddr *)&addr, &len) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)) == 0 &&
		connect(fd, (struct sockaddr *)&addr, len) == 0)
		*peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	if (*peer < 0) {
		close(fd);
		return -1;
	}
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		continue;
	return fd;
}

bool
fds_are_refused(void)
{
#if SO_ZEROCOPY == 60 /* numbered as on most architectures */
	int passrights = 83;
#else
	int passrights = -1;
#endif
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int off = 0;
	bool refused = setsockopt(fd, SOL_SOCKET, passrights, &off, sizeof(off)) == 0;

	close(fd);
	return refused;
}
