/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_REPORT_H
#define REFDEV_REPORT_H

/* Lines on stderr, each behind the program's name and in one write. */

#include <vuc/loopback.h>

void refdev_report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A message and what it got; reply->len is 0 when that was nothing. */
void refdev_trace(const char *name, const struct vuc_loopback_msg *request, unsigned int nr_fds,
	const struct vuc_loopback_msg *reply);

/* A command of the device, or the reply to one by the twin socket. */
void refdev_trace_command(const char *name, const struct vuc_loopback_msg *msg);

#endif /* REFDEV_REPORT_H */
