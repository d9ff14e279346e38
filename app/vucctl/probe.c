/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include "command.h"
#include "pci.h"

/* How much is printed unless all is asked for. */
#define FEW_AREAS        8
#define FEW_CONFIG_BYTES 64

#define LSPCI_ROW 16

/* What was read of config space. */
struct config {
	uint64_t size;   /* of the region */
	size_t len;      /* bytes that could be read */
	const char *why; /* why not all of them; "" when all were */
	char error[VUC_ERROR_MAX];
	uint8_t bytes[VUCCTL_PCIE_CONFIG_SIZE];
};

/* What is found out. */
struct probe {
	bool lspci;
	bool numeric;
	bool verbose;
	const char *socket, *transport;
	const struct vuc_device *dev;
	const struct vuc_device_version *version;
	const struct vuc_device_info *info;
	const struct vucctl_pci *pci; /* NULL: too little of config space could be read */
	const struct config *config;  /* NULL: the device has none */
	struct config config_read;
	struct vucctl_pci pci_decoded;
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
config_read_by(struct vuc_device *dev, struct config *config, size_t want, size_t step)
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
config_read(struct vuc_device *dev, struct probe *probe)
{
	struct config *config = &probe->config_read;
	const struct vuc_region *region = vuc_device_region(dev, VFIO_PCI_CONFIG_REGION_INDEX);
	size_t want = sizeof(config->bytes);
	const char *reason;
	int ret;

	if (region == NULL || region->size == 0)
		return 0;
	probe->config = config;
	config->why = config->error;
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

/* ---- device and protocol ---- */

static void
format_device(struct vucctl_cell *cell, struct json_object *value)
{
	vucctl_flags_print(cell->out, vucctl_json_hex(value, "flags"), vucctl_device_flags);
}

static void
format_version(struct vucctl_cell *cell, struct json_object *value)
{
	fprintf(cell->out, "%" PRIu64 ".%" PRIu64, vucctl_json_number(value, "major"),
		vucctl_json_number(value, "minor"));
}

static void
format_most(struct vucctl_cell *cell, struct json_object *value)
{
	fprintf(cell->out, "at most %s", json_object_get_string(value));
}

static void
format_most_bytes(struct vucctl_cell *cell, struct json_object *value)
{
	fprintf(cell->out, "at most %s", vucctl_size_format(json_object_get_uint64(value)).text);
}

static void
format_page_sizes(struct vucctl_cell *cell, struct json_object *value)
{
	uint64_t sizes = json_object_get_uint64(value);
	unsigned int bit, named = 0;

	for (bit = 0; bit < 64 && named <= 4; bit++) {
		if ((sizes >> bit & 1) == 0)
			continue;
		if (++named > 4)
			fprintf(cell->out, ", ... (0x%" PRIx64 ")", sizes);
		else
			fprintf(cell->out, "%s%s", named > 1 ? ", " : "",
				vucctl_size_format(UINT64_C(1) << bit).text);
	}
}

static void
format_yes(struct vucctl_cell *cell, struct json_object *value)
{
	fputs(json_object_get_boolean(value) ? "yes" : "no", cell->out);
}

static const struct vucctl_field version_fields[] = {
	{"version", "", .format = format_version},
	{NULL, "major", VUCCTL_FIELD(NUMBER, vuc_device_version, major)},
	{NULL, "minor", VUCCTL_FIELD(NUMBER, vuc_device_version, minor)},
	{"message fds", "max_msg_fds", .format = format_most,
		VUCCTL_FIELD(NUMBER, vuc_device_version, max_msg_fds)},
	{"message data", "max_data_xfer_size", .format = format_most_bytes,
		VUCCTL_FIELD(NUMBER, vuc_device_version, max_data_xfer_size)},
	{"DMA maps", "max_dma_maps", .format = format_most,
		VUCCTL_FIELD(NUMBER, vuc_device_version, max_dma_maps)},
	{"page sizes", "pgsizes", .format = format_page_sizes,
		VUCCTL_FIELD(NUMBER, vuc_device_version, pgsizes)},
	{"twin socket", "twin_socket", .format = format_yes,
		VUCCTL_FIELD(BOOL, vuc_device_version, twin_socket)},
	{"write multiple", "write_multiple", .format = format_yes,
		VUCCTL_FIELD(BOOL, vuc_device_version, write_multiple)},
	{NULL, "server_data", VUCCTL_FIELD(STRING, vuc_device_version, json)},
	{0},
};

static const struct vucctl_field info_fields[] = {
	{NULL, "flags", VUCCTL_FIELD(FLAGS, vuc_device_info, flags), .digits = 1,
		.flags = vucctl_device_flags},
	{NULL, "num_regions", VUCCTL_FIELD(NUMBER, vuc_device_info, num_regions)},
	{NULL, "num_irqs", VUCCTL_FIELD(NUMBER, vuc_device_info, num_irqs)},
	{0},
};

/* ---- regions and interrupts ---- */

static const struct vucctl_field area_fields[] = {
	{NULL, "offset", VUCCTL_FIELD(NUMBER, vuc_region_area, offset)},
	{NULL, "size", VUCCTL_FIELD(NUMBER, vuc_region_area, size)},
	{0},
};

static const void *
each_area(const void *from, unsigned int i)
{
	const struct vuc_region *region = from;

	return i < region->nr_areas ? &region->areas[i] : NULL;
}

static const struct vucctl_field region_fields[] = {
	{NULL, "index", VUCCTL_FIELD(NUMBER, vuc_region, index)},
	{NULL, "name", VUCCTL_FIELD(NAME, vuc_region, index), .name = vucctl_region_name},
	{NULL, "size", VUCCTL_FIELD(NUMBER, vuc_region, size)},
	{NULL, "flags", VUCCTL_FIELD(FLAGS, vuc_region, flags), .digits = 1,
		.flags = vucctl_region_flags},
	{NULL, "offset", VUCCTL_FIELD(NUMBER, vuc_region, offset)},
	{NULL, "fds", VUCCTL_FIELD(NUMBER, vuc_region, nr_fds)},
	{NULL, "areas", .kind = VUCCTL_FIELD_ARRAY, .fields = area_fields, .each = each_area},
	{NULL, "type", VUCCTL_FIELD(HEX, vuc_region, type), .digits = 1},
	{NULL, "subtype", VUCCTL_FIELD(HEX, vuc_region, subtype), .digits = 1},
	{0},
};

static const void *
each_region(const void *from, unsigned int i)
{
	const struct probe *probe = from;

	return i < probe->info->num_regions ? vuc_device_region(probe->dev, i) : NULL;
}

static const struct vucctl_field irq_fields[] = {
	{NULL, "index", VUCCTL_FIELD(NUMBER, vuc_irq, index)},
	{NULL, "name", VUCCTL_FIELD(NAME, vuc_irq, index), .name = vucctl_irq_name},
	{NULL, "count", VUCCTL_FIELD(NUMBER, vuc_irq, count)},
	{NULL, "flags", VUCCTL_FIELD(FLAGS, vuc_irq, flags), .digits = 1,
		.flags = vucctl_irq_flags},
	{0},
};

static const void *
each_irq(const void *from, unsigned int i)
{
	const struct probe *probe = from;

	return i < probe->info->num_irqs ? vuc_device_irq(probe->dev, i) : NULL;
}

/* "rwm", and other bits as a number. The bit for capabilities is left out: they are printed where
 * they matter. */
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
		uint64_t offset = vucctl_json_number(area, "offset"),
			 size = vucctl_json_number(area, "size");

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
	uint64_t size = vucctl_json_number(region, "size"), fds = vucctl_json_number(region, "fds");
	uint32_t flags = vucctl_json_hex(region, "flags"), type = vucctl_json_hex(region, "type");

	printf("  %5" PRIu64 "  %-10s %-10s 0x%-12" PRIx64 " ", vucctl_json_number(region, "index"),
		vucctl_json_text(region, "name"), vucctl_size_format(size).text, size);
	print_region_flags(flags);
	if (fds > 0)
		printf("    %" PRIu64 " fd%s, offset 0x%" PRIx64, fds, fds == 1 ? "" : "s",
			vucctl_json_number(region, "offset"));
	else if ((flags & VFIO_REGION_INFO_FLAG_MMAP) != 0)
		fputs("    no fd, cannot be mapped", stdout);
	if (type != 0)
		printf("    type 0x%" PRIx32 ".0x%" PRIx32, type,
			vucctl_json_hex(region, "subtype"));
	putchar('\n');
	print_areas(json_object_object_get(region, "areas"), verbose);
}

static void
print_irq(struct json_object *irq, bool verbose)
{
	(void)verbose;
	printf("  %5" PRIu64 "  %-10s %5" PRIu64 "  ", vucctl_json_number(irq, "index"),
		vucctl_json_text(irq, "name"), vucctl_json_number(irq, "count"));
	vucctl_flags_print(stdout, vucctl_json_hex(irq, "flags"), vucctl_irq_flags);
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

		if (vucctl_json_number(item, member) > 0)
			print(item, verbose);
	}
	for (i = 0; i < n; i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (vucctl_json_number(item, member) > 0)
			continue;
		printf("%s%s", separator, vucctl_json_text(item, "name"));
		separator = ", ";
	}
	if (separator[0] == ',')
		putchar('\n');
}

