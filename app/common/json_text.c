/* SPDX-License-Identifier: BSD-3-Clause */
#include "json_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

static int
json_refuse(struct vuc_error *err, size_t at, const char *why)
{
	snprintf(err->text, sizeof(err->text), "byte %zu: %s", at, why);
	return -EINVAL;
}

static bool
is_digit(const char *text, size_t len, size_t at)
{
	return at < len && text[at] >= '0' && text[at] <= '9';
}

/* Whether a number with this byte is one for json-c only, as "1.", "-.5" and "-01" are. */
static bool
number_is_odd(const char *text, size_t len, size_t at)
{
	bool follows = at > 0 && is_digit(text, len, at - 1),
	     followed = is_digit(text, len, at + 1);

	if (text[at] == '.')
		return !follows || !followed;
	if (text[at] != '0' || follows || !followed)
		return false;
	/* Fractions and exponents may begin with zeros. */
	at -= at > 0 && text[at - 1] == '-';
	return at == 0 || memchr(".+eE", text[at - 1], 4) == NULL;
}

/*
 * Refuse bytes that no JSON text has in their place: what json-c takes beside depends on its
 * version and flags. Sets members to how many there are in all objects: a colon outside of a string
 * stands behind the name of one and nowhere else.
 */
static int
check_bytes(const char *text, size_t len, size_t *members, struct vuc_error *err)
{
	static const char outside_strings[] = "{}[]:,\" \t\r\n+-.0123456789Eaeflnrstu";
	unsigned int digits = 0;
	bool in_string = false;
	uint32_t code;
	size_t i, n;

	*members = 0;
	for (i = 0; i < len; i += n) {
		n = app_utf8_decode(text + i, len - i, &code);
		if (n == 0)
			return json_refuse(err, i, "not UTF-8");
		digits = code >= '0' && code <= '9' ? digits + 1 : 0;
		if (code == '"') {
			in_string = !in_string;
		} else if (!in_string) {
			if (memchr(outside_strings, text[i], sizeof(outside_strings) - 1) == NULL)
				return json_refuse(err, i, "unexpected character");
			if (digits > APP_JSON_DIGITS)
				return json_refuse(err, i, "a number too long");
			if (number_is_odd(text, len, i))
				return json_refuse(err, i, "invalid number");
			*members += code == ':';
		} else if (code < ' ') {
			return json_refuse(err, i, "a control character in a string");
		} else if (code == '\\') {
			if (len - i > 5 && memcmp(text + i, "\\u0000", 6) == 0)
				return json_refuse(err, i, "U+0000 in a string");
			n = len - i > 1 ? 2 : 1;
		}
	}
	return 0;
}

static int
parse(const char *text, size_t len, int flags, struct json_object **root, struct vuc_error *err)
{
	struct json_tokener *tok = json_tokener_new_ex(APP_JSON_DEPTH + 1);
	enum json_tokener_error error;
	size_t end = len;

	if (tok == NULL) {
		snprintf(err->text, sizeof(err->text), "out of memory");
		return -ENOMEM;
	}
	json_tokener_set_flags(tok, flags);
	*root = json_tokener_parse_ex(tok, text, (int)len);
	error = json_tokener_get_error(tok);
	/* It does not know that a number at the end is over. */
	if (error == json_tokener_continue) {
		*root = json_tokener_parse_ex(tok, "", 1);
		error = json_tokener_get_error(tok);
	} else {
		end = json_tokener_get_parse_end(tok);
	}
	json_tokener_free(tok);
	if (error != json_tokener_success)
		return json_refuse(err, end, json_tokener_error_desc(error));
	return end == len ? 0 : json_refuse(err, end, "data after the value");
}

/* json-c 0.18 takes the bytes of UTF-8 for control characters when it is strict, so it looks at a
 * copy without them first. */
static int
check_syntax(const char *text, size_t len, struct vuc_error *err)
{
	struct json_object *root = NULL;
	char *copy = malloc(len + 1);
	size_t i;
	int rc;

	if (copy == NULL) {
		snprintf(err->text, sizeof(err->text), "out of memory");
		return -ENOMEM;
	}
	for (i = 0; i < len; i++)
		copy[i] = (text[i] & 0x80) != 0 ? '?' : text[i];
	rc = parse(copy, len, JSON_TOKENER_STRICT, &root, err);
	json_object_put(root);
	free(copy);
	return rc;
}

/* Members in a tree, at any depth, which is bounded. */
static size_t
count_members(struct json_object *obj)
{
	size_t n = 0;

	if (json_object_is_type(obj, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(obj); i++)
			n += count_members(json_object_array_get_idx(obj, i));
	} else if (json_object_is_type(obj, json_type_object)) {
		json_object_object_foreach(obj, key, value)
		{
			(void)key;
			n += 1 + count_members(value);
		}
	}
	return n;
}

/* Of members of one name json-c keeps the last: the tree has fewer then. */
static int
refuse_duplicates(struct json_object *root, size_t members, struct vuc_error *err)
{
	if (count_members(root) == members)
		return 0;
	snprintf(err->text, sizeof(err->text), "an object has two members of one name");
	return -EINVAL;
}

int
app_json_parse(const char *text, size_t len, struct json_object **root, struct vuc_error *err)
{
	size_t members;
	int rc;

	*root = NULL;
	while (len > 0 && memchr(" \t\r\n", text[len - 1], 4) != NULL)
		len--;
	rc = check_bytes(text, len, &members, err);
	if (rc == 0)
		rc = check_syntax(text, len, err);
	if (rc == 0)
		rc = parse(text, len, 0, root, err);
	if (rc == 0)
		rc = refuse_duplicates(*root, members, err);
	if (rc != 0) {
		json_object_put(*root);
		*root = NULL;
	}
	return rc;
}
