/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_LOG_H
#define VUC_LIB_CONTROL_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <vuc/log.h>

#define LOG_USERS 32u /* whose lines are counted at a time */

/* Lines that one source may log; zeroes: nothing was logged yet. Guarded by the log's lock. */
struct control_log_limit {
	unsigned int spent; /* lines, of those that may come at once */
	uint64_t filled_ms; /* when one of them was given back last */
	unsigned int left_out;
};

struct control_log_user {
	uid_t uid;
	uint64_t used_ms; /* 0: never */
	struct control_log_limit limit;
};

/*
 * Lines go out one at a time. Those that VMMs cause are limited, so that a VMM does not fill the
 * disk: for each connection, so that none takes the lines of others; and for each user, who may
 * connect again and again.
 */
struct control_log {
	pthread_mutex_t lock;
	vuc_log_fn fn;
	void *arg;
	struct control_log_limit own; /* of lines about no VMM in particular */
	struct control_log_user users[LOG_USERS];
};

void control_log_init(struct control_log *log, vuc_log_fn fn, void *arg);
void control_log_fini(struct control_log *log);

void control_log(struct control_log *log, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* A line of a source that may log no more than its limit allows. A line says how many were left out
 * before it. */
void control_log_limited(struct control_log *log, struct control_log_limit *limit,
	enum vuc_log_level level, const char *fmt, ...) __attribute__((cold, format(printf, 4, 5)));

/* The same of a connection of this user. */
void control_log_vmm(struct control_log *log, struct control_log_limit *limit, uid_t uid,
	enum vuc_log_level level, const char *fmt, ...) __attribute__((cold, format(printf, 5, 6)));

/* A connection of this user has ended: what was left out is said with the user's next line. */
void control_log_forget(struct control_log *log, struct control_log_limit *limit, uid_t uid);

#endif /* VUC_LIB_CONTROL_LOG_H */
