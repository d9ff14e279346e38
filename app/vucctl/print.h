/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PRINT_H
#define VUCCTL_PRINT_H

/* Text output: pieces of it, and what a description of fields makes of JSON. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <vuc/trace.h>

#include "management.h"

/* Members of JSON that was built here: a number, a text or NULL, a number that is a text with
 * digits. */
uint64_t vucctl_json_number(struct json_object *obj, const char *key);
const char *vucctl_json_text(struct json_object *obj, const char *key);
uint32_t vucctl_json_hex(struct json_object *obj, const char *key);

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

/* Print seconds since the start of something, "    1.000023". */
void vucctl_time_print(FILE *out, uint64_t ns);

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
void vucctl_hexdump_print(
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

/* Print a message, of which nothing is trusted, as a line without its time, newline included. */
void vucctl_message_print(FILE *out, const struct vuc_trace_message *message);

/* ---- described fields ---- */

/* The text of a value that is being made; what the value lacks is in reply. */
struct vucctl_cell {
	FILE *out;
	struct app_reply *reply;
};

/* What a member of a struct becomes in JSON. */
enum vucctl_kind {
	VUCCTL_FIELD_TEXT_ONLY,
	VUCCTL_FIELD_NUMBER,
	VUCCTL_FIELD_BOOL,
	VUCCTL_FIELD_STRING, /* a const char *; NULL or "": null */
	VUCCTL_FIELD_HEX,    /* "0x..." */
	VUCCTL_FIELD_FLAGS,  /* the same, and the names of those that are set in "flag_names" */
	VUCCTL_FIELD_NAME,   /* of an index */
	VUCCTL_FIELD_OBJECT, /* a pointer to another struct; NULL: null */
	VUCCTL_FIELD_ARRAY,  /* of objects */
	VUCCTL_FIELD_BUILT,
};

/*
 * A value in two forms: a member of a JSON object, and text, in a line of its own behind a label or
 * in a column of a table. The text is made of the object, which is the daemon's or was built of a
 * struct.
 */
struct vucctl_field {
	const char *title; /* the label, or over the column; NULL: it is not in the text */
	const char *key;   /* "devices.free" within another; "": the object itself; NULL: the end */
	bool number;       /* of the daemon's: else it is a text */
	bool nullable;     /* of the daemon's: it may be null, no text */
	bool optional;     /* no text: no line */
	bool trusted;      /* it is printed as it is */
	/* Prints the value, which is NULL if it is not there; NULL: as it is. */
	void (*format)(struct vucctl_cell *cell, struct json_object *value);
	/* Where it lies in a struct. */
	enum vucctl_kind kind;
	size_t offset, size;
	int digits; /* of HEX, at least */
	const struct vucctl_flag *flags;
	struct vucctl_index_name (*name)(uint32_t index);
	const struct vucctl_field *fields;                     /* of OBJECT and ARRAY */
	const void *(*each)(const void *from, unsigned int i); /* of ARRAY; NULL: no more */
	void (*build)(struct app_json *json, struct json_object *obj, const void *from);
};

#define VUCCTL_FIELD(what, type, member)                                      \
	.kind = VUCCTL_FIELD_##what, .offset = offsetof(struct type, member), \
	.size = sizeof(((struct type *)0)->member)

/* Add all that lies in the struct from to an object. */
void vucctl_fields_build(struct app_json *json, struct json_object *obj,
	const struct vucctl_field *fields, const void *from);

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
