/* SPDX-License-Identifier: BSD-3-Clause */
#include "rpc_answer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "json_text.h"

static int
answer_refuse(char *why, const char *what, const char *detail)
{
	snprintf(why, VUCCTL_RPC_WHY_SIZE, "%s%s", what, detail);
	return -EPROTO;
}

static int
answer_parse(const char *line, size_t len, struct json_object **root, char *why)
{
	struct vuc_error err = {0};
	int ret = app_json_parse(line, len, root, &err);

	if (ret == -EINVAL)
		return answer_refuse(why, "the answer is not JSON: ", err.text);
	if (ret != 0)
		answer_refuse(why, strerror(-ret), "");
	return ret;
}

static bool
has_text(struct json_object *obj, const char *key, const char **text)
{
	struct json_object *value;

	if (!json_object_object_get_ex(obj, key, &value) ||
		!json_object_is_type(value, json_type_string))
		return false;
	*text = json_object_get_string(value);
	return true;
}

/* What a message begins with, for programs that know no more of an error than its code. */
static const char *
skip_kind(const char *message)
{
	static const char *const kinds[] = {"Failed: ", "Invalid params: "};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(message, kinds[i], strlen(kinds[i])) == 0)
			return message + strlen(kinds[i]);
	}
	return message;
}

static int
take_error(struct json_object *error, char *why)
{
	const char *message = NULL;

	if (!json_object_is_type(error, json_type_object) || !has_text(error, "message", &message))
		return answer_refuse(why, "the daemon answers with an error without a message", "");
	vucctl_foreign_copy(why, VUCCTL_RPC_WHY_SIZE, skip_kind(message));
	return -EREMOTEIO;
}

/* An error about a request that could not be read has no id. */
static bool
is_id(struct json_object *root, int64_t id, bool error)
{
	struct json_object *value;

	if (!json_object_object_get_ex(root, "id", &value))
		return false;
	if (value == NULL)
		return error;
	return json_object_is_type(value, json_type_int) && json_object_get_int64(value) == id;
}

static int
take_apart(struct json_object *root, int64_t id, struct json_object **result, char *why)
{
	struct json_object *error = NULL, *value = NULL;
	const char *version = NULL;
	bool failed, worked;

	if (!json_object_is_type(root, json_type_object) || !has_text(root, "jsonrpc", &version) ||
		strcmp(version, "2.0") != 0)
		return answer_refuse(why, "the answer is not JSON-RPC 2.0", "");
	failed = json_object_object_get_ex(root, "error", &error);
	worked = json_object_object_get_ex(root, "result", &value);
	if (failed == worked)
		return answer_refuse(why, "the answer has ",
			failed ? "a result and an error" : "neither a result nor an error");
	if (!is_id(root, id, failed))
		return answer_refuse(why, "the answer is not to the question that was asked", "");
	if (failed)
		return take_error(error, why);
	if (!json_object_is_type(value, json_type_object))
		return answer_refuse(why, "the answer's result is not an object", "");
	*result = json_object_get(value);
	return 0;
}

int
vucctl_rpc_answer(const char *line, size_t len, int64_t id, struct json_object **result,
	char why[VUCCTL_RPC_WHY_SIZE])
{
	struct json_object *root;
	int ret = answer_parse(line, len, &root, why);

	*result = NULL;
	if (ret == 0)
		ret = take_apart(root, id, result, why);
	json_object_put(root);
	return ret;
}
