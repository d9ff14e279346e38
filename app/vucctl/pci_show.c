/* SPDX-License-Identifier: BSD-3-Clause */

/* What `vucctl probe` shows of config space: as JSON, of which the text is made. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pci/header.h>

#include "command.h"
#include "pci.h"

/* ---- the header ---- */

static const struct vucctl_flag command_flags[] = {
	{PCI_COMMAND_IO, "I/O"},
	{PCI_COMMAND_MEMORY, "memory"},
	{PCI_COMMAND_MASTER, "bus-master"},
	{PCI_COMMAND_PARITY, "parity"},
	{PCI_COMMAND_SERR, "SERR"},
	{PCI_COMMAND_DISABLE_INTx, "no-INTx"},
	{0},
};

static const struct vucctl_flag status_flags[] = {
	{PCI_STATUS_INTx, "INTx"},
	{PCI_STATUS_CAP_LIST, "capabilities"},
	{PCI_STATUS_66MHZ, "66MHz"},
	{PCI_STATUS_FAST_BACK, "fast-back-to-back"},
	{PCI_STATUS_PARITY, "parity-error"},
	{PCI_STATUS_SIG_TARGET_ABORT, "target-abort"},
	{PCI_STATUS_REC_TARGET_ABORT, "received-target-abort"},
	{PCI_STATUS_REC_MASTER_ABORT, "received-master-abort"},
	{PCI_STATUS_SIG_SYSTEM_ERROR, "SERR"},
	{PCI_STATUS_DETECTED_PARITY, "detected-parity-error"},
	{0},
};

