/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PRINT_H
#define VUCCTL_PRINT_H

/* Text output: pieces of it, and what a description of fields makes of JSON. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "management.h"

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

/* What <linux/vfio.h> calls the parts of a PCI device, in the words of output. */

/* Name of an index that has none of its own: "region 12". */
struct vucctl_index_name {
	char text[24];
};

struct vucctl_index_name vucctl_region_name(uint32_t index);
struct vucctl_index_name vucctl_irq_name(uint32_t index);

/* The index that a command line calls by name, in any case, or by number. Returns
 * 0; -EINVAL. */
int vucctl_region_parse(const char *text, uint32_t *index);
int vucctl_irq_parse(const char *text, uint32_t *index);

extern const struct vucctl_flag vucctl_device_flags[];
extern const struct vucctl_flag vucctl_region_flags[];
extern const struct vucctl_flag vucctl_irq_flags[];

/* ---- described fields ---- */

#define VUCCTL_CELL_SIZE 257 /* of a text, with its NUL; what is longer is cut off */

/* A value of an object, as text: in a line of its own behind a label, or in a column of a table. */
struct vucctl_field {
	const char *title; /* the label, or over the column; NULL ends a list */
	const char *key;   /* of the member, "devices.free" within another; "": the object itself */
	bool number;       /* else it is a text */
	bool nullable;     /* it may be null: no text */
	/* Makes a text of the value, which is NULL if it is not there; NULL: as it is. */
	void (*format)(
		struct app_reply *reply, struct json_object *value, char text[VUCCTL_CELL_SIZE]);
};

/* Print each field of an object in a line. What is missing is in reply. */
void vucctl_fields_print(FILE *out, const struct vucctl_field *fields, struct app_reply *reply,
	struct json_object *obj);

#define VUCCTL_TABLE_MAX_COLUMNS 16

struct vucctl_table {
	const struct vucctl_field *fields;
	size_t widths[VUCCTL_TABLE_MAX_COLUMNS]; /* of columns, which never get narrower */
};

/* Print a row for each object of an array, and the titles above them if they are wanted. What is
 * not printable ASCII becomes \xNN; no text becomes "-". Prints nothing when something is missing,
 * which is in reply. */
void vucctl_table_print(FILE *out, struct vucctl_table *table, struct app_reply *reply,
	struct json_object *array, bool titles);

#endif /* VUCCTL_PRINT_H */
