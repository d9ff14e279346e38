/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_STATS_H
#define VUCCTL_STATS_H

#include "daemon_command.h"

/* What of the daemon's statistics is wanted. */
struct vucctl_stats {
	const char *device; /* NULL: all */
	bool watch;
	uint32_t interval_ms; /* 0: the default */
	uint64_t count;       /* of reports; 0: no end */
};

/* Ask for them. Returns 0; EXIT_FAILURE, the error said unless a signal came. */
int vucctl_stats_get(const struct vucctl_stats *stats, struct vucctl_daemon *daemon,
	struct json_object **result);

/* Show rates until the count is reached or a signal comes. Returns the exit status. */
int vucctl_stats_watch(const struct vucctl_stats *stats, struct vucctl_daemon *daemon);

#endif /* VUCCTL_STATS_H */
