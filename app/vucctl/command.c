/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "number.h"
#include "text.h"

#define MESSAGE_MAX 1024
#define KEY_FIRST   0x10000 /* of options without a letter */

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

/* Check that the value is one of some words. */
static void
take_word(const struct vucctl *ctl, const char *what, const char *value, const char *const *words)
{
	char list[MESSAGE_MAX] = "";
	unsigned int i;

	for (i = 0; words[i] != NULL; i++) {
		if (strcmp(value, words[i]) == 0)
			return;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			i > 0 ? ", " : "", words[i]);
	}
	app_args_error(ctl->state, "%s '%s' is not one of: %s", what, value, list);
}

static void
take_management(struct vucctl *ctl, const char *value)
{
	if (value[0] == '\0' || strlen(value) >= sizeof(ctl->management))
		app_args_error(ctl->state, "socket path '%s' must have 1 to %zu bytes", value,
			sizeof(ctl->management) - 1);
	memcpy(ctl->management, value, strlen(value) + 1);
}

static void
take_capture(struct vucctl *ctl, const char *value)
{
	if (strcmp(value, "-") == 0)
		app_args_error(ctl->state, "--capture requires a file, not standard output");
	ctl->capture_path = value;
}

static const char *const transports[] = {"uring", "posix", NULL};

static const struct vucctl_option device_options[] = {
	{"transport", 0, "NAME",
		"'uring' or 'posix'; 'uring' by default where the kernel allows it", VUCCTL_TEXT,
		VUCCTL_COMMON_MEMBER(transport), .words = transports},
	{"timeout", 't', "MS",
		"Timeout for connecting and for each reply of the server; 5000 by default, 60000 "
		"for a reset or a change of the migration state",
		VUCCTL_NUMBER, VUCCTL_COMMON_MEMBER(timeout_ms), .min = 1, .max = UINT32_MAX},
	{"trace", 'T', NULL, "Print each message to stderr", VUCCTL_SET,
		VUCCTL_COMMON_MEMBER(trace)},
	{"capture", 0, "FILE", "Write all messages to FILE, for Wireshark", .take = take_capture},
	{0},
};

static const struct vucctl_option daemon_options[] = {
	{"management", 'm', "PATH",
		"Management socket of the daemon; $VUCD_MANAGEMENT_SOCKET or vucd's default path "
		"by default",
		.take = take_management},
	{"timeout", 't', "MS",
		"Timeout for each response of the daemon; 5000 by default, 60000 for add, remove, "
		"detach and reload",
		VUCCTL_NUMBER, VUCCTL_COMMON_MEMBER(timeout_ms), .min = 1, .max = UINT32_MAX},
	VUCCTL_OPTION_JSON,
	{0},
};

/* Have argp know of more options. */
static void
add_options(struct vucctl *ctl, struct argp_option *options, const struct vucctl_option *more)
{
	for (; more != NULL && (more->name != NULL || more->letter != 0); more++) {
		unsigned int n = ctl->nr_options++;

		assert(n < VUCCTL_MAX_OPTIONS);
		ctl->options[n] = more;
		options[n] = (struct argp_option){
			.name = more->name,
			.key = more->letter != 0 ? more->letter : KEY_FIRST + (int)n,
			.arg = more->argument,
			.flags = more->name == NULL ? OPTION_ALIAS : 0,
			.doc = more->doc,
		};
	}
}

static const struct vucctl_option *
find_option(const struct vucctl *ctl, int key)
{
	unsigned int i;

	if (key >= KEY_FIRST)
		return ctl->options[key - KEY_FIRST];
	for (i = 0; ctl->options[i]->letter != key; i++)
		continue;
	return ctl->options[i];
}

static void
member_set(const struct vucctl *ctl, const struct vucctl_option *option, void *member,
	const char *value)
{
	uint64_t number;

	switch (option->kind) {
	case VUCCTL_NUMBER:
		number = vucctl_take_number(ctl, option->name, value, option->min, option->max);
		if (option->size == sizeof(uint32_t))
			*(uint32_t *)member = (uint32_t)number;
		else
			*(uint64_t *)member = number;
		break;
	case VUCCTL_TEXT:
		*(const char **)member = value;
		break;
	default:
		*(bool *)member = option->kind == VUCCTL_SET;
		break;
	}
}

