/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace_tail.h"

#include <inttypes.h>
#include <string.h>

#include <vuc/migration.h>

#include "print.h"
#include "vfio_user.h"

/* Bytes and elements beyond these are only counted. */
#define MAX_BYTES  16u
#define MAX_WRITES 4u
#define MAX_RANGES 4u

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

void
vucctl_trace_bytes_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	(void)fixed;
	print_bytes(out, "more", tail, len);
}

void
vucctl_trace_data_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	(void)fixed;
	print_bytes(out, "data", tail, len);
}

/* Text up to its NUL, which may be missing. */
void
vucctl_trace_version_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
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

void
vucctl_trace_bitmap_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	struct vfio_user_bitmap bitmap;

	if (len < sizeof(bitmap)) {
		vucctl_trace_bytes_tail(out, fixed, tail, len);
		return;
	}
	memcpy(&bitmap, tail, sizeof(bitmap));
	fprintf(out, " pgsize 0x%" PRIx64 " bitmap %" PRIu64 " bytes", bitmap.pgsize, bitmap.size);
	print_bytes(out, "data", tail + sizeof(bitmap), len - sizeof(bitmap));
}

void
vucctl_trace_irq_set_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	(void)fixed;
	print_bytes(out, "which", tail, len);
}

void
vucctl_trace_multi_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	struct vfio_user_write_multi_entry entry;
	unsigned int i;

	for (i = 0; i < MAX_WRITES && len >= sizeof(entry); i++) {
		memcpy(&entry, tail, sizeof(entry));
		fprintf(out, "; region %" PRIu32 " offset 0x%" PRIx64 " count %" PRIu32,
			entry.region, entry.offset, entry.count);
		if (entry.count <= sizeof(entry.data))
			print_bytes(out, "data", entry.data, entry.count);
		tail += sizeof(entry);
		len -= sizeof(entry);
	}
	if (len >= sizeof(entry))
		fprintf(out, "; %zu more", len / sizeof(entry));
	else
		vucctl_trace_bytes_tail(out, fixed, tail, len);
}

static void
print_migration(FILE *out, const uint8_t *data, size_t len)
{
	static const struct vucctl_flag flags[] = {
		{VFIO_MIGRATION_STOP_COPY, "stop_copy"},
		{VFIO_MIGRATION_P2P, "p2p"},
		{VFIO_MIGRATION_PRE_COPY, "pre_copy"},
		{0, NULL},
	};
	struct vfio_user_device_feature_migration migration;

	if (len != sizeof(migration)) {
		print_bytes(out, "more", data, len);
		return;
	}
	memcpy(&migration, data, sizeof(migration));
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

	if (len != sizeof(state)) {
		print_bytes(out, "more", data, len);
		return;
	}
	memcpy(&state, data, sizeof(state));
	fprintf(out, " state %" PRIu32 " %s", state.device_state,
		vuc_migration_state_name((enum vuc_migration_state)state.device_state));
}

static void
print_logging_start(FILE *out, const uint8_t *data, size_t len)
{
	struct vfio_user_device_feature_dma_logging_control control;
	struct vfio_user_device_feature_dma_logging_range range;
	unsigned int i;

	if (len < sizeof(control)) {
		print_bytes(out, "more", data, len);
		return;
	}
	memcpy(&control, data, sizeof(control));
	fprintf(out, " page_size 0x%" PRIx64 " num_ranges %" PRIu32, control.page_size,
		control.num_ranges);
	data += sizeof(control);
	len -= sizeof(control);
	for (i = 0; i < MAX_RANGES && len >= sizeof(range); i++) {
		memcpy(&range, data, sizeof(range));
		fprintf(out, "; iova 0x%" PRIx64 " length 0x%" PRIx64, range.iova, range.length);
		data += sizeof(range);
		len -= sizeof(range);
	}
	if (len >= sizeof(range))
		fprintf(out, "; %zu more", len / sizeof(range));
}

static void
print_logging_report(FILE *out, const uint8_t *data, size_t len)
{
	struct vfio_user_device_feature_dma_logging_report report;

	if (len < sizeof(report)) {
		print_bytes(out, "more", data, len);
		return;
	}
	memcpy(&report, data, sizeof(report));
	fprintf(out, " iova 0x%" PRIx64 " length 0x%" PRIx64 " page_size 0x%" PRIx64, report.iova,
		report.length, report.page_size);
	print_bytes(out, "bitmap", data + sizeof(report), len - sizeof(report));
}

void
vucctl_trace_feature_tail(FILE *out, const uint8_t *fixed, const uint8_t *tail, size_t len)
{
	struct vfio_user_device_feature feature;

	memcpy(&feature, fixed, sizeof(feature));
	if (len == 0)
		return;
	switch (feature.flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		print_migration(out, tail, len);
		break;
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		print_mig_state(out, tail, len);
		break;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		print_logging_start(out, tail, len);
		break;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		print_logging_report(out, tail, len);
		break;
	default:
		print_bytes(out, "more", tail, len);
		break;
	}
}
