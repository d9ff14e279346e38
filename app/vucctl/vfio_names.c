/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio_names.h"

#include <errno.h>
#include <inttypes.h>
#include <strings.h>

#include <linux/vfio.h>

#include "number.h"

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

static int
parse_index(const char *text, const char *const *names, uint32_t n, uint32_t *index)
{
	uint64_t number;
	uint32_t i;

	for (i = 0; i < n; i++) {
		if (strcasecmp(text, names[i]) != 0)
			continue;
		*index = i;
		return 0;
	}
	if (vuc_number_parse(text, 0, 0, UINT32_MAX, &number) != 0)
		return -EINVAL;
	*index = (uint32_t)number;
	return 0;
}

int
vucctl_region_parse(const char *text, uint32_t *index)
{
	return parse_index(text, region_names, VFIO_PCI_NUM_REGIONS, index);
}

int
vucctl_irq_parse(const char *text, uint32_t *index)
{
	if (strcasecmp(text, "msix") == 0)
		text = irq_names[VFIO_PCI_MSIX_IRQ_INDEX];
	return parse_index(text, irq_names, VFIO_PCI_NUM_IRQS, index);
}
