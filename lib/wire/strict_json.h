/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_WIRE_STRICT_JSON_H
#define VUC_WIRE_STRICT_JSON_H

#include <stddef.h>

#include <json-c/json.h>

#include <vuc/error.h>

/* Objects and arrays within each other, the outermost and a value in the innermost included. */
#define VUC_WIRE_JSON_DEPTH 16

/*
 * Parse one JSON text of len bytes, followed by a NUL and with none inside. Stricter than json-c
 * by itself, which takes single quotes, NaN and Infinity, and of a member given twice keeps the
 * last.
 *
 * On success root is set, to NULL for the text "null"; json_object_put() frees it. On failure err
 * says what is wrong where, to go behind "version data ".
 *
 * Returns 0; -EPROTO; -ENOMEM.
 */
int vuc_wire_strict_json_parse(
	const char *text, size_t len, struct json_object **root, struct vuc_error *err);

#endif /* VUC_WIRE_STRICT_JSON_H */
