/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_CONNECT_H
#define VUC_DEVICE_CONNECT_H

#include <stdint.h>

#include <vuc/error.h>

/* A socket connected to the server at path, the caller's, or a negative errno. Waits at most
 * timeout_ms for a server that does not accept; any thread may call it. */
int vuc_device_connect(const char *path, uint32_t timeout_ms, struct vuc_error *err);

/* A duplicate of a connected socket, or a negative errno. */
int device_adopt(int fd, struct vuc_error *err);

/* Whether a descriptor is a socket as a transport needs it; makes it blocking. */
int device_check_socket(int fd, const char *what, struct vuc_error *err);

#endif /* VUC_DEVICE_CONNECT_H */
