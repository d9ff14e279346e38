/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_TRACE_H
#define REFDEV_TRACE_H

#include <vuc/loopback.h>

/* One line on stderr about a message and what it got; reply->len is 0 when that was nothing. */
void refdev_trace(const char *name, const struct vuc_loopback_msg *request, unsigned int nr_fds,
	const struct vuc_loopback_msg *reply);

/* One line about a command of the device, or the reply to one by the twin socket. */
void refdev_trace_command(const char *name, const struct vuc_loopback_msg *msg);

#endif /* REFDEV_TRACE_H */
