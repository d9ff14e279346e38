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
	size_t len;           /**< length in bytes; equal to the size in the header */
	unsigned int nr_fds;  /**< number of file descriptors of the message */
};

/**
 * Called for each message. The header of a received message has been checked, its body has not.
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
