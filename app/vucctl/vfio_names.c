/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio_names.h"

#include <inttypes.h>

#include <linux/vfio.h>

static const char *const region_names[VFIO_PCI_NUM_REGIONS] = {
	[VFIO_PCI_BAR0_REGION_INDEX] = "BAR0",
	[VFIO_PCI_BAR1_REGION_INDEX] = "BAR1",
	[VFIO_PCI_BAR2_REGION_INDEX] = "BAR2",
	[VFIO_PCI_BAR3_REGION_INDEX] = "BAR3",
	[VFIO_PCI_BAR4_REGION_INDEX] = "BAR4",
	[VFIO_PCI_BAR5_REGION_INDEX] = "BAR5",
	[VFIO_PCI_ROM_REGION_INDEX] = "ROM",
	[VFIO_PCI_CONFIG_REGION_INDEX] = "config",
	[VFIO_PCI_VGA_REGION_INDEX] = "VGA",
};

static const char *const irq_names[VFIO_PCI_NUM_IRQS] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = "INTx",
	[VFIO_PCI_MSI_IRQ_INDEX] = "MSI",
	[VFIO_PCI_MSIX_IRQ_INDEX] = "MSI-X",
	[VFIO_PCI_ERR_IRQ_INDEX] = "ERR",
	[VFIO_PCI_REQ_IRQ_INDEX] = "REQ",
};

const struct vucctl_flag vucctl_device_flags[] = {
	{VFIO_DEVICE_FLAGS_RESET, "reset"},
	{VFIO_DEVICE_FLAGS_PCI, "pci"},
	{VFIO_DEVICE_FLAGS_PLATFORM, "platform"},
	{VFIO_DEVICE_FLAGS_CAPS, "caps"},
	{0, NULL},
};

const struct vucctl_flag vucctl_region_flags[] = {
	{VFIO_REGION_INFO_FLAG_READ, "read"},
	{VFIO_REGION_INFO_FLAG_WRITE, "write"},
	{VFIO_REGION_INFO_FLAG_MMAP, "mmap"},
	{VFIO_REGION_INFO_FLAG_CAPS, "caps"},
	{0, NULL},
};

const struct vucctl_flag vucctl_irq_flags[] = {
	{VFIO_IRQ_INFO_EVENTFD, "eventfd"},
	{VFIO_IRQ_INFO_MASKABLE, "maskable"},
	{VFIO_IRQ_INFO_AUTOMASKED, "automasked"},
	{VFIO_IRQ_INFO_NORESIZE, "noresize"},
	{0, NULL},
};

struct vucctl_index_name
vucctl_region_name(uint32_t index)
{
	struct vucctl_index_name name;

	if (index < VFIO_PCI_NUM_REGIONS)
		snprintf(name.text, sizeof(name.text), "%s", region_names[index]);
	else
		snprintf(name.text, sizeof(name.text), "region %" PRIu32, index);
	return name;
}

struct vucctl_index_name
vucctl_irq_name(uint32_t index)
{
	struct vucctl_index_name name;

	if (index < VFIO_PCI_NUM_IRQS)
		snprintf(name.text, sizeof(name.text), "%s", irq_names[index]);
	else
		snprintf(name.text, sizeof(name.text), "IRQ %" PRIu32, index);
	return name;
}