/* Words with commas between; no word at all for an empty text. */
static void
add_list(struct app_json *params, const char *key, const char *value)
{
	struct json_object *array = app_json_array(params, params->root, key);
	char *copy = strdup(value);
	char *word, *rest = NULL;

	params->failed |= copy == NULL;
	for (word = copy != NULL ? strtok_r(copy, ", ", &rest) : NULL; word != NULL;
		word = strtok_r(NULL, ", ", &rest))
		app_json_text(params, array, NULL, word);
	free(copy);
}

void
vucctl_add_path(struct vucctl *ctl, const char *key, const char *path)
{
	char absolute[2 * PATH_MAX] = "";
	bool relative = path[0] != '/';

	if (relative && getcwd(absolute, PATH_MAX) == NULL) {
		ctl->status = vucctl_fail("%s: %s", path, strerror(errno));
		return;
	}
	if (strlen(absolute) + relative + strlen(path) >= PATH_MAX) {
		ctl->status = vucctl_fail("%s: %s", path, strerror(ENAMETOOLONG));
		return;
	}
	strcat(absolute, relative ? "/" : "");
	strcat(absolute, path);
	app_json_text(&ctl->params, ctl->params.root, key, absolute);
}

/* A parameter that is given once more takes the place of the one before. */
static void
parameter_add(struct vucctl *ctl, const struct vucctl_option *option, const char *value)
{
	static const char *const switches[] = {"off", "on", NULL};
	struct app_json *params = &ctl->params;

	switch (option->kind) {
	case VUCCTL_NUMBER:
		app_json_number(params, params->root, option->parameter,
			vucctl_take_number(ctl, option->name, value, option->min, option->max));
		break;
	case VUCCTL_TEXT:
		app_json_text(params, params->root, option->parameter, value);
		break;
	case VUCCTL_SWITCH:
		take_word(ctl, option->name, value, switches);
		app_json_bool(params, params->root, option->parameter, strcmp(value, "on") == 0);
		break;
	case VUCCTL_LIST:
		add_list(params, option->parameter, value);
		break;
	case VUCCTL_PATH:
		vucctl_add_path(ctl, option->parameter, value);
		break;
	default:
		app_json_bool(params, params->root, option->parameter, option->kind == VUCCTL_SET);
		break;
	}
}

static void
take_option(struct vucctl *ctl, int key, const char *value)
{
	const struct vucctl_option *option = find_option(ctl, key);
	char *base = option->common ? (char *)ctl : ctl->own;

	if (option->words != NULL)
		take_word(ctl, option->name, value, option->words);
	if (option->take != NULL)
		option->take(ctl, value);
	else if (option->parameter != NULL)
		parameter_add(ctl, option, value);
	else
		member_set(ctl, option, base + option->offset, value);
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
		if (ctl->status == 0 && ctl->command->check != NULL)
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
	uint64_t ns = vuc_clock_ns() - ctl->opened_ns;

	if (ctl->trace) {
		vucctl_time_print(stderr, ns);
		putc(' ', stderr);
		vucctl_message_print(stderr, message);
	}
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
		ctl->opened_ns = vuc_clock_ns();
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
vucctl_ask_done(struct vucctl *ctl, const char *method, const char *key, const char *what)
{
	struct json_object *result;
	struct app_json json;
	int ret;

	app_json_text(&ctl->params, ctl->params.root, key, ctl->args[0]);
	ret = vucctl_ask(ctl, method, &ctl->params, &result);
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
parse_command_line(struct vucctl *ctl, int argc, char *argv[])
{
	const struct vucctl_command *command = ctl->command;
	struct argp_option options[VUCCTL_MAX_OPTIONS + 1] = {{0}};
	const struct argp argp = {
		.options = options,
		.parser = take_key,
		/* An empty text would leave a blank at the end of the line. */
		.args_doc = command->arguments[0] != '\0' ? command->arguments : NULL,
		.doc = command->doc,
		.children = app_args_children,
	};

	add_options(ctl, options, command->options);
	add_options(ctl, options, command->daemon ? daemon_options : device_options);
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
	app_json_init(&ctl.params);
	snprintf(name, sizeof(name), "vucctl %s", command->name);
	argv[0] = name;
	parse_command_line(&ctl, argc, argv);
	ret = ctl.status;
	if (ret == 0)
		ret = command->daemon ? daemon_command_run(&ctl) : device_command_run(&ctl);
	if (command->end != NULL)
		command->end(&ctl);
	app_json_finish(&ctl.params);
	free(ctl.own);
	return ret;
}
