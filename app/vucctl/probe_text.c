/* SPDX-License-Identifier: BSD-3-Clause */
#include "probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>
#include <pci/header.h>

/* How much is printed unless all is asked for. */
#define FEW_AREAS        8
#define FEW_CONFIG_BYTES 64

/* ---- members of our own JSON ---- */

static struct json_object *
get(struct json_object *obj, const char *key)
{
	return json_object_object_get(obj, key);
}

static uint64_t
number(struct json_object *obj, const char *key)
{
	return json_object_get_uint64(get(obj, key));
}

/* A text; NULL for null. */
static const char *
text(struct json_object *obj, const char *key)
{
	return json_object_get_string(get(obj, key));
}

/* A number that is a text with digits. */
static uint32_t
hex(struct json_object *obj, const char *key)
{
	return (uint32_t)strtoul(text(obj, key), NULL, 16);
}

static bool
is_true(struct json_object *obj, const char *key)
{
	return json_object_get_boolean(get(obj, key));
}

/* ---- device and protocol ---- */

static void
format_flags(uint32_t value, const struct vucctl_flag *flags, char line[VUCCTL_CELL_SIZE])
{
	FILE *out = fmemopen(line, VUCCTL_CELL_SIZE, "w");

	if (out == NULL)
		return;
	vucctl_flags_print(out, value, flags);
	fclose(out);
}

static void
format_device(struct app_reply *reply, struct json_object *value, char line[VUCCTL_CELL_SIZE])
{
	(void)reply;
	format_flags(hex(value, "flags"), vucctl_device_flags, line);
}

static void
format_version(struct app_reply *reply, struct json_object *value, char line[VUCCTL_CELL_SIZE])
{
	(void)reply;
	snprintf(line, VUCCTL_CELL_SIZE, "%" PRIu64 ".%" PRIu64, number(value, "major"),
		number(value, "minor"));
}

static void
format_most(struct app_reply *reply, struct json_object *value, char line[VUCCTL_CELL_SIZE])
{
	(void)reply;
	snprintf(line, VUCCTL_CELL_SIZE, "at most %s", json_object_get_string(value));
}

static void
format_most_bytes(struct app_reply *reply, struct json_object *value, char line[VUCCTL_CELL_SIZE])
{
	(void)reply;
	snprintf(line, VUCCTL_CELL_SIZE, "at most %s",
		vucctl_size_format(json_object_get_uint64(value)).text);
}

static void
format_page_sizes(struct app_reply *reply, struct json_object *value, char line[VUCCTL_CELL_SIZE])
{
	uint64_t sizes = json_object_get_uint64(value);
	unsigned int bit, named = 0;
	size_t len = 0;

	(void)reply;
	for (bit = 0; bit < 64 && named <= 4; bit++) {
		if ((sizes >> bit & 1) == 0)
			continue;
		if (++named > 4)
			snprintf(
				line + len, VUCCTL_CELL_SIZE - len, ", ... (0x%" PRIx64 ")", sizes);
		else
			snprintf(line + len, VUCCTL_CELL_SIZE - len, "%s%s", len > 0 ? ", " : "",
				vucctl_size_format(UINT64_C(1) << bit).text);
		len = strlen(line);
	}
}

static void
format_yes(struct app_reply *reply, struct json_object *value, char line[VUCCTL_CELL_SIZE])
{
	(void)reply;
	strcpy(line, json_object_get_boolean(value) ? "yes" : "no");
}

static const struct vucctl_field device_fields[] = {
	{"socket", "socket"},
	{"transport", "transport"},
	{"flags", "device", .format = format_device},
	{0},
};

static const struct vucctl_field protocol_fields[] = {
	{"version", "", .format = format_version},
	{"message fds", "max_msg_fds", .format = format_most},
	{"message data", "max_data_xfer_size", .format = format_most_bytes},
	{"DMA maps", "max_dma_maps", .format = format_most},
	{"page sizes", "pgsizes", .format = format_page_sizes},
	{"twin socket", "twin_socket", .format = format_yes},
	{"write multiple", "write_multiple", .format = format_yes},
	{0},
};

static void
print_device(struct json_object *root, const char *server_data)
{
	struct app_reply reply = {NULL};

	puts("Device");
	vucctl_fields_print(stdout, device_fields, &reply, root);
	puts("\nProtocol");
	vucctl_fields_print(stdout, protocol_fields, &reply, get(root, "version"));
	vucctl_label_print(stdout, "server's data");
	vucctl_foreign_print(stdout, server_data[0] != '\0' ? server_data : "none");
	putchar('\n');
}

/* ---- regions and interrupts ---- */

/* "rwm" and the bits that none of these letters stands for; the caps bit only says that there are
 * capabilities, which are printed if they are of use. */
static void
print_region_flags(uint32_t flags)
{
	const uint32_t told = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;

	putchar((flags & VFIO_REGION_INFO_FLAG_READ) != 0 ? 'r' : '-');
	putchar((flags & VFIO_REGION_INFO_FLAG_WRITE) != 0 ? 'w' : '-');
	putchar((flags & VFIO_REGION_INFO_FLAG_MMAP) != 0 ? 'm' : '-');
	if ((flags & ~told) != 0)
		printf(" 0x%" PRIx32, flags & ~told);
}

