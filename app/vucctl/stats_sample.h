/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_STATS_SAMPLE_H
#define VUCCTL_STATS_SAMPLE_H

/* Devices' counters at a time, and how fast they grow. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reply.h"

struct vucctl_device_sample {
	char name[64];
	char state[16];
	uint64_t reads;
	uint64_t writes;
	uint64_t posted;
	uint64_t errors;
	uint64_t timeouts;
	uint64_t attaches;
	uint64_t queues;
	uint64_t dma_maps;
};

struct vucctl_stats_sample {
	uint64_t time_ms; /* of the daemon's clock */
	size_t nr_devices;
	struct vucctl_device_sample *devices;
};

/* Take the answer to stats.get. What is not as it should be is in reply. Returns 0 or -ENOMEM;
 * vucctl_stats_sample_free() is due in any case. */
int vucctl_stats_sample_read(
	struct vucctl_stats_sample *sample, struct vucctl_reply *reply, struct json_object *result);
void vucctl_stats_sample_free(struct vucctl_stats_sample *sample);

/* The device of a sample that has this name; NULL when there is none. It is looked for from element
 * i on, where it was in another sample. */
const struct vucctl_device_sample *vucctl_stats_sample_find(
	const struct vucctl_stats_sample *sample, size_t i, const char *name);

/* A second's worth. */
struct vucctl_rates {
	double reads;
	double writes;
	double posted;
	double errors;
};

/* Returns false when there is no saying: before is NULL, or another device of that name, and so are
 * its counters. ms is not 0. */
bool vucctl_rates_between(struct vucctl_rates *rates, const struct vucctl_device_sample *before,
	const struct vucctl_device_sample *now, uint64_t ms);

#endif /* VUCCTL_STATS_SAMPLE_H */
