/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_REPLY_H
#define VUCCTL_REPLY_H

/*
 * Reading JSON that is not trusted, with one check at the end: the first member that is not there,
 * or not of its type, is remembered, and something harmless is returned in its place.
 */

#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

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

#endif /* VUCCTL_REPLY_H */
