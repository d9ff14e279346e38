/* SPDX-License-Identifier: BSD-3-Clause */
#include "compare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <linux/pci_regs.h>

#include "error.h"
#include "msix.h"
#include "source.h"
#include "vfio_user.h"

/* The two devices, and where the first difference is said. */
struct comparison {
	const struct vuc_device *dev;
	const struct vuc_device *fresh;
	const uint8_t *first; /* config spaces, of the same length */
	const uint8_t *config;
	size_t len;
	struct vuc_error *why;
};

static int __attribute__((format(printf, 4, 5)))
differ(const struct comparison *c, uint64_t was, uint64_t is, const char *fmt, ...)
{
	char what[96];
	va_list args;

	if (was == is)
		return 0;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return vuc_error_set(c->why, -ENODEV,
		"the device came back different: %s 0x%" PRIx64 ", was 0x%" PRIx64, what, is, was);
}

/* More than before does no harm. */
static int
differ_below(const struct comparison *c, uint64_t was, uint64_t is, const char *what)
{
	return is >= was ? 0 : differ(c, was, is, "%s", what);
}

static int
compare_versions(const struct comparison *c)
{
	const struct vuc_device_version *was = &c->dev->version, *is = &c->fresh->version;
	int rc = differ(c, was->pgsizes, is->pgsizes, "pgsizes");

	if (rc == 0)
		rc = differ_below(
			c, was->max_data_xfer_size, is->max_data_xfer_size, "max_data_xfer_size");
	if (rc == 0)
		rc = differ_below(c, vuc_device_access_max(c->dev), vuc_device_access_max(c->fresh),
			"longest access");
	if (rc == 0)
		rc = differ_below(c, was->max_msg_fds, is->max_msg_fds, "max_msg_fds");
	return rc != 0 ? rc : differ_below(c, was->max_dma_maps, is->max_dma_maps, "max_dma_maps");
}

static int
compare_info(const struct comparison *c)
{
	const struct vuc_device_info *was = &c->dev->info, *is = &c->fresh->info;
	uint32_t flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	int rc;

	/* A flag without a reset behind it was taken away from the old one when that was known. */
	if ((c->dev->faults->warned & UINT32_C(1) << DEVICE_FAULT_RESET) != 0)
		flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_RESET;
	rc = differ(c, was->flags & flags, is->flags & flags, "device flags");
	if (rc == 0)
		rc = differ(c, was->num_regions, is->num_regions, "number of regions");
	return rc != 0 ? rc : differ(c, was->num_irqs, is->num_irqs, "number of IRQ indexes");
}

static int
compare_areas(const struct comparison *c, const struct vuc_region *was, const struct vuc_region *is)
{
	int rc = differ(c, was->nr_areas, is->nr_areas, "region %u: number of areas", was->index);

	if (rc == 0)
		rc = differ(c, was->nr_fds, is->nr_fds, "region %u: number of files", was->index);
	for (uint32_t i = 0; rc == 0 && i < was->nr_areas; i++) {
		rc = differ(c, was->areas[i].offset, is->areas[i].offset,
			"region %u: offset of area %u", was->index, i);
		if (rc == 0)
			rc = differ(c, was->areas[i].size, is->areas[i].size,
				"region %u: size of area %u", was->index, i);
	}
	return rc;
}

static int
compare_region(const struct comparison *c, uint32_t i)
{
	const struct vuc_region *was = &c->dev->regions[i].info, *is = &c->fresh->regions[i].info;
	int rc = differ(c, was->size, is->size, "region %u: size", i);

	if (rc == 0)
		rc = differ(c, was->flags, is->flags, "region %u: flags", i);
	if (rc == 0)
		rc = differ(c, was->offset, is->offset, "region %u: offset", i);
	if (rc == 0)
		rc = differ(c, was->type, is->type, "region %u: type", i);
	if (rc == 0)
		rc = differ(c, was->subtype, is->subtype, "region %u: subtype", i);
	return rc != 0 ? rc : compare_areas(c, was, is);
}

static int
compare_irq(const struct comparison *c, uint32_t i)
{
	const struct vuc_irq *was = &c->dev->irqs[i], *is = &c->fresh->irqs[i];
	int rc = differ(c, was->count, is->count, "IRQ index %u: count", i);

	return rc != 0 ? rc : differ(c, was->flags, is->flags, "IRQ index %u: flags", i);
}

/* ---- config space ---- */

static uint64_t
get_bits(const uint8_t *config, size_t at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = size; i-- > 0;)
		value = value << 8 | config[at + i];
	return value;
}

struct config_field {
	uint8_t at;
	uint8_t size;
	uint32_t mask; /* bits that identify the device; of several bytes all of size */
	const char *name;
};

static int
compare_fields(
	const struct comparison *c, size_t base, const struct config_field *fields, size_t nr)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < nr; i++) {
		const struct config_field *f = &fields[i];
		size_t at = base + f->at;

		if (at + f->size > c->len)
			break;
		rc = differ(c, get_bits(c->first, at, f->size) & f->mask,
			get_bits(c->config, at, f->size) & f->mask,
			"config space, %s at 0x%zx:", f->name, at);
	}
	return rc;
}

#define NR(fields) (sizeof(fields) / sizeof((fields)[0]))
static const struct config_field header_fields[] = {
	{PCI_VENDOR_ID, 2, 0xffff, "vendor"},
	{PCI_DEVICE_ID, 2, 0xffff, "device"},
	{PCI_REVISION_ID, 1, 0xff, "revision"},
	{PCI_CLASS_PROG, 3, 0xffffff, "class"},
	{PCI_HEADER_TYPE, 1, 0xff, "header type"},
};

