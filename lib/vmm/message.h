/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_MESSAGE_H
#define VUC_VMM_MESSAGE_H

/* Requests and their replies. All of it is called with the device's lock held. */

#include "device.h"

/*
 * Send a request of size bytes, whose body and descriptors are there, and wait for its reply, which
 * takes their place. The reply's header is checked; the rest is up to vmm_reply_is() and the
 * caller, who closes its descriptors.
 *
 * Returns 0; the negative errno that the daemon has answered; -EPROTO, -ETIMEDOUT or -ECONNRESET,
 * after which there is no connection, and -ECONNRESET when there was none; another negative errno
 * when the request could not be sent. There are no descriptors after a failure.
 */
int vmm_ask_with(struct vuc_vmm_device *dev, enum vuc_shm_type type, union vmm_packet *packet,
	size_t size, struct vmm_fds *fds, struct vuc_error *err);

/*
 * Whether the reply is of this size and came with as many descriptors. Returns 0; -EPROTO; -EMFILE
 * when there were too many for this process, which does not end the connection. There are no
 * descriptors after a failure.
 */
int vmm_reply_is(struct vuc_vmm_device *dev, const union vmm_packet *reply, size_t size,
	struct vmm_fds *fds, unsigned int nr_fds, struct vuc_error *err);

/* Both, where no descriptors go and none come, and size and reply_size are the only ones. */
int vmm_ask(struct vuc_vmm_device *dev, enum vuc_shm_type type, union vmm_packet *packet,
	size_t size, size_t reply_size, struct vuc_error *err);

/* A field of a reply that cannot be; ends the connection. Returns -EPROTO. */
int vmm_reply_wrong(struct vuc_vmm_device *dev, const union vmm_packet *reply,
	struct vuc_error *err, const char *field, uint64_t value);

#endif /* VUC_VMM_MESSAGE_H */
