/* SPDX-License-Identifier: BSD-3-Clause */
#include "migdata.h"
#include "wire_body.h"

/* A reply with 5 bytes of data, to a request of 8. */
struct reply {
	uint32_t argsz;
	uint32_t size;
	uint8_t data[5];
} __attribute__((packed));

#define ARGSZ FIELD(struct reply, argsz)
#define SIZE  FIELD(struct reply, size)

static const struct reply good = {13, 5, "state"};
static uint32_t asked = 8, four = 4, five = 5, most = UINT32_MAX;

static int
decode(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	const uint8_t *data = NULL;
	uint32_t count = UINT32_MAX;
	int rc = vuc_wire_mig_data_decode(body, len, *(uint32_t *)arg, &data, &count, err);

	CU_ASSERT(rc != 0 || memcmp(&count, (const uint8_t *)body + 4, 4) == 0);
	CU_ASSERT(rc != 0 || count == 0 || data == (const uint8_t *)body + 8);
	return rc;
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

static const struct body_row decode_rows[] = {
	/* As long as was asked for, whatever there is. */
	{NULL, .len = 16},
	{"body of 17 bytes, expected the 8 of its fields and 5 to 8 more", .len = 17},
	{NULL, .arg = &five},
	{"size 5, requested at most 4", .arg = &four},
	{"argsz 12, expected 13", {{ARGSZ, 12}}},
	/* 7 is what the sum is in 32 bits. */
	{"argsz 7, expected 4294967303", {{SIZE, UINT32_MAX}, {ARGSZ, 7}}, .arg = &most},
	{"body of 13 bytes, expected the 8 of its fields and 4294967287 to 4294967295 more",
		{{SIZE, UINT32_MAX - 8}, {ARGSZ, UINT32_MAX}}, .arg = &most},
};

static const struct vfio_user_mig_data end = {.argsz = 8, .size = 0};
static uint32_t none;
static const struct body_row end_of_stream_rows[] = {{NULL, .arg = &none}};

static const struct decoder decoders[] = {
	{"reply", decode, &asked, "VFIO_USER_MIG_DATA_READ reply", GOOD(good), ROWS(decode_rows)},
	{"reply at the end of the stream", decode, &asked, "VFIO_USER_MIG_DATA_READ reply",
		GOOD(end), ROWS(end_of_stream_rows)},
};

const struct tap_suite tap_suite = {"migdata", NULL, NULL,
	{
		{"request", test_encode},
	},
	TAP_ROWS(decoders, decoder_test)};
