/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"
#include "number.h"
#include "text.h"

#define MESSAGE_MAX   1024
#define MAX_OPTIONS   32
#define KEY_TRANSPORT 0x10001
#define KEY_CAPTURE   0x10002

/* ---- messages ---- */

int
vucctl_fail(const char *fmt, ...)
{
	char line[MESSAGE_MAX];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(line, sizeof(line), fmt, args) < 0)
		line[0] = '\0';
	va_end(args);
	vuc_text_clean_controls(line);
	fprintf(stderr, "vucctl: %s\n", line);
	return EXIT_FAILURE;
}

int
vucctl_fail_device(const struct vucctl *ctl, int error, const char *fmt, ...)
{
	const char *reason = vuc_device_reason(ctl->dev);
	char what[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return vucctl_fail(
		"%s: %s: %s", ctl->args[0], what, reason[0] != '\0' ? reason : strerror(-error));
}

int
vucctl_fail_answer(const struct vucctl *ctl, const char *method, const char *lacks)
{
	return vucctl_fail(
		"%s: the response to %s lacks a valid '%s'", ctl->management, method, lacks);
}

/* The library's log: warnings, and to a terminal the rest. A vuc_log_fn. */
static void
log_line(void *arg, enum vuc_log_level level, const char *line)
{
	(void)arg;
	if (level <= VUC_LOG_WARNING || isatty(STDERR_FILENO))
		vucctl_fail("%s", line);
}

/* ---- command lines ---- */

uint64_t
vucctl_take_number(
	const struct vucctl *ctl, const char *what, const char *value, uint64_t min, uint64_t max)
{
	uint64_t number;

	if (vuc_number_parse(value, 0, min, max, &number) == 0)
		return number;
	app_args_error(ctl->state, "%s '%s' is not a number from %llu to %llu", what, value,
		(unsigned long long)min, (unsigned long long)max);
}

unsigned int
vucctl_take_word(
	const struct vucctl *ctl, const char *what, const char *value, const char *const *words)
{
	char list[MESSAGE_MAX] = "";
	unsigned int i;

	for (i = 0; words[i] != NULL; i++) {
		if (strcmp(value, words[i]) == 0)
			return i;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			i > 0 ? ", " : "", words[i]);
	}
	app_args_error(ctl->state, "%s '%s' is not one of: %s", what, value, list);
}

static const struct argp_option device_options[] = {
	{"transport", KEY_TRANSPORT, "NAME", 0,
		"'uring' or 'posix'; 'uring' by default where the kernel allows it"},
	{"timeout", 't', "MS", 0,
		"Timeout for connecting and for each reply of the server; 5000 by default, 60000 "
		"for a reset or a change of the migration state"},
	{"trace", 'T', NULL, 0, "Print each message to stderr"},
	{"capture", KEY_CAPTURE, "FILE", 0, "Write all messages to FILE, for Wireshark"},
	{0},
};

static const struct argp_option daemon_options[] = {
	{"management", 'm', "PATH", 0,
		"Management socket of the daemon; $VUCD_MANAGEMENT_SOCKET or vucd's default path "
		"by default"},
	{"timeout", 't', "MS", 0,
		"Timeout for each response of the daemon; 5000 by default, 60000 for add, remove, "
		"detach and reload"},
	VUCCTL_OPTION_JSON,
	{0},
};

static void
take_management(struct vucctl *ctl, const char *value)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(ctl->management))
		app_args_error(ctl->state, "socket path '%s' must have 1 to %zu bytes", value,
			sizeof(ctl->management) - 1);
	memcpy(ctl->management, value, strlen(value) + 1);
}

static void
take_option(struct vucctl *ctl, int key, const char *value)
{
	static const char *const transports[] = {"uring", "posix", NULL};

	if (key == 'j') {
		ctl->json = true;
	} else if (key == 't') {
		ctl->timeout_ms =
			(uint32_t)vucctl_take_number(ctl, "timeout", value, 1, UINT32_MAX);
	} else if (key == 'm' && ctl->command->daemon) {
		take_management(ctl, value);
	} else if (key == 'T') {
		ctl->trace = true;
	} else if (key == KEY_CAPTURE) {
		if (strcmp(value, "-") == 0)
			app_args_error(
				ctl->state, "--capture requires a file, not standard output");
		ctl->capture_path = value;
	} else if (key == KEY_TRANSPORT) {
		vucctl_take_word(ctl, "transport", value, transports);
		ctl->transport = value;
	} else {
		ctl->command->take(ctl, key, value);
	}
}

