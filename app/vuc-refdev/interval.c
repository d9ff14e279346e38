/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "interval.h"

size_t
refdev_intervals_find(const struct refdev_intervals *set, uint64_t addr)
{
	size_t low = 0;
	size_t high = set->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->list[mid].last < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int
make_room(struct refdev_intervals *set)
{
	size_t capacity = set->capacity > 0 ? 2 * set->capacity : 16;
	struct refdev_interval *list;

	if (set->nr < set->capacity)
		return 0;
	list = realloc(set->list, capacity * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	set->list = list;
	set->capacity = capacity;
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
	size_t first = refdev_intervals_find(set, added.first > 0 ? added.first - 1 : 0);
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
	size_t first = refdev_intervals_find(set, removed.first);
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
	size_t at = refdev_intervals_find(set, interval.first);

	return at < set->nr && set->list[at].first <= interval.first &&
		interval.last <= set->list[at].last;
}

bool
refdev_intervals_touch(const struct refdev_intervals *set, struct refdev_interval interval)
{
	size_t at = refdev_intervals_find(set, interval.first);

	return at < set->nr && set->list[at].first <= interval.last;
}

void
refdev_intervals_clear(struct refdev_intervals *set)
{
	free(set->list);
	*set = (struct refdev_intervals){0};
}
