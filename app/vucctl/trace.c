/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "clock.h"
#include "print.h"
#include "trace_tail.h"
#include "vfio_user.h"

enum form {
	DECIMAL,
	HEX,
	FEATURE, /* flags and, in the lower half, the number of a feature */
	DEVICE_FLAGS,
	REGION_FLAGS,
	IRQ_FLAGS,
	MAP_FLAGS,
	UNMAP_FLAGS,
	IRQ_SET_FLAGS,
	NR_FORMS,
};

/* A fixed field: how it is called, where it lies and how it reads. */
struct field {
	const char *name; /* NULL: the last one was before */
	size_t offset;
	size_t size; /* 2, 4 or 8 */
	enum form form;
};

/* A body: its fixed part, those of its fields that say something, and what follows. */
struct layout {
	const struct field *fields; /* NULL: none */
	size_t size;
	void (*tail)(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len);
};

#define FIELD(type, member, form)                                                                \
	{                                                                                        \
#member, offsetof(struct type, member), sizeof(((struct type *)0)->member), form \
	}
#define FIELDS_END                  \
	{                           \
		NULL, 0, 0, DECIMAL \
	}

static const struct field version_fields[] = {
	FIELD(vfio_user_version, major, DECIMAL),
	FIELD(vfio_user_version, minor, DECIMAL),
	FIELDS_END,
};

static const struct field map_fields[] = {
	FIELD(vfio_user_dma_map, argsz, DECIMAL),
	FIELD(vfio_user_dma_map, flags, MAP_FLAGS),
	FIELD(vfio_user_dma_map, addr, HEX),
	FIELD(vfio_user_dma_map, size, HEX),
	FIELD(vfio_user_dma_map, offset, HEX),
	FIELDS_END,
};

static const struct field unmap_fields[] = {
	FIELD(vfio_user_dma_unmap, argsz, DECIMAL),
	FIELD(vfio_user_dma_unmap, flags, UNMAP_FLAGS),
	FIELD(vfio_user_dma_unmap, addr, HEX),
	FIELD(vfio_user_dma_unmap, size, HEX),
	FIELDS_END,
};

static const struct field info_command_fields[] = {
	FIELD(vfio_user_device_info, argsz, DECIMAL),
	FIELDS_END,
};

static const struct field info_fields[] = {
	FIELD(vfio_user_device_info, argsz, DECIMAL),
	FIELD(vfio_user_device_info, flags, DEVICE_FLAGS),
	FIELD(vfio_user_device_info, num_regions, DECIMAL),
	FIELD(vfio_user_device_info, num_irqs, DECIMAL),
	FIELDS_END,
};

static const struct field region_info_command_fields[] = {
	FIELD(vfio_user_region_info, argsz, DECIMAL),
	FIELD(vfio_user_region_info, index, DECIMAL),
	FIELDS_END,
};

static const struct field region_info_fields[] = {
	FIELD(vfio_user_region_info, argsz, DECIMAL),
	FIELD(vfio_user_region_info, index, DECIMAL),
	FIELD(vfio_user_region_info, flags, REGION_FLAGS),
	FIELD(vfio_user_region_info, size, HEX),
	FIELD(vfio_user_region_info, offset, HEX),
	FIELD(vfio_user_region_info, cap_offset, DECIMAL),
	FIELDS_END,
};

static const struct field io_fds_fields[] = {
	FIELD(vfio_user_region_io_fds, argsz, DECIMAL),
	FIELD(vfio_user_region_io_fds, flags, HEX),
	FIELD(vfio_user_region_io_fds, index, DECIMAL),
	FIELD(vfio_user_region_io_fds, count, DECIMAL),
	FIELDS_END,
};

static const struct field irq_info_command_fields[] = {
	FIELD(vfio_user_irq_info, argsz, DECIMAL),
	FIELD(vfio_user_irq_info, index, DECIMAL),
	FIELDS_END,
};

static const struct field irq_info_fields[] = {
	FIELD(vfio_user_irq_info, argsz, DECIMAL),
	FIELD(vfio_user_irq_info, index, DECIMAL),
	FIELD(vfio_user_irq_info, flags, IRQ_FLAGS),
	FIELD(vfio_user_irq_info, count, DECIMAL),
	FIELDS_END,
};

