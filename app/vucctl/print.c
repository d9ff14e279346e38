/* SPDX-License-Identifier: BSD-3-Clause */
#include "print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <linux/vfio.h>

#include "number.h"
#include "text.h"

#define ROW 16

#define CELL_SIZE 257 /* of a text, with its NUL; what is longer is cut off */

uint64_t
vucctl_json_number(struct json_object *obj, const char *key)
{
	return json_object_get_uint64(json_object_object_get(obj, key));
}

const char *
vucctl_json_text(struct json_object *obj, const char *key)
{
	return json_object_get_string(json_object_object_get(obj, key));
}

uint32_t
vucctl_json_hex(struct json_object *obj, const char *key)
{
	return (uint32_t)strtoul(vucctl_json_text(obj, key), NULL, 16);
}

void
vucctl_label_print(FILE *out, const char *label)
{
	fprintf(out, "  %-15s ", label);
}

struct vucctl_size
vucctl_size_format(uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	struct vucctl_size size;
	unsigned int shift = 0;

	while (shift < 60 && bytes >> shift >= 1024)
		shift += 10;
	if (shift == 0)
		snprintf(size.text, sizeof(size.text), "%" PRIu64 " byte%s", bytes,
			bytes == 1 ? "" : "s");
	else if ((bytes & ((UINT64_C(1) << shift) - 1)) == 0)
		snprintf(size.text, sizeof(size.text), "%u %ciB", (unsigned int)(bytes >> shift),
			units[shift / 10 - 1]);
	else
		snprintf(size.text, sizeof(size.text), "%.1f %ciB",
			(double)bytes / (double)(UINT64_C(1) << shift), units[shift / 10 - 1]);
	return size;
}

struct vucctl_duration
vucctl_duration_format(uint64_t seconds)
{
	struct vucctl_duration d;
	uint64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;

	if (minutes == 0)
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " s", seconds);
	else if (hours == 0)
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " min %" PRIu64 " s", minutes,
			seconds % 60);
	else if (days == 0)
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " h %" PRIu64 " min", hours,
			minutes % 60);
	else
		snprintf(d.text, sizeof(d.text), "%" PRIu64 " day%s %" PRIu64 " h", days,
			days == 1 ? "" : "s", hours % 24);
	return d;
}

void
vucctl_time_print(FILE *out, uint64_t ns)
{
	fprintf(out, "%5" PRIu64 ".%06" PRIu64, ns / 1000000000, ns / 1000 % 1000000);
}

void
vucctl_flags_print(FILE *out, uint32_t value, const struct vucctl_flag *flags)
{
	const char *separator = "";

	if (value == 0)
		fputs("none", out);
	for (; flags->name != NULL; flags++) {
		if ((value & flags->bits) != flags->bits)
			continue;
		fprintf(out, "%s%s", separator, flags->name);
		separator = " ";
		value &= ~flags->bits;
	}
	if (value != 0)
		fprintf(out, "%s0x%" PRIx32, separator, value);
}

void
vucctl_foreign_bytes_print(FILE *out, const uint8_t *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (vuc_text_is_printable((char)text[i]))
			putc(text[i], out);
		else
			fprintf(out, "\\x%02x", text[i]);
	}
}

void
vucctl_foreign_print(FILE *out, const char *text)
{
	vucctl_foreign_bytes_print(out, (const uint8_t *)text, strlen(text));
}

bool
vucctl_value_print(FILE *out, const uint8_t *bytes, size_t len)
{
	if (len != 1 && len != 2 && len != 4 && len != 8)
		return false;
	fputs("0x", out);
	while (len > 0)
		fprintf(out, "%02x", bytes[--len]);
	return true;
}

void
vucctl_hex_row_print(FILE *out, uint64_t offset, const uint8_t *bytes, size_t len)
{
	size_t i;

	fprintf(out, "%02" PRIx64 ":", offset);
	for (i = 0; i < len; i++)
		fprintf(out, " %02x", bytes[i]);
}

