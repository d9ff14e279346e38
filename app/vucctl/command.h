/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_COMMAND_H
#define VUCCTL_COMMAND_H

/* The commands of vucctl: their command lines, what they work on, and what they say when it fails.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/device.h>

#include "args.h"
#include "pcapng.h"
#include "print.h"
#include "management.h"

#define VUCCTL_MAX_ARGUMENTS 5
#define VUCCTL_MAX_OPTIONS   32

struct vucctl;

/* ---- what a command is ---- */

/* What the argument of an option is, and what it becomes. */
enum vucctl_option_kind {
	VUCCTL_SET,    /* no argument: a bool that is set */
	VUCCTL_CLEAR,  /* the same, cleared */
	VUCCTL_NUMBER, /* min to max, of 4 or 8 bytes */
	VUCCTL_TEXT,   /* one of words, if there are any */
	/* Of parameters only: */
	VUCCTL_SWITCH, /* "on" or "off": a bool */
	VUCCTL_LIST,   /* an array of texts: words with commas or blanks between */
	VUCCTL_PATH,   /* made absolute: the daemon has another working directory */
};

/* An option. One that is wrong ends the program. */
struct vucctl_option {
	const char *name;     /* NULL: another letter for the one before */
	char letter;          /* 0: none */
	const char *argument; /* what its argument is called; NULL: it has none */
	const char *doc;
	enum vucctl_option_kind kind;
	/* Where the value goes: to a member, to a parameter of the daemon's method, or to take().
	 */
	bool common; /* it is a member of struct vucctl, else of the command's own struct */
	size_t offset, size;
	const char *parameter;
	void (*take)(struct vucctl *ctl, const char *value);
	uint64_t min, max;
	const char *const *words; /* end with NULL */
};

#define VUCCTL_MEMBER(type, member) \
	.offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define VUCCTL_COMMON_MEMBER(member) .common = true, VUCCTL_MEMBER(struct vucctl, member)

/* For commands that print JSON; those for the daemon have it anyway. */
#define VUCCTL_OPTION_JSON                                                                         \
	{                                                                                          \
		"json", 'j', NULL, "Print one JSON object", VUCCTL_SET, VUCCTL_COMMON_MEMBER(json) \
	}

struct vucctl_command {
	const char *name;      /* as it is typed, "irq wait" */
	const char *summary;   /* one line for the list of commands */
	const char *doc;       /* sentences for its help */
	const char *arguments; /* "SOCKET REGION [SIZE]": those in brackets may be left out */
	bool daemon;           /* it asks the daemon; others open the device behind argument 0 */
	bool connects;         /* it connects to the daemon by itself */
	uint32_t timeout_ms;   /* for the daemon's answers; 0: VUCCTL_DAEMON_TIMEOUT_MS */
	const struct vucctl_option *options; /* of its own; the last one is all zeros */
	size_t size;                         /* of a struct of its own, which begins as zeros */
	/* Check options and arguments together; what is wrong ends the program. Returns 0; the exit
	 * status, the error said. NULL: there is nothing to check. */
	int (*check)(struct vucctl *ctl);
	/* Do it, with the device open or the daemon connected. Prints to stdout, whose errors
	 * main() looks at. Returns the exit status, the error said. */
	int (*run)(struct vucctl *ctl);
	/* Free what it has, after the device was closed and also when nothing was run. */
	void (*end)(struct vucctl *ctl);
};

/* A run of a command. */
struct vucctl {
	const struct vucctl_command *command;
	void *own;
	const struct vucctl_option *options[VUCCTL_MAX_OPTIONS];
	unsigned int nr_options;
	const struct argp_state *state; /* while the command line is taken apart */
	const char *args[VUCCTL_MAX_ARGUMENTS];
	unsigned int nr_args;
	uint32_t timeout_ms; /* 0: the default */
	bool json;
	int status; /* of the command line */

	/* Of commands for a device: */
	const char *transport;   /* NULL: the library's choice */
	enum vuc_dma_policy dma; /* set by commands that map memory */
	bool trace;
	uint64_t opened_ns;       /* times of the trace are counted from here on */
	const char *capture_path; /* NULL: none */
	struct vucctl_pcapng capture;
	struct vuc_device *dev;

