/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TRACE_H
#define VUC_TRACE_H

/**
 * @file
 * Every message of a device, as it is sent or has been received: for tools that show them.
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
	bool twin;            /**< over the socket for the server's commands */
	const uint8_t *bytes; /**< header and body; valid during the call */
	size_t len;           /**< of bytes; the header says the same */
	unsigned int nr_fds;  /**< descriptors that go or came with it */
};

/**
 * Takes a message. A received one has a header that was checked, nothing else. Called by the thread
 * that polls the device, from within polls; may not use the device.
 *
 * @param arg      the trace_arg of struct vuc_device_opts
 * @param message  valid during the call
 */
typedef void (*vuc_trace_fn)(void *arg, const struct vuc_trace_message *message);

#ifdef __cplusplus
}
#endif

#endif /* VUC_TRACE_H */