static void
print_areas(struct json_object *areas, bool verbose)
{
	size_t i, n = json_object_array_length(areas);

	for (i = 0; i < n; i++) {
		struct json_object *area = json_object_array_get_idx(areas, i);
		uint64_t offset = number(area, "offset"), size = number(area, "size");

		if (i == FEW_AREAS && !verbose) {
			printf("         and %zu more areas\n", n - i);
			return;
		}
		printf("         area 0x%" PRIx64 "-0x%" PRIx64 ", %s\n", offset,
			offset + (size - 1), vucctl_size_format(size).text);
	}
}

static void
print_region(struct json_object *region, bool verbose)
{
	uint64_t size = number(region, "size"), fds = number(region, "fds");
	uint32_t flags = hex(region, "flags"), type = hex(region, "type");

	printf("  %5" PRIu64 "  %-10s %-10s 0x%-12" PRIx64 " ", number(region, "index"),
		text(region, "name"), vucctl_size_format(size).text, size);
	print_region_flags(flags);
	if (fds > 0)
		printf("    %" PRIu64 " fd%s, offset 0x%" PRIx64, fds, fds == 1 ? "" : "s",
			number(region, "offset"));
	else if ((flags & VFIO_REGION_INFO_FLAG_MMAP) != 0)
		fputs("    no fd, cannot be mapped", stdout);
	if (type != 0)
		printf("    type 0x%" PRIx32 ".0x%" PRIx32, type, hex(region, "subtype"));
	putchar('\n');
	print_areas(get(region, "areas"), verbose);
}

static void
print_irq(struct json_object *irq, bool verbose)
{
	(void)verbose;
	printf("  %5" PRIu64 "  %-10s %5" PRIu64 "  ", number(irq, "index"), text(irq, "name"),
		number(irq, "count"));
	vucctl_flags_print(stdout, hex(irq, "flags"), vucctl_irq_flags);
	putchar('\n');
}

/* Those of an array that are there, a line or some each, and behind them the names of those whose
 * member is 0. */
static void
print_indexes(struct json_object *array, const char *member,
	void (*print)(struct json_object *item, bool verbose), bool verbose)
{
	const char *separator = "  none:  ";
	size_t i, n = json_object_array_length(array);

	for (i = 0; i < n; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (number(item, member) > 0)
			print(item, verbose);
	}
	for (i = 0; i < n; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (number(item, member) > 0)
			continue;
		printf("%s%s", separator, text(item, "name"));
		separator = ", ";
	}
	if (separator[0] == ',')
		putchar('\n');
}

