/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef APP_JSON_TEXT_H
#define APP_JSON_TEXT_H

#include <stddef.h>

#include <json-c/json.h>

#include <vuc/error.h>

#define APP_JSON_DEPTH  16 /* arrays and objects within each other */
#define APP_JSON_DIGITS 18 /* of a number: what fits an int64_t, whatever they are */

/*
 * Parse one JSON text by json-c, which is strict, but takes more for numbers than RFC 8259 has;
 * that is refused, and so are U+0000 in a string, which C strings cannot have, and two members of
 * one name in an object. The text needs no NUL at its end and may have one inside, which is
 * refused.
 *
 * Sets root, to NULL for "null"; json_object_put() frees it. Returns 0; -EINVAL or -ENOMEM, with
 * what is wrong and at which byte in err.
 */
int app_json_parse(const char *text, size_t len, struct json_object **root, struct vuc_error *err);

#endif /* APP_JSON_TEXT_H */
