/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef APP_MANAGEMENT_H
#define APP_MANAGEMENT_H

/*
 * Calls of vucd's methods: JSON-RPC 2.0 over a UNIX socket, one call at a time, one line each way.
 * Nothing that comes back is trusted.
 */

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "json_build.h"

#define APP_MANAGEMENT_MAX_LINE  (4u << 20) /* bytes of an answer */
#define APP_MANAGEMENT_WHY_SIZE  512
#define APP_MANAGEMENT_PATH_SIZE 108 /* of a socket, with its NUL */

/* Waits as poll(2) does for one descriptor. Returns a negative errno on failure: -EAGAIN is tried
 * again, -EINTR ends the call. */
typedef int (*app_management_poll_fn)(struct pollfd *pfd, int timeout_ms);

struct app_management {
	int fd;
	app_management_poll_fn poll;
	uint32_t timeout_ms; /* of each call */
	uint64_t end_ns;     /* of all calls, by vuc_clock_ns(); 0: each has its own */
	int64_t id;          /* of the last call */
	char *line;          /* of the answer */
	size_t size;
	int passed_fd;                     /* a descriptor that came with an answer; -1: none */
	char why[APP_MANAGEMENT_WHY_SIZE]; /* a call has failed, printable */
};

/* Where vucd has its socket: what the environment says, or else vucd's default. */
void app_management_find(char path[APP_MANAGEMENT_PATH_SIZE]);

/* Connect. poll may be NULL. Returns 0 or a negative errno, with why set; app_management_close() is
 * due in any case. */
int app_management_open(struct app_management *m, const char *path, uint32_t timeout_ms,
	app_management_poll_fn poll);
void app_management_close(struct app_management *m);

/*
 * Call a method. params, an object or NULL, is finished by this.
 *
 * Sets result to an object, which json_object_put() frees. Returns 0; -EREMOTEIO when the daemon
 * says no, and why is what it says; -EINTR when poll has returned that; another negative errno.
 * After all but 0 and -EREMOTEIO the connection is of no use.
 */
int app_management_call(struct app_management *m, const char *method, struct app_json *params,
	struct json_object **result);

/* The descriptor that came with the last answer, the caller's from now on; -1: none did. */
int app_management_take_fd(struct app_management *m);

/*
 * Reading JSON that is not trusted, with one check at the end: the first member that is not there,
 * or not of its type, is remembered, and something harmless is returned in its place.
 */

struct app_reply {
	const char *lacks; /* the member; NULL: all is well */
};

/* Each takes NULL for an object, too. */
const char *app_reply_text(
	struct app_reply *reply, struct json_object *obj, const char *key); /* or "" */
const char *app_reply_text_or_null(
	struct app_reply *reply, struct json_object *obj, const char *key); /* or NULL */
uint64_t app_reply_number(struct app_reply *reply, struct json_object *obj, const char *key);
struct json_object *app_reply_object(
	struct app_reply *reply, struct json_object *obj, const char *key);
struct json_object *app_reply_object_or_null(
	struct app_reply *reply, struct json_object *obj, const char *key);

/* Sets n to the number of elements. */
struct json_object *app_reply_array(
	struct app_reply *reply, struct json_object *obj, const char *key, size_t *n);

#endif /* APP_MANAGEMENT_H */
