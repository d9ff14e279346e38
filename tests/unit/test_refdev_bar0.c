/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "refdev_peer.h"
#include "tap.h"

#define BAR0 VFIO_PCI_BAR0_REGION_INDEX

static void
test_identity(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_ID), 0x52637576);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_VERSION), 1);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, REFDEV_REG_ID, 8), 0x152637576);
	refdev_peer_set_reg(&p, REFDEV_REG_ID, 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_ID), 0x52637576);
	refdev_peer_close(&p);
}

static void
test_scratch(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	refdev_peer_set_reg(&p, REFDEV_REG_SCRATCH, 0x1122334455667788);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 0x1122334455667788);
	refdev_peer_write(&p, BAR0, REFDEV_REG_SCRATCH + 4, 4, 0xaabbccdd);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 0xaabbccdd55667788);
	refdev_peer_write(&p, BAR0, REFDEV_REG_SCRATCH + 2, 2, 0xeeff);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 0xaabbccddeeff7788);
	refdev_peer_write(&p, BAR0, REFDEV_REG_SCRATCH + 7, 1, 0x01);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 0x01bbccddeeff7788);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, REFDEV_REG_SCRATCH + 7, 1), 0x01);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, REFDEV_REG_SCRATCH + 4, 4), 0x01bbccdd);
	refdev_peer_close(&p);
}

static void
test_counter(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_COUNTER), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_COUNTER), 1);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, REFDEV_REG_COUNTER, 4), 2);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, REFDEV_REG_COUNTER + 4, 4), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_COUNTER), 4);
	refdev_peer_set_reg(&p, REFDEV_REG_COUNTER, 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_COUNTER), 5);
	refdev_peer_close(&p);
}

static void
test_doorbell(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	refdev_peer_set_reg(&p, REFDEV_REG_DOORBELL, 0x12345678);
	refdev_peer_write(&p, BAR0, REFDEV_REG_DOORBELL, 2, 0xabcd);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_LAST), 0xabcd);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_COUNT), 2);
	refdev_peer_close(&p);
}

static void
test_error(void)
{
	const uint32_t value = 1;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_REG_ERROR, 4), -EIO);
	refdev_peer_set_reg(&p, REFDEV_REG_ERRNO, ENXIO);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_REG_ERROR, 4), -ENXIO);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, BAR0, REFDEV_REG_ERROR, 4, &value), -ENXIO);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_REG_ERROR, 1), -ENXIO);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_ERRNO), ENXIO);
	refdev_peer_close(&p);
}

static void
test_errno_bounds(void)
{
	const uint32_t none = 0;
	const uint32_t most = 4095;
	const uint32_t more = 4096;
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, BAR0, REFDEV_REG_ERRNO, 4, &none), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, BAR0, REFDEV_REG_ERRNO, 4, &more), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_ERRNO), 5);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, BAR0, REFDEV_REG_ERRNO, 4, &most), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_REG_ERROR, 4), -4095);
	refdev_peer_close(&p);
}

/* Every write counts, the ones that fail and the posted ones too. */
static void
test_writes(void)
{
	const struct refdev_peer_access posted = {
		.offset = REFDEV_REG_SCRATCH, .region = BAR0, .count = 4, .value = 7};
	const struct refdev_peer_message m = {
		.cmd = VFIO_USER_REGION_WRITE,
		.flags = VFIO_USER_F_NO_REPLY,
		.body = &posted,
		.len = offsetof(struct refdev_peer_access, value) + 4,
	};
	struct refdev_peer p;

	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_WRITES), 0);
	refdev_peer_set_reg(&p, REFDEV_REG_SCRATCH, 1);
	refdev_peer_write(&p, BAR0, REFDEV_RAM_OFFSET, 8, 1);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, BAR0, REFDEV_REG_ERROR, 4, "1234"), -EIO);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_WRITES), 3);
	CU_ASSERT_EQUAL(refdev_peer_send(&p, &m), 0);
	CU_ASSERT_EQUAL(p.reply.len, 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 7);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_WRITES), 4);
	refdev_peer_close(&p);
}

static void
test_reset(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	refdev_peer_set_reg(&p, REFDEV_REG_SCRATCH, 1);
	refdev_peer_set_reg(&p, REFDEV_REG_DOORBELL, 1);
	refdev_peer_write(&p, BAR0, REFDEV_RAM_OFFSET, 4, 1);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_SCRATCH), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_DOORBELL_COUNT), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_WRITES), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_RESETS), 1);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_ID), REFDEV_ID_VALUE);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, REFDEV_RAM_OFFSET, 4), 0);
	CU_ASSERT_EQUAL(refdev_peer_ask(&p, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	CU_ASSERT_EQUAL(refdev_peer_reg(&p, REFDEV_REG_RESETS), 2);
	refdev_peer_close(&p);
}

static void
test_ram(void)
{
	uint8_t data[REFDEV_RAM_SIZE];
	uint8_t body[sizeof(struct vfio_user_region_access) + REFDEV_RAM_SIZE];
	struct refdev_peer p;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	refdev_peer_open(&p);
	CU_ASSERT_EQUAL(refdev_peer_try_write(&p, BAR0, REFDEV_RAM_OFFSET, sizeof(data), data), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_RAM_OFFSET, sizeof(data)), 0);
	refdev_peer_body(&p, body, sizeof(body));
	CU_ASSERT_EQUAL(
		memcmp(body + sizeof(struct vfio_user_region_access), data, sizeof(data)), 0);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_RAM_OFFSET + 3, 5), 0);
	refdev_peer_body(&p, body, sizeof(struct vfio_user_region_access) + 5);
	CU_ASSERT_EQUAL(memcmp(body + sizeof(struct vfio_user_region_access), data + 3, 5), 0);
	refdev_peer_close(&p);
}

/* Registers take 1, 2, 4 and 8 bytes, aligned; nothing takes an access across its borders. */
static void
test_shapes(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	for (uint32_t count = 1; count <= 16; count++) {
		bool natural = count == 1 || count == 2 || count == 4 || count == 8;

		CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_REG_SCRATCH, count),
			natural ? 0 : -EINVAL);
	}
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_REG_SCRATCH + 1, 2), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_REG_SCRATCH + 4, 8), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, REFDEV_RAM_OFFSET - 1, 2), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, 0x7ff, 2), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, 0x800, 4), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, 0xffc, 8), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, 0x1000, 1), -EINVAL);
	CU_ASSERT_EQUAL(refdev_peer_try_read(&p, BAR0, 0, 0), -EINVAL);
	refdev_peer_close(&p);
}

/* Between the registers there is nothing, and it stays that way. */
static void
test_holes(void)
{
	struct refdev_peer p;

	refdev_peer_open(&p);
	refdev_peer_write(&p, BAR0, 0x100, 8, UINT64_MAX);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, 0x100, 8), 0);
	refdev_peer_write(&p, BAR0, 0x3f8, 8, UINT64_MAX);
	CU_ASSERT_EQUAL(refdev_peer_read(&p, BAR0, 0x3f8, 8), 0);
	refdev_peer_close(&p);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"identity", test_identity},
		{"scratch", test_scratch},
		{"counter", test_counter},
		{"doorbell", test_doorbell},
		{"error", test_error},
		{"bounds of the errno", test_errno_bounds},
		{"count of writes", test_writes},
		{"reset", test_reset},
		{"RAM", test_ram},
		{"sizes and alignment", test_shapes},
		{"between registers", test_holes},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"refdev BAR0", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
