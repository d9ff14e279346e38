/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_INTERVAL_H
#define REFDEV_INTERVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses from first to last, both included. */
struct refdev_interval {
	uint64_t first;
	uint64_t last;
};

/* A set of addresses: ascending intervals that neither overlap nor touch. All zero: empty. */
struct refdev_intervals {
	struct refdev_interval *list;
	size_t nr;
	size_t capacity;
};

/* Returns 0 or -ENOMEM, after which the set is as it was. */
int refdev_intervals_add(struct refdev_intervals *set, struct refdev_interval added);
int refdev_intervals_remove(struct refdev_intervals *set, struct refdev_interval removed);
/* Whether all of it, or any of it, is in the set. */
bool refdev_intervals_contain(const struct refdev_intervals *set, struct refdev_interval interval);
bool refdev_intervals_touch(const struct refdev_intervals *set, struct refdev_interval interval);
/* The first interval that ends at addr or behind it; nr when none does. */
size_t refdev_intervals_find(const struct refdev_intervals *set, uint64_t addr);
/* Empty it and free its memory. */
void refdev_intervals_clear(struct refdev_intervals *set);

#endif /* REFDEV_INTERVAL_H */
