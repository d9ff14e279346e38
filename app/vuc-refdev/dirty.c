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

/* An interval that is cut in two needs room for one more. */
static int
make_room(struct refdev_intervals *set)
{
	void *list = refdev_list_grow(set->list, set->nr, &set->capacity, sizeof(set->list[0]));

	if (list == NULL)
		return -ENOMEM;
	set->list = list;
	return 0;
}

/* Put nr intervals where those from first to end (not included) are; there is room. */
static void
intervals_replace(struct refdev_intervals *set, size_t first, size_t end,
	const struct refdev_interval *with, size_t nr)
{
	memmove(&set->list[first + nr], &set->list[end], (set->nr - end) * sizeof(*with));
	memcpy(&set->list[first], with, nr * sizeof(*with));
	set->nr = set->nr - (end - first) + nr;
}

int
refdev_intervals_add(struct refdev_intervals *set, struct refdev_interval added)
{
	size_t first = intervals_find(set, added.first > 0 ? added.first - 1 : 0);
	size_t end = first;
	int rc = make_room(set);

	if (rc != 0)
		return rc;
	while (end < set->nr &&
		(added.last == UINT64_MAX || set->list[end].first <= added.last + 1)) {
		if (set->list[end].first < added.first)
			added.first = set->list[end].first;
		if (set->list[end].last > added.last)
			added.last = set->list[end].last;
		end++;
	}
	intervals_replace(set, first, end, &added, 1);
	return 0;
}

int
refdev_intervals_remove(struct refdev_intervals *set, struct refdev_interval removed)
{
	size_t first = intervals_find(set, removed.first);
	size_t end = first;
	struct refdev_interval rest[2];
	size_t nr = 0;
	int rc = make_room(set);

	if (rc != 0)
		return rc;
	for (; end < set->nr && set->list[end].first <= removed.last; end++) {
		struct refdev_interval old = set->list[end];

		if (old.first < removed.first)
			rest[nr++] = (struct refdev_interval){old.first, removed.first - 1};
		if (old.last > removed.last)
			rest[nr++] = (struct refdev_interval){removed.last + 1, old.last};
	}
	if (end > first)
		intervals_replace(set, first, end, rest, nr);
	return 0;
}

bool
refdev_intervals_contain(const struct refdev_intervals *set, struct refdev_interval interval)
{
	size_t at = intervals_find(set, interval.first);

	return at < set->nr && set->list[at].first <= interval.first &&
		interval.last <= set->list[at].last;
}

bool
refdev_intervals_touch(const struct refdev_intervals *set, struct refdev_interval interval)
{
	size_t at = intervals_find(set, interval.first);

	return at < set->nr && set->list[at].first <= interval.last;
}

void
refdev_intervals_clear(struct refdev_intervals *set)
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

		if (refdev_intervals_add(&dirty->written, pages) != 0)
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

static void
set_bits(uint8_t *bitmap, uint64_t first, uint64_t last)
{
	for (uint64_t bit = first; bit <= last; bit++)
		bitmap[bit / 8] = (uint8_t)(bitmap[bit / 8] | 1u << bit % 8);
}

/* The part of a written interval that lies in the one asked for. */
static void
report_written(struct refdev_interval written, struct refdev_interval asked, uint64_t page_size,
	uint8_t *bitmap)
{
	uint64_t first = written.first > asked.first ? written.first : asked.first;
	uint64_t last = written.last < asked.last ? written.last : asked.last;

	set_bits(bitmap, (first - asked.first) / page_size, (last - asked.first) / page_size);
}

int
refdev_dirty_take(
	struct refdev *dev, struct refdev_interval asked, uint64_t page_size, uint8_t *bitmap)
{
	struct refdev_dirty *dirty = &dev->dirty;
	const struct refdev_intervals *written = &dirty->written;
	uint64_t bytes = refdev_dirty_bitmap_size(asked.last - asked.first + 1, page_size);

	if (!dirty->started || bytes == 0 || !refdev_intervals_contain(&dirty->ranges, asked))
		return -EINVAL;
	memset(bitmap, 0, bytes);
	if (dirty->incomplete)
		report_written(asked, asked, page_size, bitmap);
	for (size_t i = intervals_find(written, asked.first);
		i < written->nr && written->list[i].first <= asked.last; i++)
		report_written(written->list[i], asked, page_size, bitmap);
	return refdev_intervals_remove(&dirty->written, asked);
}

void
refdev_dirty_stop(struct refdev *dev)
{
	refdev_intervals_clear(&dev->dirty.ranges);
	refdev_intervals_clear(&dev->dirty.written);
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

	memcpy(&wire, at, sizeof(wire));
	if (!make_interval(wire.iova, wire.length, &range) || refdev_intervals_touch(ranges, range))
		return -EINVAL;
	return refdev_intervals_add(ranges, range);
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
		: refdev_intervals_add(&ranges, (struct refdev_interval){0, UINT64_MAX});
	for (uint32_t i = 0; i < control.num_ranges && rc == 0; i++)
		rc = add_range(&ranges, data + sizeof(control) + i * sizeof(range));
	if (rc != 0) {
		refdev_intervals_clear(&ranges);
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
