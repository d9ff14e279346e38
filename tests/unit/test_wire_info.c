/* SPDX-License-Identifier: BSD-3-Clause */
#include "info.h"
#include "wire_body.h"

#define DEVICE(member) FIELD(struct vfio_user_device_info, member)
#define IRQ(member)    FIELD(struct vfio_user_irq_info, member)

static void
test_requests(void)
{
	static const struct vfio_user_device_info device = {.argsz = 16};
	static const struct vfio_user_irq_info irq = {.argsz = 16, .index = 2};
	uint8_t got[16];

	memset(got, 0xff, sizeof(got));
	CU_ASSERT_EQUAL(vuc_wire_device_info_encode(got), 16);
	CU_ASSERT_EQUAL(memcmp(got, &device, 16), 0);
	memset(got, 0xff, sizeof(got));
	CU_ASSERT_EQUAL(vuc_wire_irq_info_encode(got, 2), 16);
	CU_ASSERT_EQUAL(memcmp(got, &irq, 16), 0);
}

static int
decode_device(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vfio_user_device_info info;
	int rc = vuc_wire_device_info_decode(body, len, &info, err);

	(void)arg;
	CU_ASSERT(rc != 0 || memcmp(&info, body, sizeof(info)) == 0);
	return rc;
}

static const struct vfio_user_device_info device_good = {
	16, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET, 9, 5};
static const struct body_row device_rows[] = {
	{NULL,
		{{DEVICE(num_regions), VUC_WIRE_MAX_REGIONS},
			{DEVICE(num_irqs), VUC_WIRE_MAX_IRQS}}},
	{NULL, {{DEVICE(num_regions), 0}, {DEVICE(num_irqs), 0}}},
	{"body of 15 bytes, expected at least 16", .len = 15},
	/* What other clients do not look at. */
	{NULL, {{DEVICE(argsz), 15}, {DEVICE(flags), VFIO_DEVICE_FLAGS_RESET}}},
	{"num_regions 257, expected at most 256",
		{{DEVICE(num_regions), VUC_WIRE_MAX_REGIONS + 1}}},
	{"num_irqs 4294967295, expected at most 256", {{DEVICE(num_irqs), UINT32_MAX}}},
};

static int
decode_irq(const void *body, size_t len, void *arg, struct vuc_error *err)
{
	struct vfio_user_irq_info info;
	int rc = vuc_wire_irq_info_decode(body, len, 2, &info, err);

	(void)arg;
	CU_ASSERT(rc != 0 || memcmp(&info, body, sizeof(info)) == 0);
	return rc;
}

static const struct vfio_user_irq_info irq_good = {16, 1, 2, 32};
static const struct body_row irq_rows[] = {
	{NULL, {{IRQ(count), 0}}},
	{NULL, {{IRQ(count), VUC_WIRE_MAX_IRQ_COUNT}}},
	{"count 65537, expected at most 65536", {{IRQ(count), VUC_WIRE_MAX_IRQ_COUNT + 1}}},
	{"index 3, expected 2", {{IRQ(index), 3}}},
	{NULL, {{IRQ(argsz), 0}}},
};

static const struct decoder decoders[] = {
	{"device info", decode_device, NULL, "VFIO_USER_DEVICE_GET_INFO reply", GOOD(device_good),
		ROWS(device_rows)},
	{"IRQ info", decode_irq, NULL, "VFIO_USER_DEVICE_GET_IRQ_INFO reply", GOOD(irq_good),
		ROWS(irq_rows)},
};

const struct tap_suite tap_suite = {"info", NULL, NULL,
	{
		{"requests", test_requests},
	},
	TAP_ROWS(decoders, decoder_test)};
