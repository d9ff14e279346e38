/* SPDX-License-Identifier: BSD-3-Clause */
#include "reply.h"

#include <stdbool.h>

static void
reply_lack(struct vucctl_reply *reply, const char *key)
{
	if (reply->lacks == NULL)
		reply->lacks = key;
}

/* Returns the member, NULL for null, and for one that is not there or of another type. */
static struct json_object *
reply_get(struct vucctl_reply *reply, struct json_object *obj, const char *key, enum json_type type,
	bool null)
{
	struct json_object *value = NULL;
	bool there = json_object_is_type(obj, json_type_object) &&
		json_object_object_get_ex(obj, key, &value);

	if (there && json_object_is_type(value, type))
		return value;
	if (!there || value != NULL || !null)
		reply_lack(reply, key);
	return NULL;
}

const char *
vucctl_reply_text(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_string, false);

	return value != NULL ? json_object_get_string(value) : "";
}

const char *
vucctl_reply_text_or_null(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_string, true);

	return value != NULL ? json_object_get_string(value) : NULL;
}

uint64_t
vucctl_reply_number(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_int, false);

	if (value == NULL)
		return 0;
	if (json_object_get_int64(value) < 0)
		reply_lack(reply, key);
	return json_object_get_uint64(value);
}

struct json_object *
vucctl_reply_object(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	return reply_get(reply, obj, key, json_type_object, false);
}

struct json_object *
vucctl_reply_object_or_null(struct vucctl_reply *reply, struct json_object *obj, const char *key)
{
	return reply_get(reply, obj, key, json_type_object, true);
}

struct json_object *
vucctl_reply_array(struct vucctl_reply *reply, struct json_object *obj, const char *key, size_t *n)
{
	struct json_object *value = reply_get(reply, obj, key, json_type_array, false);

	*n = value != NULL ? json_object_array_length(value) : 0;
	return value;
}