void
vucctl_hexdump_print(FILE *out, const char *indent, uint64_t base, const uint8_t *bytes, size_t len)
{
	bool before = false, same;
	size_t offset, count;

	for (offset = 0; offset < len; offset += ROW) {
		count = len - offset < ROW ? len - offset : ROW;
		same = offset > 0 && count == ROW &&
			memcmp(bytes + offset, bytes + offset - ROW, ROW) == 0;
		if (same && !before)
			fprintf(out, "%s*\n", indent);
		before = same;
		if (same)
			continue;
		fputs(indent, out);
		vucctl_hex_row_print(out, base + offset, bytes + offset, count);
		putc('\n', out);
	}
}

/* ---- names ---- */

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

/* ---- described fields ---- */

static uint64_t
member_number(const void *member, size_t size)
{
	switch (size) {
	case sizeof(uint8_t):
		return *(const uint8_t *)member;
	case sizeof(uint16_t):
		return *(const uint16_t *)member;
	case sizeof(uint32_t):
		return *(const uint32_t *)member;
	default:
		return *(const uint64_t *)member;
	}
}

static void
add_flags(struct app_json *json, struct json_object *obj, const struct vucctl_field *field,
	uint32_t value)
{
	const struct vucctl_flag *flag = field->flags;
	struct json_object *names;

	app_json_hex(json, obj, field->key, field->digits, value);
	names = app_json_array(json, obj, "flag_names");
	for (; flag->name != NULL; flag++) {
		if ((value & flag->bits) == flag->bits)
			app_json_text(json, names, NULL, flag->name);
	}
}

static void
add_array(struct app_json *json, struct json_object *obj, const struct vucctl_field *field,
	const void *from)
{
	struct json_object *array = app_json_array(json, obj, field->key);
	const void *item;
	unsigned int i;

	for (i = 0; (item = field->each(from, i)) != NULL; i++)
		vucctl_fields_build(json, app_json_object(json, array, NULL), field->fields, item);
}

static void
field_build(struct app_json *json, struct json_object *obj, const struct vucctl_field *field,
	const void *from)
{
	const void *member = (const char *)from + field->offset;
	const void *target;
	const char *text;

	switch (field->kind) {
	case VUCCTL_FIELD_TEXT_ONLY:
		break;
	case VUCCTL_FIELD_NUMBER:
		app_json_number(json, obj, field->key, member_number(member, field->size));
		break;
	case VUCCTL_FIELD_BOOL:
		app_json_bool(json, obj, field->key, *(const bool *)member);
		break;
	case VUCCTL_FIELD_STRING:
		text = *(const char *const *)member;
		app_json_text_or_null(json, obj, field->key, text != NULL ? text : "");
		break;
	case VUCCTL_FIELD_HEX:
		app_json_hex(
			json, obj, field->key, field->digits, member_number(member, field->size));
		break;
	case VUCCTL_FIELD_FLAGS:
		add_flags(json, obj, field, *(const uint32_t *)member);
		break;
	case VUCCTL_FIELD_NAME:
		app_json_text(json, obj, field->key, field->name(*(const uint32_t *)member).text);
		break;
	case VUCCTL_FIELD_OBJECT:
		target = *(const void *const *)member;
		if (target == NULL)
			app_json_null(json, obj, field->key);
		else
			vucctl_fields_build(json, app_json_object(json, obj, field->key),
				field->fields, target);
		break;
	case VUCCTL_FIELD_ARRAY:
		add_array(json, obj, field, from);
		break;
	case VUCCTL_FIELD_BUILT:
		field->build(json, obj, from);
		break;
	}
}

void
vucctl_fields_build(struct app_json *json, struct json_object *obj,
	const struct vucctl_field *fields, const void *from)
{
	for (; fields->key != NULL; fields++)
		field_build(json, obj, fields, from);
}

