/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_DEVICE_OPERATION_H
#define VUC_DEVICE_OPERATION_H

/*
 * An operation: what takes messages of the control path, as a small state machine that replies and
 * the tick advance. Nobody waits for it inside the loop, it ends exactly once, by its callback.
 *
 * Operations of a device run one after the other. One begins when all requests that were submitted
 * before it are on their way; those submitted after it go on meanwhile, except behind a barrier:
 * nothing passes that until it has ended.
 *
 * Its one deadline runs from operation_start(), also while it waits for its turn. At the deadline,
 * when the connection ends, and when it is cancelled, it ends at once; replies that come later are
 * dropped.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <vuc/device.h>
#include <vuc/error.h>

#include "session.h"

struct operation;

/* What a restore is at; see record.h. */
enum restore_stage {
	RESTORE_NONE,
	RESTORE_COMPARE,
	RESTORE_RESET,
	RESTORE_POWER,
	RESTORE_BARS,
	RESTORE_MAPS,
	RESTORE_IRQS,
	RESTORE_TABLE,
	RESTORE_REGISTERS,
	RESTORE_COMMAND,
	RESTORE_DONE,
};

/* A kind of operation. */
struct operation_ops {
	const char *name; /* for error texts, as "DMA commit"; NULL: operation.name is set */
	bool barrier;
	/* What the server does with a message after the end would do harm: an operation that ends
	 * while one is unanswered ends the connection. */
	bool vital;
	/*
	 * Send what can be sent now, by operation_send(). Called when its turn has come, after each
	 * reply, and when there may be room again.
	 * Returns 0: nothing more is to be sent, so it ends with the last reply; -EAGAIN: there is
	 * more, when there is room or a reply has come; another negative errno: it has failed, and
	 * nothing more is sent.
	 */
	int (*run)(struct operation *op);
	/*
	 * Take into the record of the device what the operation has done, or, if its connection was
	 * lost before or during it (op->lost), what it was to do; returns what it ends with. NULL:
	 * it fails without a connection, as all do on a device without a record.
	 */
	int (*record)(struct operation *op);
	/* It has ended, and its callback comes next; may be NULL. */
	void (*end)(struct operation *op);
	/* Free it, and what it owns; NULL: free(3). */
	void (*free)(struct operation *op);
};

enum operation_state {
	OPERATION_PLACED, /* behind requests that were submitted before it */
	OPERATION_READY,  /* may run, when those before it have ended */
	OPERATION_RUNNING,
	OPERATION_OVER, /* sends nothing more */
	OPERATION_ENDED,
};

TAILQ_HEAD(operation_list, operation);

struct operation {
	const struct operation_ops *ops;
	const char *name; /* that of ops, unless set after operation_init() */
	struct vuc_device *dev;
	TAILQ_ENTRY(operation) link;
	struct vuc_request place; /* among the requests of the device */
	bool placed;
	bool replays;  /* it is a part of a restore */
	bool lost;     /* it has no connection, or no longer: it fails, or is recorded */
	bool recorded; /* it only waits for a poll to end */
	enum operation_state state;
	unsigned int outstanding; /* messages */
	uint32_t timeout_ms;
	uint64_t deadline_ms;
	int status; /* the first error */
	struct vuc_error err;
	vuc_done_fn done;
	void *arg;
};

/* A message of an operation, which lives as long as that. */
struct operation_message {
	struct operation *op;
	/* Its reply has come, or its failure. Not called any more once the operation has ended. */
	void (*replied)(struct operation_message *m, const struct vuc_session_reply *reply);
};

/* What struct vuc_request has for the place of an operation. */
#define OPERATION_PLACE ((enum vuc_op)0x4f50)

/* An operation in memory of malloc(3) that it is the beginning of, zeroed. */
void operation_init(struct operation *op, const struct operation_ops *ops, struct vuc_device *dev,
	uint32_t timeout_ms);

/* Free one that was not started. */
void operation_free(struct operation *op);

/*
 * Hand an operation over. Returns 0: done will be called exactly once, from a poll or when the
 * device is closed; or what ended the connection: the operation is freed, and done is not called.
 */
int operation_start(struct operation *op, vuc_done_fn done, void *arg, struct vuc_error *err);

/*
 * Send a message, from run() only. All of req but its deadline, done and arg is the caller's, and
 * copied. Returns as vuc_session_request(); -ETIMEDOUT behind the deadline.
 */
int operation_send(
	struct operation *op, struct operation_message *m, const struct vuc_session_request *req);

/* A connection has ended: those of a device with a record that have not begun are recorded. */
void device_record_operations(struct vuc_device *dev);

/* Keep an error, if it is the first. Does not end the operation. Returns status. */
int operation_fail(struct operation *op, int status, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* Let those run whose turn it is. Returns whether one has ended. */
bool device_run_operations(struct vuc_device *dev);

/* Whether an operation that goes into the record has not got there yet. */
bool device_is_recording(const struct vuc_device *dev);

/* The first request of the device is the place of an operation, whose turn it is now. Returns
 * whether requests behind it may go on. */
bool operation_take_turn(struct vuc_request *place);

/* Whether the first request of the device is the place of a barrier that waits for the group's
 * source: what comes from there goes before it. */
bool operation_lets_pass(const struct vuc_request *first);

/* End those behind their deadline. */
void device_tick_operations(struct vuc_device *dev, uint64_t now_ms);

/* The earliest deadline; UINT64_MAX: there is none. */
uint64_t device_operations_due(const struct vuc_device *dev);

/* End the operation that a restore has begun; there is at most one. */
void device_cancel_replays(struct vuc_device *dev, int error, const char *why);

/* End all at once, with this error. */
void device_cancel_operations(struct vuc_device *dev, int error, const char *why);

#endif /* VUC_DEVICE_OPERATION_H */
