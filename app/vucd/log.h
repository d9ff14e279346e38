/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_LOG_H
#define VUCD_LOG_H

/*
 * Lines on stderr, one write(2) each, of any thread. Nobody ever waits for whoever reads them: a
 * line that finds a full pipe is lost and counted, and the count is told with the next one.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <vuc/log.h>

struct vucd_log {
	int fd;
	bool journal; /* lines begin with a priority, as journald stamps them itself */
	_Atomic int level;
	pthread_mutex_t lock; /* of the following, and of writing */
	unsigned int lost;
};

/* Log to fd, which stays the caller's; notices and worse at first. */
void vucd_log_init(struct vucd_log *log, int fd);
void vucd_log_fini(struct vucd_log *log);

void vucd_log_set_level(struct vucd_log *log, enum vuc_log_level level);
enum vuc_log_level vucd_log_level(const struct vucd_log *log);

void vucd_log(struct vucd_log *log, enum vuc_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A vuc_log_fn whose argument is a struct vucd_log. */
void vucd_log_line(void *log, enum vuc_log_level level, const char *line);

/* "error", "warning", "notice" or "debug". */
const char *vucd_log_level_name(enum vuc_log_level level);

#endif /* VUCD_LOG_H */
