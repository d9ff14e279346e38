/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_CONNECT_H
#define VUC_DEVICE_CONNECT_H

#include <stdint.h>

#include <vuc/error.h>

#include "closers.h"

/* A connection that is being made to a server's socket, by one who must not wait. */
struct device_connector;

/* Begin to connect to path. Looking it up may block, as where a file system hangs: what the kernel
 * has not cached of it is looked up on a thread of its own, which ends with it. Returns 0 or a
 * negative errno: -EBUSY while such threads of four attempts that were given up still block. */
int device_connector_start(
	const char *path, struct device_connector **connector, struct vuc_error *err);

/* Returns a connected socket, the caller's, which is blocking; -EAGAIN when it is to be asked again
 * later; or another negative errno. Either ends nothing: device_connector_free() is due. */
int device_connector_step(struct device_connector *c, uint64_t now_ms, struct vuc_error *err);

/* When the next step has something to do: 0: now. Nothing tells that a look-up has ended. */
uint64_t device_connector_due(const struct device_connector *c);

/* May be called at any time; NULL does nothing. */
void device_connector_free(struct device_connector *c, struct vuc_closer *closer);

/* A socket connected to the server at path, the caller's, or a negative errno. Waits at most
 * timeout_ms, for the look-up and for a server that does not accept. Any thread. */
int vuc_device_connect(const char *path, uint32_t timeout_ms, struct vuc_error *err);

/* A duplicate of a connected socket, or a negative errno. */
int device_adopt(int fd, struct vuc_error *err);

/* Whether a descriptor is a socket as a transport needs it; makes it blocking. */
int device_check_socket(int fd, const char *what, struct vuc_error *err);

#endif /* VUC_DEVICE_CONNECT_H */
