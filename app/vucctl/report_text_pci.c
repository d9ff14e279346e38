/* SPDX-License-Identifier: BSD-3-Clause */
#include "report_text_pci.h"

#include <inttypes.h>

#include <linux/vfio.h>
#include <pci/header.h>

#include "format.h"
#include "pci_fields.h"
#include "vfio_names.h"

static const struct vucctl_flag command_flags[] = {
	{PCI_COMMAND_IO, "I/O"},
	{PCI_COMMAND_MEMORY, "memory"},
	{PCI_COMMAND_MASTER, "bus-master"},
	{PCI_COMMAND_PARITY, "parity"},
	{PCI_COMMAND_SERR, "SERR"},
	{PCI_COMMAND_DISABLE_INTx, "no-INTx"},
	{0, NULL},
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
	{0, NULL},
};

static const char *
header_type_name(uint8_t type)
{
	switch (type) {
	case PCI_HEADER_TYPE_NORMAL:
		return "device";
	case PCI_HEADER_TYPE_BRIDGE:
		return "PCI bridge";
	case PCI_HEADER_TYPE_CARDBUS:
		return "CardBus bridge";
	default:
		return "unknown";
	}
}

/* A line of a number and its name, which is left out when it would be the number again. */
static void
print_id(FILE *out, const char *label, const char *number, const char *name, bool numeric)
{
	vucctl_label_print(out, label);
	if (numeric)
		fprintf(out, "%s\n", number);
	else
		fprintf(out, "%-9s  %s\n", number, name);
}

static void
print_ids(FILE *out, const struct vucctl_pci *pci)
{
	const struct vucctl_pci_header *header = &pci->header;
	const struct vucctl_pci_names *names = &pci->names;
	char number[16];

	snprintf(number, sizeof(number), "%04x:%04x", header->vendor, header->device);
	print_id(out, "device", number, names->device, names->numeric);
	if (header->has_subsystem) {
		snprintf(number, sizeof(number), "%04x:%04x", header->subsystem_vendor,
			header->subsystem_device);
		print_id(out, "subsystem", number, names->subsystem, names->numeric);
	}
	snprintf(number, sizeof(number), "%06" PRIx32, header->class_code);
	print_id(out, "class", number, names->class_name, names->numeric);
	vucctl_label_print(out, "revision");
	fprintf(out, "%02x\n", header->revision);
	vucctl_label_print(out, "header type");
	fprintf(out, "%02x         %s%s\n", header->type, header_type_name(header->type),
		header->multifunction ? ", multifunction" : "");
}

static void
print_interrupt(FILE *out, const struct vucctl_pci_header *header)
{
	if (header->interrupt_pin == 0)
		return;
	vucctl_label_print(out, "interrupt");
	if (header->interrupt_pin <= 4)
		fprintf(out, "pin %c      line %u\n", 'A' + header->interrupt_pin - 1,
			header->interrupt_line);
	else
		fprintf(out, "pin %u, which PCI does not have\n", header->interrupt_pin);
}

static void
print_registers(FILE *out, const struct vucctl_pci_header *header)
{
	vucctl_label_print(out, "command");
	fprintf(out, "%04x       ", header->command);
	vucctl_flags_print(out, header->command, command_flags);
	putc('\n', out);
	vucctl_label_print(out, "status");
	fprintf(out, "%04x       ", header->status);
	vucctl_flags_print(out, header->status, status_flags);
	putc('\n', out);
	print_interrupt(out, header);
}

static const char *
bar_kind_text(enum vucctl_pci_bar_kind kind)
{
	switch (kind) {
	case VUCCTL_PCI_BAR_IO:
		return "I/O ports";
	case VUCCTL_PCI_BAR_MEM32:
		return "memory, 32 bits";
	case VUCCTL_PCI_BAR_MEM1M:
		return "memory, below 1 MiB";
	case VUCCTL_PCI_BAR_MEM64:
		return "memory, 64 bits";
	default:
		return "invalid type";
	}
}

