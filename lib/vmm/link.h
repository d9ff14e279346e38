/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_LINK_H
#define VUC_VMM_LINK_H

/* The socket to the daemon: packets with descriptors, sent and received within a time. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/error.h>

#include "packet.h"

struct vmm_link {
	int fd; /* -1: there is none */
	uint32_t timeout_ms;
	uint32_t sequence;       /* of the last request */
	bool ended;              /* nothing more is sent or received */
	struct vuc_error reason; /* why it has ended */
};

/* Connect. Returns 0, what connect(2) says, -ETIMEDOUT or -EINVAL for a path that is too long. */
int vmm_link_open(
	struct vmm_link *link, const char *path, uint32_t timeout_ms, struct vuc_error *err);
void vmm_link_close(struct vmm_link *link);

/*
 * End the connection for a reason, which is kept for later calls, and return rc: an answer that
 * came late would be taken for that to another question. The daemon sees it as a hang-up.
 */
int vmm_link_end(struct vmm_link *link, struct vuc_error *err, int rc, const char *fmt, ...)
	__attribute__((cold, format(printf, 4, 5)));

/* Whether the other end has gone, or this one was shut down. Any thread. */
bool vmm_link_is_gone(const struct vmm_link *link);

/* Close all of them; there are none then. */
void vmm_fds_close(struct vmm_fds *fds);

/*
 * Send header.size bytes and the descriptors. Returns 0; -ETIMEDOUT; -EPIPE when the daemon has
 * gone; another negative errno when nothing was sent for a reason of this side, such as -EBADF.
 */
int vmm_link_send(const struct vmm_link *link, const union vmm_packet *packet,
	const struct vmm_fds *fds, uint64_t deadline_ms);

/*
 * Receive a packet, and descriptors for the caller to close. Returns its size; -EPIPE when the
 * daemon has gone; -ETIMEDOUT; -EMSGSIZE for more bytes or descriptors than a packet can have.
 */
int vmm_link_receive(const struct vmm_link *link, union vmm_packet *packet, struct vmm_fds *fds,
	uint64_t deadline_ms);

#endif /* VUC_VMM_LINK_H */
