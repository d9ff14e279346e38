/* SPDX-License-Identifier: BSD-3-Clause */
#include "rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json_text.h"

#define NO_MEMORY                                                      \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":" \
	"\"Internal error: out of memory\"},\"id\":null}"

struct vucd_rpc_request {
	const struct vucd_rpc *rpc;
	const struct vucd_rpc_caller *who;
	struct json_object *root; /* what came */
	bool batch;
	size_t next;               /* request of the batch */
	struct app_json answer;    /* an array of what goes out */
	struct vucd_rpc_call call; /* the one under way */
	struct json_object *id;    /* its id */
	bool notification;         /* it has none */
	bool starting;             /* the method has not returned yet */
	bool over;                 /* the call has ended */
	struct vucd_rpc_request **owner;
	vucd_rpc_answer_fn fn; /* NULL: abandoned */
	void *arg;
};

/* ---- answers ---- */

static const char *
code_text(int code)
{
	switch (code) {
	case VUCD_RPC_PARSE_ERROR:
		return "Parse error";
	case VUCD_RPC_INVALID_REQUEST:
		return "Invalid request";
	case VUCD_RPC_METHOD_NOT_FOUND:
		return "Method not found";
	case VUCD_RPC_INVALID_PARAMS:
		return "Invalid params";
	case VUCD_RPC_INTERNAL_ERROR:
		return "Internal error";
	default:
		return "Failed";
	}
}

/* Add value, which stays the caller's, to an object. */
static void
add_value(struct app_json *answer, struct json_object *obj, const char *key,
	struct json_object *value)
{
	if (!answer->failed && json_object_object_add(obj, key, json_object_get(value)) != 0) {
		json_object_put(value);
		answer->failed = true;
	}
}

/* An answer with a result; without one, with an error. */
static struct json_object *
add_answer(struct app_json *answer, struct json_object *id, struct json_object *result)
{
	struct json_object *obj = app_json_object(answer, answer->root, NULL), *error = NULL;

	app_json_text(answer, obj, "jsonrpc", "2.0");
	if (result != NULL)
		add_value(answer, obj, "result", result);
	else
		error = app_json_object(answer, obj, "error");
	add_value(answer, obj, "id", id);
	return error;
}

static void
add_error(struct app_json *answer, struct json_object *id, int code, int error, const char *why)
{
	struct json_object *fields = add_answer(answer, id, NULL);
	struct json_object *number = json_object_new_int(code);
	char text[VUC_ERROR_MAX + 64];

	add_value(answer, fields, "code", number); /* app_json_number() has no sign */
	json_object_put(number);
	snprintf(text, sizeof(text), "%s: %s", code_text(code), why);
	app_json_text(answer, fields, "message", text);
	if (error != 0) {
		const char *name = strerrorname_np(-error);

		app_json_text(answer, app_json_object(answer, fields, "data"), "errno",
			name != NULL ? name : "EIO");
	}
}

static void
init_answer(struct app_json *answer)
{
	answer->root = json_object_new_array();
	answer->failed = answer->root == NULL;
}

