/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_BASE_NAMES_H
#define VUC_BASE_NAMES_H

/* The names that what is in public headers has in replies, telemetry and log lines. */

#include <stddef.h>
#include <stdint.h>

/* A counter of <vuc/stats.h>. */
struct vuc_counter {
	const char *name;
	size_t offset; /* in its struct */
	size_t width;  /* 4 or 8 bytes */
};

/* Up to one without a name; burst_sizes is not among them. */
extern const struct vuc_counter vuc_access_counters[]; /* of struct vuc_access_stats */
extern const struct vuc_counter vuc_device_counters[]; /* of struct vuc_device_stats, by itself */
extern const struct vuc_counter vuc_poller_counters[]; /* of struct vuc_poller_stats, by itself */

static inline uint64_t
vuc_counter_value(const struct vuc_counter *counter, const void *stats)
{
	const void *value = (const char *)stats + counter->offset;

	return counter->width == sizeof(uint32_t) ? *(const uint32_t *)value
						  : *(const uint64_t *)value;
}

/* A message of <vuc/shm.h>; one of an unknown type is "a packet". */
const char *vuc_shm_message_name(unsigned int type);

#endif /* VUC_BASE_NAMES_H */
