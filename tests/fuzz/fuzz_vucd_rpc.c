/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The input is a byte of flags and lines of JSON-RPC, for vucd's methods on a daemon that is made
 * up: two devices, one of them attached, and one poller. With LATER, methods that may take their
 * time end when all lines have been read, or never with ABANDON. A MONITOR changes nothing.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include <json-c/json.h>

#include <vuc/stats.h>

#include "daemon.h"
#include "fuzz.h"
#include "methods.h"

#define LATER     0x1
#define ABANDON   0x2
#define MONITOR   0x4
#define MAX_LINES 64

/* ---- the daemon ---- */

static const struct vuc_control_device devices[] = {
	{
		.name = "disk0",
		.state = VUC_CONTROL_ATTACHED,
		.generation = 3,
		.vmm_pid = 4711,
		.vmm_name = "qemu",
		.reads = UINT64_MAX,
	},
	{.name = "net0", .state = VUC_CONTROL_AWAY, .reason = "Connection \"refused\" \xff"},
};

#define NR_DEVICES (sizeof(devices) / sizeof(devices[0]))

/* Who asks. */
static struct vucd_rpc_caller who = {.text = "user 0, pid 1"};

/* Changes that have not ended: each line is one at most. */
static bool later;
static unsigned int waiting;
static struct {
	vucd_done_fn done;
	void *arg;
} pending[MAX_LINES];

void
vuc_control_list(struct vuc_control *control, vuc_control_device_fn fn, void *arg)
{
	(void)control;
	for (size_t i = 0; i < NR_DEVICES; i++)
		fn(arg, &devices[i]);
}

int
vuc_control_look(struct vuc_control *control, const char *name, struct vuc_control_device *device)
{
	(void)control;
	for (size_t i = 0; i < NR_DEVICES; i++) {
		if (strcmp(devices[i].name, name) == 0) {
			*device = devices[i];
			return 0;
		}
	}
	return -ENOENT;
}

int
vuc_control_capture_start(struct vuc_control *control, const char *name, uint32_t snaplen,
	const char *owner, struct vuc_control_capture **capture, int *fd, struct vuc_error *err)
{
	(void)control;
	(void)snaplen;
	(void)owner;
	*capture = NULL;
	*fd = -1;
	snprintf(err->text, sizeof(err->text), "there is no device %.64s", name);
	return -ENOENT;
}

void
vuc_control_capture_stop(struct vuc_control_capture *capture)
{
	(void)capture;
}

unsigned int
vuc_control_connections(struct vuc_control *control)
{
	(void)control;
	return 2;
}

int
vuc_poller_get_stats(struct vuc_poller *poller, struct vuc_poller_stats *stats)
{
	(void)poller;
	*stats = (struct vuc_poller_stats){.devices = 2, .accesses.burst_sizes = {1, 2}};
	return 0;
}

int
vuc_poller_cpu(const struct vuc_poller *poller)
{
	(void)poller;
	return 3;
}

const char *
vuc_poller_name(const struct vuc_poller *poller)
{
	(void)poller;
	return "io0";
}

const char *
vuc_poller_placement(const struct vuc_poller *poller)
{
	(void)poller;
	return "as was asked for";
}

static void
change(vucd_done_fn done, void *arg)
{
	REQUIRE(who.group == NULL);
	if (later) {
		pending[waiting].done = done;
		pending[waiting++].arg = arg;
	} else {
		done(arg, -EBUSY, "it is in use");
	}
}

static void
change_finish(void)
{
	vucd_done_fn done = pending[0].done;
	void *arg = pending[0].arg;

	memmove(&pending[0], &pending[1], --waiting * sizeof(pending[0]));
	done(arg, 0, "");
}

void
vucd_devices_add(struct vucd_devices *d, const struct vucd_device_config *config, vucd_done_fn done,
	void *arg)
{
	(void)d;
	REQUIRE(vucd_is_name(config->name, VUC_CONTROL_NAME_SIZE - 1) && config->socket[0] == '/');
	REQUIRE(config->retry_min_ms >= 1 && config->retry_min_ms <= config->retry_max_ms);
	REQUIRE(config->timeout_ms >= 1 && config->users.nr <= VUCD_MAX_IDS);
	change(done, arg);
}

void
vucd_devices_remove(
	struct vucd_devices *d, const char *name, bool force, vucd_done_fn done, void *arg)
{
	(void)d;
	(void)force;
	REQUIRE(name != NULL);
	change(done, arg);
}

void
vucd_devices_detach(struct vucd_devices *d, const char *name, vucd_done_fn done, void *arg)
{
	vucd_devices_remove(d, name, true, done, arg);
}

void
vucd_reload_start(struct vucd_reload *reload, vucd_reload_fn fn, vucd_done_fn done, void *arg)
{
	(void)reload;
	fn(arg, VUCD_RELOAD_ADDED, "a", "");
	fn(arg, VUCD_RELOAD_RESTART, "[vucd] group", "");
	fn(arg, VUCD_RELOAD_FAILED, "c", "it has a VMM \xff");
	change(done, arg);
}

/* ---- lines ---- */

/* Each has one answer. */
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
	REQUIRE(tok != NULL && line->request == NULL);
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
run_lines(const struct vucd_rpc *rpc, struct line lines[MAX_LINES], struct input *in)
{
	unsigned int n = 0;

	while (n < MAX_LINES && in->size > 0) {
		const uint8_t *end = memchr(in->data, '\n', in->size);
		size_t len = end != NULL ? (size_t)(end - in->data) : in->size;

		vucd_rpc_line(rpc, &who, (const char *)in->data, len, take_answer, &lines[n],
			&lines[n].request);
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
	static struct vucd_poller poller = {.transport = "uring"};
	struct line lines[MAX_LINES] = {{NULL, 0}};
	struct input in = {data, size};
	struct vucd_log log;
	struct vucd_daemon d = {.log = &log, .version = "1.2.3", .pollers = {1, &poller}};
	const struct vucd_rpc rpc = {.methods = vucd_methods(), .arg = &d};
	uint8_t flags = take_u8(&in);
	unsigned int n;

	vucd_log_init(&log, -1); /* to nowhere */
	later = (flags & LATER) != 0;
	who.group = (flags & MONITOR) != 0 ? "monitors" : NULL;
	n = run_lines(&rpc, lines, &in);
	for (unsigned int i = 0; i < n && (flags & ABANDON) != 0; i++) {
		if (lines[i].answers == 0)
			vucd_rpc_abandon(lines[i].request);
	}
	while (waiting > 0)
		change_finish();
	for (unsigned int i = 0; i < n; i++)
		REQUIRE(lines[i].answers == 1 || (flags & ABANDON) != 0);
	vucd_log_fini(&log);
	return 0;
}
