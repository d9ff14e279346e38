/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci.h"

#include <pci/header.h>

static const char *const power_states[] = {"D0", "D1", "D2", "D3hot", NULL};

static const char *const express_types[] = {
	"endpoint",
	"legacy endpoint",
	"type 2",
	"type 3",
	"root port",
	"upstream port",
	"downstream port",
	"PCIe to PCI bridge",
	"PCI to PCIe bridge",
	"root complex integrated endpoint",
	"root complex event collector",
	NULL,
};

static const char *const link_speeds[] = {
	"no link",
	"2.5 GT/s",
	"5 GT/s",
	"8 GT/s",
	"16 GT/s",
	"32 GT/s",
	"64 GT/s",
	NULL,
};

/* clang-format off */
static const struct vucctl_pci_field pm_fields[] = {
	{FIELD_NUMBER, "version", 2, 2, 0x0007, "version "},
	{FIELD_NAME, "state", 4, 2, 0x0003, ", in ", NULL, power_states},
	{FIELD_FLAG, "no_soft_reset", 4, 2, 0x0008, ", no soft reset"},
	{0},
};

static const struct vucctl_pci_field msi_fields[] = {
	{FIELD_POWER, "vectors", 2, 2, 0x000e, "vectors "},
	{FIELD_FLAG, "address_64", 2, 2, 0x0080, ", 64 bits", ", 32 bits"},
	{FIELD_FLAG, "maskable", 2, 2, 0x0100, ", maskable"},
	{FIELD_FLAG, "enabled", 2, 2, 0x0001, ", enabled", ", disabled"},
	{0},
};

static const struct vucctl_pci_field length_fields[] = {
	{FIELD_NUMBER, "length", 2, 1, 0xff, "length "},
	{0},
};

static const struct vucctl_pci_field debug_port_fields[] = {
	{FIELD_NUMBER, "bar", 2, 2, 0xe000, "BAR"},
	{FIELD_OFFSET, "offset", 2, 2, 0x1fff, "+"},
	{0},
};

static const struct vucctl_pci_field subsystem_fields[] = {
	{FIELD_ID, "vendor", 4, 2, 0xffff, "vendor "},
	{FIELD_ID, "device", 6, 2, 0xffff, ", device "},
	{0},
};

static const struct vucctl_pci_field express_fields[] = {
	{FIELD_NUMBER, "version", 2, 2, 0x000f, "version "},
	{FIELD_NAME, "type", 2, 2, 0x00f0, ", ", NULL, express_types},
	{FIELD_FLAG, "flr", 4, 4, 0x10000000, ", function level reset"},
	{FIELD_NAME, "link_speed", 12, 4, 0x0000000f, ", ", NULL, link_speeds},
	{FIELD_NUMBER, "link_width", 12, 4, 0x000003f0, " x"},
	{0},
};

static const struct vucctl_pci_field msix_fields[] = {
	{FIELD_COUNT, "vectors", 2, 2, 0x07ff, "vectors "},
	{FIELD_NUMBER, "table_bar", 4, 4, 0x00000007, ", table BAR"},
	{FIELD_OFFSET, "table_offset", 4, 4, 0xfffffff8, "+"},
	{FIELD_NUMBER, "pba_bar", 8, 4, 0x00000007, ", PBA BAR"},
	{FIELD_OFFSET, "pba_offset", 8, 4, 0xfffffff8, "+"},
	{FIELD_FLAG, "masked", 2, 2, 0x4000, ", masked"},
	{FIELD_FLAG, "enabled", 2, 2, 0x8000, ", enabled", ", disabled"},
	{0},
};

static const struct vucctl_pci_field af_fields[] = {
	{FIELD_FLAG, "transactions_pending", 3, 1, 0x01, "reports pending transactions, "},
	{FIELD_FLAG, "flr", 3, 1, 0x02, "function level reset", "no function level reset"},
	{0},
};

static const struct vucctl_pci_field ea_fields[] = {
	{FIELD_NUMBER, "entries", 2, 1, 0x3f, "entries "},
	{0},
};

/* A serial number is read upper half first. */
static const struct vucctl_pci_field serial_fields[] = {
	{FIELD_ID, "high", 8, 4, 0xffffffff, ""},
	{FIELD_ID, "low", 4, 4, 0xffffffff, "-"},
	{0},
};

static const struct vucctl_pci_field vsec_fields[] = {
	{FIELD_ID, "vsec_id", 4, 4, 0x0000ffff, "id "},
	{FIELD_NUMBER, "revision", 4, 4, 0x000f0000, ", revision "},
	{FIELD_NUMBER, "length", 4, 4, 0xfff00000, ", length "},
	{0},
};