/* Hand an array of answers on: all of it for a batch, else the only one in it. */
static void
give_answer(struct app_json *answer, bool batch, vucd_rpc_answer_fn fn, void *arg)
{
	size_t n = answer->failed ? 0 : json_object_array_length(answer->root);
	struct json_object *obj = answer->root;
	const char *text = NULL;
	size_t len = 0;

	if (n > 0) {
		if (!batch)
			obj = json_object_array_get_idx(obj, 0);
		text = json_object_to_json_string_length(
			obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
		answer->failed = text == NULL;
	}
	if (answer->failed) {
		text = NO_MEMORY;
		len = strlen(text);
	}
	fn(arg, text, len);
}

void
vucd_rpc_refuse(int code, int error, const char *why, vucd_rpc_answer_fn fn, void *arg)
{
	struct app_json answer;

	init_answer(&answer);
	add_error(&answer, NULL, code, error, why);
	give_answer(&answer, false, fn, arg);
	app_json_finish(&answer);
}

/* ---- whether a request is one, and which ---- */

/* The form of a request. Returns 0 or the code of an error, with err filled, as do those below. */
static int
check_request(struct vucd_rpc_request *request, struct json_object *item, struct vuc_error *err)
{
	const int code = VUCD_RPC_INVALID_REQUEST;
	struct json_object *value;

	request->id = NULL;
	request->notification = false;
	if (!json_object_is_type(item, json_type_object))
		return vuc_error_set_utf8(err, code, "expected an object");
	if (json_object_object_get_ex(item, "id", &value)) {
		if (value != NULL && !json_object_is_type(value, json_type_int) &&
			(!json_object_is_type(value, json_type_string) ||
				json_object_get_string_len(value) > VUCD_RPC_MAX_ID))
			return vuc_error_set_utf8(err, code,
				"expected an id that is an integer, null or a string of at most %d "
				"bytes",
				VUCD_RPC_MAX_ID);
		request->id = value;
	}
	if (!json_object_object_get_ex(item, "jsonrpc", &value) ||
		!json_object_is_type(value, json_type_string) ||
		strcmp(json_object_get_string(value), "2.0") != 0)
		return vuc_error_set_utf8(err, code, "expected \"jsonrpc\":\"2.0\"");
	if (!json_object_object_get_ex(item, "method", &value) ||
		!json_object_is_type(value, json_type_string))
		return vuc_error_set_utf8(err, code, "expected a method that is a string");
	if (json_object_object_get_ex(item, "params", &value) &&
		!json_object_is_type(value, json_type_object) &&
		!json_object_is_type(value, json_type_array))
		return vuc_error_set_utf8(
			err, code, "expected params that are an object or an array");
	request->notification = !json_object_object_get_ex(item, "id", NULL);
	return 0;
}

static int
find_method(struct vucd_rpc_request *request, struct json_object *item, struct vuc_error *err)
{
	const char *name = json_object_get_string(json_object_object_get(item, "method"));
	const struct vucd_rpc_method *m = request->rpc->methods;

	while (m->name != NULL && strcmp(m->name, name) != 0)
		m++;
	request->call.method = m;
	if (m->name == NULL)
		return vuc_error_set_utf8(err, VUCD_RPC_METHOD_NOT_FOUND, "%.64s", name);
	return 0;
}

/* Whether who asks may call the method. */
static int
check_caller(const struct vucd_rpc_request *request, struct vuc_error *err)
{
	const struct vucd_rpc_method *called = request->call.method, *m;
	const char *group = request->who->group;
	char allowed[128] = "";

	if (group == NULL || called->monitor)
		return 0;
	for (m = request->rpc->methods; m->name != NULL; m++) {
		size_t len = strlen(allowed);

		if (m->monitor)
			snprintf(allowed + len, sizeof(allowed) - len, "%s%s", len > 0 ? ", " : "",
				m->name);
	}
	return vuc_error_set_utf8(err, VUCD_RPC_FAILED,
		"members of group %.32s may not call %s, only: %s", group, called->name, allowed);
}

static bool
is_array_of_strings(struct json_object *value)
{
	bool all = json_object_is_type(value, json_type_array);
	size_t i;

	for (i = 0; all && i < json_object_array_length(value); i++)
		all = json_object_is_type(json_object_array_get_idx(value, i), json_type_string);
	return all;
}

/* What a type is called when value is not of it, else NULL. */
static const char *
type_expected(enum vucd_rpc_type type, struct json_object *value)
{
	switch (type) {
	case VUCD_RPC_STRING:
		return json_object_is_type(value, json_type_string) ? NULL : "a string";
	case VUCD_RPC_STRINGS:
		return is_array_of_strings(value) ? NULL : "an array of strings";
	case VUCD_RPC_BOOL:
		return json_object_is_type(value, json_type_boolean) ? NULL : "true or false";
	default:
		return json_object_is_type(value, json_type_int) &&
				json_object_get_int64(value) >= 0
			? NULL
			: "an integer, 0 or more";
	}
}

static size_t
count_params(const struct vucd_rpc_method *method)
{
	size_t n = 0;

	while (method->params != NULL && method->params[n].name[0] != '\0')
		n++;
	return n;
}

/* What was given and is none of the method's. */
static int
refuse_unknown(
	const struct vucd_rpc_method *method, struct json_object *params, struct vuc_error *err)
{
	size_t nr = count_params(method);

	if (json_object_is_type(params, json_type_array)) {
		if (json_object_array_length(params) > nr)
			return vuc_error_set_utf8(err, VUCD_RPC_INVALID_PARAMS,
				"%s takes at most %zu parameter%s", method->name, nr,
				nr == 1 ? "" : "s");
		return 0;
	}
	json_object_object_foreach(params, name, value)
	{
		size_t i = 0;

		(void)value;
		while (i < nr && strcmp(method->params[i].name, name) != 0)
			i++;
		if (i == nr)
			return vuc_error_set_utf8(err, VUCD_RPC_INVALID_PARAMS,
				"%s has no parameter %.64s", method->name, name);
	}
	return 0;
}

static int
take_params(struct vucd_rpc_call *call, struct json_object *item, struct vuc_error *err)
{
	struct json_object *params = json_object_object_get(item, "params");
	size_t i, nr = count_params(call->method);

	if (params != NULL && refuse_unknown(call->method, params, err) != 0)
		return VUCD_RPC_INVALID_PARAMS;
	for (i = 0; i < nr; i++) {
		const struct vucd_rpc_param *param = &call->method->params[i];
		struct json_object *value = json_object_is_type(params, json_type_array)
			? json_object_array_get_idx(params, i)
			: json_object_object_get(params, param->name);
		const char *missed =
			value != NULL || param->required ? type_expected(param->type, value) : NULL;

		if (missed != NULL)
			return vuc_error_set_utf8(err, VUCD_RPC_INVALID_PARAMS,
				"%s: %s%s: expected %s", call->method->name, param->name,
				value == NULL ? " is missing" : "", missed);
		call->params[i] = value;
	}
	return 0;
}

/* ---- a call ---- */

static void request_continue(struct vucd_rpc_request *request);

static void
end_call(struct vucd_rpc_request *request)
{
	json_object_put(request->call.result);
	request->over = true;
	if (!request->starting)
		request_continue(request);
}

void
vucd_rpc_return(struct vucd_rpc_call *call)
{
	struct vucd_rpc_request *request = call->request;

	if (!request->notification)
		add_answer(&request->answer, request->id, call->result);
	end_call(request);
}

void
vucd_rpc_fail(struct vucd_rpc_call *call, int code, int error, const char *fmt, ...)
{
	struct vucd_rpc_request *request = call->request;
	char why[VUC_ERROR_MAX];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(why, sizeof(why), fmt, args) < 0)
		why[0] = '\0';
	va_end(args);
	if (!request->notification)
		add_error(&request->answer, request->id, code, error, why);
	end_call(request);
}

