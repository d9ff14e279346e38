/* SPDX-License-Identifier: BSD-3-Clause */
#include "json_build.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "utf8.h"

void
app_json_init(struct app_json *json)
{
	json->root = json_object_new_object();
	json->failed = json->root == NULL;
}

void
app_json_finish(struct app_json *json)
{
	json_object_put(json->root);
	json->root = NULL;
}

static int
json_print(FILE *out, struct app_json *json, int flags)
{
	const char *text;

	if (json->failed)
		return -ENOMEM;
	text = json_object_to_json_string_ext(json->root, flags | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text == NULL)
		return -ENOMEM;
	fprintf(out, "%s\n", text);
	return 0;
}

int
app_json_print(FILE *out, struct app_json *json)
{
	return json_print(out, json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED);
}

int
app_json_print_line(FILE *out, struct app_json *json)
{
	return json_print(out, json, JSON_C_TO_STRING_PLAIN);
}

/* Takes child, which may be NULL for null. Returns whether it is in its place. */
static bool
json_attach(struct json_object *parent, const char *key, struct json_object *child)
{
	int ret;

	if (key == NULL)
		ret = json_object_array_add(parent, child);
	else
		ret = json_object_object_add(parent, key, child);
	if (ret < 0)
		json_object_put(child);
	return ret == 0;
}

/* As json_attach(), but a child that is NULL could not be made. Returns it, NULL after a failure.
 */
static struct json_object *
json_add(struct app_json *json, struct json_object *parent, const char *key,
	struct json_object *child)
{
	if (!json->failed && child != NULL && json_attach(parent, key, child))
		return child;
	if (json->failed)
		json_object_put(child);
	json->failed = true;
	return NULL;
}

struct json_object *
app_json_object(struct app_json *json, struct json_object *parent, const char *key)
{
	return json_add(json, parent, key, json_object_new_object());
}

struct json_object *
app_json_array(struct app_json *json, struct json_object *parent, const char *key)
{
	return json_add(json, parent, key, json_object_new_array());
}

void
app_json_null(struct app_json *json, struct json_object *parent, const char *key)
{
	if (!json->failed && !json_attach(parent, key, NULL))
		json->failed = true;
}

void
app_json_bool(struct app_json *json, struct json_object *parent, const char *key, bool value)
{
	json_add(json, parent, key, json_object_new_boolean(value));
}

void
app_json_number(struct app_json *json, struct json_object *parent, const char *key, uint64_t value)
{
	json_add(json, parent, key, json_object_new_uint64(value));
}

void
app_json_double(struct app_json *json, struct json_object *parent, const char *key, double value,
	const char *format)
{
	struct json_object *number = json_add(json, parent, key, json_object_new_double(value));

	if (number != NULL)
		json_object_set_serializer(
			number, json_object_double_to_json_string, (void *)(uintptr_t)format, NULL);
}

void
app_json_hex(struct app_json *json, struct json_object *parent, const char *key, int digits,
	uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%0*" PRIx64, digits, value);
	json_add(json, parent, key, json_object_new_string(text));
}

void
app_json_text(struct app_json *json, struct json_object *parent, const char *key, const char *text)
{
	char *clean = app_utf8_clean(text);

	json_add(json, parent, key, clean != NULL ? json_object_new_string(clean) : NULL);
	free(clean);
}

void
app_json_text_or_null(
	struct app_json *json, struct json_object *parent, const char *key, const char *text)
{
	if (text[0] == '\0')
		app_json_null(json, parent, key);
	else
		app_json_text(json, parent, key, text);
}

void
app_json_take(
	struct app_json *json, struct json_object *parent, const char *key, struct app_json *other)
{
	json_add(json, parent, key, other->failed ? NULL : json_object_get(other->root));
	app_json_finish(other);
}

static void
copy_members(struct app_json *json, struct json_object *to, struct json_object *from)
{
	json_object_object_foreach(from, key, value)
	{
		char *clean = app_utf8_clean(key);

		if (clean == NULL)
			json->failed = true;
		else
			app_json_copy(json, to, clean, value);
		free(clean);
	}
}

static void
copy_elements(struct app_json *json, struct json_object *to, struct json_object *from)
{
	size_t n = json_object_array_length(from);
	size_t i;

	for (i = 0; i < n; i++)
		app_json_copy(json, to, NULL, json_object_array_get_idx(from, i));
}

void
app_json_copy(struct app_json *json, struct json_object *parent, const char *key,
	struct json_object *value)
{
	switch (json_object_get_type(value)) {
	case json_type_null:
		app_json_null(json, parent, key);
		break;
	case json_type_string:
		app_json_text(json, parent, key, json_object_get_string(value));
		break;
	case json_type_array:
		copy_elements(json, app_json_array(json, parent, key), value);
		break;
	case json_type_object:
		copy_members(json, app_json_object(json, parent, key), value);
		break;
	default: /* a number or a boolean */
		json_add(json, parent, key, json_object_get(value));
		break;
	}
}

void
app_json_init_copy(struct app_json *json, struct json_object *from)
{
	app_json_init(json);
	if (from != NULL)
		copy_members(json, json->root, from);
}
