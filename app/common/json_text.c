/* SPDX-License-Identifier: BSD-3-Clause */
#include "json_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

/* The text that is being looked at; its end stands behind the last byte. */
struct cursor {
	const char *start;
	const char *at;
	const char *end;
	unsigned int depth;
	size_t members;  /* of all objects so far */
	const char *why; /* what is wrong at `at` */
};

static bool look_at_value(struct cursor *c);

static bool
cursor_refuse(struct cursor *c, const char *why)
{
	c->why = why;
	return false;
}

/* The byte at the cursor, -1 at the end. */
static int
cursor_peek(const struct cursor *c)
{
	return c->at < c->end ? (unsigned char)*c->at : -1;
}

static bool
cursor_accept(struct cursor *c, char wanted)
{
	if (cursor_peek(c) != wanted)
		return false;
	c->at++;
	return true;
}

static void
skip_blanks(struct cursor *c)
{
	while (c->at < c->end && memchr(" \t\r\n", *c->at, 4) != NULL)
		c->at++;
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool
is_hex(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* ---- strings ---- */

static bool
look_at_unicode_escape(struct cursor *c)
{
	unsigned int i, zeros = 0;

	for (i = 0; i < 4; i++, c->at++) {
		if (!is_hex(cursor_peek(c)))
			return cursor_refuse(c, "\\u wants four hexadecimal digits");
		zeros += *c->at == '0';
	}
	return zeros < 4 || cursor_refuse(c, "U+0000 in a string");
}

static bool
look_at_escape(struct cursor *c)
{
	int kind = cursor_peek(c);

	if (kind <= 0 || strchr("\"\\/bfnrtu", kind) == NULL)
		return cursor_refuse(c, "an unknown escape");
	c->at++;
	return kind != 'u' || look_at_unicode_escape(c);
}

static bool
look_at_utf8(struct cursor *c)
{
	uint32_t code;
	size_t len = app_utf8_decode(c->at, (size_t)(c->end - c->at), &code);

	if (len == 0)
		return cursor_refuse(c, "not UTF-8");
	c->at += len;
	return true;
}

/* Behind the quote that opens it. */
static bool
look_at_string(struct cursor *c)
{
	bool ok = true;

	while (ok && !cursor_accept(c, '"')) {
		int byte = cursor_peek(c);

		if (byte < 0)
			return cursor_refuse(c, "a string without an end");
		if (byte < ' ')
			return cursor_refuse(c, "a control character in a string");
		if (byte >= 0x80) {
			ok = look_at_utf8(c);
		} else {
			c->at++;
			ok = byte != '\\' || look_at_escape(c);
		}
	}
	return ok;
}

/* ---- numbers ---- */

static bool
look_at_digits(struct cursor *c)
{
	const char *start = c->at;

	while (is_digit(cursor_peek(c)))
		c->at++;
	if (c->at == start)
		return cursor_refuse(c, "expected a digit");
	return c->at - start <= APP_JSON_DIGITS || cursor_refuse(c, "a number too long");
}

static bool
look_at_number(struct cursor *c)
{
	cursor_accept(c, '-');
	if (!cursor_accept(c, '0') && !look_at_digits(c))
		return false;
	if (cursor_accept(c, '.') && !look_at_digits(c))
		return false;
	if (cursor_accept(c, 'e') || cursor_accept(c, 'E')) {
		if (!cursor_accept(c, '+'))
			cursor_accept(c, '-');
		return look_at_digits(c);
	}
	return true;
}

/* ---- values ---- */

static bool
look_at_word(struct cursor *c)
{
	static const char *const words[] = {"true", "false", "null"};
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(c->end - c->at) >= len && memcmp(c->at, words[i], len) == 0) {
			c->at += len;
			return true;
		}
	}
	return cursor_refuse(c, "expected a value");
}

static bool
look_at_member(struct cursor *c)
{
	skip_blanks(c);
	c->members++;
	if (!cursor_accept(c, '"'))
		return cursor_refuse(c, "expected a name in quotes");
	if (!look_at_string(c))
		return false;
	skip_blanks(c);
	return cursor_accept(c, ':') ? look_at_value(c) : cursor_refuse(c, "expected ':'");
}

/* Behind the bracket that opens it; close is the one that closes it. */
static bool
look_at_list(struct cursor *c, char close)
{
	if (++c->depth > APP_JSON_DEPTH)
		return cursor_refuse(c, "nested too deeply");
	skip_blanks(c);
	if (!cursor_accept(c, close)) {
		do {
			if (close == '}' ? !look_at_member(c) : !look_at_value(c))
				return false;
			skip_blanks(c);
		} while (cursor_accept(c, ','));
		if (!cursor_accept(c, close))
			return cursor_refuse(
				c, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
	}
	c->depth--;
	return true;
}

static bool
look_at_value(struct cursor *c)
{
	skip_blanks(c);
	if (cursor_accept(c, '{'))
		return look_at_list(c, '}');
	if (cursor_accept(c, '['))
		return look_at_list(c, ']');
	if (cursor_accept(c, '"'))
		return look_at_string(c);
	if (cursor_peek(c) == '-' || is_digit(cursor_peek(c)))
		return look_at_number(c);
	return look_at_word(c);
}

/* Sets members to how many there are in all objects. */
static int
json_check(const char *text, size_t len, size_t *members, struct vuc_error *err)
{
	struct cursor c = {.start = text, .at = text, .end = text + len};
	bool ok = look_at_value(&c);

	if (ok) {
		skip_blanks(&c);
		*members = c.members;
		if (c.at == c.end)
			return 0;
		cursor_refuse(&c, "something behind the value");
	}
	snprintf(err->text, sizeof(err->text), "byte %zu: %s", (size_t)(c.at - c.start), c.why);
	return -EINVAL;
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
refuse_duplicates(struct json_object **root, size_t members, struct vuc_error *err)
{
	if (count_members(*root) == members)
		return 0;
	json_object_put(*root);
	*root = NULL;
	snprintf(err->text, sizeof(err->text), "an object has two members of one name");
	return -EINVAL;
}

int
app_json_parse(const char *text, size_t len, struct json_object **root, struct vuc_error *err)
{
	/* A text that has been checked cannot fail for more than want of memory. */
	struct json_tokener *tok;
	size_t members = 0;
	int rc = json_check(text, len, &members, err);

	*root = NULL;
	if (rc != 0)
		return rc;
	tok = json_tokener_new_ex(APP_JSON_DEPTH + 2);
	if (tok != NULL) {
		*root = json_tokener_parse_ex(tok, text, (int)len);
		/* It does not know that a number at the end is over. */
		if (json_tokener_get_error(tok) == json_tokener_continue)
			*root = json_tokener_parse_ex(tok, "", 1);
		if (json_tokener_get_error(tok) == json_tokener_success) {
			json_tokener_free(tok);
			return refuse_duplicates(root, members, err);
		}
		json_tokener_free(tok);
	}
	snprintf(err->text, sizeof(err->text), "out of memory");
	return -ENOMEM;
}
