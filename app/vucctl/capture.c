/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "capture_ring.h"
#include "clock.h"
#include "command.h"
#include "fds.h"

#define DEFAULT_SNAPLEN 65536u
#define MIN_SNAPLEN     16u

/* Between looks at a ring without messages. */
#define LOOK_MS 5

struct capture {
	const char *path;
	uint32_t snaplen; /* 0: the default */
	uint64_t count;   /* 0: no end */
	struct vucctl_pcapng file;
	struct vuc_capture_ring *ring;
	uint64_t end_ns; /* until then the daemon has to say goodbye; 0: it was not asked to */
	bool closed;     /* the daemon puts nothing into the ring any more */
	uint8_t bytes[VUC_CAPTURE_SNAPLEN_MAX];
};

static const struct vucctl_option options[] = {
	{"write", 'w', "FILE", "The file to write; - is standard output", VUCCTL_TEXT,
		VUCCTL_MEMBER(struct capture, path)},
	{"count", 'c', "N", "Exit after N messages; no limit by default", VUCCTL_NUMBER,
		VUCCTL_MEMBER(struct capture, count), .max = UINT64_MAX},
	{"snaplen", 's', "N", "Bytes of each message; 65536 by default", VUCCTL_NUMBER,
		VUCCTL_MEMBER(struct capture, snaplen), .min = MIN_SNAPLEN,
		.max = VUC_CAPTURE_SNAPLEN_MAX},
	{0},
};

static bool
is_stdout(const struct capture *capture)
{
	return strcmp(capture->path, "-") == 0;
}

static int
capture_check(struct vucctl *ctl)
{
	struct capture *capture = ctl->own;

	if (capture->path == NULL)
		app_args_error(ctl->state, "no file given: --write is required");
	if (ctl->json && is_stdout(capture))
		app_args_error(ctl->state, "--json requires a file, not standard output");
	if (capture->snaplen == 0)
		capture->snaplen = DEFAULT_SNAPLEN;
	return 0;
}

static int
file_fail(const struct capture *capture, int rc)
{
	return vucctl_fail("%s: %s", capture->path, strerror(-rc));
}

/* ---- the ring ---- */

static int
capture_open_ring(struct vucctl *ctl, struct json_object *result)
{
	struct capture *capture = ctl->own;
	struct app_reply reply = {NULL};
	uint64_t layout = app_reply_number(&reply, result, "layout");
	int fd = app_management_take_fd(&ctl->daemon);
	int rc = -EPROTO;

	if (reply.lacks == NULL && layout == VUC_CAPTURE_LAYOUT && fd >= 0)
		rc = vuc_capture_ring_open(fd, &capture->ring);
	if (rc == 0)
		return 0;
	vuc_fds_close(&fd, 1);
	if (rc == -EPROTO)
		return vucctl_fail(
			"%s: captures of this version of vucd cannot be read", ctl->management);
	return vucctl_fail("%s: the memory of the capture: %s", ctl->management, strerror(-rc));
}

static int
capture_start(struct vucctl *ctl)
{
	const struct capture *capture = ctl->own;
	struct json_object *result;
	struct app_json *params = &ctl->params;
	int ret;

	app_json_text(params, params->root, "name", ctl->args[0]);
	app_json_number(params, params->root, "snaplen", capture->snaplen);
	ret = vucctl_ask(ctl, "devices.capture", params, &result);
	if (ret == 0)
		ret = capture_open_ring(ctl, result);
	json_object_put(result);
	return ret;
}

/* ---- messages ---- */

static bool
has_enough(const struct capture *capture)
{
	return capture->count != 0 && capture->file.messages >= capture->count;
}

/* The daemon ends the capture, and what it has put into the ring until then is taken. */
static void
ask_to_end(struct vucctl *ctl)
{
	struct capture *capture = ctl->own;

	if (capture->end_ns != 0)
		return;
	shutdown(ctl->daemon.fd, SHUT_WR);
	capture->end_ns = vuc_clock_ns() + (uint64_t)ctl->daemon.timeout_ms * 1000000;
}

/* Write all messages that are there, and have them in the file. Returns 0 or EXIT_FAILURE. */
static int
take_messages(struct vucctl *ctl)
{
	struct capture *capture = ctl->own;
	struct vuc_capture_record record;
	int rc = 1;

	while (rc == 1 && !has_enough(capture)) {
		/* While messages come faster than they are written, this does not end. */
		if (vucctl_interrupted())
			ask_to_end(ctl);
		rc = vuc_capture_ring_take(
			capture->ring, &record, capture->bytes, capture->snaplen);
		if (rc == 1)
			vucctl_pcapng_put(&capture->file, &record, capture->bytes);
		if (ferror(capture->file.out))
			break;
	}
	if (rc < 0)
		return vucctl_fail("%s: the capture's memory is corrupt", ctl->management);
	rc = vucctl_pcapng_flush(&capture->file);
	return rc != 0 ? file_fail(capture, rc) : 0;
}

