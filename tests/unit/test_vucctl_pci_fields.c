/* SPDX-License-Identifier: BSD-3-Clause */
#include <CUnit/CUnit.h>

#include "pci_fields.h"
#include "tap.h"
#include "vucctl_sample.h"

static uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE];

static const struct vucctl_pci_cap sample_msix = {SAMPLE_MSIX, 0x11, false, 0};
static const struct vucctl_pci_cap sample_dsn = {SAMPLE_DSN, 0x0003, true, 1};

static const struct vucctl_pci_field *
find_field(const struct vucctl_pci_cap *cap, const char *key)
{
	const struct vucctl_pci_cap_kind *kind = vucctl_pci_cap_kind(cap);
	const struct vucctl_pci_field *field;

	CU_ASSERT_PTR_NOT_NULL_FATAL(kind);
	for (field = kind->fields; field->key != NULL; field++) {
		if (strcmp(field->key, key) == 0)
			return field;
	}
	CU_FAIL_FATAL("no field of this key");
	return NULL;
}

static uint32_t
value_of(const struct vucctl_pci_cap *cap, const char *key)
{
	struct vucctl_pci_image image = {bytes, sizeof(bytes)};
	uint32_t value = 0;

	CU_ASSERT(vucctl_pci_field_get(&image, cap, find_field(cap, key), &value));
	return value;
}

static void
test_values(void)
{
	static const struct vucctl_pci_cap msi = {SAMPLE_MSI, 0x05, false, 0};
	static const struct vucctl_pci_cap exp = {SAMPLE_EXP, 0x10, false, 0};

	sample_fill_config(bytes);
	CU_ASSERT_EQUAL(value_of(&sample_msix, "vectors"), 8);
	CU_ASSERT_EQUAL(value_of(&sample_msix, "table_bar"), 4);
	CU_ASSERT_EQUAL(value_of(&sample_msix, "table_offset"), 0);
	CU_ASSERT_EQUAL(value_of(&sample_msix, "pba_bar"), 4);
	CU_ASSERT_EQUAL(value_of(&sample_msix, "pba_offset"), 0x2000);
	CU_ASSERT_EQUAL(value_of(&sample_msix, "enabled"), 1);
	CU_ASSERT_EQUAL(value_of(&sample_msix, "masked"), 0);
	CU_ASSERT_EQUAL(value_of(&msi, "vectors"), 8);
	CU_ASSERT_EQUAL(value_of(&exp, "link_width"), 4);
	CU_ASSERT_EQUAL(value_of(&sample_dsn, "high"), 0x11223344);
	CU_ASSERT_EQUAL(value_of(&sample_dsn, "low"), 0x55667788);
}

static void
test_names(void)
{
	static const struct vucctl_pci_cap pm = {SAMPLE_PM, 0x01, false, 0};
	const struct vucctl_pci_field *state = find_field(&pm, "state");

	sample_fill_config(bytes);
	CU_ASSERT_STRING_EQUAL(vucctl_pci_field_name(state, value_of(&pm, "state")), "D3hot");
	CU_ASSERT_STRING_EQUAL(vucctl_pci_field_name(state, 4), "unknown");
	CU_ASSERT_STRING_EQUAL(vucctl_pci_field_name(state, UINT32_MAX), "unknown");
}

/* A field that is not all there has no value, and a standard capability ends with the first 256
 * bytes, whatever is behind them. */
static void
test_bounds(void)
{
	const struct vucctl_pci_field *pba = find_field(&sample_msix, "pba_bar");
	const struct vucctl_pci_cap at_end = {0xf8, 0x11, false, 0};
	struct vucctl_pci_image image = {bytes, SAMPLE_MSIX + 12};
	uint32_t value;

	sample_fill_config(bytes);
	CU_ASSERT(vucctl_pci_field_get(&image, &sample_msix, pba, &value));
	image.len--;
	CU_ASSERT_FALSE(vucctl_pci_field_get(&image, &sample_msix, pba, &value));
	CU_ASSERT_EQUAL(value, 0);
	image.len = sizeof(bytes);
	CU_ASSERT_FALSE(vucctl_pci_field_get(&image, &at_end, pba, &value));
}

static void
test_unknown(void)
{
	CU_ASSERT_PTR_NULL(vucctl_pci_cap_kind(&(struct vucctl_pci_cap){0x40, 0x7e, false, 0}));
	CU_ASSERT_PTR_NULL(vucctl_pci_cap_kind(&(struct vucctl_pci_cap){0x100, 0xfffe, true, 0}));
}

/* Of every kind: keys are there and differ, masks fit their registers, names are there. */
static void
check_fields(const struct vucctl_pci_cap_kind *kind)
{
	const struct vucctl_pci_field *field, *other;

	for (field = kind->fields; field != NULL && field->key != NULL; field++) {
		CU_ASSERT(field->width == 1 || field->width == 2 || field->width == 4);
		CU_ASSERT_NOT_EQUAL(field->mask, 0);
		CU_ASSERT_EQUAL((uint64_t)field->mask >> (8 * field->width), 0);
		CU_ASSERT_PTR_NOT_NULL(field->text);
		CU_ASSERT_EQUAL(field->kind == FIELD_NAME, field->names != NULL);
		for (other = kind->fields; other != field; other++)
			CU_ASSERT_STRING_NOT_EQUAL(other->key, field->key);
	}
}

static void
test_tables(void)
{
	struct vucctl_pci_cap cap = {0};
	unsigned int known = 0;

	for (cap.id = 0; cap.id < 0x100; cap.id++) {
		for (cap.extended = false;; cap.extended = true) {
			const struct vucctl_pci_cap_kind *kind = vucctl_pci_cap_kind(&cap);

			if (kind != NULL) {
				known++;
				check_fields(kind);
			}
			if (cap.extended)
				break;
		}
	}
	CU_ASSERT(known > 50);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"values", test_values},
		{"names", test_names},
		{"bounds", test_bounds},
		{"unknown capabilities", test_unknown},
		{"tables", test_tables},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
		{"vucctl_pci_fields", NULL, NULL, NULL, NULL, tests},
		CU_SUITE_INFO_NULL,
	};

	return vuc_tap_run(suites);
}
