/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define LINE_MAX_BYTES 1024 /* with the newline; below PIPE_BUF, so that lines do not mix */

static const struct {
	const char *name;
	char priority; /* of syslog */
} levels[] = {
	[VUC_LOG_ERROR] = {"error", '3'},
	[VUC_LOG_WARNING] = {"warning", '4'},
	[VUC_LOG_NOTICE] = {"notice", '5'},
	[VUC_LOG_DEBUG] = {"debug", '7'},
};

const char *
vucd_log_level_name(enum vuc_log_level level)
{
	return levels[level].name;
}

/* Whether fd is what $JOURNAL_STREAM says journald reads: stderr may have been redirected since. */
static bool
fd_is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (stream == NULL || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void
vucd_log_init(struct vucd_log *log, int fd)
{
	log->fd = fd;
	log->journal = fd_is_journal(fd);
	log->lost = 0;
	atomic_init(&log->level, VUC_LOG_NOTICE);
	pthread_mutex_init(&log->lock, NULL);
}

void
vucd_log_fini(struct vucd_log *log)
{
	pthread_mutex_destroy(&log->lock);
}

void
vucd_log_set_level(struct vucd_log *log, enum vuc_log_level level)
{
	atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

enum vuc_log_level
vucd_log_level(const struct vucd_log *log)
{
	return (enum vuc_log_level)atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* What stands before the text. Returns its length. */
static size_t
format_prefix(const struct vucd_log *log, enum vuc_log_level level, char *line, size_t size)
{
	struct timespec now;
	struct tm utc;
	size_t len;

	if (log->journal)
		return (size_t)snprintf(line, size, "<%c>", levels[level].priority);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
	return len +
		(size_t)snprintf(line + len, size - len, ".%03ldZ %-7s ", now.tv_nsec / 1000000,
			levels[level].name);
}

/* Write a line unless that would block. The lock is held. */
static bool
write_line(struct vucd_log *log, enum vuc_log_level level, const char *text)
{
	struct pollfd pfd = {.fd = log->fd, .events = POLLOUT};
	char line[LINE_MAX_BYTES];
	size_t len = format_prefix(log, level, line, sizeof(line));

	snprintf(line + len, sizeof(line) - len, "%s", text);
	vuc_text_clean_controls(line + len);
	len += strlen(line + len);
	line[len++] = '\n';
	/* A pipe that can be written to has room for PIPE_BUF bytes. */
	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT) != 0 &&
		write(log->fd, line, len) == (ssize_t)len;
}

static bool
log_report_lost(struct vucd_log *log)
{
	char text[64];

	snprintf(text, sizeof(text), "%u log lines were dropped before this one", log->lost);
	return write_line(log, VUC_LOG_WARNING, text);
}

void
vucd_log_line(void *arg, enum vuc_log_level level, const char *line)
{
	struct vucd_log *log = arg;

	if (level > vucd_log_level(log))
		return;
	pthread_mutex_lock(&log->lock);
	if (log->lost > 0 && log_report_lost(log))
		log->lost = 0;
	if (log->lost > 0 || !write_line(log, level, line))
		log->lost++;
	pthread_mutex_unlock(&log->lock);
}

void
vucd_log(struct vucd_log *log, enum vuc_log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	vucd_log_line(log, level, text);
}
