/* SPDX-License-Identifier: BSD-3-Clause */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"

/* Returns the length of the address, or a negative errno. */
static int
make_address(const char *path, struct sockaddr_un *addr)
{
	int rc;

	if (path[0] != '/' && path[0] != '@')
		return -EINVAL;
	rc = vuc_socket_address(path, addr, NULL);
	if (rc != 0)
		return rc;
	if (path[0] == '@') /* an abstract name */
		addr->sun_path[0] = '\0';
	return (int)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
}

int
vucd_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr;
	ssize_t sent;
	int len, fd;

	if (path == NULL || path[0] == '\0')
		return 0;
	len = make_address(path, &addr);
	if (len < 0)
		return len;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&addr,
		(socklen_t)len);
	len = sent < 0 ? -errno : 1;
	close(fd);
	return len;
}
