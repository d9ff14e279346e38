/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TRACE_H
#define VUC_TRACE_H

/**
 * @file
 * Tracing of all messages that a device sends and receives.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A message on the wire. */
struct vuc_trace_message {
	bool sent;            /**< to the server, else from it */
	bool twin;            /**< on the twin socket */
	const uint8_t *bytes; /**< header and body; valid during the call */
	size_t len;           /**< length in bytes: the size in the header, or that of the header if
				   it is refused, which closes the connection */
	unsigned int nr_fds;  /**< number of file descriptors of the message */
	uint32_t connection;  /**< a number for each connection of the process; a twin socket has
				   that of its main socket */
};

/**
 * Called for each message. The body of a received message has not been checked.
 * Called on the thread that polls the device, inside a poll; must not use the device.
 *
 * @param arg      the trace_arg of struct vuc_device_opts
 * @param message  valid during the call
 */
typedef void (*vuc_trace_fn)(void *arg, const struct vuc_trace_message *message);

#ifdef __cplusplus
}
#endif

#endif /* VUC_TRACE_H */
