/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_RPC_ANSWER_H
#define VUCCTL_RPC_ANSWER_H

#include "rpc.h"

/*
 * Take the line that answers call number id apart; its newline counts. Sets result to an object,
 * which json_object_put() frees. Returns 0; -EREMOTEIO for an error, with why set to what it says;
 * -EPROTO, with why set to what is wrong with the line; -ENOMEM.
 */
int vucctl_rpc_answer(const char *line, size_t len, int64_t id, struct json_object **result,
	char why[VUCCTL_RPC_WHY_SIZE]);

#endif /* VUCCTL_RPC_ANSWER_H */
