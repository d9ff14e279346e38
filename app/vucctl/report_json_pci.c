/* SPDX-License-Identifier: BSD-3-Clause */
#include "report_json.h"

#include <linux/vfio.h>

#include "pci_fields.h"

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
add_ids(struct app_json *json, struct json_object *pci, const struct vucctl_pci *from)
{
	const struct vucctl_pci_header *header = &from->header;
	const struct vucctl_pci_names *names = &from->names;
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

static void
add_bars(struct app_json *json, struct json_object *pci, const struct vucctl_report *report)
{
	struct json_object *bars = app_json_array(json, pci, "bars");
	unsigned int i;

	for (i = 0; i < report->pci.header.nr_bars; i++) {
		const struct vucctl_pci_bar *bar = &report->pci.header.bars[i];
		enum vucctl_pci_bar_kind kind = vucctl_report_bar_kind(report, i);
		struct json_object *object;

		if (kind == VUCCTL_PCI_BAR_ZERO || kind == VUCCTL_PCI_BAR_UPPER)
			continue;
		object = app_json_object(json, bars, NULL);
		app_json_number(json, object, "index", i);
		app_json_text(json, object, "type", bar_kind_key(kind));
		app_json_bool(json, object, "prefetchable", bar->prefetchable);
		app_json_number(json, object, "address", bar->address);
		app_json_number(json, object, "size", vucctl_report_region_size(report, i));
	}
}

static void
add_rom(struct app_json *json, struct json_object *pci, const struct vucctl_report *report)
{
	const struct vucctl_pci_header *header = &report->pci.header;
	uint64_t size = vucctl_report_region_size(report, VFIO_PCI_ROM_REGION_INDEX);
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
add_caps(struct app_json *json, struct json_object *pci, const struct vucctl_report *report)
{
	const struct vucctl_pci_caps *caps = &report->pci.caps;
	struct vucctl_pci_image image = vucctl_report_image(report);
	struct json_object *array = app_json_array(json, pci, "capabilities");
	unsigned int i;

	for (i = 0; i < caps->count; i++)
		add_cap(json, array, &image, &caps->caps[i]);
	app_json_text_or_null(json, pci, "capabilities_problem", caps->problem);
	app_json_text_or_null(json, pci, "extended_capabilities_problem", caps->ext_problem);
}

void
vucctl_report_add_pci(struct app_json *json, const struct vucctl_report *report)
{
	struct json_object *pci;

	if (!report->pci.valid) {
		app_json_null(json, json->root, "pci");
		return;
	}
	pci = app_json_object(json, json->root, "pci");
	add_ids(json, pci, &report->pci);
	add_registers(json, pci, &report->pci.header);
	add_bars(json, pci, report);
	add_rom(json, pci, report);
	add_caps(json, pci, report);
}
