/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>

#include <rte_log.h>

#include "eal_log.h"
#include "error.h"

static enum vuc_log_level
level_of(int rte_level)
{
	if (rte_level <= (int)RTE_LOG_ERR)
		return VUC_LOG_ERROR;
	if (rte_level == (int)RTE_LOG_WARNING)
		return VUC_LOG_WARNING;
	return rte_level < (int)RTE_LOG_DEBUG ? VUC_LOG_NOTICE : VUC_LOG_DEBUG;
}

static void
end_line(struct eal_log *log)
{
	enum vuc_log_level level = level_of(rte_log_cur_msg_loglevel());

	log->line[log->len] = '\0';
	if (log->len == 0)
		return;
	log->len = 0;
	if (level == VUC_LOG_ERROR && log->first_error[0] == '\0')
		snprintf(log->first_error, sizeof(log->first_error), "%.*s",
			(int)sizeof(log->first_error) - 1, log->line);
	if (log->fn != NULL)
		log->fn(log->arg, level, log->line);
}

static ssize_t
take_bytes(void *cookie, const char *bytes, size_t size)
{
	struct eal_log *log = cookie;

	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n')
			end_line(log);
		else if (log->len < sizeof(log->line) - 1)
			log->line[log->len++] = bytes[i];
	}
	return (ssize_t)size;
}

/*
 * Some versions of DPDK close the stream with EAL, in others threads of EAL go on to use it. So it
 * stays open as far as vuc is concerned, and nothing here touches it once EAL has been cleaned up.
 */
int
vuc_eal_log_open(struct eal_log *log, const struct vuc_eal_opts *opts, struct vuc_error *err)
{
	cookie_io_functions_t functions = {.write = take_bytes};

	log->stream = fopencookie(log, "w", functions);
	if (log->stream == NULL)
		return vuc_error_set(err, -ENOMEM, "DPDK's EAL: no memory for its log");
	log->fn = opts->log;
	log->arg = opts->log_arg;
	rte_openlog_stream(log->stream);
	return 0;
}

void
vuc_eal_log_mute(struct eal_log *log)
{
	flockfile(log->stream);
	log->fn = NULL;
	funlockfile(log->stream);
}

void
vuc_eal_say(const struct vuc_eal_opts *opts, enum vuc_log_level level, const char *fmt, ...)
{
	struct vuc_error line = {0};
	va_list args;

	if (opts->log == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(line.text, sizeof(line.text), fmt, args);
	va_end(args);
	opts->log(opts->log_arg, level, line.text);
}

/* Types of rte_log last as long as EAL does; negative where there was no memory for one. */
static int types[LOG_PARTS];

static void
register_types(void)
{
	static const char *const names[LOG_PARTS] = {
		[LOG_PART_POLLER] = "vuc.poller",
		[LOG_PART_DEVICE] = "vuc.device",
	};

	for (unsigned int i = 0; i < LOG_PARTS; i++)
		types[i] = rte_log_register_type_and_pick_level(names[i], RTE_LOG_NOTICE);
}

void *
vuc_log_part(enum log_part part)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_types);
	return &types[part];
}

void
vuc_log_to_rte(void *part, enum vuc_log_level level, const char *line)
{
	static const uint32_t levels[] = {
		[VUC_LOG_ERROR] = RTE_LOG_ERR,
		[VUC_LOG_WARNING] = RTE_LOG_WARNING,
		[VUC_LOG_NOTICE] = RTE_LOG_NOTICE,
		[VUC_LOG_DEBUG] = RTE_LOG_DEBUG,
	};
	const int *type = part;

	if (*type >= 0)
		rte_log(levels[level], (uint32_t)*type, "%s\n", line);
}