static void
print_bar(FILE *out, const struct vucctl_report *report, unsigned int i)
{
	const struct vucctl_pci_bar *bar = &report->pci.header.bars[i];
	enum vucctl_pci_bar_kind kind = vucctl_report_bar_kind(report, i);
	uint64_t size = vucctl_report_region_size(report, i);

	if (kind == VUCCTL_PCI_BAR_ZERO || kind == VUCCTL_PCI_BAR_UPPER)
		return;
	vucctl_label_print(out, vucctl_region_name(i).text);
	fprintf(out, "%s at 0x%" PRIx64, bar_kind_text(kind), bar->address);
	fprintf(out, "%s, %s\n", bar->prefetchable ? ", prefetchable" : "",
		size > 0 ? vucctl_size_format(size).text : "no region");
}

static void
print_rom(FILE *out, const struct vucctl_report *report)
{
	const struct vucctl_pci_header *header = &report->pci.header;
	uint64_t size = vucctl_report_region_size(report, VFIO_PCI_ROM_REGION_INDEX);

	if (header->rom_address == 0 && size == 0)
		return;
	vucctl_label_print(out, "ROM");
	fprintf(out, "%s at 0x%" PRIx32 ", %s\n", header->rom_enabled ? "enabled" : "disabled",
		header->rom_address, size > 0 ? vucctl_size_format(size).text : "no region");
}

static void
print_field(FILE *out, const struct vucctl_pci_field *field, uint32_t value)
{
	if (field->kind == FIELD_FLAG) {
		if (value != 0)
			fputs(field->text, out);
		else if (field->text_off != NULL)
			fputs(field->text_off, out);
		return;
	}
	fputs(field->text, out);
	switch (field->kind) {
	case FIELD_OFFSET:
		fprintf(out, "0x%" PRIx32, value);
		break;
	case FIELD_ID:
		fprintf(out, "%0*" PRIx32, vucctl_pci_field_digits(field), value);
		break;
	case FIELD_NAME:
		fputs(vucctl_pci_field_name(field, value), out);
		break;
	default:
		fprintf(out, "%" PRIu32, value);
		break;
	}
}

static void
print_cap(FILE *out, const struct vucctl_pci_image *image, const struct vucctl_pci_cap *cap)
{
	const struct vucctl_pci_cap_kind *kind = vucctl_pci_cap_kind(cap);
	const struct vucctl_pci_field *field;
	const char *separator = ": ";
	uint32_t value;

	fprintf(out, cap->extended ? "  [%03x] " : "  [%02x]  ", cap->offset);
	if (kind == NULL) {
		fprintf(out, "unknown, id 0x%02x\n", cap->id);
		return;
	}
	fputs(kind->name, out);
	for (field = kind->fields; field != NULL && field->key != NULL; field++) {
		if (!vucctl_pci_field_get(image, cap, field, &value))
			continue;
		fputs(separator, out);
		separator = "";
		print_field(out, field, value);
	}
	putc('\n', out);
}

static void
print_caps(FILE *out, const struct vucctl_report *report)
{
	const struct vucctl_pci_caps *caps = &report->pci.caps;
	struct vucctl_pci_image image = vucctl_report_image(report);
	unsigned int i;

	fputs("\nCapabilities\n", out);
	for (i = 0; i < caps->count; i++)
		print_cap(out, &image, &caps->caps[i]);
	if (caps->problem[0] != '\0')
		fprintf(out, "  list broken: %s\n", caps->problem);
	if (caps->ext_problem[0] != '\0')
		fprintf(out, "  extended list broken: %s\n", caps->ext_problem);
	if (caps->count == 0 && caps->problem[0] == '\0' && caps->ext_problem[0] == '\0')
		fputs("  none\n", out);
}

void
vucctl_report_print_pci(FILE *out, const struct vucctl_report *report)
{
	unsigned int i;

	fputs("\nPCI\n", out);
	print_ids(out, &report->pci);
	print_registers(out, &report->pci.header);
	for (i = 0; i < report->pci.header.nr_bars; i++)
		print_bar(out, report, i);
	print_rom(out, report);
	print_caps(out, report);
}