/* ---- PCI ---- */

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
header_type_name(uint64_t type)
{
	static const char *const names[] = {"device", "PCI bridge", "CardBus bridge"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

/* A line of a number and its name, which is left out when it is not looked up. */
static void
print_id(const char *label, const char *id, const char *name)
{
	vucctl_label_print(stdout, label);
	if (name == NULL)
		printf("%s\n", id);
	else
		printf("%-9s  %s\n", id, name);
}

static void
print_ids(const char *label, struct json_object *obj)
{
	char id[16];

	snprintf(id, sizeof(id), "%04x:%04x", hex(obj, "vendor"), hex(obj, "device"));
	print_id(label, id, text(obj, "name"));
}

static void
print_register(const char *label, uint32_t value, const struct vucctl_flag *flags)
{
	vucctl_label_print(stdout, label);
	printf("%04x       ", value);
	vucctl_flags_print(stdout, value, flags);
	putchar('\n');
}

static void
print_interrupt(struct json_object *pci)
{
	uint64_t pin = number(pci, "interrupt_pin");

	if (pin == 0)
		return;
	vucctl_label_print(stdout, "interrupt");
	if (pin <= 4)
		printf("pin %c      line %" PRIu64 "\n", 'A' + (int)pin - 1,
			number(pci, "interrupt_line"));
	else
		printf("pin %" PRIu64 ", which is invalid\n", pin);
}

static void
print_header(struct json_object *pci)
{
	print_ids("device", pci);
	if (get(pci, "subsystem") != NULL)
		print_ids("subsystem", get(pci, "subsystem"));
	print_id("class", text(pci, "class") + strlen("0x"), text(pci, "class_name"));
	vucctl_label_print(stdout, "revision");
	printf("%02" PRIx64 "\n", number(pci, "revision"));
	vucctl_label_print(stdout, "header type");
	printf("%02" PRIx64 "         %s%s\n", number(pci, "header_type"),
		header_type_name(number(pci, "header_type")),
		is_true(pci, "multifunction") ? ", multifunction" : "");
	print_register("command", hex(pci, "command"), command_flags);
	print_register("status", hex(pci, "status"), status_flags);
	print_interrupt(pci);
}

static const char *
bar_type_text(const char *type)
{
	static const char *const texts[][2] = {
		{"io", "I/O ports"},
		{"memory32", "memory, 32 bits"},
		{"memory1m", "memory, below 1 MiB"},
		{"memory64", "memory, 64 bits"},
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(type, texts[i][0]) == 0)
			return texts[i][1];
	}
	return "invalid type";
}

static void
print_bars(struct json_object *pci)
{
	struct json_object *bars = get(pci, "bars"), *rom = get(pci, "rom");
	size_t i;

	for (i = 0; i < json_object_array_length(bars); i++) {
		struct json_object *bar = json_object_array_get_idx(bars, i);
		uint64_t size = number(bar, "size");

		vucctl_label_print(stdout, vucctl_region_name((uint32_t)number(bar, "index")).text);
		printf("%s at 0x%" PRIx64 "%s, %s\n", bar_type_text(text(bar, "type")),
			number(bar, "address"),
			is_true(bar, "prefetchable") ? ", prefetchable" : "",
			size > 0 ? vucctl_size_format(size).text : "no region");
	}
	if (rom == NULL)
		return;
	vucctl_label_print(stdout, "ROM");
	printf("%s at 0x%" PRIx64 ", %s\n", is_true(rom, "enabled") ? "enabled" : "disabled",
		number(rom, "address"),
		number(rom, "size") > 0 ? vucctl_size_format(number(rom, "size")).text
					: "no region");
}

static void
print_field(const struct vucctl_pci_field *field, struct json_object *fields)
{
	if (field->kind == FIELD_FLAG) {
		if (is_true(fields, field->key))
			fputs(field->text, stdout);
		else if (field->text_off != NULL)
			fputs(field->text_off, stdout);
		return;
	}
	fputs(field->text, stdout);
	if (field->kind == FIELD_OFFSET)
		printf("0x%" PRIx64, number(fields, field->key));
	else if (field->kind == FIELD_ID)
		fputs(text(fields, field->key) + strlen("0x"), stdout);
	else /* a number or a name */
		fputs(text(fields, field->key), stdout);
}

static void
print_cap(struct json_object *cap)
{
	const struct vucctl_pci_cap_kind *kind = vucctl_pci_cap_kind(&(struct vucctl_pci_cap){
		.id = (uint16_t)hex(cap, "id"), .extended = is_true(cap, "extended")});
	struct json_object *fields = get(cap, "fields");
	const struct vucctl_pci_field *field;
	const char *separator = ": ";

	printf(is_true(cap, "extended") ? "  [%03x] " : "  [%02x]  ",
		(unsigned int)number(cap, "offset"));
	if (kind == NULL) {
		printf("unknown, id 0x%02x\n", hex(cap, "id"));
		return;
	}
	fputs(kind->name, stdout);
	for (field = kind->fields; field != NULL && field->key != NULL; field++) {
		if (!json_object_object_get_ex(fields, field->key, NULL))
			continue;
		fputs(separator, stdout);
		separator = "";
		print_field(field, fields);
	}
	putchar('\n');
}

static void
print_caps(struct json_object *pci)
{
	const char *problem = text(pci, "capabilities_problem");
	const char *ext_problem = text(pci, "extended_capabilities_problem");
	struct json_object *caps = get(pci, "capabilities");
	size_t i, n = json_object_array_length(caps);

	puts("\nCapabilities");
	for (i = 0; i < n; i++)
		print_cap(json_object_array_get_idx(caps, i));
	if (problem != NULL)
		printf("  list broken: %s\n", problem);
	if (ext_problem != NULL)
		printf("  extended list broken: %s\n", ext_problem);
	if (n == 0 && problem == NULL && ext_problem == NULL)
		puts("  none");
}

/* ---- all ---- */

static void
print_config(const struct vucctl_config *config, bool verbose)
{
	size_t len = config->len;

	fputs("\nConfig space", stdout);
	if (!config->present) {
		fputs("\n  none\n", stdout);
		return;
	}
	if (!verbose && len > FEW_CONFIG_BYTES)
		len = FEW_CONFIG_BYTES;
	printf(", %zu of %" PRIu64 " bytes\n", len, config->size);
	if (config->error[0] != '\0')
		printf("  unreadable from 0x%zx on: %s\n", config->len, config->error);
	vucctl_hexdump_print(stdout, "  ", config->bytes, len);
}

void
vucctl_probe_text(const struct vucctl *ctl, struct json_object *root,
	const struct vucctl_config *config, bool verbose)
{
	struct json_object *pci = get(root, "pci");

	/* JSON has it cleaned, and here it shows byte by byte. */
	print_device(root, vuc_device_version(ctl->dev)->json);
	puts("\nRegions\n  index  name       size                      flags  to map");
	print_indexes(get(root, "regions"), "size", print_region, verbose);
	puts("\nInterrupts\n  index  name       count  flags");
	print_indexes(get(root, "irqs"), "count", print_irq, verbose);
	if (pci != NULL) {
		puts("\nPCI");
		print_header(pci);
		print_bars(pci);
		print_caps(pci);
	}
	print_config(config, verbose);
}
