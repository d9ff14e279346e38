/* SPDX-License-Identifier: BSD-3-Clause */

/* The log of what the device has written through mappings: see DMA_LOGGING_* of the specification.
 */

#include <errno.h>
#include <stdlib.h>

#include "device.h"

#define MIN_PAGE_SIZE 4096u
#define MAX_PAGE_SIZE (1u << 30)

/* Ranges of one start; a message has room for no more than this anyway in most cases. */
#define MAX_RANGES 65536u

size_t
refdev_list_find(const void *list, size_t nr, size_t each, uint64_t addr)
{
	size_t low = 0;
	size_t high = nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct refdev_interval at;

		memcpy(&at, (const uint8_t *)list + mid * each, sizeof(at));
		if (at.last < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static size_t
intervals_find(const struct refdev_intervals *set, uint64_t addr)
{
	return refdev_list_find(set->list, set->nr, sizeof(set->list[0]), addr);
}

void *
refdev_list_grow(void *list, size_t nr, size_t *capacity, size_t each)
{
	size_t more = *capacity > 0 ? 2 * *capacity : 64;

	if (nr < *capacity)
		return list;
	list = realloc(list, more * each);
	if (list != NULL)
		*capacity = more;
	return list;
}

/* Add an interval, which joins those that it touches, or cut it out. Returns 0 or, and the set is
 * as it was then, -ENOMEM. */
static int
intervals_change(struct refdev_intervals *set, struct refdev_interval at, bool add)
{
	uint64_t before = add && at.first > 0 ? at.first - 1 : at.first;
	uint64_t behind = add && at.last < UINT64_MAX ? at.last + 1 : at.last;
	size_t first = intervals_find(set, before), end = first, nr = 0;
	struct refdev_interval with[2];
	void *list = refdev_list_grow(set->list, set->nr, &set->capacity, sizeof(at));

	if (list == NULL)
		return -ENOMEM;
	set->list = list;
	for (; end < set->nr && set->list[end].first <= behind; end++) {
		struct refdev_interval old = set->list[end];

		if (add && old.first < at.first)
			at.first = old.first;
		else if (old.first < at.first)
			with[nr++] = (struct refdev_interval){old.first, at.first - 1};
		if (add && old.last > at.last)
			at.last = old.last;
		else if (old.last > at.last)
			with[nr++] = (struct refdev_interval){at.last + 1, old.last};
	}
	if (add)
		with[nr++] = at;
	memmove(&set->list[first + nr], &set->list[end], (set->nr - end) * sizeof(at));
	memcpy(&set->list[first], with, nr * sizeof(at));
	set->nr = set->nr - (end - first) + nr;
	return 0;
}

static void
intervals_clear(struct refdev_intervals *set)
{
	free(set->list);
	*set = (struct refdev_intervals){0};
}

static bool
is_power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static bool
make_interval(uint64_t addr, uint64_t size, struct refdev_interval *out)
{
	*out = (struct refdev_interval){.first = addr};
	return size > 0 && !__builtin_add_overflow(addr, size - 1, &out->last);
}

/* Note whole pages, as far as they are logged. */
void
refdev_dirty_mark(struct refdev *dev, uint64_t addr, uint64_t len)
{
	struct refdev_dirty *dirty = &dev->dirty;
	const struct refdev_intervals *ranges = &dirty->ranges;
	uint64_t first = addr & ~(dirty->page_size - 1);
	uint64_t last = (addr + (len - 1)) | (dirty->page_size - 1);

	for (size_t i = intervals_find(ranges, first);
		i < ranges->nr && ranges->list[i].first <= last; i++) {
		const struct refdev_interval *range = &ranges->list[i];
		const struct refdev_interval pages = {
			.first = first > range->first ? first : range->first,
			.last = last < range->last ? last : range->last,
		};

		if (intervals_change(&dirty->written, pages, true) != 0)
			dirty->incomplete = true;
	}
}

uint64_t
refdev_dirty_bitmap_size(uint64_t size, uint64_t page_size)
{
	uint64_t pages;

	if (size == 0 || !is_power_of_two(page_size))
		return 0;
	pages = (size - 1) / page_size + 1;
	return pages <= (uint64_t)UINT32_MAX * 8 ? (pages + 63) / 64 * 8 : 0;
}

/* The part of a written interval that lies in the one asked for. */
static void
report_written(struct refdev_interval written, struct refdev_interval asked, uint64_t page_size,
	uint8_t *bitmap)
{
	uint64_t first = written.first > asked.first ? written.first : asked.first;
	uint64_t last = written.last < asked.last ? written.last : asked.last;

	for (uint64_t bit = (first - asked.first) / page_size;
		bit <= (last - asked.first) / page_size; bit++)
		bitmap[bit / 8] = (uint8_t)(bitmap[bit / 8] | 1u << bit % 8);
}

int
refdev_dirty_take(
	struct refdev *dev, struct refdev_interval asked, uint64_t page_size, uint8_t *bitmap)
{
	struct refdev_dirty *dirty = &dev->dirty;
	const struct refdev_intervals *written = &dirty->written, *ranges = &dirty->ranges;
	size_t at = intervals_find(ranges, asked.first);
	uint64_t bytes = refdev_dirty_bitmap_size(asked.last - asked.first + 1, page_size);

	if (!dirty->started || bytes == 0 || at == ranges->nr ||
		ranges->list[at].first > asked.first || ranges->list[at].last < asked.last)
		return -EINVAL;
	memset(bitmap, 0, bytes);
	if (dirty->incomplete)
		report_written(asked, asked, page_size, bitmap);
	for (size_t i = intervals_find(written, asked.first);
		i < written->nr && written->list[i].first <= asked.last; i++)
		report_written(written->list[i], asked, page_size, bitmap);
	return intervals_change(&dirty->written, asked, false);
}

void
refdev_dirty_stop(struct refdev *dev)
{
	intervals_clear(&dev->dirty.ranges);
	intervals_clear(&dev->dirty.written);
	dev->dirty = (struct refdev_dirty){0};
}

static uint64_t
nearest_page_size(uint64_t hint)
{
	if (hint < MIN_PAGE_SIZE)
		return MIN_PAGE_SIZE;
	if (hint > MAX_PAGE_SIZE)
		return MAX_PAGE_SIZE;
	while (!is_power_of_two(hint))
		hint &= hint - 1;
	return hint;
}

static int
add_range(struct refdev_intervals *ranges, const uint8_t *at)
{
	struct vfio_user_device_feature_dma_logging_range wire;
	struct refdev_interval range;
	size_t next;

	memcpy(&wire, at, sizeof(wire));
	if (!make_interval(wire.iova, wire.length, &range))
		return -EINVAL;
	next = intervals_find(ranges, range.first);
	if (next < ranges->nr && ranges->list[next].first <= range.last)
		return -EINVAL;
	return intervals_change(ranges, range, true);
}

int
refdev_dirty_start_set(struct refdev *dev, uint8_t *data, size_t len)
{
	struct vfio_user_device_feature_dma_logging_control control;
	struct vfio_user_device_feature_dma_logging_range range;
	struct refdev_intervals ranges = {0};
	int rc;

	if (dev->dirty.started || len < sizeof(control))
		return -EINVAL;
	memcpy(&control, data, sizeof(control));
	if (control.num_ranges > MAX_RANGES || control.reserved != 0 ||
		len - sizeof(control) != control.num_ranges * sizeof(range))
		return -EINVAL;
	rc = control.num_ranges > 0
		? 0
		: intervals_change(&ranges, (struct refdev_interval){0, UINT64_MAX}, true);
	for (uint32_t i = 0; i < control.num_ranges && rc == 0; i++)
		rc = add_range(&ranges, data + sizeof(control) + i * sizeof(range));
	if (rc != 0) {
		intervals_clear(&ranges);
		return rc;
	}
	control.page_size = nearest_page_size(control.page_size);
	memcpy(data, &control, sizeof(control));
	dev->dirty = (struct refdev_dirty){
		.started = true,
		.page_size = control.page_size,
		.ranges = ranges,
	};
	return 0;
}

int
refdev_dirty_stop_set(struct refdev *dev, uint8_t *data, size_t len)
{
	(void)data;
	if (!dev->dirty.started || len != 0)
		return -EINVAL;
	refdev_dirty_stop(dev);
	return 0;
}

/* The answer begins as the request does, and has the bitmap behind it. */
int
refdev_dirty_report_get(struct refdev *dev, const struct refdev_body *in, struct refdev_body *out)
{
	struct vfio_user_device_feature_dma_logging_report report;
	struct vfio_user_device_feature fixed;
	size_t head = sizeof(fixed) + sizeof(report);
	struct refdev_interval asked;
	uint64_t bytes;
	int rc;

	if (in->len < head)
		return -EINVAL;
	memcpy(&fixed, in->bytes, sizeof(fixed));
	memcpy(&report, in->bytes + sizeof(fixed), sizeof(report));
	bytes = refdev_dirty_bitmap_size(report.length, report.page_size);
	if (bytes == 0 || !make_interval(report.iova, report.length, &asked) ||
		fixed.argsz < head || bytes > fixed.argsz - head)
		return -EINVAL;
	if (out->size < head + bytes)
		return -EMSGSIZE;
	rc = refdev_dirty_take(dev, asked, report.page_size, out->bytes + head);
	if (rc != 0)
		return rc;
	fixed.argsz = (uint32_t)(head + bytes);
	memcpy(out->bytes, &fixed, sizeof(fixed));
	memcpy(out->bytes + sizeof(fixed), &report, sizeof(report));
	out->len = head + bytes;
	return 0;
}
