/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <string.h>

#include "bitmap.h"

#define WORD_BITS 64u

/* The lowest n bits of a word; n is at most 64. */
static uint64_t
low_bits(uint64_t n)
{
	return n < WORD_BITS ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
}

uint64_t
vuc_bitmap_words(uint64_t count)
{
	return count / WORD_BITS + (count % WORD_BITS != 0);
}

void
vuc_bitmap_set(uint64_t *map, uint64_t first, uint64_t count)
{
	uint64_t *word = &map[first / WORD_BITS];
	uint64_t bit = first % WORD_BITS;

	while (count > 0) {
		uint64_t n = count < WORD_BITS - bit ? count : WORD_BITS - bit;

		*word++ |= low_bits(n) << bit;
		count -= n;
		bit = 0;
	}
}

void
vuc_bitmap_set_range(uint64_t *map, uint64_t base, uint64_t pgsize, uint64_t addr, uint64_t size)
{
	uint64_t first, last;
	int shift;

	assert(pgsize != 0 && (pgsize & (pgsize - 1)) == 0 && addr >= base);
	if (size == 0)
		return;
	shift = __builtin_ctzll(pgsize);
	first = (addr - base) >> shift;
	last = (addr - base + (size - 1)) >> shift;
	vuc_bitmap_set(map, first, last - first + 1);
}

void
vuc_bitmap_or(uint64_t *map, uint64_t first, const void *from, uint64_t count)
{
	const uint8_t *bytes = from;
	uint64_t *to = &map[first / WORD_BITS];

	assert(first % WORD_BITS == 0);
	while (count > 0) {
		uint64_t n = count < WORD_BITS ? count : WORD_BITS;
		uint64_t word;

		memcpy(&word, bytes, sizeof(word));
		*to++ |= word & low_bits(n);
		bytes += sizeof(word);
		count -= n;
	}
}

uint64_t
vuc_bitmap_count(const uint64_t *map, uint64_t count)
{
	uint64_t set = 0;

	for (; count > 0; map++) {
		uint64_t n = count < WORD_BITS ? count : WORD_BITS;

		set += (uint64_t)__builtin_popcountll(*map & low_bits(n));
		count -= n;
	}
	return set;
}
