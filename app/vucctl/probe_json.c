/* SPDX-License-Identifier: BSD-3-Clause */
#include "probe.h"

#include <linux/vfio.h>

static void
add_version(struct app_json *json, const struct vuc_device_version *version)
{
	struct json_object *object = app_json_object(json, json->root, "version");

	app_json_number(json, object, "major", version->major);
	app_json_number(json, object, "minor", version->minor);
	app_json_number(json, object, "max_msg_fds", version->max_msg_fds);
	app_json_number(json, object, "max_data_xfer_size", version->max_data_xfer_size);
	app_json_number(json, object, "max_dma_maps", version->max_dma_maps);
	app_json_number(json, object, "pgsizes", version->pgsizes);
	app_json_bool(json, object, "twin_socket", version->twin_socket);
	app_json_bool(json, object, "write_multiple", version->write_multiple);
	app_json_text_or_null(json, object, "server_data", version->json);
}

static void
add_flags(struct app_json *json, struct json_object *object, uint32_t value,
	const struct vucctl_flag *flags)
{
	struct json_object *names;

	app_json_hex(json, object, "flags", 1, value);
	names = app_json_array(json, object, "flag_names");
	for (; flags->name != NULL; flags++) {
		if ((value & flags->bits) == flags->bits)
			app_json_text(json, names, NULL, flags->name);
	}
}

static void
add_device(struct app_json *json, const struct vuc_device_info *info)
{
	struct json_object *object = app_json_object(json, json->root, "device");

	add_flags(json, object, info->flags, vucctl_device_flags);
	app_json_number(json, object, "num_regions", info->num_regions);
	app_json_number(json, object, "num_irqs", info->num_irqs);
}

static void
add_areas(struct app_json *json, struct json_object *object, const struct vuc_region *region)
{
	struct json_object *areas = app_json_array(json, object, "areas");
	struct json_object *area;
	uint32_t i;

	for (i = 0; i < region->nr_areas; i++) {
		area = app_json_object(json, areas, NULL);
		app_json_number(json, area, "offset", region->areas[i].offset);
		app_json_number(json, area, "size", region->areas[i].size);
	}
}

static void
add_region(struct app_json *json, struct json_object *regions, const struct vuc_region *region)
{
	struct json_object *object = app_json_object(json, regions, NULL);

	app_json_number(json, object, "index", region->index);
	app_json_text(json, object, "name", vucctl_region_name(region->index).text);
	app_json_number(json, object, "size", region->size);
	add_flags(json, object, region->flags, vucctl_region_flags);
	app_json_number(json, object, "offset", region->offset);
	app_json_number(json, object, "fds", region->nr_fds);
	add_areas(json, object, region);
	app_json_hex(json, object, "type", 1, region->type);
	app_json_hex(json, object, "subtype", 1, region->subtype);
}

static void
add_irq(struct app_json *json, struct json_object *irqs, const struct vuc_irq *irq)
{
	struct json_object *object = app_json_object(json, irqs, NULL);

	app_json_number(json, object, "index", irq->index);
	app_json_text(json, object, "name", vucctl_irq_name(irq->index).text);
	app_json_number(json, object, "count", irq->count);
	add_flags(json, object, irq->flags, vucctl_irq_flags);
}

/* ---- PCI ---- */

static void
add_name(struct app_json *json, struct json_object *object, const char *key, const char *name,
	bool numeric)
{
	if (numeric)
		app_json_null(json, object, key);
	else
		app_json_text(json, object, key, name);
}

static void
add_ids(struct app_json *json, struct json_object *pci, const struct vucctl_pci_header *header,
	const struct vucctl_pci_names *names)
{
	struct json_object *subsystem;

	app_json_hex(json, pci, "vendor", 4, header->vendor);
	app_json_hex(json, pci, "device", 4, header->device);
	add_name(json, pci, "name", names->device, names->numeric);
	app_json_hex(json, pci, "class", 6, header->class_code);
	add_name(json, pci, "class_name", names->class_name, names->numeric);
	app_json_number(json, pci, "revision", header->revision);
	if (!header->has_subsystem) {
		app_json_null(json, pci, "subsystem");
		return;
	}
	subsystem = app_json_object(json, pci, "subsystem");
	app_json_hex(json, subsystem, "vendor", 4, header->subsystem_vendor);
	app_json_hex(json, subsystem, "device", 4, header->subsystem_device);
	add_name(json, subsystem, "name", names->subsystem, names->numeric);
}

