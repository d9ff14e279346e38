/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LOOPBACK_H
#define VUC_LOOPBACK_H

/**
 * @file
 * A vfio-user server inside the process, for the `loopback` transport: for unit tests of a VMM, and
 * to measure the library without a socket.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most file descriptors that one message of a loopback server can carry. */
#define VUC_LOOPBACK_MAX_FDS 16

/** A message of the loopback transport: header, body and file descriptors. */
struct vuc_loopback_msg {
	uint8_t *bytes;                /**< header and body */
	size_t len;                    /**< bytes in use */
	size_t size;                   /**< capacity in bytes */
	int fds[VUC_LOOPBACK_MAX_FDS]; /**< file descriptors of the message */
	unsigned int nr_fds;           /**< number of file descriptors */
};

/** Functions of a server. All are called on the thread that polls the group. */
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
	 * @return 0; a negative errno closes the connection, as if the server had exited
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
