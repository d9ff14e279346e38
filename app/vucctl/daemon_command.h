/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_DAEMON_COMMAND_H
#define VUCCTL_DAEMON_COMMAND_H

/* What the commands that talk to vucd have in common: command line, connection, its errors. */

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon_path.h"
#include "rpc.h"

/* What such a command adds to its options, and what to say of it in its help. */
#define VUCCTL_DAEMON_SHORT_OPTIONS "m:t:jh"
/* clang-format off */
#define VUCCTL_DAEMON_LONG_OPTIONS \
	{"management", required_argument, NULL, 'm'}, \
	{"timeout", required_argument, NULL, 't'}, \
	{"json", no_argument, NULL, 'j'}, \
	{"help", no_argument, NULL, 'h'}
/* clang-format on */
#define VUCCTL_DAEMON_HELP      VUCCTL_DAEMON_HELP_OF("5000")
#define VUCCTL_DAEMON_LONG_HELP VUCCTL_DAEMON_HELP_OF("60000")
#define VUCCTL_DAEMON_HELP_OF(ms)                                                            \
	"  -m, --management PATH  management socket of the daemon; without it,\n"            \
	"                         $VUCD_MANAGEMENT_SOCKET or where vucd has it by default\n" \
	"  -t, --timeout MS       how long the daemon may take for each answer, " ms         \
	" by default\n"

/* What vucd does at once, and what it waits for servers for. */
#define VUCCTL_DAEMON_TIMEOUT_MS      5000
#define VUCCTL_DAEMON_LONG_TIMEOUT_MS 60000

/* The daemon as named on the command line. */
struct vucctl_daemon {
	char path[VUCCTL_DAEMON_PATH_SIZE];
	uint32_t timeout_ms;
	bool json;
	struct vucctl_rpc rpc;
};

struct vucctl_daemon_command {
	const char *name;    /* as it is typed */
	uint32_t timeout_ms; /* 0: VUCCTL_DAEMON_TIMEOUT_MS */
	/* For getopt_long(), those above included. An option that takes no value has a letter.
	 * NULL: there are none but those above. */
	const char *short_options;
	const struct option *options;
	void (*print_help)(void);
	/* Take an option of the command's own; NULL: there are none. Returns 0; the exit status,
	 * the error said. */
	int (*take_option)(void *arg, int opt, const char *value);
	/* Take the arguments, and check what the options are together; NULL: there are none.
	 * Returns likewise. */
	int (*take_arguments)(void *arg, int argc, char *const argv[]);
	/* Do it, connected. Returns the exit status. */
	int (*run)(void *arg, struct vucctl_daemon *daemon);
};

/* Run a command, arg being its own. Returns the exit status. */
int vucctl_daemon_command_run(
	const struct vucctl_daemon_command *command, void *arg, int argc, char *argv[]);

/* As vucctl_rpc_call(), but the error is said, except that a signal came. Returns 0 or
 * EXIT_FAILURE. */
int vucctl_daemon_call(struct vucctl_daemon *daemon, const char *method, struct app_json *params,
	struct json_object **result);

/* The same for a method whose result is not looked at. */
int vucctl_daemon_do(struct vucctl_daemon *daemon, const char *method, struct app_json *params);

/* Say that an answer lacks what it should have. Returns EXIT_FAILURE. */
int vucctl_daemon_fail_answer(
	const struct vucctl_daemon *daemon, const char *method, const char *lacks);

/* With --json, print what was done to a device; text says nothing. Returns the exit status. */
int vucctl_daemon_print_done(
	const struct vucctl_daemon *daemon, const char *device, const char *what);

/* Print a JSON object, or a line of it, and finish it. Returns the exit status. */
int vucctl_daemon_print(struct app_json *json);
int vucctl_daemon_print_line(struct app_json *json);

#endif /* VUCCTL_DAEMON_COMMAND_H */
