/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef EXPORTER_ACCEPT_H
#define EXPORTER_ACCEPT_H

#include "metrics.h"

/* The format for a client with this Accept header, NULL: without one. OpenMetrics is for those who
 * name it, and do not prefer plain text to it (RFC 9110, section 12.5.1). */
enum app_metrics_format exporter_accept(const char *header);

#endif /* EXPORTER_ACCEPT_H */