static void
add_registers(
	struct app_json *json, struct json_object *pci, const struct vucctl_pci_header *header)
{
	app_json_number(json, pci, "header_type", header->type);
	app_json_bool(json, pci, "multifunction", header->multifunction);
	app_json_hex(json, pci, "command", 4, header->command);
	app_json_hex(json, pci, "status", 4, header->status);
	app_json_number(json, pci, "interrupt_pin", header->interrupt_pin);
	app_json_number(json, pci, "interrupt_line", header->interrupt_line);
}

static const char *
bar_kind_key(enum vucctl_pci_bar_kind kind)
{
	switch (kind) {
	case VUCCTL_PCI_BAR_IO:
		return "io";
	case VUCCTL_PCI_BAR_MEM32:
		return "memory32";
	case VUCCTL_PCI_BAR_MEM1M:
		return "memory1m";
	case VUCCTL_PCI_BAR_MEM64:
		return "memory64";
	default:
		return "invalid";
	}
}

/* Size of a region, 0 when there is none. */
static uint64_t
region_size(const struct vuc_device *dev, uint32_t index)
{
	const struct vuc_region *region = vuc_device_region(dev, index);

	return region != NULL ? region->size : 0;
}

static void
add_bars(struct app_json *json, struct json_object *pci, const struct vuc_device *dev,
	const struct vucctl_pci_header *header)
{
	struct json_object *bars = app_json_array(json, pci, "bars");
	unsigned int i;

	for (i = 0; i < header->nr_bars; i++) {
		const struct vucctl_pci_bar *bar = &header->bars[i];
		enum vucctl_pci_bar_kind kind = bar->kind;
		struct json_object *object;

		/* What reads 0 and has a region is 32-bit memory without an address: BARs of all
		 * other kinds have bits that are never 0. */
		if (kind == VUCCTL_PCI_BAR_ZERO && region_size(dev, i) > 0)
			kind = VUCCTL_PCI_BAR_MEM32;
		if (kind == VUCCTL_PCI_BAR_ZERO || kind == VUCCTL_PCI_BAR_UPPER)
			continue;
		object = app_json_object(json, bars, NULL);
		app_json_number(json, object, "index", i);
		app_json_text(json, object, "type", bar_kind_key(kind));
		app_json_bool(json, object, "prefetchable", bar->prefetchable);
		app_json_number(json, object, "address", bar->address);
		app_json_number(json, object, "size", region_size(dev, i));
	}
}

static void
add_rom(struct app_json *json, struct json_object *pci, const struct vuc_device *dev,
	const struct vucctl_pci_header *header)
{
	uint64_t size = region_size(dev, VFIO_PCI_ROM_REGION_INDEX);
	struct json_object *object;

	if (header->rom_address == 0 && size == 0) {
		app_json_null(json, pci, "rom");
		return;
	}
	object = app_json_object(json, pci, "rom");
	app_json_number(json, object, "address", header->rom_address);
	app_json_bool(json, object, "enabled", header->rom_enabled);
	app_json_number(json, object, "size", size);
}

static void
add_field(struct app_json *json, struct json_object *fields, const struct vucctl_pci_field *field,
	uint32_t value)
{
	switch (field->kind) {
	case FIELD_ID:
		app_json_hex(json, fields, field->key, vucctl_pci_field_digits(field), value);
		break;
	case FIELD_FLAG:
		app_json_bool(json, fields, field->key, value != 0);
		break;
	case FIELD_NAME:
		app_json_text(json, fields, field->key, vucctl_pci_field_name(field, value));
		break;
	default:
		app_json_number(json, fields, field->key, value);
		break;
	}
}