/* Wait for messages or, as the daemon says nothing more, for the end of its connection. */
static void
await_messages(struct vucctl *ctl)
{
	struct capture *capture = ctl->own;
	struct pollfd pfd = {.fd = ctl->daemon.fd, .events = POLLIN};

	if (vucctl_interrupted())
		ask_to_end(ctl);
	/* With a signal, poll() would return at once for ever. */
	if (capture->end_ns != 0)
		capture->closed = poll(&pfd, 1, LOOK_MS) > 0 || vuc_clock_ns() > capture->end_ns;
	else
		capture->closed = vucctl_interrupt_poll(&pfd, 1, LOOK_MS) > 0;
}

/* Why there is nothing more to come; 0: the user wanted it so. */
static int
explain_end(const struct vucctl *ctl, enum vuc_capture_state state)
{
	const struct capture *capture = ctl->own;

	if (has_enough(capture) || vucctl_interrupted())
		return 0;
	if (state == VUC_CAPTURE_REMOVED)
		return vucctl_fail("%s: the device was removed", ctl->args[0]);
	if (state == VUC_CAPTURE_BROKEN)
		return vucctl_fail("%s: the capture's memory is corrupt", ctl->management);
	return vucctl_fail("%s: the daemon has closed the connection", ctl->management);
}

static int
capture_messages(struct vucctl *ctl)
{
	struct capture *capture = ctl->own;
	enum vuc_capture_state state = VUC_CAPTURE_RUNS;
	bool last = false;
	int ret;

	for (;;) {
		ret = take_messages(ctl);
		if (ret != 0)
			return ret;
		if (last || has_enough(capture))
			break;
		await_messages(ctl);
		state = vuc_capture_ring_state(capture->ring);
		last = capture->closed || state != VUC_CAPTURE_RUNS;
	}
	return explain_end(ctl, state);
}

/* ---- the command ---- */

static int
print_totals(const struct vucctl *ctl)
{
	const struct capture *capture = ctl->own;
	struct app_json json;

	if (ctl->json) {
		app_json_init(&json);
		app_json_text(&json, json.root, "device", ctl->args[0]);
		app_json_number(&json, json.root, "messages", capture->file.messages);
		app_json_number(&json, json.root, "dropped", capture->file.dropped);
		return vucctl_print_json(&json);
	}
	if (!is_stdout(capture))
		printf("captured %" PRIu64 " messages, dropped %" PRIu64 "\n",
			capture->file.messages, capture->file.dropped);
	return 0;
}

static int
capture_to_file(struct vucctl *ctl)
{
	struct capture *capture = ctl->own;
	int rc = vucctl_pcapng_open(&capture->file, capture->path, ctl->args[0], capture->snaplen);
	int ret;

	if (rc != 0)
		return file_fail(capture, rc);
	ret = capture_messages(ctl);
	/* Those behind the last message are known only by this. */
	if (!has_enough(capture))
		capture->file.dropped = vuc_capture_ring_dropped(capture->ring);
	rc = vucctl_pcapng_close(&capture->file);
	if (ret == 0 && rc != 0)
		ret = file_fail(capture, rc);
	return print_totals(ctl) != 0 ? EXIT_FAILURE : ret;
}

/* A capture that is refused leaves a file as it is. */
static int
capture_run(struct vucctl *ctl)
{
	struct capture *capture = ctl->own;
	int ret;

	/* What has been captured is written whole, also to a pipe that is full. */
	vucctl_interrupt_install(SA_RESTART);
	ret = capture_start(ctl);
	if (ret == 0)
		ret = capture_to_file(ctl);
	vuc_capture_ring_free(capture->ring);
	return ret;
}

const struct vucctl_command vucctl_capture = {
	.name = "capture",
	.summary = "write a device's messages to a file for Wireshark",
	.doc = "Captures the messages between DEVICE and its server until it is interrupted, and "
	       "writes them to a file, in the format pcapng.",
	.arguments = "DEVICE",
	.daemon = true,
	.options = options,
	.size = sizeof(struct capture),
	.check = capture_check,
	.run = capture_run,
};
