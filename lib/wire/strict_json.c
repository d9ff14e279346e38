/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "strict_json.h"

/* A part of the text; or every name, when text is NULL. */
struct name {
	const char *text;
	size_t len;
};

static const struct name any_name = {NULL, 0};

static bool
same_name(const struct name *wanted, const char *text, size_t len)
{
	return wanted->text == NULL || (wanted->len == len && memcmp(wanted->text, text, len) == 0);
}

/* From the quote that opens a string to behind the one that closes it, or to the end. */
static const char *
skip_string(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
	}
	return *p == '"' ? p + 1 : p;
}

/*
 * The name of the next member at or behind p, and where its value begins; NULL when there is none.
 * In JSON a colon outside of a string stands behind the name of a member and nowhere else.
 */
static const char *
next_member(const char *p, struct name *name)
{
	while (*p != '\0') {
		if (*p == '"') {
			name->text = p + 1;
			p = skip_string(p);
			name->len = (size_t)(p - name->text) - 1;
		} else if (*p++ == ':') {
			return p;
		}
	}
	return NULL;
}

/* Members of this name in the text, at any depth. */
static size_t
count_in_text(const char *text, const struct name *wanted)
{
	struct name name = {text, 0};
	size_t n = 0;

	while ((text = next_member(text, &name)) != NULL)
		n += same_name(wanted, name.text, name.len);
	return n;
}

/* Members of this name in the tree, at any depth; the parser has bounded the depth. */
static size_t
count_in_tree(struct json_object *obj, const struct name *wanted)
{
	size_t n = 0;

	if (json_object_is_type(obj, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(obj); i++)
			n += count_in_tree(json_object_array_get_idx(obj, i), wanted);
	} else if (json_object_is_type(obj, json_type_object)) {
		struct json_object_iterator it = json_object_iter_begin(obj);
		struct json_object_iterator end = json_object_iter_end(obj);

		for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
			const char *key = json_object_iter_peek_name(&it);

			n += same_name(wanted, key, strlen(key));
			n += count_in_tree(json_object_iter_peek_value(&it), wanted);
		}
	}
	return n;
}

/*
 * json-c drops all but the last of the members of one name in an object, so the tree has fewer
 * members than the text when there are any. Which one it is follows from counting by name; names
 * that are spelled with escapes in the text are not told apart that way and stay without a name.
 */
static int
refuse_duplicates(const char *text, struct json_object *root, struct vuc_error *err)
{
	const char *p = text;
	struct name name = {text, 0};

	if (count_in_text(text, &any_name) == count_in_tree(root, &any_name))
		return 0;
	while ((p = next_member(p, &name)) != NULL) {
		size_t n = count_in_text(text, &name);

		if (n > 1 && n > count_in_tree(root, &name))
			return vuc_error_set(err, -EPROTO, "has the member \"%.*s\" twice",
				(int)name.len, name.text);
	}
	return vuc_error_set(err, -EPROTO, "has a member twice");
}

static int
refuse_character(const char *text, const char *at, struct vuc_error *err)
{
	return vuc_error_set(err, -EPROTO, "is not JSON at byte %zu: unexpected character '%c'",
		(size_t)(at - text), *at);
}

/* A byte that no JSON text has in its place: whether json-c takes it depends on its version. */
static int
refuse_extensions(const char *text, struct vuc_error *err)
{
	static const char outside_strings[] = "{}[]:, \t\r\n+-.0123456789Eaeflnrstu";
	bool in_string = false;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '"')
			in_string = !in_string;
		else if (in_string && *p == '\\' && p[1] != '\0')
			p++;
		else if (in_string ? (unsigned char)*p < ' ' : strchr(outside_strings, *p) == NULL)
			return refuse_character(text, p, err);
	}
	return 0;
}

static int
parse(struct json_tokener *tok, const char *text, size_t len, struct json_object **root,
	struct vuc_error *err)
{
	enum json_tokener_error error;
	size_t end;

	/* With the NUL, which tells the parser that nothing follows. */
	*root = json_tokener_parse_ex(tok, text, (int)len + 1);
	error = json_tokener_get_error(tok);
	end = json_tokener_get_parse_end(tok);
	if (end > len)
		end = len;
	if (error != json_tokener_success)
		return vuc_error_set(err, -EPROTO, "is not JSON at byte %zu: %s", end,
			json_tokener_error_desc(error));
	if (end != len)
		return vuc_error_set(err, -EPROTO, "has data after the JSON text at byte %zu", end);
	return 0;
}

/*
 * A copy in plain ASCII: json-c 0.18 takes the bytes of UTF-8 for control characters, and what they
 * say is in no name or value that anybody reads.
 */
static char *
copy_ascii(const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i <= len; i++)
		copy[i] = (text[i] & 0x80) != 0 ? '?' : text[i];
	return copy;
}

static int
parse_copy(const char *text, size_t len, struct json_object **root, struct vuc_error *err)
{
	struct json_tokener *tok = json_tokener_new_ex(VUC_WIRE_JSON_DEPTH);
	char *copy = copy_ascii(text, len);
	int rc;

	if (tok == NULL || copy == NULL) {
		rc = vuc_error_set(err, -ENOMEM, "cannot be parsed: out of memory");
	} else {
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
		rc = parse(tok, copy, len, root, err);
	}
	free(copy);
	if (tok != NULL)
		json_tokener_free(tok);
	return rc;
}

int
vuc_wire_strict_json_parse(
	const char *text, size_t len, struct json_object **root, struct vuc_error *err)
{
	int rc;

	*root = NULL;
	rc = refuse_extensions(text, err);
	if (rc == 0)
		rc = parse_copy(text, len, root, err);
	if (rc == 0)
		rc = refuse_duplicates(text, *root, err);
	if (rc != 0) {
		json_object_put(*root);
		*root = NULL;
	}
	return rc;
}
