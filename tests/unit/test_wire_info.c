/* SPDX-License-Identifier: BSD-3-Clause */
#include "info.h"
#include "wire_body.h"

static void
test_requests(void)
{
	static const uint8_t zero[12];
	struct vfio_user_device_info device;
	struct vfio_user_irq_info irq;

	memset(&device, 0xff, sizeof(device));
	memset(&irq, 0xff, sizeof(irq));
	CU_ASSERT_EQUAL(vuc_wire_device_info_encode(&device), 16);
	CU_ASSERT_EQUAL(device.argsz, 16);
	CU_ASSERT_EQUAL(memcmp((uint8_t *)&device + 4, zero, 12), 0);
	CU_ASSERT_EQUAL(vuc_wire_irq_info_encode(&irq, 2), 16);
	CU_ASSERT_EQUAL(irq.argsz, 16);
	CU_ASSERT_EQUAL(irq.flags, 0);
	CU_ASSERT_EQUAL(irq.index, 2);
	CU_ASSERT_EQUAL(irq.count, 0);
}

static int
decode_device(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vfio_user_device_info info;

	(void)arg;
	return vuc_wire_device_info_decode(body, len, &info, err);
}

static const struct vfio_user_device_info device_info = {
	.argsz = 16,
	.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
	.num_regions = 9,
	.num_irqs = 5,
};

static void
test_device(void)
{
	struct vfio_user_device_info r = device_info, got;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_device_info_decode(&r, sizeof(r), &got, &err), 0);
	CU_ASSERT_EQUAL(memcmp(&r, &got, sizeof(r)), 0);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_device, NULL, &r, sizeof(r)), sizeof(r));
	r.num_regions = VUC_WIRE_MAX_REGIONS;
	r.num_irqs = VUC_WIRE_MAX_IRQS;
	CU_ASSERT(taken(decode_device, NULL, &r, sizeof(r)));
	r.num_regions = 0;
	r.num_irqs = 0;
	CU_ASSERT(taken(decode_device, NULL, &r, sizeof(r)));
}

static void
test_device_bounds(void)
{
	struct vfio_user_device_info r = device_info;

	CU_ASSERT(refused(decode_device, NULL, &r, 15,
		"VFIO_USER_DEVICE_GET_INFO reply: body of 15 bytes, expected at least 16"));
	/* What other clients do not look at. */
	r.argsz = 15;
	r.flags = VFIO_DEVICE_FLAGS_RESET;
	CU_ASSERT(taken(decode_device, NULL, &r, sizeof(r)));
	r = device_info;
	r.num_regions = VUC_WIRE_MAX_REGIONS + 1;
	CU_ASSERT(refused(decode_device, NULL, &r, sizeof(r),
		"VFIO_USER_DEVICE_GET_INFO reply: num_regions 257, expected at most 256"));
	r = device_info;
	r.num_irqs = UINT32_MAX;
	CU_ASSERT(refused(decode_device, NULL, &r, sizeof(r),
		"VFIO_USER_DEVICE_GET_INFO reply: num_irqs 4294967295, expected at most 256"));
}

static int
decode_irq(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vfio_user_irq_info info;

	(void)arg;
	return vuc_wire_irq_info_decode(body, len, 2, &info, err);
}

static void
test_irq(void)
{
	struct vfio_user_irq_info r = {.argsz = 16, .flags = 1, .index = 2, .count = 32}, got;
	struct vuc_error err;

	CU_ASSERT_EQUAL(vuc_wire_irq_info_decode(&r, sizeof(r), 2, &got, &err), 0);
	CU_ASSERT_EQUAL(memcmp(&r, &got, sizeof(r)), 0);
	CU_ASSERT_EQUAL(count_refused_prefixes(decode_irq, NULL, &r, sizeof(r)), sizeof(r));
	r.count = 0;
	CU_ASSERT(taken(decode_irq, NULL, &r, sizeof(r)));
	r.count = VUC_WIRE_MAX_IRQ_COUNT;
	CU_ASSERT(taken(decode_irq, NULL, &r, sizeof(r)));
	r.count++;
	CU_ASSERT(refused(decode_irq, NULL, &r, sizeof(r),
		"VFIO_USER_DEVICE_GET_IRQ_INFO reply: count 65537, expected at most 65536"));
	r.count = 1;
	r.index = 3;
	CU_ASSERT(refused(decode_irq, NULL, &r, sizeof(r),
		"VFIO_USER_DEVICE_GET_IRQ_INFO reply: index 3, expected 2"));
	r.index = 2;
	r.argsz = 0;
	CU_ASSERT(taken(decode_irq, NULL, &r, sizeof(r)));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"requests", test_requests},
		{"device info", test_device},
		{"device info out of bounds", test_device_bounds},
		{"IRQ info", test_irq},
		CU_TEST_INFO_NULL,
	};
	return vuc_tap_tests("info", NULL, NULL, tests);
}