static const char *
header_type_name(uint64_t type)
{
	static const char *const names[] = {"device", "PCI bridge", "CardBus bridge"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

/* A number and its name, which is left out when it is not looked up. */
static void
format_id(struct vucctl_cell *cell, const char *id, const char *name)
{
	if (name == NULL)
		fprintf(cell->out, "%s", id);
	else
		fprintf(cell->out, "%-9s  %s", id, name);
}

static void
format_ids(struct vucctl_cell *cell, struct json_object *obj)
{
	char id[16];

	if (obj == NULL)
		return;
	snprintf(id, sizeof(id), "%04x:%04x", vucctl_json_hex(obj, "vendor"),
		vucctl_json_hex(obj, "device"));
	format_id(cell, id, vucctl_json_text(obj, "name"));
}

static void
format_class(struct vucctl_cell *cell, struct json_object *pci)
{
	format_id(cell, vucctl_json_text(pci, "class") + strlen("0x"),
		vucctl_json_text(pci, "class_name"));
}

static void
format_revision(struct vucctl_cell *cell, struct json_object *value)
{
	fprintf(cell->out, "%02" PRIx64, json_object_get_uint64(value));
}

static void
format_type(struct vucctl_cell *cell, struct json_object *pci)
{
	uint64_t type = vucctl_json_number(pci, "header_type");

	fprintf(cell->out, "%02" PRIx64 "         %s%s", type, header_type_name(type),
		vucctl_json_number(pci, "multifunction") != 0 ? ", multifunction" : "");
}

static void
format_register(
	struct vucctl_cell *cell, struct json_object *digits, const struct vucctl_flag *flags)
{
	uint32_t value = (uint32_t)strtoul(json_object_get_string(digits), NULL, 16);

	fprintf(cell->out, "%04x       ", value);
	vucctl_flags_print(cell->out, value, flags);
}

static void
format_command(struct vucctl_cell *cell, struct json_object *value)
{
	format_register(cell, value, command_flags);
}

static void
format_status(struct vucctl_cell *cell, struct json_object *value)
{
	format_register(cell, value, status_flags);
}

static void
format_interrupt(struct vucctl_cell *cell, struct json_object *pci)
{
	uint64_t pin = vucctl_json_number(pci, "interrupt_pin");

	if (pin > 4)
		fprintf(cell->out, "pin %" PRIu64 ", which is invalid", pin);
	else if (pin > 0)
		fprintf(cell->out, "pin %c      line %" PRIu64, 'A' + (int)pin - 1,
			vucctl_json_number(pci, "interrupt_line"));
}

/* ---- BARs ---- */

static const void *
each_bar(const void *from, unsigned int i)
{
	const struct vucctl_pci *pci = from;

	return i < pci->nr_bars ? &pci->bars[i] : NULL;
}

static const struct vucctl_field bar_fields[] = {
	{NULL, "index", VUCCTL_FIELD(NUMBER, vucctl_pci_bar, index)},
	{NULL, "type", VUCCTL_FIELD(STRING, vucctl_pci_bar, type)},
	{NULL, "prefetchable", VUCCTL_FIELD(BOOL, vucctl_pci_bar, prefetchable)},
	{NULL, "address", VUCCTL_FIELD(NUMBER, vucctl_pci_bar, address)},
	{NULL, "size", VUCCTL_FIELD(NUMBER, vucctl_pci_bar, size)},
	{0},
};

static const struct vucctl_field rom_fields[] = {
	{NULL, "address", VUCCTL_FIELD(NUMBER, vucctl_pci_bar, address)},
	{NULL, "enabled", VUCCTL_FIELD(BOOL, vucctl_pci_bar, enabled)},
	{NULL, "size", VUCCTL_FIELD(NUMBER, vucctl_pci_bar, size)},
	{0},
};

static const char *
size_text(const struct vucctl_size *size, uint64_t bytes)
{
	return bytes > 0 ? size->text : "no region";
}

static void
print_bars(const struct vucctl_pci *pci)
{
	const struct vucctl_pci_bar *bar;
	struct vucctl_size size;

	for (bar = pci->bars; bar < pci->bars + pci->nr_bars; bar++) {
		size = vucctl_size_format(bar->size);
		vucctl_label_print(stdout, vucctl_region_name(bar->index).text);
		printf("%s at 0x%" PRIx64 "%s, %s\n", bar->text, bar->address,
			bar->prefetchable ? ", prefetchable" : "", size_text(&size, bar->size));
	}
	bar = pci->rom;
	if (bar == NULL)
		return;
	size = vucctl_size_format(bar->size);
	vucctl_label_print(stdout, "ROM");
	printf("%s at 0x%" PRIx64 ", %s\n", bar->enabled ? "enabled" : "disabled", bar->address,
		size_text(&size, bar->size));
}

/* ---- capabilities ---- */

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
build_caps(struct app_json *json, struct json_object *obj, const void *from)
{
	const struct vucctl_pci *pci = from;
	struct json_object *array = app_json_array(json, obj, "capabilities");
	unsigned int i;

	for (i = 0; i < pci->caps.count; i++)
		add_cap(json, array, &pci->image, &pci->caps.caps[i]);
	app_json_text_or_null(json, obj, "capabilities_problem", pci->caps.problem);
	app_json_text_or_null(json, obj, "extended_capabilities_problem", pci->caps.ext_problem);
}

static void
print_field(const struct vucctl_pci_field *field, uint32_t value)
{
	if (field->kind == FIELD_FLAG && value == 0) {
		fputs(field->text_off != NULL ? field->text_off : "", stdout);
		return;
	}
	fputs(field->text, stdout);
	if (field->kind == FIELD_OFFSET)
		printf("0x%" PRIx32, value);
	else if (field->kind == FIELD_ID)
		printf("%0*" PRIx32, vucctl_pci_field_digits(field), value);
	else if (field->kind == FIELD_NAME)
		fputs(vucctl_pci_field_name(field, value), stdout);
	else if (field->kind != FIELD_FLAG)
		printf("%" PRIu32, value);
}

static void
print_cap(const struct vucctl_pci_image *image, const struct vucctl_pci_cap *cap)
{
	const struct vucctl_pci_cap_kind *kind = vucctl_pci_cap_kind(cap);
	const struct vucctl_pci_field *field;
	const char *separator = ": ";
	uint32_t value;

	printf(cap->extended ? "  [%03x] " : "  [%02x]  ", cap->offset);
	if (kind == NULL) {
		printf("unknown, id 0x%02x\n", cap->id);
		return;
	}
	fputs(kind->name, stdout);
	for (field = kind->fields; field != NULL && field->key != NULL; field++) {
		if (!vucctl_pci_field_get(image, cap, field, &value))
			continue;
		fputs(separator, stdout);
		separator = "";
		print_field(field, value);
	}
	putchar('\n');
}

static void
print_caps(const struct vucctl_pci *pci)
{
	const struct vucctl_pci_caps *caps = &pci->caps;
	unsigned int i;

	puts("\nCapabilities");
	for (i = 0; i < caps->count; i++)
		print_cap(&pci->image, &caps->caps[i]);
	if (caps->problem[0] != '\0')
		printf("  list broken: %s\n", caps->problem);
	if (caps->ext_problem[0] != '\0')
		printf("  extended list broken: %s\n", caps->ext_problem);
	if (caps->count == 0 && caps->problem[0] == '\0' && caps->ext_problem[0] == '\0')
		puts("  none");
}

/* ---- all ---- */

static const struct vucctl_field ids_fields[] = {
	{NULL, "vendor", VUCCTL_FIELD(HEX, vucctl_pci_ids, vendor), .digits = 4},
	{NULL, "device", VUCCTL_FIELD(HEX, vucctl_pci_ids, device), .digits = 4},
	{NULL, "name", VUCCTL_FIELD(STRING, vucctl_pci_ids, name)},
	{0},
};

const struct vucctl_field vucctl_pci_fields[] = {
	{"device", "", .format = format_ids, .trusted = true},
	{NULL, "vendor", VUCCTL_FIELD(HEX, vucctl_pci, ids.vendor), .digits = 4},
	{NULL, "device", VUCCTL_FIELD(HEX, vucctl_pci, ids.device), .digits = 4},
	{NULL, "name", VUCCTL_FIELD(STRING, vucctl_pci, ids.name)},
	{"subsystem", "subsystem", .format = format_ids, .trusted = true, .optional = true},
	{"class", "", .format = format_class, .trusted = true},
	{NULL, "class", VUCCTL_FIELD(HEX, vucctl_pci, class_code), .digits = 6},
	{NULL, "class_name", VUCCTL_FIELD(STRING, vucctl_pci, class_name)},
	{"revision", "revision", .format = format_revision,
		VUCCTL_FIELD(NUMBER, vucctl_pci, revision)},
	{NULL, "subsystem", VUCCTL_FIELD(OBJECT, vucctl_pci, subsystem), .fields = ids_fields},
	{"header type", "", .format = format_type},
	{NULL, "header_type", VUCCTL_FIELD(NUMBER, vucctl_pci, type)},
	{NULL, "multifunction", VUCCTL_FIELD(BOOL, vucctl_pci, multifunction)},
	{"command", "command", .format = format_command, VUCCTL_FIELD(HEX, vucctl_pci, command),
		.digits = 4},
	{"status", "status", .format = format_status, VUCCTL_FIELD(HEX, vucctl_pci, status),
		.digits = 4},
	{"interrupt", "", .format = format_interrupt, .optional = true},
	{NULL, "interrupt_pin", VUCCTL_FIELD(NUMBER, vucctl_pci, interrupt_pin)},
	{NULL, "interrupt_line", VUCCTL_FIELD(NUMBER, vucctl_pci, interrupt_line)},
	{NULL, "bars", .kind = VUCCTL_FIELD_ARRAY, .fields = bar_fields, .each = each_bar},
	{NULL, "rom", VUCCTL_FIELD(OBJECT, vucctl_pci, rom), .fields = rom_fields},
	{NULL, "capabilities", .kind = VUCCTL_FIELD_BUILT, .build = build_caps},
	{0},
};

void
vucctl_pci_print(const struct vucctl_pci *pci, struct json_object *obj)
{
	struct app_reply reply = {NULL};

	puts("\nPCI");
	vucctl_fields_print(stdout, vucctl_pci_fields, &reply, obj);
	print_bars(pci);
	print_caps(pci);
}
