/* SPDX-License-Identifier: BSD-3-Clause */
#include "rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "rpc_check.h"

#define NO_MEMORY                                                      \
	"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\"message\":" \
	"\"Internal error: out of memory\"},\"id\":null}"

struct vucd_rpc_request {
	const struct vucd_rpc *rpc;
	const char *who;
	struct json_object *root; /* what came */
	bool batch;
	size_t next;               /* request of the batch */
	struct app_json answer;    /* an array of what goes out */
	struct vucd_rpc_call call; /* the one under way */
	struct json_object *id;    /* its id */
	bool notification;         /* it has none */
	bool starting;             /* the method has not returned yet */
	bool over;                 /* the call has ended */
	bool *ended;               /* set when the request is freed before its line returns */
	vucd_rpc_answer_fn fn;     /* NULL: abandoned */
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

/* What every answer has, added to an array. id stays the caller's. */
static struct json_object *
begin_answer(struct app_json *answer)
{
	struct json_object *obj = app_json_object(answer, answer->root, NULL);

	app_json_text(answer, obj, "jsonrpc", "2.0");
	return obj;
}

static void
end_answer(struct app_json *answer, struct json_object *obj, struct json_object *id)
{
	if (answer->failed)
		return;
	if (json_object_object_add(obj, "id", json_object_get(id)) != 0) {
		json_object_put(id);
		answer->failed = true;
	}
}

static void
add_error(struct app_json *answer, struct json_object *id, int code, int error, const char *why)
{
	struct json_object *obj = begin_answer(answer);
	struct json_object *fields = app_json_object(answer, obj, "error");
	char text[VUC_ERROR_MAX + 64];

	/* app_json_number() has no sign. */
	if (!answer->failed && json_object_object_add(fields, "code", json_object_new_int(code)))
		answer->failed = true;
	snprintf(text, sizeof(text), "%s: %s", code_text(code), why);
	app_json_text(answer, fields, "message", text);
	if (error != 0) {
		const char *name = strerrorname_np(-error);

		app_json_text(answer, app_json_object(answer, fields, "data"), "errno",
			name != NULL ? name : "EIO");
	}
	end_answer(answer, obj, id);
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

/* ---- a call ---- */

static void carry_on(struct vucd_rpc_request *request);

static void
end_call(struct vucd_rpc_request *request)
{
	request->over = true;
	if (!request->starting)
		carry_on(request);
}

void
vucd_rpc_return(struct vucd_rpc_call *call)
{
	struct vucd_rpc_request *request = call->request;
	struct json_object *obj;

	if (!request->notification) {
		obj = begin_answer(&request->answer);
		if (!request->answer.failed &&
			json_object_object_add(obj, "result", json_object_get(call->result)) != 0) {
			json_object_put(call->result);
			request->answer.failed = true;
		}
		end_answer(&request->answer, obj, request->id);
	}
	json_object_put(call->result);
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
	json_object_put(call->result);
	end_call(request);
}

/* Begin one request of the line; it may end at once. */
static void
start_call(struct vucd_rpc_request *request, struct json_object *item)
{
	struct vucd_rpc_call *call = &request->call;
	struct vuc_error err = {""};
	int code;

	*call = (struct vucd_rpc_call){.service = request->rpc->service,
		.who = request->who,
		.answer = &request->answer,
		.request = request};
	code = vucd_rpc_check_request(item, &request->id, &request->notification, &err);
	if (code == 0)
		code = vucd_rpc_find_method(request->rpc, item, &call->method, &err);
	if (code == 0)
		code = vucd_rpc_take_params(call, item, &err);
	if (code == 0) {
		call->result = json_object_new_object();
		if (call->result == NULL)
			code = VUCD_RPC_INTERNAL_ERROR;
	}
	if (code != 0)
		vucd_rpc_fail(call, code, 0, "%s", err.text);
	else
		call->method->call(call);
}

/* ---- a line ---- */

static void
end_request(struct vucd_rpc_request *request)
{
	if (request->fn != NULL)
		give_answer(&request->answer, request->batch, request->fn, request->arg);
	if (request->ended != NULL)
		*request->ended = true;
	json_object_put(request->root);
	app_json_finish(&request->answer);
	free(request);
}

static void
carry_on(struct vucd_rpc_request *request)
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
unfit(struct json_object *root)
{
	if (!json_object_is_type(root, json_type_array))
		return NULL;
	if (json_object_array_length(root) == 0)
		return "a batch without requests";
	if (json_object_array_length(root) > VUCD_RPC_MAX_BATCH)
		return "a batch of more than 64 requests";
	return NULL;
}

static struct vucd_rpc_request *
start_request(const struct vucd_rpc *rpc, const char *who, struct json_object *root,
	vucd_rpc_answer_fn answer, void *arg)
{
	struct vucd_rpc_request *request = calloc(1, sizeof(*request));
	bool ended = false;

	if (request == NULL) {
		json_object_put(root);
		vucd_rpc_refuse(VUCD_RPC_INTERNAL_ERROR, 0, "out of memory", answer, arg);
		return NULL;
	}
	request->rpc = rpc;
	request->who = who;
	request->root = root;
	request->batch = json_object_is_type(root, json_type_array);
	request->fn = answer;
	request->arg = arg;
	request->ended = &ended;
	init_answer(&request->answer);
	carry_on(request);
	if (ended)
		return NULL;
	request->ended = NULL;
	return request;
}

struct vucd_rpc_request *
vucd_rpc_line(const struct vucd_rpc *rpc, const char *who, const char *line, size_t len,
	vucd_rpc_answer_fn answer, void *arg)
{
	struct json_object *root;
	struct vuc_error err = {""};
	const char *why;
	int rc = app_json_parse(line, len, &root, &err);

	if (rc != 0) {
		vucd_rpc_refuse(rc == -ENOMEM ? VUCD_RPC_INTERNAL_ERROR : VUCD_RPC_PARSE_ERROR, 0,
			err.text, answer, arg);
		return NULL;
	}
	why = unfit(root);
	if (why != NULL) {
		json_object_put(root);
		vucd_rpc_refuse(VUCD_RPC_INVALID_REQUEST, 0, why, answer, arg);
		return NULL;
	}
	return start_request(rpc, who, root, answer, arg);
}

void
vucd_rpc_abandon(struct vucd_rpc_request *request)
{
	request->fn = NULL;
}
