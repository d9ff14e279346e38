/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FUZZ_H
#define VUC_TESTS_FUZZ_H

/* What fuzz targets have in common. Integers in inputs are in the byte order of the host. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* State what must hold for every input; not assert(), which a release build drops. */
#define REQUIRE(condition)                                                              \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

/* The part of an input that has not been used. */
struct input {
	const uint8_t *data;
	size_t size;
};

/* Take size bytes off the front; what an input is too short for is zero. */
static inline void
take(struct input *in, void *value, size_t size)
{
	size_t n = size < in->size ? size : in->size;

	memset(value, 0, size);
	if (n > 0)
		memcpy(value, in->data, n);
	in->data += n;
	in->size -= n;
}

static inline uint8_t
take_u8(struct input *in)
{
	uint8_t value;

	take(in, &value, sizeof(value));
	return value;
}

static inline uint32_t
take_u32(struct input *in)
{
	uint32_t value;

	take(in, &value, sizeof(value));
	return value;
}

static inline uint64_t
take_u64(struct input *in)
{
	uint64_t value;

	take(in, &value, sizeof(value));
	return value;
}

/* A refusal has one line of printable text. */
static inline void
require_line(const struct vuc_error *err)
{
	size_t len = strnlen(err->text, sizeof(err->text));

	REQUIRE(len > 0 && len < sizeof(err->text));
	for (size_t i = 0; i < len; i++)
		REQUIRE(err->text[i] >= ' ' && err->text[i] <= '~');
}

/* A range lies inside the input; an empty one may begin at its end. */
static inline void
require_inside(const struct input *in, const uint8_t *bytes, size_t len)
{
	REQUIRE(bytes >= in->data && bytes <= in->data + in->size);
	REQUIRE(len <= (size_t)(in->data + in->size - bytes));
}

#endif /* VUC_TESTS_FUZZ_H */
