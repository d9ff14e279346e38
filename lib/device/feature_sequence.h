/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_FEATURE_SEQUENCE_H
#define VUC_DEVICE_FEATURE_SEQUENCE_H

/* The operation that is some messages of VFIO_USER_DEVICE_FEATURE, one after the other. */

#include "internal.h"

/* Bytes of most requests. */
#define FEATURE_REQUEST_MAX 64u

struct feature_sequence;

struct feature_sequence_ops {
	/* Write the next request, in memory of the sequence: body, len and reply_max of req. A
	 * length of 0: nothing is left to ask, and the operation has ended. */
	void (*ask)(struct feature_sequence *s, struct vuc_session_request *req);
	/* Take the reply, or the failure that is there instead, with its reason in err. Returns 0
	 * to go on, or the error that the operation ends with, said in err. */
	int (*take)(struct feature_sequence *s, const struct vuc_session_reply *reply,
		struct vuc_error *err);
	/* What it owns beside itself; may be NULL. */
	void (*free)(struct feature_sequence *s);
};

/* What the structs of those begin with who have to remember more. */
struct feature_sequence {
	struct operation op;
	struct operation_message message;
	const struct feature_sequence_ops *ops;
	bool asked; /* a reply is to come */
	uint8_t request[FEATURE_REQUEST_MAX];
};

/* A sequence of size bytes, which begin with struct feature_sequence; the rest is zeroed. All of it
 * has timeout_ms. Returns NULL when there is no memory, or no connection: *rc and err say so. */
void *feature_sequence_create(struct vuc_device *dev, size_t size,
	const struct feature_sequence_ops *ops, uint32_t timeout_ms, int *rc,
	struct vuc_error *err);

/* Whether this is how servers say that they do not have a feature. */
bool feature_is_missing(const struct vuc_session_reply *reply);

#endif /* VUC_DEVICE_FEATURE_SEQUENCE_H */
