/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "info.h"
#include "irq.h"
#include "tap.h"

static const struct vuc_wire_irq_range range = {.index = 2, .start = 3, .count = 4};

/* The fixed part of a request, against what it must be. */
static void
check_fixed(const void *buf, uint32_t argsz, uint32_t flags)
{
	struct vfio_user_irq_set set;

	memcpy(&set, buf, sizeof(set));
	CU_ASSERT_EQUAL(set.argsz, argsz);
	CU_ASSERT_EQUAL(set.flags, flags);
	CU_ASSERT_EQUAL(set.index, 2);
	CU_ASSERT_EQUAL(set.start, 3);
	CU_ASSERT_EQUAL(set.count, 4);
}

static void
test_act(void)
{
	uint8_t buf[20];

	CU_ASSERT_EQUAL(vuc_wire_irq_act_encode(buf, &range, VUC_WIRE_IRQ_MASK), 20);
	check_fixed(buf, 20, 0x1 | 0x8);
	CU_ASSERT_EQUAL(vuc_wire_irq_act_encode(buf, &range, VUC_WIRE_IRQ_UNMASK), 20);
	check_fixed(buf, 20, 0x1 | 0x10);
	CU_ASSERT_EQUAL(vuc_wire_irq_act_encode(buf, &range, VUC_WIRE_IRQ_TRIGGER), 20);
	check_fixed(buf, 20, 0x1 | 0x20);
}

static void
test_eventfd(void)
{
	uint8_t buf[20];

	CU_ASSERT_EQUAL(vuc_wire_irq_eventfd_encode(buf, &range, VUC_WIRE_IRQ_TRIGGER), 20);
	check_fixed(buf, 20, 0x4 | 0x20);
	CU_ASSERT_EQUAL(vuc_wire_irq_eventfd_encode(buf, &range, VUC_WIRE_IRQ_UNMASK), 20);
	check_fixed(buf, 20, 0x4 | 0x10);
}

static void
test_select(void)
{
	static const bool flags[4] = {true, false, false, true};
	uint8_t buf[25];

	memset(buf, 0xaa, sizeof(buf));
	CU_ASSERT_EQUAL(
		vuc_wire_irq_select_encode(buf, 24, &range, VUC_WIRE_IRQ_TRIGGER, flags), 24);
	check_fixed(buf, 24, 0x2 | 0x20);
	CU_ASSERT_EQUAL(memcmp(buf + 20, "\1\0\0\1\xaa", 5), 0);
	CU_ASSERT_EQUAL(
		vuc_wire_irq_select_encode(buf, 23, &range, VUC_WIRE_IRQ_TRIGGER, flags), -ENOSPC);
	CU_ASSERT_EQUAL(
		vuc_wire_irq_select_encode(buf, 0, &range, VUC_WIRE_IRQ_TRIGGER, flags), -ENOSPC);
}

static void
test_select_bounds(void)
{
	struct vuc_wire_irq_range most = {.index = 2, .count = VUC_WIRE_MAX_IRQ_COUNT};
	size_t size = 20 + VUC_WIRE_MAX_IRQ_COUNT;
	bool *flags = calloc(VUC_WIRE_MAX_IRQ_COUNT, sizeof(*flags));
	uint8_t *buf = malloc(size);

	CU_ASSERT_PTR_NOT_NULL_FATAL(flags);
	CU_ASSERT_PTR_NOT_NULL_FATAL(buf);
	CU_ASSERT_EQUAL(
		vuc_wire_irq_select_encode(buf, size, &most, VUC_WIRE_IRQ_MASK, flags), (int)size);
	most.count++;
	CU_ASSERT_EQUAL(
		vuc_wire_irq_select_encode(buf, size, &most, VUC_WIRE_IRQ_MASK, flags), -EINVAL);
	most.count = UINT32_MAX;
	CU_ASSERT_EQUAL(
		vuc_wire_irq_select_encode(buf, size, &most, VUC_WIRE_IRQ_MASK, flags), -EINVAL);
	most.count = 0;
	CU_ASSERT_EQUAL(
		vuc_wire_irq_select_encode(buf, size, &most, VUC_WIRE_IRQ_MASK, flags), -EINVAL);
	free(buf);
	free(flags);
}

static void
test_disable(void)
{
	struct vfio_user_irq_set set;

	CU_ASSERT_EQUAL(vuc_wire_irq_disable_encode(&set, 1), 20);
	CU_ASSERT_EQUAL(set.argsz, 20);
	CU_ASSERT_EQUAL(set.flags, 0x1 | 0x20);
	CU_ASSERT_EQUAL(set.index, 1);
	CU_ASSERT_EQUAL(set.start, 0);
	CU_ASSERT_EQUAL(set.count, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"mask, unmask and trigger a range", test_act},
		{"assign eventfds", test_eventfd},
		{"act on some of a range", test_select},
		{"bounds of acting on some", test_select_bounds},
		{"disable an index", test_disable},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("irq", NULL, NULL, tests);
}