/* ---- all ---- */

static void
build_bytes(struct app_json *json, struct json_object *obj, const void *from)
{
	const struct config *config = from;
	char digits[2 * sizeof(config->bytes) + 1] = "";
	size_t i;

	for (i = 0; i < config->len; i++)
		snprintf(digits + 2 * i, 3, "%02x", config->bytes[i]);
	app_json_text(json, obj, "bytes", digits);
}

static const struct vucctl_field config_fields[] = {
	{NULL, "size", VUCCTL_FIELD(NUMBER, config, size)},
	{NULL, "read", VUCCTL_FIELD(NUMBER, config, len)},
	{NULL, "error", VUCCTL_FIELD(STRING, config, why)},
	{NULL, "bytes", .kind = VUCCTL_FIELD_BUILT, .build = build_bytes},
	{0},
};

static const struct vucctl_field probe_fields[] = {
	{"socket", "socket", VUCCTL_FIELD(STRING, probe, socket)},
	{"transport", "transport", VUCCTL_FIELD(STRING, probe, transport)},
	{NULL, "version", VUCCTL_FIELD(OBJECT, probe, version), .fields = version_fields},
	{"flags", "device", .format = format_device, VUCCTL_FIELD(OBJECT, probe, info),
		.fields = info_fields},
	{NULL, "regions", .kind = VUCCTL_FIELD_ARRAY, .fields = region_fields, .each = each_region},
	{NULL, "irqs", .kind = VUCCTL_FIELD_ARRAY, .fields = irq_fields, .each = each_irq},
	{NULL, "pci", VUCCTL_FIELD(OBJECT, probe, pci), .fields = vucctl_pci_fields},
	{NULL, "config", VUCCTL_FIELD(OBJECT, probe, config), .fields = config_fields},
	{0},
};

