/* SPDX-License-Identifier: BSD-3-Clause */
#include "format.h"

#include <inttypes.h>
#include <string.h>

#include "text.h"

#define ROW 16

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

void
vucctl_foreign_copy(char *to, size_t size, const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = vuc_text_is_printable(*text);
		int n = snprintf(to, size, plain ? "%c" : "\\x%02x", c);

		if ((size_t)n >= size)
			break;
		to += n;
		size -= (size_t)n;
	}
	*to = '\0';
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
vucctl_hexdump_print_at(
	FILE *out, const char *indent, uint64_t base, const uint8_t *bytes, size_t len)
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

void
vucctl_hexdump_print(FILE *out, const char *indent, const uint8_t *bytes, size_t len)
{
	vucctl_hexdump_print_at(out, indent, 0, bytes, len);
}