/* The member that a key like "devices.free" names; the object itself for "". */
static struct json_object *
field_value(struct json_object *obj, const char *key)
{
	char name[32];

	while (*key != '\0') {
		size_t len = strcspn(key, ".");

		snprintf(name, sizeof(name), "%.*s", (int)len, key);
		if (!json_object_is_type(obj, json_type_object) ||
			!json_object_object_get_ex(obj, name, &obj))
			return NULL;
		key += len + (key[len] == '.');
	}
	return obj;
}

/* Whether the value is as described: it may be none, a number or a text. */
static bool
is_described(const struct vucctl_field *field, struct json_object *obj, struct json_object *value)
{
	if (value == NULL)
		return field->nullable && json_object_object_get_ex(obj, field->key, NULL);
	if (field->number)
		return json_object_is_type(value, json_type_int) &&
			json_object_get_int64(value) >= 0;
	return json_object_is_type(value, json_type_string);
}

/* Set text to what is printed of a field. */
static void
field_format(const struct vucctl_field *field, struct app_reply *reply, struct json_object *obj,
	char text[CELL_SIZE])
{
	struct json_object *value = field_value(obj, field->key);
	struct vucctl_cell cell = {.reply = reply};

	memset(text, 0, CELL_SIZE);
	if (field->format != NULL) {
		cell.out = fmemopen(text, CELL_SIZE - 1, "w");
		if (cell.out == NULL)
			return;
		field->format(&cell, value);
		fclose(cell.out);
	} else if (json_object_is_type(obj, json_type_object) && is_described(field, obj, value)) {
		snprintf(text, CELL_SIZE, "%s", value != NULL ? json_object_get_string(value) : "");
	} else if (reply->lacks == NULL) {
		reply->lacks = field->key;
	}
}

void
vucctl_fields_print(FILE *out, const struct vucctl_field *fields, struct app_reply *reply,
	struct json_object *obj)
{
	char text[CELL_SIZE];

	for (; fields->key != NULL; fields++) {
		if (fields->title == NULL)
			continue;
		field_format(fields, reply, obj, text);
		if (fields->optional && text[0] == '\0')
			continue;
		vucctl_label_print(out, fields->title);
		if (fields->trusted)
			fputs(text, out);
		else
			vucctl_foreign_print(out, text);
		putc('\n', out);
	}
}

static void
print_cell(FILE *out, const struct vucctl_field *field, size_t width, const char *text)
{
	bool last = field[1].title == NULL;

	if (field->number)
		fprintf(out, "%*s", (int)width, text);
	else
		fprintf(out, "%-*s", last ? 0 : (int)width, text);
	fputs(last ? "\n" : "  ", out);
}

/* What is not printable ASCII as \xNN, no text as "-". */
static void
cell_format(const struct vucctl_field *field, struct app_reply *reply, struct json_object *obj,
	char cell[CELL_SIZE])
{
	char text[CELL_SIZE];

	field_format(field, reply, obj, text);
	vuc_text_escape(cell, CELL_SIZE, text[0] != '\0' ? text : "-");
}

void
vucctl_table_print(FILE *out, struct vucctl_table *table, struct app_reply *reply,
	struct json_object *array, bool titles)
{
	const struct vucctl_field *fields = table->fields;
	size_t n = array != NULL ? json_object_array_length(array) : 0;
	char cell[CELL_SIZE];
	size_t i, k;

	for (k = 0; fields[k].title != NULL; k++) {
		if (table->widths[k] < strlen(fields[k].title))
			table->widths[k] = strlen(fields[k].title);
		for (i = 0; i < n; i++) {
			cell_format(&fields[k], reply, json_object_array_get_idx(array, i), cell);
			if (strlen(cell) > table->widths[k])
				table->widths[k] = strlen(cell);
		}
	}
	if (reply->lacks != NULL)
		return;
	for (k = 0; titles && fields[k].title != NULL; k++)
		print_cell(out, &fields[k], table->widths[k], fields[k].title);
	for (i = 0; i < n; i++) {
		for (k = 0; fields[k].title != NULL; k++) {
			cell_format(&fields[k], reply, json_object_array_get_idx(array, i), cell);
			print_cell(out, &fields[k], table->widths[k], cell);
		}
	}
}