static const struct vucctl_pci_field dvsec_fields[] = {
	{FIELD_ID, "vendor", 4, 4, 0x0000ffff, "vendor "},
	{FIELD_ID, "dvsec_id", 8, 2, 0xffff, ", id "},
	{FIELD_NUMBER, "revision", 4, 4, 0x000f0000, ", revision "},
	{FIELD_NUMBER, "length", 4, 4, 0xfff00000, ", length "},
	{0},
};

static const struct vucctl_pci_field ari_fields[] = {
	{FIELD_NUMBER, "next_function", 4, 2, 0xff00, "next function "},
	{0},
};

static const struct vucctl_pci_field ats_fields[] = {
	{FIELD_NUMBER, "queue_depth", 4, 2, 0x001f, "queue depth "},
	{FIELD_FLAG, "enabled", 6, 2, 0x8000, ", enabled", ", disabled"},
	{0},
};

static const struct vucctl_pci_field sriov_fields[] = {
	{FIELD_NUMBER, "total_vfs", 14, 2, 0xffff, "VFs "},
	{FIELD_NUMBER, "initial_vfs", 12, 2, 0xffff, ", initially "},
	{FIELD_NUMBER, "num_vfs", 16, 2, 0xffff, ", now "},
	{FIELD_ID, "vf_device", 26, 2, 0xffff, ", device "},
	{FIELD_FLAG, "enabled", 8, 2, 0x0001, ", enabled", ", disabled"},
	{0},
};

static const struct vucctl_pci_field rebar_fields[] = {
	{FIELD_NUMBER, "bars", 8, 4, 0x000000e0, "BARs "},
	{0},
};

static const struct vucctl_pci_field pasid_fields[] = {
	{FIELD_NUMBER, "width", 4, 2, 0x1f00, "bits "},
	{FIELD_FLAG, "enabled", 6, 2, 0x0001, ", enabled", ", disabled"},
	{0},
};

static const struct vucctl_pci_cap_kind standard_kinds[] = {
	{PCI_CAP_ID_NULL, "null", "Null"},
	{PCI_CAP_ID_PM, "pm", "Power management", pm_fields},
	{PCI_CAP_ID_AGP, "agp", "AGP"},
	{PCI_CAP_ID_VPD, "vpd", "Vital product data"},
	{PCI_CAP_ID_SLOTID, "slot_id", "Slot identification"},
	{PCI_CAP_ID_MSI, "msi", "MSI", msi_fields},
	{PCI_CAP_ID_CHSWP, "hot_swap", "CompactPCI hot swap"},
	{PCI_CAP_ID_PCIX, "pci_x", "PCI-X"},
	{PCI_CAP_ID_HT, "hypertransport", "HyperTransport"},
	{PCI_CAP_ID_VNDR, "vendor", "Vendor specific", length_fields},
	{PCI_CAP_ID_DBG, "debug_port", "Debug port", debug_port_fields},
	{PCI_CAP_ID_CCRC, "ccrc", "CompactPCI resource control"},
	{PCI_CAP_ID_HOTPLUG, "hot_plug", "Hot plug"},
	{PCI_CAP_ID_SSVID, "subsystem", "Subsystem", subsystem_fields},
	{PCI_CAP_ID_AGP3, "agp3", "AGP 8x"},
	{PCI_CAP_ID_SECURE, "secure", "Secure device"},
	{PCI_CAP_ID_EXP, "pcie", "PCI Express", express_fields},
	{PCI_CAP_ID_MSIX, "msix", "MSI-X", msix_fields},
	{PCI_CAP_ID_SATA, "sata", "SATA"},
	{PCI_CAP_ID_AF, "af", "Advanced features", af_fields},
	{PCI_CAP_ID_EA, "ea", "Enhanced allocation", ea_fields},
	{0},
};

