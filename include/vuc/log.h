/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LOG_H
#define VUC_LOG_H

/**
 * @file
 * Log lines. The libraries never print: whoever creates a poll group or a poller gives it
 * a function that takes the lines.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** How much a log line matters. */
enum vuc_log_level {
	VUC_LOG_ERROR,
	VUC_LOG_WARNING,
	VUC_LOG_NOTICE,
	VUC_LOG_DEBUG,
};

/**
 * Takes one log line. Called by the thread that owns the poll group, never from its fast path.
 *
 * @param arg    the log_arg that came with the function
 * @param level  how much it matters
 * @param line   one line without a newline, valid during the call only
 */
typedef void (*vuc_log_fn)(void *arg, enum vuc_log_level level, const char *line);

#ifdef __cplusplus
}
#endif

#endif /* VUC_LOG_H */
