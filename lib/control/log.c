/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "text.h"

/* Lines at once, and the time after which there may be another one. */
#define SOURCE_LINES     30u
#define SOURCE_REFILL_MS 1000u
#define USER_LINES       200u
#define USER_REFILL_MS   100u

#define LINE_SIZE  512u
#define COUNT_SIZE 64u /* of what is added to a line */

void
control_log_init(struct control_log *log, vuc_log_fn fn, void *arg)
{
	*log = (struct control_log){
		.fn = fn,
		.arg = arg,
	};
	pthread_mutex_init(&log->lock, NULL);
}

void
control_log_fini(struct control_log *log)
{
	pthread_mutex_destroy(&log->lock);
}

/* Parts of a line come from VMMs and servers. */
static void
write_line(struct control_log *log, enum vuc_log_level level, char *line)
{
	vuc_text_clean(line);
	log->fn(log->arg, level, line);
}

void
control_log(struct control_log *log, enum vuc_log_level level, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list args;

	if (log->fn == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	pthread_mutex_lock(&log->lock);
	write_line(log, level, line);
	pthread_mutex_unlock(&log->lock);
}

static bool
take_line(struct control_log_limit *limit, unsigned int at_once, unsigned int refill_ms)
{
	uint64_t now = vuc_clock_ms();
	uint64_t back = (now - limit->filled_ms) / refill_ms;

	limit->filled_ms += back * refill_ms;
	limit->spent -= back < limit->spent ? (unsigned int)back : limit->spent;
	if (limit->spent == at_once) {
		limit->left_out++;
		return false;
	}
	limit->spent++;
	return true;
}

/* Of users that are too many, those who have logged nothing for the longest time are forgotten. */
static struct control_log_limit *
limit_of_user(struct control_log *log, uid_t uid)
{
	struct control_log_user *user = &log->users[0];

	for (unsigned int i = 0; i < LOG_USERS; i++) {
		struct control_log_user *u = &log->users[i];

		if (u->used_ms != 0 && u->uid == uid) {
			user = u;
			break;
		}
		if (u->used_ms < user->used_ms)
			user = u;
	}
	if (user->used_ms == 0 || user->uid != uid)
		*user = (struct control_log_user){.uid = uid};
	user->used_ms = vuc_clock_ms();
	return &user->limit;
}

/* Returns how many lines were left out before this one. */
static unsigned int
take_left_out(struct control_log_limit *limit)
{
	unsigned int n = limit->left_out;

	limit->left_out = 0;
	return n;
}

static void
write_with_count(struct control_log *log, enum vuc_log_level level, char line[LINE_SIZE],
	unsigned int left_out)
{
	size_t len = strlen(line);

	if (left_out > 0 && len > LINE_SIZE - COUNT_SIZE)
		len = LINE_SIZE - COUNT_SIZE;
	if (left_out > 0)
		snprintf(line + len, COUNT_SIZE, " (%u earlier lines were suppressed)", left_out);
	write_line(log, level, line);
}

void
control_log_limited(struct control_log *log, struct control_log_limit *limit,
	enum vuc_log_level level, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list args;

	if (log->fn == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	pthread_mutex_lock(&log->lock);
	if (take_line(limit, SOURCE_LINES, SOURCE_REFILL_MS))
		write_with_count(log, level, line, take_left_out(limit));
	pthread_mutex_unlock(&log->lock);
}

void
control_log_vmm(struct control_log *log, struct control_log_limit *limit, uid_t uid,
	enum vuc_log_level level, const char *fmt, ...)
{
	struct control_log_limit *user;
	char line[LINE_SIZE];
	va_list args;

	if (log->fn == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	pthread_mutex_lock(&log->lock);
	user = limit_of_user(log, uid);
	if (take_line(limit, SOURCE_LINES, SOURCE_REFILL_MS) &&
		take_line(user, USER_LINES, USER_REFILL_MS))
		write_with_count(log, level, line, take_left_out(limit) + take_left_out(user));
	pthread_mutex_unlock(&log->lock);
}

void
control_log_forget(struct control_log *log, struct control_log_limit *limit, uid_t uid)
{
	pthread_mutex_lock(&log->lock);
	if (limit->left_out > 0)
		limit_of_user(log, uid)->left_out += take_left_out(limit);
	pthread_mutex_unlock(&log->lock);
}