static const struct field irq_set_fields[] = {
	FIELD(vfio_user_irq_set, argsz, DECIMAL),
	FIELD(vfio_user_irq_set, flags, IRQ_SET_FLAGS),
	FIELD(vfio_user_irq_set, index, DECIMAL),
	FIELD(vfio_user_irq_set, start, DECIMAL),
	FIELD(vfio_user_irq_set, count, DECIMAL),
	FIELDS_END,
};

static const struct field access_fields[] = {
	FIELD(vfio_user_region_access, region, DECIMAL),
	FIELD(vfio_user_region_access, offset, HEX),
	FIELD(vfio_user_region_access, count, DECIMAL),
	FIELDS_END,
};

static const struct field dma_access_fields[] = {
	FIELD(vfio_user_dma_region_access, addr, HEX),
	FIELD(vfio_user_dma_region_access, count, DECIMAL),
	FIELDS_END,
};

static const struct field multi_fields[] = {
	FIELD(vfio_user_write_multi, wr_cnt, DECIMAL),
	FIELDS_END,
};

static const struct field feature_fields[] = {
	FIELD(vfio_user_device_feature, argsz, DECIMAL),
	FIELD(vfio_user_device_feature, flags, FEATURE),
	FIELDS_END,
};

static const struct field mig_data_fields[] = {
	FIELD(vfio_user_mig_data, argsz, DECIMAL),
	FIELD(vfio_user_mig_data, size, DECIMAL),
	FIELDS_END,
};

#define LAYOUT(table, type, tail)                \
	{                                        \
		table, sizeof(struct type), tail \
	}

/* clang-format off */
static const struct {
	const char *name;
	struct layout command;
	struct layout reply;
} commands[VFIO_USER_MAX] = {
	[VFIO_USER_VERSION] = {
		.name = "VERSION",
		.command = LAYOUT(version_fields, vfio_user_version, vucctl_trace_version_tail),
		.reply = LAYOUT(version_fields, vfio_user_version, vucctl_trace_version_tail),
	},
	[VFIO_USER_DMA_MAP] = {
		.name = "DMA_MAP",
		.command = LAYOUT(map_fields, vfio_user_dma_map, NULL),
	},
	[VFIO_USER_DMA_UNMAP] = {
		.name = "DMA_UNMAP",
		.command = LAYOUT(unmap_fields, vfio_user_dma_unmap, vucctl_trace_bitmap_tail),
		.reply = LAYOUT(unmap_fields, vfio_user_dma_unmap, vucctl_trace_bitmap_tail),
	},
	[VFIO_USER_DEVICE_GET_INFO] = {
		.name = "DEVICE_GET_INFO",
		.command = LAYOUT(info_command_fields, vfio_user_device_info, NULL),
		.reply = LAYOUT(info_fields, vfio_user_device_info, NULL),
	},
	[VFIO_USER_DEVICE_GET_REGION_INFO] = {
		.name = "DEVICE_GET_REGION_INFO",
		.command = LAYOUT(region_info_command_fields, vfio_user_region_info, NULL),
		.reply = LAYOUT(region_info_fields, vfio_user_region_info, NULL),
	},
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = {
		.name = "DEVICE_GET_REGION_IO_FDS",
		.command = LAYOUT(io_fds_fields, vfio_user_region_io_fds, NULL),
		.reply = LAYOUT(io_fds_fields, vfio_user_region_io_fds, NULL),
	},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = {
		.name = "DEVICE_GET_IRQ_INFO",
		.command = LAYOUT(irq_info_command_fields, vfio_user_irq_info, NULL),
		.reply = LAYOUT(irq_info_fields, vfio_user_irq_info, NULL),
	},
	[VFIO_USER_DEVICE_SET_IRQS] = {
		.name = "DEVICE_SET_IRQS",
		.command = LAYOUT(irq_set_fields, vfio_user_irq_set, vucctl_trace_irq_set_tail),
	},
	[VFIO_USER_REGION_READ] = {
		.name = "REGION_READ",
		.command = LAYOUT(access_fields, vfio_user_region_access, NULL),
		.reply = LAYOUT(access_fields, vfio_user_region_access, vucctl_trace_data_tail),
	},
	[VFIO_USER_REGION_WRITE] = {
		.name = "REGION_WRITE",
		.command = LAYOUT(access_fields, vfio_user_region_access, vucctl_trace_data_tail),
		.reply = LAYOUT(access_fields, vfio_user_region_access, NULL),
	},
	[VFIO_USER_DMA_READ] = {
		.name = "DMA_READ",
		.command = LAYOUT(dma_access_fields, vfio_user_dma_region_access, NULL),
		.reply = LAYOUT(dma_access_fields, vfio_user_dma_region_access, vucctl_trace_data_tail),
	},
	[VFIO_USER_DMA_WRITE] = {
		.name = "DMA_WRITE",
		.command = LAYOUT(dma_access_fields, vfio_user_dma_region_access, vucctl_trace_data_tail),
		.reply = LAYOUT(dma_access_fields, vfio_user_dma_region_access, NULL),
	},
	[VFIO_USER_DEVICE_RESET] = {
		.name = "DEVICE_RESET",
	},
	[VFIO_USER_REGION_WRITE_MULTI] = {
		.name = "REGION_WRITE_MULTI",
		.command = LAYOUT(multi_fields, vfio_user_write_multi, vucctl_trace_multi_tail),
		.reply = LAYOUT(multi_fields, vfio_user_write_multi, NULL),
	},
	[VFIO_USER_DEVICE_FEATURE] = {
		.name = "DEVICE_FEATURE",
		.command = LAYOUT(feature_fields, vfio_user_device_feature, vucctl_trace_feature_tail),
		.reply = LAYOUT(feature_fields, vfio_user_device_feature, vucctl_trace_feature_tail),
	},
	[VFIO_USER_MIG_DATA_READ] = {
		.name = "MIG_DATA_READ",
		.command = LAYOUT(mig_data_fields, vfio_user_mig_data, NULL),
		.reply = LAYOUT(mig_data_fields, vfio_user_mig_data, vucctl_trace_data_tail),
	},
	[VFIO_USER_MIG_DATA_WRITE] = {
		.name = "MIG_DATA_WRITE",
		.command = LAYOUT(mig_data_fields, vfio_user_mig_data, vucctl_trace_data_tail),
	},
};
/* clang-format on */

