/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_DIRTY_H
#define REFDEV_DIRTY_H

/* The log of what the device has written through mappings: see DMA_LOGGING_* of the specification.
 */

#include <stdbool.h>
#include <stdint.h>

#include "interval.h"
#include "refdev.h"

struct refdev_dirty {
	bool started;
	bool everything; /* no ranges were given */
	bool incomplete; /* memory ran out: all that is logged counts as written */
	uint64_t page_size;
	struct refdev_intervals ranges;
	struct refdev_intervals written;
};

struct refdev_body;

/* The device has written this much; len is not 0. */
void refdev_dirty_mark(struct refdev *dev, uint64_t addr, uint64_t len);

/* Bytes of a bitmap for size bytes at a bit for each page_size; 0 for what can't be: a page size
 * that is no power of two, or more than 4 GiB of bitmap. */
uint64_t refdev_dirty_bitmap_size(uint64_t size, uint64_t page_size);

/* Write the bitmap of an interval, as many bytes as it takes, and forget what it says. Returns 0,
 * -EINVAL when that is not logged, or -ENOMEM. */
int refdev_dirty_take(
	struct refdev *dev, struct refdev_interval interval, uint64_t page_size, uint8_t *bitmap);

/* Stop logging and forget everything. */
void refdev_dirty_stop(struct refdev *dev);

/* DEVICE_FEATURE: set start, set stop, get report. data is what comes behind the fixed part. */
int refdev_dirty_start_set(struct refdev *dev, uint8_t *data, size_t len);
int refdev_dirty_stop_set(struct refdev *dev, uint8_t *data, size_t len);
int refdev_dirty_report_get(
	struct refdev *dev, const struct refdev_body *in, struct refdev_body *out);

#endif /* REFDEV_DIRTY_H */
