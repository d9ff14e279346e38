/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "refdev_peer.h"
#include "tap.h"

#define ENTRIES 4

struct multi {
	uint64_t wr_cnt;
	struct vfio_user_write_multi_entry entries[ENTRIES];
} VFIO_USER_PACKED;

static void
open_multi(struct refdev_peer *p)
{
	refdev_peer_negotiate(p, NULL, "{\"capabilities\":{\"write_multiple\":true}}");
}

static struct vfio_user_write_multi_entry
entry(uint32_t region, uint64_t offset, uint32_t count, uint64_t value)
{
	struct vfio_user_write_multi_entry e = {.offset = offset, .region = region, .count = count};

	memcpy(e.data, &value, sizeof(value));
	return e;
}

/* Returns the writes that were done, or a negative errno. */
static int64_t
send_multi(struct refdev_peer *p, const struct multi *multi, uint64_t claimed, size_t nr)
{
	struct multi m = *multi;
	struct vfio_user_write_multi reply;
	int rc;

	m.wr_cnt = claimed;
	rc = refdev_peer_ask(
		p, VFIO_USER_REGION_WRITE_MULTI, &m, sizeof(m.wr_cnt) + nr * sizeof(m.entries[0]));
	if (rc != 0)
		return rc;
	refdev_peer_body(p, &reply, sizeof(reply));
	return (int64_t)reply.wr_cnt;
}

static void
test_order(void)
{
	struct refdev_peer p;
	struct multi m = {
		.entries = {entry(0, REFDEV_REG_DOORBELL, 4, 7), entry(2, 16, 1, 0x1ff),
			entry(0, REFDEV_REG_DOORBELL, 4, 9),
			entry(0, REFDEV_REG_SCRATCH, 8, ~0ull)},
	};

	open_multi(&p);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 4, 4), 4);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_LAST), 9);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_COUNT), 2);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), UINT64_MAX);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, 2, 16, 2), 0xff);
	refdev_peer_close(&p);
}

/* A write that fails keeps no other from being done. */
static void
test_failure(void)
{
	struct multi m = {
		.entries = {entry(0, REFDEV_REG_SCRATCH, 8, 1), entry(0, REFDEV_REG_ERROR, 4, 1),
			entry(0, REFDEV_REG_SCRATCH, 8, 2), entry(0, REFDEV_REG_SCRATCH, 8, 3)},
	};
	struct refdev_peer p;

	open_multi(&p);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 4, 4), 3);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 3);
	m.entries[0] = entry(0, REFDEV_REG_ERROR, 4, 1);
	m.entries[1] = entry(0, REFDEV_BAR0_SIZE, 4, 1);
	m.entries[2] = entry(9, 0, 4, 1);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 3, 3), -EIO);
	m.entries[0] = entry(2, 0, 9, 1);
	m.entries[3] = entry(2, 0, 0, 1);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 4, 4), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 3);
	refdev_peer_close(&p);
}

static void
test_counts(void)
{
	struct multi m = {.entries = {entry(2, 0, 1, 1), entry(2, 0, 1, 1)}};
	struct refdev_peer p;

	open_multi(&p);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 1, 2), -EINVAL);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 2, 1), -EINVAL);
	CU_ASSERT_EQUAL(send_multi(&p, &m, UINT64_MAX, 2), -EINVAL);
	CU_ASSERT_EQUAL(send_multi(&p, &m, (1ull << 61) + 1, 1), -EINVAL);
	refdev_peer_close(&p);
}

/* Only for those who have agreed on it. */
static void
test_not_negotiated(void)
{
	struct multi m = {.entries = {entry(2, 0, 1, 1)}};
	struct refdev_config config;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(send_multi(&p, &m, 1, 1), -EOPNOTSUPP);
	refdev_peer_close(&p);
	refdev_config_init(&config);
	config.write_multi = false;
	refdev_peer_negotiate(&p, &config, "{\"capabilities\":{\"write_multiple\":true}}");
	CU_ASSERT_PTR_NULL(strstr((const char *)p.reply.bytes + 20, "write_multiple"));
	CU_ASSERT_EQUAL(send_multi(&p, &m, 1, 1), -EOPNOTSUPP);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"in order", test_order},
		{"a write that fails", test_failure},
		{"counts", test_counts},
		{"not negotiated", test_not_negotiated},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev many writes at once", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