static void
add_cap(struct app_json *json, struct json_object *caps, const struct vucctl_pci_image *image,
	const struct vucctl_pci_cap *cap)
{
	struct json_object *object = app_json_object(json, caps, NULL);
	const struct vucctl_pci_cap_kind *kind = vucctl_pci_cap_kind(cap);
	const struct vucctl_pci_field *field;
	struct json_object *fields;
	uint32_t value;

	app_json_number(json, object, "offset", cap->offset);
	app_json_bool(json, object, "extended", cap->extended);
	app_json_hex(json, object, "id", cap->extended ? 4 : 2, cap->id);
	if (cap->extended)
		app_json_number(json, object, "version", cap->version);
	app_json_text(json, object, "type", kind != NULL ? kind->key : "unknown");
	fields = app_json_object(json, object, "fields");
	if (kind == NULL || kind->fields == NULL)
		return;
	for (field = kind->fields; field->key != NULL; field++) {
		if (vucctl_pci_field_get(image, cap, field, &value))
			add_field(json, fields, field, value);
	}
}

static void
add_caps(struct app_json *json, struct json_object *pci, const struct vucctl_pci_image *image)
{
	struct json_object *array = app_json_array(json, pci, "capabilities");
	struct vucctl_pci_caps caps;
	unsigned int i;

	vucctl_pci_caps_walk(image, &caps);
	for (i = 0; i < caps.count; i++)
		add_cap(json, array, image, &caps.caps[i]);
	app_json_text_or_null(json, pci, "capabilities_problem", caps.problem);
	app_json_text_or_null(json, pci, "extended_capabilities_problem", caps.ext_problem);
}

static void
add_pci(struct app_json *json, const struct vuc_device *dev, const struct vucctl_config *config,
	const struct vucctl_pci_names *names)
{
	const struct vucctl_pci_image image = {config->bytes, config->len};
	struct json_object *pci = app_json_object(json, json->root, "pci");
	struct vucctl_pci_header header;

	vucctl_pci_header_decode(&image, &header);
	add_ids(json, pci, &header, names);
	add_registers(json, pci, &header);
	add_bars(json, pci, dev, &header);
	add_rom(json, pci, dev, &header);
	add_caps(json, pci, &image);
}

/* ---- all ---- */

static void
add_indexes(struct app_json *json, const struct vuc_device *dev)
{
	const struct vuc_device_info *info = vuc_device_info(dev);
	struct json_object *regions = app_json_array(json, json->root, "regions");
	struct json_object *irqs = app_json_array(json, json->root, "irqs");
	uint32_t i;

	for (i = 0; i < info->num_regions; i++)
		add_region(json, regions, vuc_device_region(dev, i));
	for (i = 0; i < info->num_irqs; i++)
		add_irq(json, irqs, vuc_device_irq(dev, i));
}

static void
add_config(struct app_json *json, const struct vucctl_config *config)
{
	char digits[2 * sizeof(config->bytes) + 1] = "";
	struct json_object *object;
	size_t i;

	if (!config->present) {
		app_json_null(json, json->root, "config");
		return;
	}
	for (i = 0; i < config->len; i++)
		snprintf(digits + 2 * i, 3, "%02x", config->bytes[i]);
	object = app_json_object(json, json->root, "config");
	app_json_number(json, object, "size", config->size);
	app_json_number(json, object, "read", config->len);
	app_json_text_or_null(json, object, "error", config->error);
	app_json_text(json, object, "bytes", digits);
}

void
vucctl_probe_json(const struct vucctl *ctl, const struct vucctl_config *config,
	const struct vucctl_pci_names *names, struct app_json *json)
{
	app_json_init(json);
	app_json_text(json, json->root, "socket", ctl->args[0]);
	app_json_text(json, json->root, "transport",
		vuc_poll_group_transport(vuc_device_poll_group(ctl->dev)));
	add_version(json, vuc_device_version(ctl->dev));
	add_device(json, vuc_device_info(ctl->dev));
	add_indexes(json, ctl->dev);
	if (names != NULL)
		add_pci(json, ctl->dev, config, names);
	else
		app_json_null(json, json->root, "pci");
	add_config(json, config);
}