	/* Of commands for the daemon: */
	char management[APP_MANAGEMENT_PATH_SIZE];
	struct app_management daemon;
	struct app_json params; /* of the method, for those that have it called with them */
};

/* Waits of vucd's: what it does at once, and what it waits for servers for. */
#define VUCCTL_DAEMON_TIMEOUT_MS      5000
#define VUCCTL_DAEMON_LONG_TIMEOUT_MS 60000

/* Run a command: argv[0] is its last word. Returns the exit status. */
int vucctl_command_run(const struct vucctl_command *command, int argc, char *argv[]);

/* The value of an option or argument as a number of min to max; anything else is wrong usage, which
 * ends the program. what is its name in the error. */
uint64_t vucctl_take_number(
	const struct vucctl *ctl, const char *what, const char *value, uint64_t min, uint64_t max);

/* Add a path to the parameters, made absolute. */
void vucctl_add_path(struct vucctl *ctl, const char *key, const char *path);

/* ---- messages and output ---- */

/* Print exactly one line, "vucctl: " and the message, to stderr, control characters as '?'. Returns
 * EXIT_FAILURE. */
int vucctl_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Say that a call on the device returned error, a negative errno: what was tried, and the device's
 * reason. Returns EXIT_FAILURE. */
int vucctl_fail_device(const struct vucctl *ctl, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Print a JSON object, or a line of it, and finish it. Returns the exit status. */
int vucctl_print_json(struct app_json *json);
int vucctl_print_json_line(struct app_json *json);

/* Print an answer of the daemon as JSON, cleaned of what a terminal would act upon. Returns the
 * exit status. */
int vucctl_print_result(struct json_object *result);

/* Print it as JSON or else as a line for each of its fields below a title. Returns likewise. */
int vucctl_print_fields(const struct vucctl *ctl, const char *method, const char *title,
	const struct vucctl_field *fields, struct json_object *result);

/* ---- the daemon ---- */

/* Call a method of the daemon, as app_management_call(), but the error is said, except that a
 * signal came. Returns 0 or EXIT_FAILURE. */
int vucctl_ask(struct vucctl *ctl, const char *method, struct app_json *params,
	struct json_object **result);

/* The same for what is done to the device that argument 0 names, with its name as parameter key;
 * with --json, that it was done is printed as what. Returns the exit status. */
int vucctl_ask_done(struct vucctl *ctl, const char *method, const char *key, const char *what);

/* Say that an answer lacks what it should have. Returns EXIT_FAILURE. */
int vucctl_fail_answer(const struct vucctl *ctl, const char *method, const char *lacks);

/* ---- signals, in interrupt.c ---- */

/* Let SIGINT, SIGTERM and SIGHUP ask for an orderly end: for commands that leave something behind
 * at the device, or are to end well. flags: 0: a read or write of a terminal or pipe is to end,
 * too; SA_RESTART: it goes on, until there is another signal. */
void vucctl_interrupt_install(int flags);

/* Whether one of them came: clean up and go. */
bool vucctl_interrupted(void);

/* As poll(2), but also a signal that came just before ends it. Returns a negative errno on failure;
 * -EINTR, also for other signals. */
int vucctl_interrupt_poll(struct pollfd *fds, nfds_t nr_fds, int timeout_ms);

/*
 * From the first signal on, reading from fd and writing to it fails with EBADF: for a call that
 * carries on after a signal. The descriptor stays open. Returns 0 or a negative errno.
 */
int vucctl_interrupt_cut(int fd);

/* Leave that descriptor alone from now on. Does nothing when there is none. */
void vucctl_interrupt_spare(void);

/* ---- the commands ---- */

extern const struct vucctl_command vucctl_probe, vucctl_read, vucctl_write, vucctl_reset,
	vucctl_irq_wait, vucctl_irq_mask, vucctl_irq_unmask, vucctl_irq_trigger,
	vucctl_dma_selftest, vucctl_migrate_save, vucctl_migrate_load, vucctl_status,
	vucctl_devices, vucctl_stats, vucctl_metrics, vucctl_add, vucctl_remove, vucctl_detach,
	vucctl_reload, vucctl_capture;

#endif /* VUCCTL_COMMAND_H */