static void
print_config(const struct config *config, bool verbose)
{
	size_t len;

	fputs("\nConfig space", stdout);
	if (config == NULL) {
		fputs("\n  none\n", stdout);
		return;
	}
	len = config->len;
	if (!verbose && len > FEW_CONFIG_BYTES)
		len = FEW_CONFIG_BYTES;
	printf(", %zu of %" PRIu64 " bytes\n", len, config->size);
	if (config->error[0] != '\0')
		printf("  unreadable from 0x%zx on: %s\n", config->len, config->error);
	vucctl_hexdump_print(stdout, "  ", 0, config->bytes, len);
}

static void
print_text(const struct probe *probe, struct json_object *root)
{
	struct app_reply reply = {NULL};
	/* JSON has it cleaned, and here it shows byte by byte. */
	const char *server_data = probe->version->json;

	puts("Device");
	vucctl_fields_print(stdout, probe_fields, &reply, root);
	puts("\nProtocol");
	vucctl_fields_print(
		stdout, version_fields, &reply, json_object_object_get(root, "version"));
	vucctl_label_print(stdout, "server's data");
	vucctl_foreign_print(stdout, server_data[0] != '\0' ? server_data : "none");
	puts("\n\nRegions\n  index  name       size                      flags  to map");
	print_indexes(
		json_object_object_get(root, "regions"), "size", print_region, probe->verbose);
	puts("\nInterrupts\n  index  name       count  flags");
	print_indexes(json_object_object_get(root, "irqs"), "count", print_irq, probe->verbose);
	if (probe->pci != NULL)
		vucctl_pci_print(probe->pci, json_object_object_get(root, "pci"));
	print_config(probe->config, probe->verbose);
}

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
print_lspci(const struct vucctl *ctl)
{
	const struct probe *probe = ctl->own;
	const struct config *config = &probe->config_read;
	const struct vucctl_pci *pci = &probe->pci_decoded;
	size_t len = lspci_len(config->len);
	size_t offset;

	if (probe->config == NULL)
		return vucctl_fail("%s: the device has no config space", ctl->args[0]);
	if (len == 0 && config->error[0] != '\0')
		return vucctl_fail("%s: cannot read config space: %s", ctl->args[0], config->error);
	if (len == 0)
		return vucctl_fail("%s: config space of %zu bytes is too short for lspci",
			ctl->args[0], config->len);
	/* lspci reads lines of up to 254 bytes. */
	printf("00:00.0 %.80s: %.120s", pci->class_text, pci->device_text);
	if (pci->revision != 0)
		printf(" (rev %02x)", pci->revision);
	putchar('\n');
	for (offset = 0; offset < len; offset += LSPCI_ROW) {
		vucctl_hex_row_print(stdout, offset, config->bytes + offset, LSPCI_ROW);
		putchar('\n');
	}
	putchar('\n');
	return EXIT_SUCCESS;
}

static int
probe_run(struct vucctl *ctl)
{
	struct probe *probe = ctl->own;
	struct app_json json;
	int ret = config_read(ctl->dev, probe);

	if (ret < 0)
		return vucctl_fail_device(ctl, ret, "cannot query the device");
	probe->socket = ctl->args[0];
	probe->transport = vuc_poll_group_transport(vuc_device_poll_group(ctl->dev));
	probe->dev = ctl->dev;
	probe->version = vuc_device_version(ctl->dev);
	probe->info = vuc_device_info(ctl->dev);
	if (vucctl_pci_decode(&probe->pci_decoded, probe->config_read.bytes, probe->config_read.len,
		    ctl->dev, probe->numeric))
		probe->pci = &probe->pci_decoded;
	if (probe->lspci)
		return print_lspci(ctl);
	app_json_init(&json);
	vucctl_fields_build(&json, json.root, probe_fields, probe);
	if (ctl->json)
		return vucctl_print_json(&json);
	if (json.failed)
		ret = vucctl_fail("%s", strerror(ENOMEM));
	else
		print_text(probe, json.root);
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
