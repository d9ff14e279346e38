/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef APP_JSON_BUILD_H
#define APP_JSON_BUILD_H

/*
 * Building JSON with one check at the end: a step that runs out of memory is remembered, and all
 * steps after it do nothing.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

struct app_json {
	struct json_object *root;
	bool failed;
};

void app_json_init(struct app_json *json);
void app_json_finish(struct app_json *json);

/* Begin with a copy of an object from anywhere, NULL for an empty one, as app_json_copy() makes
 * it. */
void app_json_init_copy(struct app_json *json, struct json_object *from);

/* Print the root, pretty, and a newline. Returns 0; -ENOMEM when this or a step before failed. */
int app_json_print(FILE *out, struct app_json *json);

/* The same, all on one line. */
int app_json_print_line(FILE *out, struct app_json *json);

/*
 * Each of these adds a member to an object, or an element to an array when key is NULL. What they
 * return is valid until the root is freed, and NULL after a failure, which all of them take.
 */
struct json_object *app_json_object(
	struct app_json *json, struct json_object *parent, const char *key);
struct json_object *app_json_array(
	struct app_json *json, struct json_object *parent, const char *key);
void app_json_null(struct app_json *json, struct json_object *parent, const char *key);
void app_json_bool(struct app_json *json, struct json_object *parent, const char *key, bool value);
void app_json_number(
	struct app_json *json, struct json_object *parent, const char *key, uint64_t value);

/* A number with the digits that a printf() format of a double gives it, a literal. */
void app_json_double(struct app_json *json, struct json_object *parent, const char *key,
	double value, const char *format);

/* A number as "0x…" with at least that many digits. */
void app_json_hex(struct app_json *json, struct json_object *parent, const char *key, int digits,
	uint64_t value);

/* Add the root of other, which is finished by this. */
void app_json_take(
	struct app_json *json, struct json_object *parent, const char *key, struct app_json *other);

/* Add a copy of a value from anywhere; its texts and the names of its members become as below. */
void app_json_copy(struct app_json *json, struct json_object *parent, const char *key,
	struct json_object *value);

/* Text from anywhere: what is not UTF-8, and control characters that JSON does not escape, become
 * U+FFFD. */
void app_json_text(
	struct app_json *json, struct json_object *parent, const char *key, const char *text);

/* The same, but an empty text is null. */
void app_json_text_or_null(
	struct app_json *json, struct json_object *parent, const char *key, const char *text);

#endif /* APP_JSON_BUILD_H */
