/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_WIRE_BODY_H
#define VUC_TESTS_WIRE_BODY_H

/* What the tests of lib/wire have in common: bodies of messages, cut and changed. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vuc/error.h>

#include "tap.h"

/* A decoder under test, with what else it takes in arg. */
typedef int (*decode_fn)(const void *body, size_t len, void *arg, struct vuc_error *err);

/*
 * Decode a copy in memory of exactly its size, and one that is aligned to nothing, so that a byte
 * read behind it or an aligned load shows under the sanitizers.
 */
static inline int
decode_copy(decode_fn decode, void *arg, const void *body, size_t len, struct vuc_error *err)
{
	uint8_t *copy = malloc(len + 1);
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	if (len > 0)
		memcpy(copy + 1, body, len);
	err->text[0] = '\0';
	rc = decode(copy + 1, len, arg, err);
	free(copy);
	return rc;
}

/* Whether a body is refused as a breach of the protocol, in exactly these words. */
static inline bool
refused(decode_fn decode, void *arg, const void *body, size_t len, const char *expected)
{
	struct vuc_error err;
	int rc = decode_copy(decode, arg, body, len, &err);

	if (rc == -EPROTO && strcmp(err.text, expected) == 0)
		return true;
	printf("# returned %d and \"%s\"\n", rc, err.text);
	return false;
}

/* Whether a body is taken. */
static inline bool
taken(decode_fn decode, void *arg, const void *body, size_t len)
{
	struct vuc_error err;
	int rc = decode_copy(decode, arg, body, len, &err);

	if (rc == 0 && err.text[0] == '\0')
		return true;
	printf("# returned %d and \"%s\"\n", rc, err.text);
	return false;
}

/* How many of all shorter bodies, from none to one byte less, are refused with a reason. */
static inline size_t
count_refused_prefixes(decode_fn decode, void *arg, const void *body, size_t len)
{
	size_t n = 0;

	for (size_t short_len = 0; short_len < len; short_len++) {
		struct vuc_error err;

		n += decode_copy(decode, arg, body, short_len, &err) == -EPROTO &&
			err.text[0] != '\0';
	}
	return n;
}

#endif /* VUC_TESTS_WIRE_BODY_H */
