/* SPDX-License-Identifier: BSD-3-Clause */
#include "migdata.h"
#include "wire_body.h"

/* A reply with 5 bytes of data, to a request of 8. */
struct reply {
	uint32_t argsz;
	uint32_t size;
	uint8_t data[9];
} __attribute__((packed));

#define ASKED     8u
#define FIXED_LEN offsetof(struct reply, data)
#define REPLY_LEN (FIXED_LEN + 5)

static const struct reply reply = {
	.argsz = REPLY_LEN,
	.size = 5,
	.data = {'s', 't', 'a', 't', 'e', 0, 0, 0, 0},
};

static int
decode(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *data;
	uint32_t count;

	return vuc_wire_mig_data_decode(body, len, *(uint32_t *)arg, &data, &count, err);
}

static void
test_encode(void)
{
	struct vfio_user_mig_data got;

	CU_ASSERT_EQUAL(vuc_wire_mig_data_encode(&got, 100), 8);
	CU_ASSERT_EQUAL(got.argsz, 108);
	CU_ASSERT_EQUAL(got.size, 100);
	CU_ASSERT_EQUAL(vuc_wire_mig_data_encode(&got, UINT32_MAX - 8), 8);
	CU_ASSERT_EQUAL(got.argsz, UINT32_MAX);
	CU_ASSERT_EQUAL(vuc_wire_mig_data_encode(&got, UINT32_MAX - 7), -EOVERFLOW);
}

static void
test_decode(void)
{
	uint32_t asked = ASKED, count = 0;
	const uint8_t *data = NULL;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_mig_data_decode(&reply, REPLY_LEN, ASKED, &data, &count, &err), 0);
	CU_ASSERT_EQUAL(count, 5);
	CU_ASSERT_PTR_EQUAL(data, reply.data);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode, &asked, &reply, REPLY_LEN), REPLY_LEN);
}

static void
test_padded(void)
{
	uint32_t asked = ASKED;

	CU_ASSERT(taken(decode, &asked, &reply, FIXED_LEN + ASKED));
	CU_ASSERT(refused(decode, &asked, &reply, FIXED_LEN + ASKED + 1,
		"VFIO_USER_MIG_DATA_READ reply: body of 17 bytes, expected the 8 of its fields and "
		"5 to 8 more"));
}

static void
test_end_of_stream(void)
{
	const struct vfio_user_mig_data end = {.argsz = 8, .size = 0};
	uint32_t asked = ASKED, count = 1;
	const uint8_t *data;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_mig_data_decode(&end, sizeof(end), ASKED, &data, &count, &err), 0);
	CU_ASSERT_EQUAL(count, 0);
	asked = 0;
	CU_ASSERT(taken(decode, &asked, &end, sizeof(end)));
}

static void
test_bounds(void)
{
	uint32_t asked = 5;
	struct reply r = reply;

	CU_ASSERT(taken(decode, &asked, &r, REPLY_LEN));
	asked = 4;
	CU_ASSERT(refused(decode, &asked, &r, REPLY_LEN,
		"VFIO_USER_MIG_DATA_READ reply: size 5, asked for at most 4"));
	asked = ASKED;
	r.argsz = REPLY_LEN - 1;
	CU_ASSERT(refused(decode, &asked, &r, REPLY_LEN,
		"VFIO_USER_MIG_DATA_READ reply: argsz 12, expected 13"));
	asked = UINT32_MAX;
	r.size = UINT32_MAX;
	r.argsz = 7; /* what the sum is in 32 bits */
	CU_ASSERT(refused(decode, &asked, &r, REPLY_LEN,
		"VFIO_USER_MIG_DATA_READ reply: argsz 7, expected 4294967303"));
	r.size = UINT32_MAX - 8;
	r.argsz = UINT32_MAX;
	CU_ASSERT(refused(decode, &asked, &r, REPLY_LEN,
		"VFIO_USER_MIG_DATA_READ reply: body of 13 bytes, expected the 8 of its fields and "
		"4294967287 to 4294967295 more"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"request", test_encode},
		{"reply of a read", test_decode},
		{"reply as long as was asked for", test_padded},
		{"reply at the end of the stream", test_end_of_stream},
		{"reply out of bounds", test_bounds},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("migdata", NULL, NULL, tests);
}