static const struct vucctl_flag map_flags[] = {
	{VFIO_USER_F_DMA_REGION_READ, "read"},
	{VFIO_USER_F_DMA_REGION_WRITE, "write"},
	{VFIO_USER_F_DMA_REGION_MMAP, "mmap"},
	{VFIO_USER_F_DMA_REGION_FILE_IO, "file_io"},
	{0, NULL},
};

static const struct vucctl_flag unmap_flags[] = {
	{VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, "get_dirty_bitmap"},
	{VFIO_DMA_UNMAP_FLAG_ALL, "all"},
	{0, NULL},
};

static const struct vucctl_flag irq_set_flags[] = {
	{VFIO_IRQ_SET_DATA_NONE, "none"},
	{VFIO_IRQ_SET_DATA_BOOL, "bool"},
	{VFIO_IRQ_SET_DATA_EVENTFD, "eventfd"},
	{VFIO_IRQ_SET_ACTION_MASK, "mask"},
	{VFIO_IRQ_SET_ACTION_UNMASK, "unmask"},
	{VFIO_IRQ_SET_ACTION_TRIGGER, "trigger"},
	{0, NULL},
};

static const struct vucctl_flag feature_flags[] = {
	{VFIO_DEVICE_FEATURE_GET, "get"},
	{VFIO_DEVICE_FEATURE_SET, "set"},
	{VFIO_DEVICE_FEATURE_PROBE, "probe"},
	{0, NULL},
};

static const struct vucctl_flag *const flags_of[NR_FORMS] = {
	[DEVICE_FLAGS] = vucctl_device_flags,
	[REGION_FLAGS] = vucctl_region_flags,
	[IRQ_FLAGS] = vucctl_irq_flags,
	[MAP_FLAGS] = map_flags,
	[UNMAP_FLAGS] = unmap_flags,
	[IRQ_SET_FLAGS] = irq_set_flags,
};

static const char *
command_name(uint16_t cmd)
{
	return cmd < VFIO_USER_MAX ? commands[cmd].name : NULL;
}

