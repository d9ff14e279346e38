/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_FORMAT_H
#define VUCCTL_FORMAT_H

/* Pieces of text output. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Begin the line of a value: print its label and blanks up to the column of values. */
void vucctl_label_print(FILE *out, const char *label);

/* A size as people say it. */
struct vucctl_size {
	char text[16];
};

/* "4 KiB", "1.5 GiB", "100 bytes". */
struct vucctl_size vucctl_size_format(uint64_t bytes);

/* A time as people say it. */
struct vucctl_duration {
	char text[32];
};

/* "5 s", "2 min 5 s", "3 h 2 min", "4 days 3 h". */
struct vucctl_duration vucctl_duration_format(uint64_t seconds);

/* Name of a bit, or of several that go together. */
struct vucctl_flag {
	uint32_t bits;
	const char *name;
};

/* Print the names of the flags that are set, separated by blanks, and the bits left over as a
 * number; "none" for 0. Ends at a flag without a name. */
void vucctl_flags_print(FILE *out, uint32_t value, const struct vucctl_flag *flags);

/* Print text that came from outside: what is not printable ASCII as \xNN. */
void vucctl_foreign_print(FILE *out, const char *text);
void vucctl_foreign_bytes_print(FILE *out, const uint8_t *text, size_t len);

/* The same as a string of at most size bytes, its NUL included; what does not fit is left out. */
void vucctl_foreign_copy(char *to, size_t size, const char *text);

/* Print 1, 2, 4 or 8 bytes as the little-endian number that they are, "0x00ff". Returns false, and
 * prints nothing, for any other length. */
bool vucctl_value_print(FILE *out, const uint8_t *bytes, size_t len);

/* Print one row of up to 16 bytes: "1f0: 00 11 ...", without a newline. */
void vucctl_hex_row_print(FILE *out, uint64_t offset, const uint8_t *bytes, size_t len);

/* Print bytes in rows, each after indent; rows that equal the one before become one '*'. The first
 * byte is the one at offset base. */
void vucctl_hexdump_print(FILE *out, const char *indent, const uint8_t *bytes, size_t len);
void vucctl_hexdump_print_at(
	FILE *out, const char *indent, uint64_t base, const uint8_t *bytes, size_t len);

#endif /* VUCCTL_FORMAT_H */
