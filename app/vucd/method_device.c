/* SPDX-License-Identifier: BSD-3-Clause */
#include "method_device.h"

#include <stdio.h>
#include <string.h>

#include "ini.h"
#include "service.h"

/* The end of what the service was asked to do. */
static void
done(void *arg, int rc, const char *why)
{
	struct vucd_rpc_call *call = arg;

	if (rc == 0)
		vucd_rpc_return(call);
	else
		vucd_rpc_fail(call, VUCD_RPC_FAILED, rc, "%s", why);
}

/* ---- devices.add ---- */

enum {
	ADD_NAME
};

/* The name, and the keys of a [device] section with '_' for '-'. */
const struct vucd_rpc_param vucd_devices_add_params[] = {
	[ADD_NAME] = {"name", VUCD_RPC_STRING, true},
	{"socket", VUCD_RPC_STRING, true},
	{"poller", VUCD_RPC_STRING, false},
	{"dma", VUCD_RPC_STRING, false},
	{"posted_writes", VUCD_RPC_STRING, false},
	{"io_fds", VUCD_RPC_BOOL, false},
	{"max_dma_maps", VUCD_RPC_NUMBER, false},
	{"timeout_ms", VUCD_RPC_NUMBER, false},
	{"long_timeout_ms", VUCD_RPC_NUMBER, false},
	{"retry_min_ms", VUCD_RPC_NUMBER, false},
	{"retry_max_ms", VUCD_RPC_NUMBER, false},
	{"users", VUCD_RPC_STRINGS, false},
	{"groups", VUCD_RPC_STRINGS, false},
	{"reset", VUCD_RPC_STRING, false},
	{NULL, VUCD_RPC_STRING, false},
};

/* Text as it would stand in the file; false for what would not fit a line of it. */
struct text {
	char bytes[VUCD_INI_VALUE_SIZE];
	size_t len;
};

static bool
text_append(struct text *text, const char *more)
{
	size_t len = strlen(more);

	if (len >= sizeof(text->bytes) - text->len)
		return false;
	memcpy(text->bytes + text->len, more, len + 1);
	text->len += len;
	return true;
}

/* A list with commas; a word with one in it would be two. */
static bool
append_strings(struct text *text, struct json_object *array)
{
	size_t n = json_object_array_length(array);
	size_t i;

	if (n == 0)
		return text_append(text, "none");
	for (i = 0; i < n; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(array, i));

		if (strchr(word, ',') != NULL || !text_append(text, i > 0 ? "," : "") ||
			!text_append(text, word))
			return false;
	}
	return true;
}

static bool
make_text(struct text *text, enum vucd_rpc_type type, struct json_object *value)
{
	text->len = 0;
	text->bytes[0] = '\0';
	switch (type) {
	case VUCD_RPC_STRINGS:
		return append_strings(text, value);
	case VUCD_RPC_BOOL:
		return text_append(text, json_object_get_boolean(value) ? "on" : "off");
	default: /* strings are themselves, and so are integers */
		return text_append(text, json_object_get_string(value));
	}
}

static void
set_param(struct vucd_device_config *config, const struct vucd_rpc_param *param,
	struct json_object *value, struct vucd_report *report)
{
	char key[VUCD_INI_KEY_SIZE];
	struct text text;
	char *c;

	snprintf(key, sizeof(key), "%s", param->name);
	for (c = key; *c != '\0'; c++) {
		if (*c == '_')
			*c = '-';
	}
	if (make_text(&text, param->type, value))
		vucd_device_config_set(config, key, text.bytes, report);
	else
		vucd_report(report, 0, "%s: expected at most %zu bytes, and no comma in a word",
			key, sizeof(text.bytes) - 1);
}

/* Keeps the first report. */
static void
keep_report(void *arg, unsigned int line, const char *text)
{
	struct vuc_error *err = arg;

	(void)line;
	if (err->text[0] == '\0')
		snprintf(err->text, sizeof(err->text), "%s", text);
}

void
vucd_call_devices_add(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;
	const struct vucd_rpc_param *params = vucd_devices_add_params;
	struct vuc_error err = {""};
	struct vucd_report report = {.fn = keep_report, .arg = &err};
	struct vucd_device_config config;
	size_t i;

	vucd_device_config_init(&config);
	vucd_device_config_set_name(
		&config, json_object_get_string(call->params[ADD_NAME]), &report);
	for (i = ADD_NAME + 1; params[i].name != NULL; i++) {
		if (call->params[i] != NULL)
			set_param(&config, &params[i], call->params[i], &report);
	}
	if (report.count == 0)
		vucd_device_config_check(&config, &report);
	if (report.count > 0)
		vucd_rpc_fail(call, VUCD_RPC_INVALID_PARAMS, 0, "%s", err.text);
	else
		s->ops->add_device(s->arg, call->who, &config, done, call);
}

/* ---- devices.remove ---- */

enum {
	REMOVE_NAME,
	REMOVE_FORCE
};

const struct vucd_rpc_param vucd_devices_remove_params[] = {
	[REMOVE_NAME] = {"name", VUCD_RPC_STRING, true},
	[REMOVE_FORCE] = {"force", VUCD_RPC_BOOL, false},
	{NULL, VUCD_RPC_STRING, false},
};

void
vucd_call_devices_remove(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;
	bool force = json_object_get_boolean(call->params[REMOVE_FORCE]);

	s->ops->remove_device(s->arg, call->who, json_object_get_string(call->params[REMOVE_NAME]),
		force, done, call);
}

/* ---- vmms.detach ---- */

const struct vucd_rpc_param vucd_vmms_detach_params[] = {
	{"device", VUCD_RPC_STRING, true},
	{NULL, VUCD_RPC_STRING, false},
};

void
vucd_call_vmms_detach(struct vucd_rpc_call *call)
{
	const struct vucd_service *s = call->service;

	s->ops->detach_vmm(s->arg, call->who, json_object_get_string(call->params[0]), done, call);
}