static uint64_t
field_value(const struct field *field, const uint8_t *body)
{
	uint16_t value16;
	uint32_t value32;
	uint64_t value64;

	switch (field->size) {
	case sizeof(value16):
		memcpy(&value16, body + field->offset, sizeof(value16));
		return value16;
	case sizeof(value32):
		memcpy(&value32, body + field->offset, sizeof(value32));
		return value32;
	default:
		memcpy(&value64, body + field->offset, sizeof(value64));
		return value64;
	}
}

static void
print_flags(FILE *out, const char *name, uint32_t value, const struct vucctl_flag *flags)
{
	fprintf(out, " %s (", name);
	vucctl_flags_print(out, value, flags);
	putc(')', out);
}

/* The features that the protocol has a use for; others are numbers. */
static const char *
feature_name(uint32_t index)
{
	switch (index) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		return "MIGRATION";
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		return "MIG_DEVICE_STATE";
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		return "DMA_LOGGING_START";
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		return "DMA_LOGGING_STOP";
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		return "DMA_LOGGING_REPORT";
	default:
		return NULL;
	}
}

static void
print_feature(FILE *out, uint32_t flags)
{
	uint32_t index = flags & VFIO_DEVICE_FEATURE_MASK;
	const char *name = feature_name(index);

	print_flags(out, "flags", flags & ~(uint32_t)VFIO_DEVICE_FEATURE_MASK, feature_flags);
	if (name != NULL)
		fprintf(out, " %s", name);
	else
		fprintf(out, " feature %" PRIu32, index);
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
		print_flags(out, field->name, (uint32_t)value, flags_of[field->form]);
		break;
	}
}

static void
print_layout(FILE *out, const struct layout *layout, const uint8_t *body, size_t len)
{
	const struct field *field = layout->fields;
	size_t fixed = len < layout->size ? len : layout->size;

	for (; field != NULL && field->name != NULL; field++) {
		if (field->offset + field->size <= fixed)
			print_field(out, field, body);
	}
	if (fixed < layout->size)
		fprintf(out, " (%zu of %zu bytes)", len, layout->size);
	else if (layout->tail != NULL)
		layout->tail(out, body, body + fixed, len - fixed);
	else
		vucctl_trace_bytes_tail(out, body, body + fixed, len - fixed);
}

static void
body_print(FILE *out, const struct vfio_user_header *header, const uint8_t *body, size_t len)
{
	static const struct layout unknown = {NULL, 0, NULL};
	bool reply = (header->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY;

	if (command_name(header->cmd) == NULL)
		print_layout(out, &unknown, body, len);
	else if (reply)
		print_layout(out, &commands[header->cmd].reply, body, len);
	else
		print_layout(out, &commands[header->cmd].command, body, len);
}

/* ---- lines ---- */

void
vucctl_trace_start(struct vucctl_trace *trace, FILE *out)
{
	*trace = (struct vucctl_trace){.out = out, .start_ns = vuc_clock_ns()};
}

void
vucctl_trace_message(void *arg, const struct vuc_trace_message *message)
{
	const struct vucctl_trace *trace = arg;
	uint64_t ns = vuc_clock_ns() - trace->start_ns;

	fprintf(trace->out, "%5" PRIu64 ".%06" PRIu64 " ", ns / 1000000000, ns / 1000 % 1000000);
	vucctl_trace_line_print(trace->out, message);
}

/* Messages of the socket for the server's commands have a double line. */
static const char *
direction_arrow(const struct vuc_trace_message *message)
{
	if (message->twin)
		return message->sent ? "=>" : "<=";
	return message->sent ? "->" : "<-";
}

static const char *
type_name(uint32_t flags)
{
	switch (flags & VFIO_USER_F_TYPE_MASK) {
	case VFIO_USER_F_TYPE_COMMAND:
		return "command";
	case VFIO_USER_F_TYPE_REPLY:
		return "reply";
	default:
		return "unknown";
	}
}

static void
header_print(FILE *out, const struct vfio_user_header *header, unsigned int nr_fds)
{
	const char *name = command_name(header->cmd);

	fprintf(out, "#%-5u ", header->msg_id);
	if (name != NULL)
		fprintf(out, "%-24s", name);
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
vucctl_trace_line_print(FILE *out, const struct vuc_trace_message *message)
{
	struct vfio_user_header header;

	fprintf(out, "%s ", direction_arrow(message));
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
