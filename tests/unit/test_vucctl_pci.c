/* SPDX-License-Identifier: BSD-3-Clause */

/* Config space of any bytes and lengths; tests/programs shows what is printed of it. */

#include <stdlib.h>
#include <string.h>

#include "pci.h"
#include "tap.h"

/* A field that is not all there has no value, and a standard capability ends with the first 256
 * bytes, whatever is behind them. */
static void
test_bounds(void)
{
	static const uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE];
	static const struct vucctl_pci_cap msix = {0xa0, 0x11, false, 0};
	static const struct vucctl_pci_cap at_end = {0xf8, 0x11, false, 0};
	const struct vucctl_pci_field *pba = vucctl_pci_cap_kind(&msix)->fields;
	struct vucctl_pci_image image = {bytes, 0xa0 + 12};
	uint32_t value;

	while (strcmp(pba->key, "pba_bar") != 0)
		pba++;
	CU_ASSERT(vucctl_pci_field_get(&image, &msix, pba, &value));
	image.len--;
	CU_ASSERT_FALSE(vucctl_pci_field_get(&image, &msix, pba, &value));
	CU_ASSERT_EQUAL(value, 0);
	image.len = sizeof(bytes);
	CU_ASSERT_FALSE(vucctl_pci_field_get(&image, &at_end, pba, &value));
	CU_ASSERT_FALSE(vucctl_pci_get(&image, SIZE_MAX, 2, &value));
	CU_ASSERT_STRING_EQUAL(
		vucctl_pci_field_name(
			&(struct vucctl_pci_field){.names = (const char *const[]){"one", NULL}},
			UINT32_MAX),
		"unknown");
}

/* Of every kind: keys are there and differ, masks fit their registers, names are there. */
static void
expect_fields(const struct vucctl_pci_cap_kind *kind)
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
				expect_fields(kind);
			}
			if (cap.extended)
				break;
		}
	}
	CU_ASSERT(known > 50);
}

/* Whatever the bytes and however many, the walk ends and stays inside of what it was given. */
static void
test_noise(void)
{
	static struct vucctl_pci_caps caps;
	const size_t most = VUCCTL_PCIE_CONFIG_SIZE;
	uint32_t state = 1, round;
	uint8_t *exact;
	size_t len, i;

	for (round = 0; round < 2000; round++) {
		state = state * 1664525 + 1013904223;
		len = (state >> 8) % (most + 1);
		/* A block of its own, so that sanitizers see an access behind it. */
		exact = malloc(len + 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
		for (i = 0; i < len; i++) {
			state = state * 1664525 + 1013904223;
			exact[i] = (uint8_t)(state >> 16);
		}
		exact = realloc(exact, len > 0 ? len : 1);
		CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
		vucctl_pci_caps_walk(&(struct vucctl_pci_image){exact, len}, &caps);
		CU_ASSERT(caps.count <= VUCCTL_PCI_MAX_CAPS + VUCCTL_PCI_MAX_EXT_CAPS);
		for (i = 0; i < caps.count; i++)
			CU_ASSERT(caps.caps[i].offset + 2u <= len);
		free(exact);
	}
}

const struct tap_suite tap_suite = {"vucctl_pci", NULL, NULL,
	{
		{"bounds", test_bounds},
		{"tables", test_tables},
		{"noise", test_noise},
	}};