static const struct config_field type0_fields[] = {
	{PCI_SUBSYSTEM_VENDOR_ID, 2, 0xffff, "subsystem vendor"},
	{PCI_SUBSYSTEM_ID, 2, 0xffff, "subsystem"},
	{PCI_INTERRUPT_PIN, 1, 0xff, "interrupt pin"},
};

static const struct config_field capability_fields[] = {
	{PCI_CAP_LIST_ID, 1, 0xff, "capability"},
	{PCI_CAP_LIST_NEXT, 1, 0xfc, "next capability"},
};

static const struct config_field pm_fields[] = {
	{PCI_PM_PMC, 2, 0xffff, "power management"},
};

static const struct config_field msi_fields[] = {
	{PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | PCI_MSI_FLAGS_QMASK,
		"MSI"},
};

static const struct config_field msix_fields[] = {
	{PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_QSIZE, "MSI-X vectors"},
	{PCI_MSIX_TABLE, 4, UINT32_MAX, "MSI-X table"},
	{PCI_MSIX_PBA, 4, UINT32_MAX, "MSI-X pending bits"},
};

static const struct config_field pcie_fields[] = {
	{PCI_EXP_FLAGS, 2, 0xffff, "PCI Express"},
	{PCI_EXP_DEVCAP, 4, UINT32_MAX, "PCI Express device"},
};

static const struct config_field vendor_fields[] = {
	{PCI_CAP_FLAGS, 1, 0xff, "length of a vendor's capability"},
};

static const struct {
	const struct config_field *fields;
	size_t nr;
} capabilities[] = {
	[PCI_CAP_ID_PM] = {pm_fields, NR(pm_fields)},
	[PCI_CAP_ID_MSI] = {msi_fields, NR(msi_fields)},
	[PCI_CAP_ID_MSIX] = {msix_fields, NR(msix_fields)},
	[PCI_CAP_ID_EXP] = {pcie_fields, NR(pcie_fields)},
	[PCI_CAP_ID_VNDR] = {vendor_fields, NR(vendor_fields)},
};

/* Both lists, as long as they are the same. A loop is one that both have. */
static int
compare_capabilities(const struct comparison *c)
{
	const struct config_field begin[] = {{PCI_CAPABILITY_LIST, 1, 0xfc, "first capability"}};
	size_t at = c->first[PCI_CAPABILITY_LIST] & 0xfcu;
	int rc = 0;

	if ((c->first[PCI_STATUS] & PCI_STATUS_CAP_LIST) != 0)
		rc = compare_fields(c, 0, begin, NR(begin));
	else
		at = 0;
	for (unsigned int n = 0; rc == 0 && at >= PCI_STD_HEADER_SIZEOF &&
		at + PCI_CAP_SIZEOF <= c->len && n < MSIX_CONFIG_SIZE / PCI_CAP_SIZEOF;
		n++) {
		uint8_t id = c->first[at];

		rc = compare_fields(c, at, capability_fields, NR(capability_fields));
		if (rc == 0 && id < NR(capabilities))
			rc = compare_fields(c, at, capabilities[id].fields, capabilities[id].nr);
		at = c->first[at + PCI_CAP_LIST_NEXT] & 0xfcu;
	}
	return rc;
}

/* A BAR has its type in its low bits, two or four; the second half of a long one has none. */
static int
compare_bars(const struct comparison *c)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < PCI_STD_NUM_BARS; i++) {
		const size_t at = PCI_BASE_ADDRESS_0 + 4 * i;
		bool is_io = (c->first[at] & PCI_BASE_ADDRESS_SPACE_IO) != 0;
		uint8_t mask = is_io ? 0x3 : 0xf;

		rc = differ(c, c->first[at] & mask, c->config[at] & mask, "type of BAR %u:", i);
		if (!is_io && (c->first[at] & PCI_BASE_ADDRESS_MEM_TYPE_64) != 0)
			i++;
	}
	return rc;
}

static int
compare_config(const struct comparison *c)
{
	const struct config_field status[] = {
		{PCI_STATUS, 2, PCI_STATUS_CAP_LIST, "capability list in STATUS"}};
	int rc = compare_fields(c, 0, header_fields, NR(header_fields));

	if (rc != 0 || c->len < PCI_STD_HEADER_SIZEOF)
		return rc;
	if ((c->first[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_NORMAL)
		rc = compare_bars(c);
	if (rc == 0 && (c->first[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_NORMAL)
		rc = compare_fields(c, 0, type0_fields, NR(type0_fields));
	if (rc == 0)
		rc = compare_fields(c, 0, status, NR(status));
	return rc == 0 ? compare_capabilities(c) : rc;
}

int
device_compare(const struct vuc_device *dev, const struct vuc_device *fresh, struct vuc_error *why)
{
	const struct comparison c = {.dev = dev, .fresh = fresh, .why = why};
	int rc = compare_versions(&c);

	if (rc == 0)
		rc = compare_info(&c);
	for (uint32_t i = 0; rc == 0 && i < dev->info.num_regions; i++)
		rc = compare_region(&c, i);
	for (uint32_t i = 0; rc == 0 && i < dev->info.num_irqs; i++)
		rc = compare_irq(&c, i);
	return rc;
}

int
device_compare_config(const uint8_t *first, size_t first_len, const uint8_t *config, size_t len,
	struct vuc_error *why)
{
	const struct comparison c = {
		.first = first, .config = config, .len = first_len, .why = why};
	int rc;

	if (first_len == 0)
		return 0;
	rc = differ(&c, first_len, len, "readable bytes of config space:");
	return rc == 0 ? compare_config(&c) : rc;
}
