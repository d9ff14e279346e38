/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_RPC_H
#define VUCD_RPC_H

/*
 * JSON-RPC 2.0: lines in, lines out, no I/O. A method may take its time, while other lines are
 * served; the requests of a batch are carried out one after the other.
 */

#include <stdbool.h>
#include <stddef.h>

#include <json-c/json.h>

#include "json_build.h"

#define VUCD_RPC_MAX_PARAMS 32
#define VUCD_RPC_MAX_BATCH  64 /* requests */
#define VUCD_RPC_MAX_ID     64 /* bytes of an id that is a string */

/* Codes of errors. */
#define VUCD_RPC_PARSE_ERROR      (-32700)
#define VUCD_RPC_INVALID_REQUEST  (-32600)
#define VUCD_RPC_METHOD_NOT_FOUND (-32601)
#define VUCD_RPC_INVALID_PARAMS   (-32602)
#define VUCD_RPC_INTERNAL_ERROR   (-32603)
#define VUCD_RPC_FAILED           (-32000) /* data.errno says how */

/* A line that is being carried out. */
struct vucd_rpc_request;

enum vucd_rpc_type {
	VUCD_RPC_STRING,
	VUCD_RPC_STRINGS, /* an array of strings */
	VUCD_RPC_BOOL,
	VUCD_RPC_NUMBER, /* an integer, 0 or more */
};

struct vucd_rpc_param {
	char name[24];
	enum vucd_rpc_type type;
	bool required;
};

struct vucd_rpc_call;

struct vucd_rpc_method {
	const char *name;
	/* Ends by vucd_rpc_return() or vucd_rpc_fail(), at once or later, on the main thread. */
	void (*call)(struct vucd_rpc_call *call);
	const struct vucd_rpc_param *params; /* up to one without a name; NULL: none */
	bool monitor;                        /* it changes nothing: monitors may call it */
};

/* Who asks. Valid as long as an answer is wanted. */
struct vucd_rpc_caller {
	char text[48];     /* its user and process, for the log */
	const char *group; /* it is a monitor, as a member of this group; NULL: it may call all */
};

struct vucd_rpc {
	const struct vucd_rpc_method *methods; /* up to one without a name */
	void *arg;                             /* goes to the methods */
};

/* A method being called. */
struct vucd_rpc_call {
	const struct vucd_rpc_method *method;
	void *arg;       /* of the struct vucd_rpc */
	const char *who; /* the text of who asks */
	void *client;    /* the arg of vucd_rpc_line(), while this has not returned */
	/* In the order of the method's table, and of its types; NULL: not given. */
	struct json_object *params[VUCD_RPC_MAX_PARAMS];
	/* The answer as it is being built. What is added to result, an object, is the result. */
	struct app_json *answer;
	struct json_object *result;
	struct vucd_rpc_request *request; /* rpc's own */
};

/*
 * Takes the answer to a line: len bytes without a newline, valid during the call. NULL: there is
 * nothing to answer.
 */
typedef void (*vucd_rpc_answer_fn)(void *arg, const char *text, size_t len);

/*
 * Carry out a line, without its newline. answer is called once, perhaps before this returns; until
 * then *request is not NULL.
 */
void vucd_rpc_line(const struct vucd_rpc *rpc, const struct vucd_rpc_caller *who, const char *line,
	size_t len, vucd_rpc_answer_fn answer, void *arg, struct vucd_rpc_request **request);

/* Nobody wants the answer any more: neither is answer called nor *request set. What was begun is
 * carried out. */
void vucd_rpc_abandon(struct vucd_rpc_request *request);

/* An answer to a line, or a connection, that is not taken. error is as in vucd_rpc_fail(). */
void vucd_rpc_refuse(int code, int error, const char *why, vucd_rpc_answer_fn answer, void *arg);

/* End a call. call->result is the result. */
void vucd_rpc_return(struct vucd_rpc_call *call);

/* End a call by an error. error is a negative errno with VUCD_RPC_FAILED, else 0. */
void vucd_rpc_fail(struct vucd_rpc_call *call, int code, int error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif /* VUCD_RPC_H */
