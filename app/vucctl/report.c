/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

/*
 * Read config space from its start, each read being step bytes long, until all is there or a read
 * fails. Returns what the last read returned.
 */
static int
read_config_by(struct vuc_device *dev, struct vucctl_config *config, size_t want, size_t step)
{
	config->len = 0;
	while (config->len < want) {
		size_t count = want - config->len < step ? want - config->len : step;
		int ret = vuc_device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, config->len,
			config->bytes + config->len, count);

		if (ret < 0)
			return ret;
		config->len += count;
	}
	return 0;
}

/* Returns 0, also when less than all could be read; what ended the connection. */
static int
read_config(struct vuc_device *dev, struct vucctl_config *config)
{
	size_t want = sizeof(config->bytes);
	const char *reason;
	int ret;

	if (config->size < want)
		want = (size_t)config->size;
	ret = read_config_by(dev, config, want, want);
	/* Some servers take no more than a register at a time, or end before their region does. */
	if (ret < 0 && ret != -ETIMEDOUT && vuc_device_connected(dev))
		ret = read_config_by(dev, config, want, sizeof(uint32_t));
	if (ret == 0)
		return 0;
	if (!vuc_device_connected(dev))
		return ret;
	reason = vuc_device_reason(dev);
	snprintf(config->error, sizeof(config->error), "%s",
		reason[0] != '\0' ? reason : strerror(-ret));
	return 0;
}

static int
collect_config(struct vuc_device *dev, struct vucctl_report *report)
{
	const struct vuc_region *region = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);

	if (region == NULL || region->size == 0)
		return 0;
	report->config.present = true;
	report->config.size = region->size;
	return read_config(dev, &report->config);
}

static int
collect_indexes(struct vuc_device *dev, struct vucctl_report *report)
{
	uint32_t i;

	/* One more than there are: none is no reason for calloc() to return NULL. */
	report->regions = calloc((size_t)report->info->num_regions + 1, sizeof(*report->regions));
	report->irqs = calloc((size_t)report->info->num_irqs + 1, sizeof(*report->irqs));
	if (report->regions == NULL || report->irqs == NULL)
		return -ENOMEM;
	for (i = 0; i < report->info->num_regions; i++)
		report->regions[i] = *vuc_device_region(dev, i);
	for (i = 0; i < report->info->num_irqs; i++)
		report->irqs[i] = *vuc_device_irq(dev, i);
	return 0;
}

struct vucctl_pci_image
vucctl_report_image(const struct vucctl_report *report)
{
	return (struct vucctl_pci_image){report->config.bytes, report->config.len};
}

void
vucctl_report_decode_pci(struct vucctl_report *report, bool numeric)
{
	struct vucctl_pci_image image = vucctl_report_image(report);

	report->pci.valid = vucctl_pci_header_decode(&image, &report->pci.header);
	if (!report->pci.valid)
		return;
	vucctl_pci_names_lookup(&report->pci.header, numeric, &report->pci.names);
	vucctl_pci_caps_walk(&image, &report->pci.caps);
}

int
vucctl_report_create(
	struct vuc_device *dev, const char *socket, bool numeric, struct vucctl_report **report)
{
	struct vucctl_report *new = calloc(1, sizeof(*new));
	int ret;

	*report = NULL;
	if (new == NULL)
		return -ENOMEM;
	new->socket = socket;
	new->transport = vuc_poll_group_transport(vuc_device_poll_group(dev));
	new->version = vuc_device_version(dev);
	new->info = vuc_device_info(dev);
	ret = collect_indexes(dev, new);
	if (ret == 0)
		ret = collect_config(dev, new);
	if (ret < 0) {
		vucctl_report_destroy(new);
		return ret;
	}
	vucctl_report_decode_pci(new, numeric);
	*report = new;
	return 0;
}

void
vucctl_report_destroy(struct vucctl_report *report)
{
	if (report == NULL)
		return;
	free(report->regions);
	free(report->irqs);
	free(report);
}

uint64_t
vucctl_report_region_size(const struct vucctl_report *report, uint32_t index)
{
	return index < report->info->num_regions ? report->regions[index].size : 0;
}

enum vucctl_pci_bar_kind
vucctl_report_bar_kind(const struct vucctl_report *report, unsigned int i)
{
	enum vucctl_pci_bar_kind kind = report->pci.header.bars[i].kind;

	if (kind == VUCCTL_PCI_BAR_ZERO && vucctl_report_region_size(report, i) > 0)
		return VUCCTL_PCI_BAR_MEM32;
	return kind;
}
