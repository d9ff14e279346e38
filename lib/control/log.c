/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

#include "control.h"

#define MAX_TOKENS 100u /* lines at once */
#define TOKEN_MS   100u /* for another one */
#define LINE_SIZE  512u

void
control_log_init(struct control_log *log, vuc_log_fn fn, void *arg)
{
	*log = (struct control_log){
		.fn = fn,
		.arg = arg,
		.tokens = MAX_TOKENS,
		.filled_ms = control_now_ms(),
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
	for (char *c = line; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
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
take_token(struct control_log *log)
{
	uint64_t now = control_now_ms();
	uint64_t more = (now - log->filled_ms) / TOKEN_MS;

	log->filled_ms += more * TOKEN_MS;
	if (more > MAX_TOKENS - log->tokens)
		more = MAX_TOKENS - log->tokens;
	log->tokens += (unsigned int)more;
	if (log->tokens == 0) {
		log->left_out++;
		return false;
	}
	log->tokens--;
	return true;
}

void
control_log_limited(struct control_log *log, enum vuc_log_level level, const char *fmt, ...)
{
	char line[LINE_SIZE], before[64];
	va_list args;

	if (log->fn == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	pthread_mutex_lock(&log->lock);
	if (take_token(log)) {
		if (log->left_out > 0) {
			snprintf(before, sizeof(before), "%u lines about VMMs were left out",
				log->left_out);
			log->left_out = 0;
			write_line(log, VUC_LOG_WARNING, before);
		}
		write_line(log, level, line);
	}
	pthread_mutex_unlock(&log->lock);
}