/* Begin one request of the line; it may end at once. */
static void
start_call(struct vucd_rpc_request *request, struct json_object *item)
{
	struct vucd_rpc_call *call = &request->call;
	struct vuc_error err = {""};
	int code;

	*call = (struct vucd_rpc_call){
		.arg = request->rpc->arg,
		.who = request->who->text,
		.client = request->arg,
		.answer = &request->answer,
		.request = request,
	};
	code = check_request(request, item, &err);
	if (code == 0)
		code = find_method(request, item, &err);
	if (code == 0)
		code = check_caller(request, &err);
	if (code == 0)
		code = take_params(call, item, &err);
	if (code == 0) {
		call->result = json_object_new_object();
		if (call->result == NULL)
			code = vuc_error_set_utf8(&err, VUCD_RPC_INTERNAL_ERROR, "out of memory");
	}
	if (code != 0)
		vucd_rpc_fail(call, code, code == VUCD_RPC_FAILED ? -EACCES : 0, "%s", err.text);
	else
		call->method->call(call);
}

/* ---- a line ---- */

static void
end_request(struct vucd_rpc_request *request)
{
	if (request->fn != NULL) {
		*request->owner = NULL;
		give_answer(&request->answer, request->batch, request->fn, request->arg);
	}
	json_object_put(request->root);
	app_json_finish(&request->answer);
	free(request);
}

static void
request_continue(struct vucd_rpc_request *request)
{
	size_t n = request->batch ? json_object_array_length(request->root) : 1;

	while (request->next < n && request->fn != NULL) {
		struct json_object *item = request->root;

		if (request->batch)
			item = json_object_array_get_idx(item, request->next);
		request->next++;
		request->over = false;
		request->starting = true;
		start_call(request, item);
		request->starting = false;
		if (!request->over)
			return;
	}
	end_request(request);
}

/* Whether a line that is JSON can be a request or a batch. */
static const char *
batch_error(struct json_object *root)
{
	if (!json_object_is_type(root, json_type_array))
		return NULL;
	if (json_object_array_length(root) == 0)
		return "a batch without requests";
	if (json_object_array_length(root) > VUCD_RPC_MAX_BATCH)
		return "a batch of more than 64 requests";
	return NULL;
}

void
vucd_rpc_line(const struct vucd_rpc *rpc, const struct vucd_rpc_caller *who, const char *line,
	size_t len, vucd_rpc_answer_fn answer, void *arg, struct vucd_rpc_request **owner)
{
	struct vucd_rpc_request *request = NULL;
	struct json_object *root;
	struct vuc_error err = {""};
	const char *why;
	int code = VUCD_RPC_INVALID_REQUEST;
	int rc = app_json_parse(line, len, &root, &err);

	*owner = NULL;
	if (rc != 0) {
		code = rc == -ENOMEM ? VUCD_RPC_INTERNAL_ERROR : VUCD_RPC_PARSE_ERROR;
		why = err.text;
	} else {
		why = batch_error(root);
	}
	if (why == NULL) {
		request = calloc(1, sizeof(*request));
		code = VUCD_RPC_INTERNAL_ERROR;
	}
	if (request == NULL) {
		json_object_put(root);
		vucd_rpc_refuse(code, 0, why != NULL ? why : "out of memory", answer, arg);
		return;
	}
	*request = (struct vucd_rpc_request){
		.rpc = rpc,
		.who = who,
		.root = root,
		.batch = json_object_is_type(root, json_type_array),
		.owner = owner,
		.fn = answer,
		.arg = arg,
	};
	*owner = request;
	init_answer(&request->answer);
	request_continue(request);
}

void
vucd_rpc_abandon(struct vucd_rpc_request *request)
{
	request->fn = NULL;
}