static void
take_argument(struct vucctl *ctl, const char *value)
{
	unsigned int room = ctl->command->arguments[0] != '\0';
	const char *c;

	for (c = ctl->command->arguments; *c != '\0'; c++)
		room += *c == ' ';
	if (ctl->nr_args >= room)
		app_args_error(ctl->state, "unexpected argument '%s'", value);
	ctl->args[ctl->nr_args++] = value;
}

static void
check_arguments(struct vucctl *ctl)
{
	const char *name = ctl->command->arguments;
	unsigned int i, len;
	char word[32];

	for (i = 0; name[0] != '\0' && name[0] != '['; i++) {
		len = (unsigned int)strcspn(name, " ");
		if (i >= ctl->nr_args || ctl->args[i][0] == '\0') {
			snprintf(word, sizeof(word), "%.*s", (int)len, name);
			for (i = 0; word[i] != '\0'; i++)
				word[i] = (char)tolower((unsigned char)word[i]);
			app_args_error(ctl->state, "no %s given", word);
		}
		name += len + (name[len] == ' ');
	}
}

static error_t
take_key(int key, char *arg, struct argp_state *state)
{
	struct vucctl *ctl = state->input;

	ctl->state = state;
	switch (key) {
	case ARGP_KEY_ARG:
		take_argument(ctl, arg);
		return 0;
	case ARGP_KEY_END:
		check_arguments(ctl);
		if (ctl->command->check != NULL)
			ctl->status = ctl->command->check(ctl);
		return 0;
	case ARGP_KEY_INIT:
	case ARGP_KEY_FINI:
	case ARGP_KEY_SUCCESS:
	case ARGP_KEY_ERROR:
	case ARGP_KEY_ARGS:
	case ARGP_KEY_NO_ARGS:
		return ARGP_ERR_UNKNOWN;
	default:
		take_option(ctl, key, arg);
		return 0;
	}
}

/* ---- devices ---- */

/* A vuc_trace_fn. */
static void
trace_message(void *arg, const struct vuc_trace_message *message)
{
	struct vucctl *ctl = arg;

	if (ctl->trace)
		vucctl_trace_message(&ctl->tracer, message);
	if (ctl->capture.out != NULL)
		vucctl_pcapng_trace(&ctl->capture, message);
}

static struct vuc_device *
device_open(struct vucctl *ctl)
{
	struct vuc_device_opts opts;
	struct vuc_error error = {{0}};
	struct vuc_device *dev;
	int ret;

	vuc_device_opts_init(&opts, sizeof(opts));
	opts.path = ctl->args[0];
	opts.transport = ctl->transport;
	opts.log = log_line;
	opts.dma = ctl->dma;
	if (ctl->timeout_ms != 0)
		opts.timeout_ms = opts.long_timeout_ms = ctl->timeout_ms;
	if (ctl->trace || ctl->capture.out != NULL) {
		vucctl_trace_start(&ctl->tracer, stderr);
		opts.trace = trace_message;
		opts.trace_arg = ctl;
	}
	ret = vuc_device_open(&opts, &dev, &error);
	if (ret == 0)
		return dev;
	if (error.text[0] != '\0')
		vucctl_fail("%s%s", error.text,
			ret == -ETIMEDOUT && strstr(error.text, "VFIO_USER_VERSION") != NULL
				? "; another client may be connected"
				: "");
	else
		vucctl_fail("%s: cannot open the device: %s", ctl->args[0], strerror(-ret));
	return NULL;
}

static int
device_command_run_captured(struct vucctl *ctl)
{
	int ret;

	ctl->dev = device_open(ctl);
	if (ctl->dev == NULL)
		return EXIT_FAILURE;
	ret = ctl->command->run(ctl);
	vuc_device_close(ctl->dev);
	return ret;
}

static int
device_command_run(struct vucctl *ctl)
{
	int ret = 0, rc = 0;

	if (ctl->capture_path != NULL)
		rc = vucctl_pcapng_open(
			&ctl->capture, ctl->capture_path, ctl->args[0], VUC_CAPTURE_SNAPLEN_MAX);
	if (rc == 0) {
		ret = device_command_run_captured(ctl);
		rc = vucctl_pcapng_close(&ctl->capture);
	}
	/* A command that has failed has said why. */
	return rc != 0 && ret == 0 ? vucctl_fail("%s: %s", ctl->capture_path, strerror(-rc)) : ret;
}

/* ---- the daemon ---- */

/* Other signals than those that are to end the program do not end a call. */
static int
poll_until_interrupted(struct pollfd *pfd, int timeout_ms)
{
	int n = vucctl_interrupt_poll(pfd, 1, timeout_ms);

	return n == -EINTR && !vucctl_interrupted() ? -EAGAIN : n;
}

int
vucctl_ask(struct vucctl *ctl, const char *method, struct app_json *params,
	struct json_object **result)
{
	int ret = app_management_call(&ctl->daemon, method, params, result);

