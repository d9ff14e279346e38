/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_BITMAP_H
#define VUC_DEVICE_BITMAP_H

/*
 * Dirty bitmaps: an array of 64-bit words in the byte order of the host, bit n % 64 of word n / 64
 * for page n of a range. Pages are powers of two.
 */

#include <stddef.h>
#include <stdint.h>

/* Words for count bits. */
uint64_t vuc_bitmap_words(uint64_t count);

/* Set bits first … first + count - 1, which must be there. A count of 0 does nothing. */
void vuc_bitmap_set(uint64_t *map, uint64_t first, uint64_t count);

/*
 * Set the bits of all pages that [addr, addr + size) touches, in the bitmap of a range that begins
 * at base, where bit 0 is. [addr, addr + size) must lie in that range. A size of 0 does nothing.
 */
void vuc_bitmap_set_range(
	uint64_t *map, uint64_t base, uint64_t pgsize, uint64_t addr, uint64_t size);

/*
 * Add the first count bits of from, to map from bit first on, a multiple of 64. What from has
 * behind them is not added; it is read as whole words, aligned to nothing.
 */
void vuc_bitmap_or(uint64_t *map, uint64_t first, const void *from, uint64_t count);

/* How many of the first count bits are set. */
uint64_t vuc_bitmap_count(const uint64_t *map, uint64_t count);

#endif /* VUC_DEVICE_BITMAP_H */
