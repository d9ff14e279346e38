/* SPDX-License-Identifier: BSD-3-Clause */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#define LSPCI_ROW 16

struct probe {
	bool lspci;
	bool numeric;
	bool verbose;
	struct vucctl_config config;
	struct vucctl_pci_names names;
};

static const struct vucctl_option options[] = {
	VUCCTL_OPTION_JSON,
	{"lspci", 'l', NULL, "Print config space in the format of 'lspci -F FILE'", VUCCTL_SET,
		VUCCTL_MEMBER(struct probe, lspci)},
	{"numeric", 'n', NULL, "Print numeric IDs instead of names from the PCI ID database",
		VUCCTL_SET, VUCCTL_MEMBER(struct probe, numeric)},
	{"verbose", 'v', NULL, "Print all of config space and all mappable areas of regions",
		VUCCTL_SET, VUCCTL_MEMBER(struct probe, verbose)},
	{NULL, 'x', NULL, NULL, VUCCTL_SET, VUCCTL_MEMBER(struct probe, verbose)},
	{0},
};

static int
probe_check(struct vucctl *ctl)
{
	const struct probe *probe = ctl->own;

	if (ctl->json && probe->lspci)
		app_args_error(ctl->state, "--json and --lspci are mutually exclusive");
	return 0;
}

/* ---- config space ---- */

/*
 * Read config space from its start, each read being step bytes long, until all is there or a read
 * fails. Returns what the last read returned.
 */
static int
config_read_by(struct vuc_device *dev, struct vucctl_config *config, size_t want, size_t step)
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
config_read(struct vuc_device *dev, struct vucctl_config *config)
{
	const struct vuc_region *region = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);
	size_t want = sizeof(config->bytes);
	const char *reason;
	int ret;

	if (region == NULL || region->size == 0)
		return 0;
	config->present = true;
	config->size = region->size;
	if (config->size < want)
		want = (size_t)config->size;
	ret = config_read_by(dev, config, want, want);
	/* Some servers take no more than a register at a time, or end before their region does. */
	if (ret < 0 && ret != -ETIMEDOUT && vuc_device_connected(dev))
		ret = config_read_by(dev, config, want, sizeof(uint32_t));
	if (ret == 0 || !vuc_device_connected(dev))
		return ret;
	reason = vuc_device_reason(dev);
	snprintf(config->error, sizeof(config->error), "%s",
		reason[0] != '\0' ? reason : strerror(-ret));
	return 0;
}

/* ---- lspci ---- */

/* libpci knows these lengths; less than all that was read is left out. */
static size_t
lspci_len(size_t len)
{
	if (len >= VUCCTL_PCIE_CONFIG_SIZE)
		return VUCCTL_PCIE_CONFIG_SIZE;
	if (len >= VUCCTL_PCI_CONFIG_SIZE)
		return VUCCTL_PCI_CONFIG_SIZE;
	return len >= VUCCTL_PCI_HEADER_SIZE ? VUCCTL_PCI_HEADER_SIZE : 0;
}

static int
print_lspci(const struct vucctl *ctl, const struct vucctl_pci_header *header)
{
	const struct probe *probe = ctl->own;
	const struct vucctl_config *config = &probe->config;
	size_t len = lspci_len(config->len);
	size_t offset;

	if (!config->present)
		return vucctl_fail("%s: the device has no config space", ctl->args[0]);
	if (len == 0 && config->error[0] != '\0')
		return vucctl_fail("%s: cannot read config space: %s", ctl->args[0], config->error);
	if (len == 0)
		return vucctl_fail("%s: config space of %zu bytes is too short for lspci",
			ctl->args[0], config->len);
	/* lspci reads lines of up to 254 bytes. */
	printf("00:00.0 %.80s: %.120s", probe->names.class_name, probe->names.device);
	if (header->revision != 0)
		printf(" (rev %02x)", header->revision);
	putchar('\n');
	for (offset = 0; offset < len; offset += LSPCI_ROW) {
		vucctl_hex_row_print(stdout, offset, config->bytes + offset, LSPCI_ROW);
		putchar('\n');
	}
	putchar('\n');
	return EXIT_SUCCESS;
}

/* ---- all ---- */

static int
probe_run(struct vucctl *ctl)
{
	struct probe *probe = ctl->own;
	struct vucctl_config *config = &probe->config;
	const struct vucctl_pci_image image = {config->bytes, 0};
	struct vucctl_pci_header header;
	struct app_json json;
	bool decoded;
	int ret = config_read(ctl->dev, config);

	if (ret < 0)
		return vucctl_fail_device(ctl, ret, "cannot query the device");
	decoded = vucctl_pci_header_decode(
		&(struct vucctl_pci_image){image.bytes, config->len}, &header);
	if (decoded)
		vucctl_pci_names_lookup(&header, probe->numeric, &probe->names);
	if (probe->lspci)
		return print_lspci(ctl, &header);
	vucctl_probe_json(ctl, config, decoded ? &probe->names : NULL, &json);
	if (ctl->json)
		return vucctl_print_json(&json);
	if (json.failed)
		ret = vucctl_fail("%s", strerror(ENOMEM));
	else
		vucctl_probe_text(ctl, json.root, config, probe->verbose);
	app_json_finish(&json);
	return ret;
}

const struct vucctl_command vucctl_probe = {
	.name = "probe",
	.summary = "show the device of a vfio-user server",
	.doc = "Shows the vfio-user device on SOCKET: negotiated limits, regions, interrupts and config "
	       "space. Never writes to the device.",
	.arguments = "SOCKET",
	.options = options,
	.size = sizeof(struct probe),
	.check = probe_check,
	.run = probe_run,
};
