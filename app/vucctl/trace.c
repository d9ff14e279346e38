/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <vuc/migration.h>
#include <vuc/trace.h>

#include "print.h"
#include "vfio_user.h"

/* Bytes and elements beyond these are only counted. */
#define MAX_BYTES  16u
#define MAX_WRITES 4u
#define MAX_RANGES 4u

#define MAX_FIELDS 8u /* of a body: all of them */

enum form {
	DECIMAL,
	HEX,
	FLAGS,
	FEATURE, /* flags and, in the lower half, the number of a feature */
};

/* A fixed field: how it is called, where it lies and how it reads. */
struct field {
	const char *name; /* NULL: the last one was before */
	size_t offset;
	size_t size; /* 2, 4 or 8 */
	enum form form;
	const struct vucctl_flag *flags;
};

#define FIELD(type, member, ...)                                                    \
	{                                                                           \
#member, offsetof(struct vfio_user_##type, member),                 \
			sizeof(((struct vfio_user_##type *)0)->member), __VA_ARGS__ \
	}

/* What follows the fixed fields: bytes of a name, or what has a function of its own, which takes
 * the fixed fields, too; those are all there. */
struct tail {
	const char *name; /* NULL: "more" */
	void (*print)(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);
};

/* ---- fixed fields ---- */

static const struct vucctl_flag map_flags[] = {
	{VFIO_USER_F_DMA_REGION_READ, "read"},
	{VFIO_USER_F_DMA_REGION_WRITE, "write"},
	{VFIO_USER_F_DMA_REGION_MMAP, "mmap"},
	{VFIO_USER_F_DMA_REGION_FILE_IO, "file_io"},
	{0},
};

static const struct vucctl_flag unmap_flags[] = {
	{VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, "get_dirty_bitmap"},
	{VFIO_DMA_UNMAP_FLAG_ALL, "all"},
	{0},
};

static const struct vucctl_flag irq_set_flags[] = {
	{VFIO_IRQ_SET_DATA_NONE, "none"},
	{VFIO_IRQ_SET_DATA_BOOL, "bool"},
	{VFIO_IRQ_SET_DATA_EVENTFD, "eventfd"},
	{VFIO_IRQ_SET_ACTION_MASK, "mask"},
	{VFIO_IRQ_SET_ACTION_UNMASK, "unmask"},
	{VFIO_IRQ_SET_ACTION_TRIGGER, "trigger"},
	{0},
};

static const struct vucctl_flag feature_flags[] = {
	{VFIO_DEVICE_FEATURE_GET, "get"},
	{VFIO_DEVICE_FEATURE_SET, "set"},
	{VFIO_DEVICE_FEATURE_PROBE, "probe"},
	{0},
};

static const struct field version_fields[] = {
	FIELD(version, major, DECIMAL),
	FIELD(version, minor, DECIMAL),
	{0},
};

static const struct field map_fields[] = {
	FIELD(dma_map, argsz, DECIMAL),
	FIELD(dma_map, flags, FLAGS, map_flags),
	FIELD(dma_map, addr, HEX),
	FIELD(dma_map, size, HEX),
	FIELD(dma_map, offset, HEX),
	{0},
};

static const struct field unmap_fields[] = {
	FIELD(dma_unmap, argsz, DECIMAL),
	FIELD(dma_unmap, flags, FLAGS, unmap_flags),
	FIELD(dma_unmap, addr, HEX),
	FIELD(dma_unmap, size, HEX),
	{0},
};

static const struct field info_fields[] = {
	FIELD(device_info, argsz, DECIMAL),
	FIELD(device_info, flags, FLAGS, vucctl_device_flags),
	FIELD(device_info, num_regions, DECIMAL),
	FIELD(device_info, num_irqs, DECIMAL),
	{0},
};

static const struct field region_info_fields[] = {
	FIELD(region_info, argsz, DECIMAL),
	FIELD(region_info, index, DECIMAL),
	FIELD(region_info, flags, FLAGS, vucctl_region_flags),
	FIELD(region_info, size, HEX),
	FIELD(region_info, offset, HEX),
	FIELD(region_info, cap_offset, DECIMAL),
	{0},
};

static const struct field io_fds_fields[] = {
	FIELD(region_io_fds, argsz, DECIMAL),
	FIELD(region_io_fds, flags, HEX),
	FIELD(region_io_fds, index, DECIMAL),
	FIELD(region_io_fds, count, DECIMAL),
	{0},
};

static const struct field irq_info_fields[] = {
	FIELD(irq_info, argsz, DECIMAL),
	FIELD(irq_info, index, DECIMAL),
	FIELD(irq_info, flags, FLAGS, vucctl_irq_flags),
	FIELD(irq_info, count, DECIMAL),
	{0},
};

static const struct field irq_set_fields[] = {
	FIELD(irq_set, argsz, DECIMAL),
	FIELD(irq_set, flags, FLAGS, irq_set_flags),
	FIELD(irq_set, index, DECIMAL),
	FIELD(irq_set, start, DECIMAL),
	FIELD(irq_set, count, DECIMAL),
	{0},
};

static const struct field access_fields[] = {
	FIELD(region_access, region, DECIMAL),
	FIELD(region_access, offset, HEX),
	FIELD(region_access, count, DECIMAL),
	{0},
};

static const struct field dma_access_fields[] = {
	FIELD(dma_region_access, addr, HEX),
	FIELD(dma_region_access, count, DECIMAL),
	{0},
};

static const struct field multi_fields[] = {
	FIELD(write_multi, wr_cnt, DECIMAL),
	{0},
};

static const struct field feature_fields[] = {
	FIELD(device_feature, argsz, DECIMAL),
	FIELD(device_feature, flags, FEATURE),
	{0},
};

static const struct field mig_data_fields[] = {
	FIELD(mig_data, argsz, DECIMAL),
	FIELD(mig_data, size, DECIMAL),
	{0},
};

static const struct field entry_fields[] = {
	FIELD(write_multi_entry, region, DECIMAL),
	FIELD(write_multi_entry, offset, HEX),
	FIELD(write_multi_entry, count, DECIMAL),
	{0},
};

static const struct field logging_control_fields[] = {
	FIELD(device_feature_dma_logging_control, page_size, HEX),
	FIELD(device_feature_dma_logging_control, num_ranges, DECIMAL),
	{0},
};

static const struct field logging_range_fields[] = {
	FIELD(device_feature_dma_logging_range, iova, HEX),
	FIELD(device_feature_dma_logging_range, length, HEX),
	{0},
};

static const struct field logging_report_fields[] = {
	FIELD(device_feature_dma_logging_report, iova, HEX),
	FIELD(device_feature_dma_logging_report, length, HEX),
	FIELD(device_feature_dma_logging_report, page_size, HEX),
	{0},
};

static uint64_t
field_value(const struct field *field, const uint8_t *body)
{
	uint64_t value = 0;
	size_t i;

	for (i = field->size; i > 0; i--)
		value = value << 8 | body[field->offset + i - 1];
	return value;
}

static void
print_flags(FILE *out, const char *name, uint32_t value, const struct vucctl_flag *flags)
{
	fprintf(out, " %s (", name);
	vucctl_flags_print(out, value, flags);
	putc(')', out);
}

/* A feature that the protocol has a use for, and its data: at least so many bytes, or as many. */
struct feature {
	const char *name;
	size_t size;
	bool exact;
	void (*print)(FILE *out, const uint8_t *data, size_t len); /* NULL: it has none */
};

/* NULL for one that is a number. */
static const struct feature *find_feature(uint32_t flags);

static void
print_feature(FILE *out, uint32_t flags)
{
	const struct feature *feature = find_feature(flags);

	print_flags(out, "flags", flags & ~(uint32_t)VFIO_DEVICE_FEATURE_MASK, feature_flags);
	if (feature != NULL)
		fprintf(out, " %s", feature->name);
	else
		fprintf(out, " feature %" PRIu32, flags & VFIO_DEVICE_FEATURE_MASK);
}

static void
print_field(FILE *out, const struct field *field, const uint8_t *body)
{
	uint64_t value = field_value(field, body);

	switch (field->form) {
	case DECIMAL:
		fprintf(out, " %s %" PRIu64, field->name, value);
		break;
	case HEX:
		fprintf(out, " %s 0x%" PRIx64, field->name, value);
		break;
	case FEATURE:
		print_feature(out, (uint32_t)value);
		break;
	default:
		print_flags(out, field->name, (uint32_t)value, field->flags);
		break;
	}
}

/* The first n fields, those that are all within len bytes. */
static void
print_fields(FILE *out, const struct field *field, unsigned int n, const uint8_t *bytes, size_t len)
{
	for (; n > 0 && field != NULL && field->name != NULL; field++, n--) {
		if (field->offset + field->size <= len)
			print_field(out, field, bytes);
	}
}

/* ---- what follows ---- */

/* The first bytes; what has the size of a register is one number. */
static void
print_bytes(FILE *out, const char *name, const uint8_t *bytes, size_t len)
{
	size_t shown = len < MAX_BYTES ? len : MAX_BYTES;
	size_t i;

	if (len == 0)
		return;
	fprintf(out, " %s ", name);
	if (vucctl_value_print(out, bytes, len))
		return;
	for (i = 0; i < shown; i++)
		fprintf(out, "%s%02x", i > 0 ? ":" : "", bytes[i]);
	if (shown < len)
		fprintf(out, "... (%zu bytes)", len);
}

/* Text up to its NUL, which may be missing. */
static void
print_version(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	size_t text_len = strnlen((const char *)tail, len);

	(void)fixed;
	if (len == 0)
		return;
	putc(' ', out);
	vucctl_foreign_bytes_print(out, tail, text_len);
	if (text_len == len)
		fputs(" (without a NUL)", out);
	else if (text_len < len - 1)
		print_bytes(out, "more", tail + text_len + 1, len - text_len - 1);
}

static void
print_bitmap(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	struct vfio_user_bitmap bitmap;

	(void)fixed;
	if (len < sizeof(bitmap)) {
		print_bytes(out, "more", tail, len);
		return;
	}
	memcpy(&bitmap, tail, sizeof(bitmap));
	fprintf(out, " pgsize 0x%" PRIx64 " bitmap %" PRIu64 " bytes", bitmap.pgsize, bitmap.size);
	print_bytes(out, "data", tail + sizeof(bitmap), len - sizeof(bitmap));
}

static void
print_multi(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	struct vfio_user_write_multi_entry entry;
	unsigned int i;

	(void)fixed;
	for (i = 0; i < MAX_WRITES && len >= sizeof(entry); i++) {
		memcpy(&entry, tail, sizeof(entry));
		putc(';', out);
		print_fields(out, entry_fields, MAX_FIELDS, tail, sizeof(entry));
		if (entry.count <= sizeof(entry.data))
			print_bytes(out, "data", entry.data, entry.count);
		tail += sizeof(entry);
		len -= sizeof(entry);
	}
	if (len >= sizeof(entry))
		fprintf(out, "; %zu more", len / sizeof(entry));
	else
		print_bytes(out, "more", tail, len);
}

static void
print_migration(FILE *out, const uint8_t *data, size_t len)
{
	static const struct vucctl_flag flags[] = {
		{VFIO_MIGRATION_STOP_COPY, "stop_copy"},
		{VFIO_MIGRATION_P2P, "p2p"},
		{VFIO_MIGRATION_PRE_COPY, "pre_copy"},
		{0},
	};
	struct vfio_user_device_feature_migration migration;

	memcpy(&migration, data, len);
	fputs(" migration (", out);
	vucctl_flags_print(out, (uint32_t)migration.flags, flags);
	putc(')', out);
	if (migration.flags > UINT32_MAX)
		fprintf(out, " and 0x%" PRIx64, migration.flags & ~(uint64_t)UINT32_MAX);
}

static void
print_mig_state(FILE *out, const uint8_t *data, size_t len)
{
	struct vfio_user_device_feature_mig_state state;

	memcpy(&state, data, len);
	fprintf(out, " state %" PRIu32 " %s", state.device_state,
		vuc_migration_state_name((enum vuc_migration_state)state.device_state));
}

#define LOGGING_CONTROL_SIZE sizeof(struct vfio_user_device_feature_dma_logging_control)
#define LOGGING_RANGE_SIZE   sizeof(struct vfio_user_device_feature_dma_logging_range)
#define LOGGING_REPORT_SIZE  sizeof(struct vfio_user_device_feature_dma_logging_report)

static void
print_logging_start(FILE *out, const uint8_t *data, size_t len)
{
	const uint8_t *range = data + LOGGING_CONTROL_SIZE;
	size_t i, n = (len - LOGGING_CONTROL_SIZE) / LOGGING_RANGE_SIZE;

	print_fields(out, logging_control_fields, MAX_FIELDS, data, LOGGING_CONTROL_SIZE);
	for (i = 0; i < n && i < MAX_RANGES; i++) {
		putc(';', out);
		print_fields(out, logging_range_fields, MAX_FIELDS, range, LOGGING_RANGE_SIZE);
		range += LOGGING_RANGE_SIZE;
	}
	if (i < n)
		fprintf(out, "; %zu more", n - i);
}

static void
print_logging_report(FILE *out, const uint8_t *data, size_t len)
{
	print_fields(out, logging_report_fields, MAX_FIELDS, data, LOGGING_REPORT_SIZE);
	print_bytes(out, "bitmap", data + LOGGING_REPORT_SIZE, len - LOGGING_REPORT_SIZE);
}

static const struct feature *
find_feature(uint32_t flags)
{
	static const struct feature features[] = {
		[VFIO_DEVICE_FEATURE_MIGRATION] = {"MIGRATION",
			sizeof(struct vfio_user_device_feature_migration), true, print_migration},
		[VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE] = {"MIG_DEVICE_STATE",
			sizeof(struct vfio_user_device_feature_mig_state), true, print_mig_state},
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_START] = {"DMA_LOGGING_START",
			LOGGING_CONTROL_SIZE, false, print_logging_start},
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP] = {"DMA_LOGGING_STOP"},
		[VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT] = {"DMA_LOGGING_REPORT",
			LOGGING_REPORT_SIZE, false, print_logging_report},
	};
	uint32_t index = flags & VFIO_DEVICE_FEATURE_MASK;

	if (index >= sizeof(features) / sizeof(features[0]) || features[index].name == NULL)
		return NULL;
	return &features[index];
}

static void
print_feature_data(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	struct vfio_user_device_feature fields;
	const struct feature *feature;

	memcpy(&fields, fixed, sizeof(fields));
	feature = find_feature(fields.flags);
	if (feature != NULL && feature->print != NULL && len >= feature->size &&
		(len == feature->size || !feature->exact))
		feature->print(out, tail, len);
	else
		print_bytes(out, "more", tail, len);
}

/* ---- bodies ---- */

#define BODY(table, type) .fields = (table), .size = sizeof(struct vfio_user_##type)

/* The fixed part of a body, those of its fields that say something, and what follows. */
static const struct body {
	const char *name; /* of the command */
	const struct field *fields;
	size_t size;
	unsigned int asked; /* fields of a command that say something; 0: all */
	bool done;          /* a reply has no body */
	struct tail command, reply;
} bodies[VFIO_USER_MAX] = {
	[VFIO_USER_VERSION] = {"VERSION", BODY(version_fields, version),
		.command = {.print = print_version}, .reply = {.print = print_version}},
	[VFIO_USER_DMA_MAP] = {"DMA_MAP", BODY(map_fields, dma_map), .done = true},
	[VFIO_USER_DMA_UNMAP] = {"DMA_UNMAP", BODY(unmap_fields, dma_unmap),
		.command = {.print = print_bitmap}, .reply = {.print = print_bitmap}},
	[VFIO_USER_DEVICE_GET_INFO] = {"DEVICE_GET_INFO", BODY(info_fields, device_info),
		.asked = 1},
	[VFIO_USER_DEVICE_GET_REGION_INFO] = {"DEVICE_GET_REGION_INFO",
		BODY(region_info_fields, region_info), .asked = 2},
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = {"DEVICE_GET_REGION_IO_FDS",
		BODY(io_fds_fields, region_io_fds)},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = {"DEVICE_GET_IRQ_INFO", BODY(irq_info_fields, irq_info),
		.asked = 2},
	[VFIO_USER_DEVICE_SET_IRQS] = {"DEVICE_SET_IRQS", BODY(irq_set_fields, irq_set),
		.done = true, .command = {"which"}},
	[VFIO_USER_REGION_READ] = {"REGION_READ", BODY(access_fields, region_access),
		.reply = {"data"}},
	[VFIO_USER_REGION_WRITE] = {"REGION_WRITE", BODY(access_fields, region_access),
		.command = {"data"}},
	[VFIO_USER_DMA_READ] = {"DMA_READ", BODY(dma_access_fields, dma_region_access),
		.reply = {"data"}},
	[VFIO_USER_DMA_WRITE] = {"DMA_WRITE", BODY(dma_access_fields, dma_region_access),
		.command = {"data"}},
	[VFIO_USER_DEVICE_RESET] = {"DEVICE_RESET"},
	[VFIO_USER_REGION_WRITE_MULTI] = {"REGION_WRITE_MULTI", BODY(multi_fields, write_multi),
		.command = {.print = print_multi}},
	[VFIO_USER_DEVICE_FEATURE] = {"DEVICE_FEATURE", BODY(feature_fields, device_feature),
		.command = {.print = print_feature_data}, .reply = {.print = print_feature_data}},
	[VFIO_USER_MIG_DATA_READ] = {"MIG_DATA_READ", BODY(mig_data_fields, mig_data),
		.reply = {"data"}},
	[VFIO_USER_MIG_DATA_WRITE] = {"MIG_DATA_WRITE", BODY(mig_data_fields, mig_data),
		.done = true, .command = {"data"}},
};

/* NULL for a command that is not known. */
static const struct body *
find_body(uint16_t cmd)
{
	return cmd < VFIO_USER_MAX && bodies[cmd].name != NULL ? &bodies[cmd] : NULL;
}

static void
body_print(FILE *out, const struct vfio_user_header *header, const uint8_t *bytes, size_t len)
{
	static const struct body unknown;
	bool reply = (header->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY;
	const struct body *body = find_body(header->cmd);
	const struct tail *tail;

	if (body == NULL || (reply && body->done))
		body = &unknown;
	tail = reply ? &body->reply : &body->command;
	print_fields(out, body->fields, reply || body->asked == 0 ? MAX_FIELDS : body->asked, bytes,
		len < body->size ? len : body->size);
	if (len < body->size)
		fprintf(out, " (%zu of %zu bytes)", len, body->size);
	else if (tail->print != NULL)
		tail->print(out, bytes, bytes + body->size, len - body->size);
	else
		print_bytes(out, tail->name != NULL ? tail->name : "more", bytes + body->size,
			len - body->size);
}

/* ---- lines ---- */

/* Messages of the socket for the server's commands have a double line. */
static const char *const arrows[2][2] = {{"<-", "->"}, {"<=", "=>"}};

static const char *
type_name(uint32_t flags)
{
	static const char *const names[] = {
		[VFIO_USER_F_TYPE_COMMAND] = "command", [VFIO_USER_F_TYPE_REPLY] = "reply"};
	uint32_t type = flags & VFIO_USER_F_TYPE_MASK;

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

static void
header_print(FILE *out, const struct vfio_user_header *header, unsigned int nr_fds)
{
	const struct body *body = find_body(header->cmd);

	fprintf(out, "#%-5u ", header->msg_id);
	if (body != NULL)
		fprintf(out, "%-24s", body->name);
	else
		fprintf(out, "COMMAND_%-16u", header->cmd);
	fprintf(out, " %-7s %6" PRIu32 " bytes", type_name(header->flags), header->msg_size);
	if (nr_fds > 0)
		fprintf(out, " %u fd%s", nr_fds, nr_fds == 1 ? "" : "s");
	if (header->flags & VFIO_USER_F_NO_REPLY)
		fputs(" no_reply", out);
	if (header->flags & VFIO_USER_F_ERROR)
		fprintf(out, " error %" PRIu32, header->error_no);
	if (header->flags & ~VFIO_USER_F_KNOWN)
		fprintf(out, " flags 0x%" PRIx32, header->flags & ~VFIO_USER_F_KNOWN);
}

/* An error's number means something only where it is one of this system's. */
static void
error_print(FILE *out, const struct vfio_user_header *header)
{
	if (header->error_no > 0 && header->error_no < 4096)
		fprintf(out, " (%s)", strerror((int)header->error_no));
}

void
vucctl_message_print(FILE *out, const struct vuc_trace_message *message)
{
	struct vfio_user_header header;

	fprintf(out, "%s ", arrows[message->twin][message->sent]);
	if (message->len < sizeof(header)) {
		fprintf(out, "%zu bytes: too short for a header\n", message->len);
		return;
	}
	memcpy(&header, message->bytes, sizeof(header));
	header_print(out, &header, message->nr_fds);
	if (header.flags & VFIO_USER_F_ERROR)
		error_print(out, &header);
	else
		body_print(out, &header, message->bytes + sizeof(header),
			message->len - sizeof(header));
	putc('\n', out);
}