	if (ret == 0)
		return 0;
	if (ret == -EINTR)
		return EXIT_FAILURE;
	return vucctl_fail("%s: %s", ctl->management, ctl->daemon.why);
}

int
vucctl_ask_done(struct vucctl *ctl, const char *method, struct app_json *params, const char *what)
{
	struct json_object *result;
	struct app_json json;
	int ret = vucctl_ask(ctl, method, params, &result);

	json_object_put(result);
	if (ret != 0 || !ctl->json)
		return ret;
	app_json_init(&json);
	app_json_text(&json, json.root, "device", ctl->args[0]);
	app_json_bool(&json, json.root, what, true);
	return vucctl_print_json(&json);
}

/* Returns the exit status for what a print of JSON has returned. */
static int
end_print(struct app_json *json, int ret)
{
	app_json_finish(json);
	return ret != 0 ? vucctl_fail("%s", strerror(-ret)) : EXIT_SUCCESS;
}

int
vucctl_print_json(struct app_json *json)
{
	return end_print(json, app_json_print(stdout, json));
}

int
vucctl_print_json_line(struct app_json *json)
{
	int ret = end_print(json, app_json_print_line(stdout, json));

	fflush(stdout);
	return ret;
}

int
vucctl_print_result(struct json_object *result)
{
	struct app_json json;

	app_json_init_copy(&json, result);
	return vucctl_print_json(&json);
}

int
vucctl_print_fields(const struct vucctl *ctl, const char *method, const char *title,
	const struct vucctl_field *fields, struct json_object *result)
{
	struct app_reply reply = {NULL};
	char *text = NULL;
	size_t len;
	FILE *out;

	if (ctl->json)
		return vucctl_print_result(result);
	out = open_memstream(&text, &len);
	if (out == NULL)
		return vucctl_fail("%s", strerror(errno));
	vucctl_fields_print(out, fields, &reply, result);
	fclose(out);
	if (reply.lacks == NULL)
		printf("%s\n%s", title, text);
	free(text);
	return reply.lacks != NULL ? vucctl_fail_answer(ctl, method, reply.lacks) : EXIT_SUCCESS;
}

static int
daemon_command_run(struct vucctl *ctl)
{
	uint32_t timeout_ms = ctl->timeout_ms;
	int ret;

	if (ctl->command->connects)
		return ctl->command->run(ctl);
	if (timeout_ms == 0)
		timeout_ms = ctl->command->timeout_ms != 0 ? ctl->command->timeout_ms
							   : VUCCTL_DAEMON_TIMEOUT_MS;
	if (app_management_open(
		    &ctl->daemon, ctl->management, timeout_ms, poll_until_interrupted) == 0)
		ret = ctl->command->run(ctl);
	else
		ret = vucctl_fail("%s: %s", ctl->management, ctl->daemon.why);
	app_management_close(&ctl->daemon);
	return ret;
}

/* ---- all ---- */

static void
add_options(struct argp_option *all, const struct argp_option *more)
{
	size_t n = 0;

	while (all[n].name != NULL || all[n].key != 0)
		n++;
	for (; more != NULL && (more->name != NULL || more->key != 0) && n < MAX_OPTIONS; more++)
		all[n++] = *more;
}

static void
parse_command_line(struct vucctl *ctl, int argc, char *argv[])
{
	const struct vucctl_command *command = ctl->command;
	struct argp_option options[MAX_OPTIONS + 1] = {{0}};
	const struct argp argp = {
		.options = options,
		.parser = take_key,
		/* An empty text would leave a blank at the end of the line. */
		.args_doc = command->arguments[0] != '\0' ? command->arguments : NULL,
		.doc = command->doc,
		.children = app_args_children,
	};

	add_options(options, command->options);
	add_options(options, command->daemon ? daemon_options : device_options);
	app_args_prepare(&argp, argc, argv, false);
	argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, ctl);
	if (ctl->management[0] == '\0')
		app_management_find(ctl->management);
}

int
vucctl_command_run(const struct vucctl_command *command, int argc, char *argv[])
{
	struct vucctl ctl = {.command = command, .dma = VUC_DMA_SHARED, .daemon.fd = -1};
	char name[64];
	int ret;

	ctl.own = calloc(1, command->size + 1);
	if (ctl.own == NULL)
		return vucctl_fail("%s", strerror(ENOMEM));
	snprintf(name, sizeof(name), "vucctl %s", command->name);
	argv[0] = name;
	parse_command_line(&ctl, argc, argv);
	ret = ctl.status;
	if (ret == 0)
		ret = command->daemon ? daemon_command_run(&ctl) : device_command_run(&ctl);
	if (command->end != NULL)
		command->end(&ctl);
	free(ctl.own);
	return ret;
}
