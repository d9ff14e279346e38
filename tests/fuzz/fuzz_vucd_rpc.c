/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The input is a byte of flags and lines of JSON-RPC. With LATER, methods that may take their time
 * end when all lines have been read, or never with ABANDON.
 */

#include <stdbool.h>

#include <json-c/json.h>

#include "fuzz.h"
#include "fake_service.h"

#define LATER     0x1
#define ABANDON   0x2
#define MAX_LINES 64

/* Each line has one answer. */
struct line {
	struct vucd_rpc_request *request;
	unsigned int answers;
};

static void
require_response(struct json_object *obj)
{
	struct json_object *id;

	REQUIRE(json_object_is_type(obj, json_type_object));
	REQUIRE(json_object_object_length(obj) == 3);
	REQUIRE(strcmp(json_object_get_string(json_object_object_get(obj, "jsonrpc")), "2.0") == 0);
	REQUIRE(json_object_object_get_ex(obj, "id", &id));
	REQUIRE((json_object_object_get(obj, "result") != NULL) !=
		(json_object_object_get(obj, "error") != NULL));
}

static void
take_answer(void *arg, const char *text, size_t len)
{
	struct line *line = arg;
	struct json_tokener *tok = json_tokener_new();
	struct json_object *root;

	line->answers++;
	REQUIRE(tok != NULL);
	if (text != NULL) {
		REQUIRE(memchr(text, '\n', len) == NULL && strlen(text) == len);
		json_tokener_set_flags(tok, JSON_TOKENER_VALIDATE_UTF8);
		root = json_tokener_parse_ex(tok, text, (int)len);
		REQUIRE(json_tokener_get_error(tok) == json_tokener_success);
		if (json_object_is_type(root, json_type_array)) {
			REQUIRE(json_object_array_length(root) > 0);
			for (size_t i = 0; i < json_object_array_length(root); i++)
				require_response(json_object_array_get_idx(root, i));
		} else {
			require_response(root);
		}
		json_object_put(root);
	}
	json_tokener_free(tok);
}

/* Carry out all lines. Returns how many. */
static unsigned int
run_lines(struct fake_service *fake, struct line lines[MAX_LINES], struct input *in)
{
	unsigned int n = 0;

	while (n < MAX_LINES && in->size > 0) {
		const uint8_t *end = memchr(in->data, '\n', in->size);
		size_t len = end != NULL ? (size_t)(end - in->data) : in->size;

		lines[n].request = vucd_rpc_line(&fake->rpc, "user 0, pid 1",
			(const char *)in->data, len, take_answer, &lines[n]);
		REQUIRE((lines[n].request == NULL) == (lines[n].answers == 1));
		n++;
		in->data += len;
		in->size -= len;
		if (end != NULL) {
			in->data++;
			in->size--;
		}
	}
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line lines[MAX_LINES] = {{NULL, 0}};
	struct input in = {data, size};
	struct fake_service fake;
	uint8_t flags = take_u8(&in);
	unsigned int n;

	fake_service_init(&fake);
	fake.later = (flags & LATER) != 0;
	n = run_lines(&fake, lines, &in);
	for (unsigned int i = 0; i < n && (flags & ABANDON) != 0; i++) {
		if (lines[i].answers == 0)
			vucd_rpc_abandon(lines[i].request);
	}
	while (fake.waiting > 0)
		fake_service_finish(&fake);
	for (unsigned int i = 0; i < n; i++)
		REQUIRE(lines[i].answers == 1 || (flags & ABANDON) != 0);
	return 0;
}
