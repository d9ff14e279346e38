/* SPDX-License-Identifier: BSD-3-Clause */
#include "info.h"
#include "irq.h"
#include "tap.h"

#define MASK    VUC_WIRE_IRQ_MASK
#define UNMASK  VUC_WIRE_IRQ_UNMASK
#define TRIGGER VUC_WIRE_IRQ_TRIGGER

static const struct vuc_wire_irq_range range = {.index = 2, .start = 3, .count = 4};

/* Whether a request begins with this. */
static bool
is_request(const void *buf, const struct vfio_user_irq_set *expected)
{
	return memcmp(buf, expected, sizeof(*expected)) == 0;
}

#define REQUEST(...) (&(const struct vfio_user_irq_set){__VA_ARGS__})

/* Flags: which data there is, 1 none, 2 booleans, 4 eventfds; and the action. */
static void
test_no_data(void)
{
	uint8_t buf[20];

	CU_ASSERT_EQUAL(vuc_wire_irq_act_encode(buf, &range, MASK), 20);
	CU_ASSERT(is_request(buf, REQUEST(20, 0x1 | 0x8, 2, 3, 4)));
	CU_ASSERT_EQUAL(vuc_wire_irq_act_encode(buf, &range, UNMASK), 20);
	CU_ASSERT(is_request(buf, REQUEST(20, 0x1 | 0x10, 2, 3, 4)));
	CU_ASSERT_EQUAL(vuc_wire_irq_act_encode(buf, &range, TRIGGER), 20);
	CU_ASSERT(is_request(buf, REQUEST(20, 0x1 | 0x20, 2, 3, 4)));
	CU_ASSERT_EQUAL(vuc_wire_irq_eventfd_encode(buf, &range, TRIGGER), 20);
	CU_ASSERT(is_request(buf, REQUEST(20, 0x4 | 0x20, 2, 3, 4)));
	CU_ASSERT_EQUAL(vuc_wire_irq_eventfd_encode(buf, &range, UNMASK), 20);
	CU_ASSERT(is_request(buf, REQUEST(20, 0x4 | 0x10, 2, 3, 4)));
	CU_ASSERT_EQUAL(vuc_wire_irq_disable_encode(buf, 1), 20);
	CU_ASSERT(is_request(buf, REQUEST(20, 0x1 | 0x20, 1, 0, 0)));
}

static void
test_select(void)
{
	static const bool flags[4] = {true, false, false, true};
	uint8_t buf[25];

	memset(buf, 0xaa, sizeof(buf));
	CU_ASSERT_EQUAL(vuc_wire_irq_select_encode(buf, 24, &range, TRIGGER, flags), 24);
	CU_ASSERT(is_request(buf, REQUEST(24, 0x2 | 0x20, 2, 3, 4)));
	CU_ASSERT_EQUAL(memcmp(buf + 20, "\1\0\0\1\xaa", 5), 0);
	CU_ASSERT_EQUAL(vuc_wire_irq_select_encode(buf, 23, &range, TRIGGER, flags), -ENOSPC);
	CU_ASSERT_EQUAL(vuc_wire_irq_select_encode(buf, 0, &range, TRIGGER, flags), -ENOSPC);
}

static void
test_select_bounds(void)
{
	static const uint32_t counts[] = {
		VUC_WIRE_MAX_IRQ_COUNT, VUC_WIRE_MAX_IRQ_COUNT + 1, UINT32_MAX, 0};
	size_t size = 20 + VUC_WIRE_MAX_IRQ_COUNT;
	bool *flags = calloc(VUC_WIRE_MAX_IRQ_COUNT, sizeof(*flags));
	uint8_t *buf = malloc(size);

	CU_ASSERT_FATAL(flags != NULL && buf != NULL);
	for (unsigned int i = 0; i < 4; i++) {
		const struct vuc_wire_irq_range some = {.index = 2, .count = counts[i]};

		CU_ASSERT_EQUAL(vuc_wire_irq_select_encode(buf, size, &some, MASK, flags),
			i == 0 ? (int)size : -EINVAL);
	}
	free(buf);
	free(flags);
}

const struct tap_suite tap_suite = {"irq", NULL, NULL,
	{
		{"act on a range, assign eventfds, disable an index", test_no_data},
		{"act on some of a range", test_select},
		{"bounds of acting on some", test_select_bounds},
	}};
