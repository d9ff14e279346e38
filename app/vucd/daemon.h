/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_DAEMON_H
#define VUCD_DAEMON_H

#include <vuc/error.h>

#include "config.h"
#include "log.h"

/*
 * Run the daemon until SIGTERM or SIGINT; a SIGINT after that ends the process at once. Called by
 * the process's only thread. Returns 0, or a negative errno with err filled when it could not
 * start. The configuration is of the file at path, which SIGHUP and management have read again.
 */
int vucd_daemon_run(const char *path, const struct vucd_config *config, struct vucd_log *log,
	struct vuc_error *err);

#endif /* VUCD_DAEMON_H */
