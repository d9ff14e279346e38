/* SPDX-License-Identifier: BSD-3-Clause */
#include "rpc_check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int message_refuse(struct vuc_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int
message_refuse(struct vuc_error *err, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(err->text, sizeof(err->text), fmt, args) < 0)
		err->text[0] = '\0';
	va_end(args);
	return code;
}

static bool
is_id(struct json_object *id)
{
	if (json_object_is_type(id, json_type_string))
		return json_object_get_string_len(id) <= VUCD_RPC_MAX_ID;
	return id == NULL || json_object_is_type(id, json_type_int);
}

static bool
is_params(struct json_object *params)
{
	return json_object_is_type(params, json_type_object) ||
		json_object_is_type(params, json_type_array);
}

int
vucd_rpc_check_request(struct json_object *item, struct json_object **id, bool *notification,
	struct vuc_error *err)
{
	const int code = VUCD_RPC_INVALID_REQUEST;
	struct json_object *value;

	*id = NULL;
	*notification = false;
	if (!json_object_is_type(item, json_type_object))
		return message_refuse(err, code, "expected an object");
	if (json_object_object_get_ex(item, "id", &value)) {
		if (!is_id(value))
			return message_refuse(err, code,
				"expected an id that is an integer, null or a string of at most %d "
				"bytes",
				VUCD_RPC_MAX_ID);
		*id = value;
	}
	if (!json_object_object_get_ex(item, "jsonrpc", &value) ||
		!json_object_is_type(value, json_type_string) ||
		strcmp(json_object_get_string(value), "2.0") != 0)
		return message_refuse(err, code, "expected \"jsonrpc\":\"2.0\"");
	if (!json_object_object_get_ex(item, "method", &value) ||
		!json_object_is_type(value, json_type_string))
		return message_refuse(err, code, "expected a method that is a string");
	if (json_object_object_get_ex(item, "params", &value) && !is_params(value))
		return message_refuse(err, code, "expected params that are an object or an array");
	*notification = !json_object_object_get_ex(item, "id", NULL);
	return 0;
}

int
vucd_rpc_find_method(const struct vucd_rpc *rpc, struct json_object *item,
	const struct vucd_rpc_method **method, struct vuc_error *err)
{
	const char *name = json_object_get_string(json_object_object_get(item, "method"));
	const struct vucd_rpc_method *m;

	for (m = rpc->methods; m->name != NULL; m++) {
		if (strcmp(m->name, name) == 0) {
			*method = m;
			return 0;
		}
	}
	return message_refuse(err, VUCD_RPC_METHOD_NOT_FOUND, "%.64s", name);
}

/* ---- params ---- */

static bool
is_strings(struct json_object *value)
{
	size_t i;

	if (!json_object_is_type(value, json_type_array))
		return false;
	for (i = 0; i < json_object_array_length(value); i++) {
		if (!json_object_is_type(json_object_array_get_idx(value, i), json_type_string))
			return false;
	}
	return true;
}

static const char *
type_expected(enum vucd_rpc_type type)
{
	switch (type) {
	case VUCD_RPC_STRING:
		return "a string";
	case VUCD_RPC_STRINGS:
		return "an array of strings";
	case VUCD_RPC_BOOL:
		return "true or false";
	default:
		return "an integer, 0 or more";
	}
}

static bool
is_of_type(struct json_object *value, enum vucd_rpc_type type)
{
	switch (type) {
	case VUCD_RPC_STRING:
		return json_object_is_type(value, json_type_string);
	case VUCD_RPC_STRINGS:
		return is_strings(value);
	case VUCD_RPC_BOOL:
		return json_object_is_type(value, json_type_boolean);
	default:
		return json_object_is_type(value, json_type_int) &&
			json_object_get_int64(value) >= 0;
	}
}

static size_t
count_params(const struct vucd_rpc_method *method)
{
	size_t n = 0;

	while (method->params != NULL && method->params[n].name != NULL)
		n++;
	return n;
}

/* Parameter i, by name or by position; NULL: not given. */
static struct json_object *
find_param(struct json_object *params, const struct vucd_rpc_method *method, size_t i)
{
	if (json_object_is_type(params, json_type_array))
		return json_object_array_get_idx(params, i);
	return json_object_object_get(params, method->params[i].name);
}

static const struct vucd_rpc_param *
param_named(const struct vucd_rpc_method *method, size_t nr_params, const char *name)
{
	size_t i;

	for (i = 0; i < nr_params; i++) {
		if (strcmp(method->params[i].name, name) == 0)
			return &method->params[i];
	}
	return NULL;
}

/* What was given and is none of the method's. */
static int
refuse_unknown(const struct vucd_rpc_method *method, size_t nr_params, struct json_object *params,
	struct vuc_error *err)
{
	struct json_object_iterator it, end;

	if (json_object_is_type(params, json_type_array)) {
		if (json_object_array_length(params) > nr_params)
			return message_refuse(err, VUCD_RPC_INVALID_PARAMS, "%s takes at most %zu",
				method->name, nr_params);
		return 0;
	}
	it = json_object_iter_begin(params);
	end = json_object_iter_end(params);
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *name = json_object_iter_peek_name(&it);

		if (param_named(method, nr_params, name) == NULL)
			return message_refuse(err, VUCD_RPC_INVALID_PARAMS,
				"%s has no parameter %.64s", method->name, name);
	}
	return 0;
}

int
vucd_rpc_take_params(struct vucd_rpc_call *call, struct json_object *item, struct vuc_error *err)
{
	struct json_object *params = json_object_object_get(item, "params");
	size_t nr_params = count_params(call->method);
	size_t i;

	if (params != NULL && refuse_unknown(call->method, nr_params, params, err) != 0)
		return VUCD_RPC_INVALID_PARAMS;
	for (i = 0; i < nr_params; i++) {
		const struct vucd_rpc_param *param = &call->method->params[i];
		struct json_object *value =
			params != NULL ? find_param(params, call->method, i) : NULL;

		if (value == NULL && param->required)
			return message_refuse(err, VUCD_RPC_INVALID_PARAMS,
				"%s: %s is missing: expected %s", call->method->name, param->name,
				type_expected(param->type));
		if (value != NULL && !is_of_type(value, param->type))
			return message_refuse(err, VUCD_RPC_INVALID_PARAMS, "%s: %s: expected %s",
				call->method->name, param->name, type_expected(param->type));
		call->params[i] = value;
	}
	return 0;
}
