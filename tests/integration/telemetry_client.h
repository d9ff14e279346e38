/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_TELEMETRY_CLIENT_H
#define VUC_TESTS_TELEMETRY_CLIENT_H

/* Who asks rte_telemetry. All but the first asserts that it works. */

#include <stdint.h>

#include <json-c/json.h>

/* Connect to the socket in EAL's runtime folder, and take the greeting. Returns the socket, the
 * caller's to close; -1. */
int telemetry_connect(const char *folder);

/*
 * Ask a command, with its parameters after a comma. Returns what is under the command's own name in
 * the answer: NULL for a JSON null. *answer is to be freed by json_object_put().
 */
struct json_object *telemetry_ask(int sock, const char *command, struct json_object **answer);

/* Whether the answer to a command is a null. */
int telemetry_refuses(int sock, const char *command);

/* Members of an object. */
struct json_object *telemetry_member(struct json_object *object, const char *key);
uint64_t telemetry_number(struct json_object *object, const char *key);
const char *telemetry_string(struct json_object *object, const char *key);

#endif /* VUC_TESTS_TELEMETRY_CLIENT_H */
