/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_SOCKET_H
#define VUC_BASE_SOCKET_H

/* UNIX sockets that have a path. Any thread. */

#include <sys/socket.h>
#include <sys/un.h>

#include <vuc/error.h>

/* Bytes of the longest path, without its NUL. */
#define VUC_SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* Make the address of the socket at a path. Returns 0; -EINVAL for an empty path or none;
 * -ENAMETOOLONG. */
int vuc_socket_address(const char *path, struct sockaddr_un *addr, struct vuc_error *err);

#endif /* VUC_BASE_SOCKET_H */
