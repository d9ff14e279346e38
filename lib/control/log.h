/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_LOG_H
#define VUC_LIB_CONTROL_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <vuc/log.h>

/* Lines go out one at a time. Those that VMMs cause are limited: a VMM does not fill the disk. */
struct control_log {
	pthread_mutex_t lock;
	vuc_log_fn fn;
	void *arg;
	unsigned int tokens; /* lines that VMMs may cause now */
	uint64_t filled_ms;
	unsigned int left_out;
};

void control_log_init(struct control_log *log, vuc_log_fn fn, void *arg);
void control_log_fini(struct control_log *log);

void control_log(struct control_log *log, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

/* A line that a VMM has caused. */
void control_log_limited(struct control_log *log, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((cold, format(printf, 3, 4)));

#endif /* VUC_LIB_CONTROL_LOG_H */
