/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef APP_METRICS_H
#define APP_METRICS_H

/* What Prometheus reads of vucd. */

#include <stddef.h>
#include <stdint.h>

#include "management.h"

enum app_metrics_format {
	APP_METRICS_TEXT,        /* Prometheus' text format 0.0.4, which textfile collectors read */
	APP_METRICS_OPENMETRICS, /* OpenMetrics 1.0.0 */
};

/*
 * Ask the daemon at path, within timeout_ms in all; poll is as in app_management_open(). Returns
 * the metrics, to be freed, with len set to their length: if the daemon has not answered as it
 * should, only vuc_up, which is 0 then, with why set, printable, and else "". NULL: out of memory.
 */
char *app_metrics_collect(const char *path, uint32_t timeout_ms, app_management_poll_fn poll,
	enum app_metrics_format format, size_t *len, char why[APP_MANAGEMENT_WHY_SIZE]);

#endif /* APP_METRICS_H */