static const struct vucctl_pci_cap_kind extended_kinds[] = {
	{PCI_EXT_CAP_ID_NULL, "null", "Null"},
	{PCI_EXT_CAP_ID_AER, "aer", "Advanced error reporting"},
	{PCI_EXT_CAP_ID_VC, "vc", "Virtual channel"},
	{PCI_EXT_CAP_ID_DSN, "serial_number", "Device serial number", serial_fields},
	{PCI_EXT_CAP_ID_PB, "power_budget", "Power budgeting"},
	{PCI_EXT_CAP_ID_RCLINK, "rc_link", "Root complex links"},
	{PCI_EXT_CAP_ID_RCILINK, "rc_internal_link", "Root complex internal link"},
	{PCI_EXT_CAP_ID_RCEC, "rc_event_collector", "Event collector association"},
	{PCI_EXT_CAP_ID_MFVC, "mfvc", "Multi-function virtual channel"},
	{PCI_EXT_CAP_ID_VC2, "vc2", "Virtual channel"},
	{PCI_EXT_CAP_ID_RCRB, "rcrb", "Root complex register block"},
	{PCI_EXT_CAP_ID_VNDR, "vsec", "Vendor specific", vsec_fields},
	{PCI_EXT_CAP_ID_ACS, "acs", "Access control services"},
	{PCI_EXT_CAP_ID_ARI, "ari", "Alternative routing id", ari_fields},
	{PCI_EXT_CAP_ID_ATS, "ats", "Address translation", ats_fields},
	{PCI_EXT_CAP_ID_SRIOV, "sriov", "SR-IOV", sriov_fields},
	{PCI_EXT_CAP_ID_MRIOV, "mriov", "MR-IOV"},
	{PCI_EXT_CAP_ID_MCAST, "multicast", "Multicast"},
	{PCI_EXT_CAP_ID_PRI, "pri", "Page requests"},
	{PCI_EXT_CAP_ID_REBAR, "rebar", "Resizable BARs", rebar_fields},
	{PCI_EXT_CAP_ID_DPA, "dpa", "Dynamic power allocation"},
	{PCI_EXT_CAP_ID_TPH, "tph", "TLP processing hints"},
	{PCI_EXT_CAP_ID_LTR, "ltr", "Latency tolerance reporting"},
	{PCI_EXT_CAP_ID_SECPCI, "secondary_pcie", "Secondary PCI Express"},
	{PCI_EXT_CAP_ID_PMUX, "pmux", "Protocol multiplexing"},
	{PCI_EXT_CAP_ID_PASID, "pasid", "PASID", pasid_fields},
	{PCI_EXT_CAP_ID_LNR, "lnr", "LN requester"},
	{PCI_EXT_CAP_ID_DPC, "dpc", "Downstream port containment"},
	{PCI_EXT_CAP_ID_L1PM, "l1_pm", "L1 PM substates"},
	{PCI_EXT_CAP_ID_PTM, "ptm", "Precision time measurement"},
	{PCI_EXT_CAP_ID_M_PCIE, "m_pcie", "PCI Express over M-PHY"},
	{PCI_EXT_CAP_ID_FRS, "frs", "FRS queueing"},
	{PCI_EXT_CAP_ID_RTR, "rtr", "Readiness time reporting"},
	{PCI_EXT_CAP_ID_DVSEC, "dvsec", "Designated vendor specific", dvsec_fields},
	{PCI_EXT_CAP_ID_VF_REBAR, "vf_rebar", "Resizable VF BARs", rebar_fields},
	{PCI_EXT_CAP_ID_DLNK, "data_link", "Data link feature"},
	{PCI_EXT_CAP_ID_16GT, "physical_16gt", "Physical layer 16 GT/s"},
	{PCI_EXT_CAP_ID_LMR, "lane_margining", "Lane margining"},
	{PCI_EXT_CAP_ID_HIER_ID, "hierarchy_id", "Hierarchy id"},
	{PCI_EXT_CAP_ID_NPEM, "npem", "Native enclosure management"},
	{PCI_EXT_CAP_ID_DOE, "doe", "Data object exchange"},
	{0},
};
/* clang-format on */

const struct vucctl_pci_cap_kind *
vucctl_pci_cap_kind(const struct vucctl_pci_cap *cap)
{
	const struct vucctl_pci_cap_kind *kind = cap->extended ? extended_kinds : standard_kinds;

	for (; kind->key != NULL; kind++) {
		if (kind->id == cap->id)
			return kind;
	}
	return NULL;
}

bool
vucctl_pci_field_get(const struct vucctl_pci_image *image, const struct vucctl_pci_cap *cap,
	const struct vucctl_pci_field *field, uint32_t *value)
{
	struct vucctl_pci_image covered = *image;
	uint32_t bits;

	if (!cap->extended && covered.len > VUCCTL_PCI_CONFIG_SIZE)
		covered.len = VUCCTL_PCI_CONFIG_SIZE;
	*value = 0;
	if (!vucctl_pci_get(&covered, (size_t)cap->offset + field->offset, field->width, &bits))
		return false;
	*value = bits & field->mask;
	if (field->kind == FIELD_OFFSET)
		return true;
	*value >>= __builtin_ctz(field->mask);
	if (field->kind == FIELD_COUNT)
		*value += 1;
	else if (field->kind == FIELD_POWER)
		*value = UINT32_C(1) << (*value & 31);
	return true;
}

int
vucctl_pci_field_digits(const struct vucctl_pci_field *field)
{
	return __builtin_popcount(field->mask) / 4;
}

const char *
vucctl_pci_field_name(const struct vucctl_pci_field *field, uint32_t value)
{
	uint32_t i;

	for (i = 0; field->names[i] != NULL; i++) {
		if (i == value)
			return field->names[i];
	}
	return "unknown";
}
