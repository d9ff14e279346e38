/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_ERROR_H
#define BENCH_ERROR_H

#include <vuc/error.h>
#include <vuc/log.h>

/* Format a line into err and return code; control characters are replaced by '?'. */
int bench_fail(struct vuc_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A line of the library's log, for a person: only to a terminal. A vuc_log_fn. */
void bench_log(void *arg, enum vuc_log_level level, const char *line);

#endif /* BENCH_ERROR_H */
