/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_RPC_H
#define VUCCTL_RPC_H

/*
 * Calls of vucd's methods: JSON-RPC 2.0 over a UNIX socket, one call at a time, one line each way.
 * Nothing that comes back is trusted.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#include "json_build.h"

#define VUCCTL_RPC_MAX_LINE  (4u << 20) /* bytes of an answer */
#define VUCCTL_RPC_WHY_SIZE  512
#define VUCCTL_RPC_PATH_SIZE 108 /* of a socket, with its NUL */

struct vucctl_rpc {
	int fd;
	uint32_t timeout_ms;
	int64_t id; /* of the last call */
	char *line; /* of the answer */
	size_t size;
	char why[VUCCTL_RPC_WHY_SIZE]; /* a call has failed, printable */
};

/* Connect. Returns 0 or a negative errno, with why set; vucctl_rpc_close() is due in any case. */
int vucctl_rpc_open(struct vucctl_rpc *rpc, const char *path, uint32_t timeout_ms);
void vucctl_rpc_close(struct vucctl_rpc *rpc);

/*
 * Call a method. params, an object or NULL, is finished by this.
 *
 * Sets result to an object, which json_object_put() frees. Returns 0; -EREMOTEIO when the daemon
 * says no, and why is what it says; -EINTR when a signal of vucctl_interrupt_install() came;
 * another negative errno. After all but 0 and -EREMOTEIO the connection is of no use.
 */
int vucctl_rpc_call(struct vucctl_rpc *rpc, const char *method, struct app_json *params,
	struct json_object **result);

/*
 * Reading JSON that is not trusted, with one check at the end: the first member that is not there,
 * or not of its type, is remembered, and something harmless is returned in its place.
 */

struct vucctl_reply {
	const char *lacks; /* the member; NULL: all is well */
};

/* Each takes NULL for an object, too. */
const char *vucctl_reply_text(
	struct vucctl_reply *reply, struct json_object *obj, const char *key); /* or "" */
const char *vucctl_reply_text_or_null(
	struct vucctl_reply *reply, struct json_object *obj, const char *key); /* or NULL */
uint64_t vucctl_reply_number(struct vucctl_reply *reply, struct json_object *obj, const char *key);
struct json_object *vucctl_reply_object(
	struct vucctl_reply *reply, struct json_object *obj, const char *key);
struct json_object *vucctl_reply_object_or_null(
	struct vucctl_reply *reply, struct json_object *obj, const char *key);

/* Sets n to the number of elements. */
struct json_object *vucctl_reply_array(
	struct vucctl_reply *reply, struct json_object *obj, const char *key, size_t *n);

#endif /* VUCCTL_RPC_H */
