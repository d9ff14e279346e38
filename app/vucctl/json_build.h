/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_JSON_BUILD_H
#define VUCCTL_JSON_BUILD_H

/*
 * Building JSON with one check at the end: a step that runs out of memory is remembered, and all
 * steps after it do nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

struct vucctl_json {
	struct json_object *root;
	bool failed;
};

void vucctl_json_init(struct vucctl_json *json);
void vucctl_json_finish(struct vucctl_json *json);

/* Begin with a copy of an object from anywhere, NULL for an empty one, as vucctl_json_copy() makes
 * it. */
void vucctl_json_init_copy(struct vucctl_json *json, struct json_object *from);

/* Print the root, pretty, and a newline. Returns 0; -ENOMEM when this or a step before failed. */
int vucctl_json_print(FILE *out, struct vucctl_json *json);

/* The same, all on one line. */
int vucctl_json_print_line(FILE *out, struct vucctl_json *json);

/*
 * Each of these adds a member to an object, or an element to an array when key is NULL. What they
 * return is valid until the root is freed, and NULL after a failure, which all of them take.
 */
struct json_object *vucctl_json_object(
	struct vucctl_json *json, struct json_object *parent, const char *key);
struct json_object *vucctl_json_array(
	struct vucctl_json *json, struct json_object *parent, const char *key);
void vucctl_json_null(struct vucctl_json *json, struct json_object *parent, const char *key);
void vucctl_json_bool(
	struct vucctl_json *json, struct json_object *parent, const char *key, bool value);
void vucctl_json_number(
	struct vucctl_json *json, struct json_object *parent, const char *key, uint64_t value);

/* A number as "0x…" with at least that many digits. */
void vucctl_json_hex(struct vucctl_json *json, struct json_object *parent, const char *key,
	int digits, uint64_t value);

/* Add the root of other, which is finished by this. */
void vucctl_json_take(struct vucctl_json *json, struct json_object *parent, const char *key,
	struct vucctl_json *other);

/* Add a copy of a value from anywhere; its texts and the names of its members become as below. */
void vucctl_json_copy(struct vucctl_json *json, struct json_object *parent, const char *key,
	struct json_object *value);

/* Text from anywhere: what is not UTF-8, and control characters that JSON does not escape, become
 * U+FFFD. */
void vucctl_json_text(
	struct vucctl_json *json, struct json_object *parent, const char *key, const char *text);

/* The same, but an empty text is null. */
void vucctl_json_text_or_null(
	struct vucctl_json *json, struct json_object *parent, const char *key, const char *text);

#endif /* VUCCTL_JSON_BUILD_H */
