/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_RPC_CHECK_H
#define VUCD_RPC_CHECK_H

/* Whether a request is one, and which. All return 0 or a code of an error, with what is wrong. */

#include <vuc/error.h>

#include "rpc.h"

/* The form of a request. id is NULL for null; notification: there is none, and no answer. Both are
 * set in any case. */
int vucd_rpc_check_request(struct json_object *item, struct json_object **id, bool *notification,
	struct vuc_error *err);

int vucd_rpc_find_method(const struct vucd_rpc *rpc, struct json_object *item,
	const struct vucd_rpc_method **method, struct vuc_error *err);

/* Set call->params. call->method is set. */
int vucd_rpc_take_params(
	struct vucd_rpc_call *call, struct json_object *item, struct vuc_error *err);

#endif /* VUCD_RPC_CHECK_H */
