/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_WIRE_BODY_H
#define VUC_TESTS_WIRE_BODY_H

/* What the tests of lib/wire have in common: bodies of messages, cut and changed. */

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

/* A field of a body, and its value. */
struct field {
	size_t at;
	size_t width;
	uint64_t value;
};

#define FIELD(type, member) offsetof(type, member), sizeof(((type *)NULL)->member)

/* A body that differs from a good one. */
struct body_row {
	const char *why; /* it is refused, in exactly these words; NULL: it is taken */
	struct field fields[2];
	size_t len; /* 0: that of the good one */
	void *arg;  /* of the decoder; NULL: the usual one */
};

/* A decoder, a body that it takes, and others: a test. */
struct decoder {
	const char *test; /* its name */
	decode_fn decode;
	void *arg;
	const char *message; /* how its refusals begin */
	const void *good;
	size_t len;
	const struct body_row *rows;
	size_t nr_rows;
};

#define GOOD(body) &(body), sizeof(body)
#define ROWS(rows) rows, NR(rows)

/* Whether the good body, changed so, is taken, or refused as a breach of the protocol. */
static inline bool
row_holds(const struct decoder *d, const struct body_row *row)
{
	size_t len = row->len != 0 ? row->len : d->len;
	uint8_t *body = calloc(1, len > d->len ? len : d->len);
	char text[VUC_ERROR_MAX] = "";
	struct vuc_error err;
	int rc;

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	memcpy(body, d->good, d->len);
	for (size_t i = 0; i < 2; i++)
		memcpy(body + row->fields[i].at, &row->fields[i].value, row->fields[i].width);
	rc = decode_copy(d->decode, row->arg != NULL ? row->arg : d->arg, body, len, &err);
	free(body);
	if (row->why != NULL)
		snprintf(text, sizeof(text), "%s: %s", d->message, row->why);
	if (rc == (row->why != NULL ? -EPROTO : 0) && strcmp(err.text, text) == 0)
		return true;
	printf("# \"%s\": returned %d and \"%s\"\n", text, rc, err.text);
	return false;
}

/* How many of all shorter bodies, from none to one byte less, are refused with a reason. */
static inline size_t
count_refused_prefixes(const struct decoder *d)
{
	size_t n = 0;

	for (size_t len = 0; len < d->len; len++) {
		struct vuc_error err;

		n += decode_copy(d->decode, d->arg, d->good, len, &err) == -EPROTO &&
			err.text[0] != '\0';
	}
	return n;
}

/* A row of a suite: that the good body is taken, no shorter one is, and that all rows hold. */
static inline void
decoder_test(const void *arg)
{
	static const struct body_row unchanged = {NULL};
	const struct decoder *d = arg;

	CU_ASSERT(row_holds(d, &unchanged));
	CU_ASSERT_EQUAL(count_refused_prefixes(d), d->len);
	for (size_t i = 0; i < d->nr_rows; i++)
		CU_ASSERT(row_holds(d, &d->rows[i]));
}

#endif /* VUC_TESTS_WIRE_BODY_H */
