/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_TELEMETRY_H
#define VUC_POLLER_TELEMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include <vuc/stats.h>

#define TELEMETRY_NAME_MAX 16 /* of a poller */

struct vuc_telemetry_poller {
	uint32_t number;
	char name[TELEMETRY_NAME_MAX];
	int cpu;  /* or -1 */
	int node; /* or -1 */
	const char *idle;
	const char *transport;
	bool latency; /* it times its requests */
	struct vuc_poller_stats stats;
};

/* Where answers come from: called by threads of telemetry. */
struct vuc_telemetry_source {
	/* Tell the names of devices, but the first `skip` of them, until add() returns false. */
	void (*names)(unsigned long skip, bool (*add)(void *arg, const char *name), void *arg);
	/* Returns 0 or -ENODEV. poller becomes the name of the device's poller. */
	int (*device)(
		const char *name, struct vuc_device_stats *stats, char poller[TELEMETRY_NAME_MAX]);
	/* Returns how many pollers were filled in. */
	unsigned int (*pollers)(
		struct vuc_telemetry_poller *pollers, unsigned int max, unsigned long skip);
	void (*set_latency)(bool on);
};

/*
 * Register the commands /vuc/… with rte_telemetry, once in the life of a process. Returns 0 or a
 * negative errno.
 */
int vuc_telemetry_register(const struct vuc_telemetry_source *source);

#endif /* VUC_POLLER_TELEMETRY_H */
