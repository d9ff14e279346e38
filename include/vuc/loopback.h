/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LOOPBACK_H
#define VUC_LOOPBACK_H

/**
 * @file
 * A vfio-user server inside the process, for the `loopback` transport: for unit tests of a VMM,
 * and for measuring what vuc itself costs without a socket in between.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most file descriptors that one message of a loopback server can carry. */
#define VUC_LOOPBACK_MAX_FDS 16

/** A message on its way through the loopback: header and body, and the fds that ride on it. */
struct vuc_loopback_msg {
	uint8_t *bytes;                /**< header and body */
	size_t len;                    /**< bytes in use */
	size_t size;                   /**< bytes that there is room for */
	int fds[VUC_LOOPBACK_MAX_FDS]; /**< descriptors that came with it */
	unsigned int nr_fds;           /**< how many of them are set */
};

/** A server as functions. All are called by the thread that polls the group. */
struct vuc_loopback_server {
	/**
	 * Handle one whole message of the client.
	 *
	 * @param arg    the server's own
	 * @param req    the message. The server may take descriptors by setting them to -1; the
	 * rest is closed after the call
	 * @param reply  where the reply goes: bytes and size are set, len and nr_fds are 0. A len
	 * of 0 after the call means that there is no reply. Descriptors in it belong to the client
	 * after the call
	 * @return 0 to go on; a negative errno closes the connection, as a server that exits would
	 */
	int (*handle)(void *arg, struct vuc_loopback_msg *req, struct vuc_loopback_msg *reply);
	/** The client has disconnected; may be NULL. */
	void (*disconnect)(void *arg);
	/** First argument of both. */
	void *arg;
};

#ifdef __cplusplus
}
#endif

#endif /* VUC_LOOPBACK_H */
