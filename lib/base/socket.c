/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include <errno.h>
#include <string.h>

#include "error.h"

int
vuc_socket_address(const char *path, struct sockaddr_un *addr, struct vuc_error *err)
{
	size_t len = path != NULL ? strlen(path) : 0;

	if (len == 0)
		return vuc_error_set(err, -EINVAL, "the socket path is empty");
	if (len > VUC_SOCKET_PATH_MAX)
		return vuc_error_set(err, -ENAMETOOLONG,
			"socket path of %zu bytes, at most %zu are possible: %.40s...", len,
			VUC_SOCKET_PATH_MAX, path);
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(addr->sun_path, path, len);
	return 0;
}
