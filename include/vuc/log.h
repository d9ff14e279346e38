/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LOG_H
#define VUC_LOG_H

/**
 * @file
 * Log lines. The libraries never print: the creator of a poll group or a poller passes a function
 * that receives the lines.
 */

#ifdef __cplusplus
extern "C" {
#endif

/** Severity of a log line. */
enum vuc_log_level {
	VUC_LOG_ERROR,
	VUC_LOG_WARNING,
	VUC_LOG_NOTICE,
	VUC_LOG_DEBUG,
};

/**
 * Receives one log line. Called on the thread that owns the poll group, never in its fast path.
 *
 * @param arg    the log_arg of the options
 * @param level  severity
 * @param line   one line without a newline, valid during the call only
 */
typedef void (*vuc_log_fn)(void *arg, enum vuc_log_level level, const char *line);

#ifdef __cplusplus
}
#endif

#endif /* VUC_LOG_H */
