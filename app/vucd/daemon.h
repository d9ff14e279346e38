/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_DAEMON_H
#define VUCD_DAEMON_H

#include <vuc/control.h>
#include <vuc/error.h>

#include "config.h"
#include "devices.h"
#include "log.h"
#include "loop.h"
#include "pollers.h"
#include "reload.h"
#include "rpc.h"
#include "run_dir.h"
#include "server.h"

/* All that the main thread has. The management methods are called with it. */
struct vucd_daemon {
	const struct vucd_config *config;
	struct vucd_log *log;
	const char *version;
	uint64_t started_ms;
	struct vucd_loop loop;
	struct vucd_watch signals;
	struct vucd_run_dir dir;
	char vmm_socket[VUCD_PATH_SIZE];
	struct vucd_pollers pollers;
	struct vuc_control *control;
	struct vucd_devices devices;
	struct vucd_reload reload;
	/* Devices of the configuration whose first attempt to connect goes on. */
	unsigned int coming;
	struct vucd_rpc rpc;
	struct vucd_server *server;
};

/*
 * Run the daemon until SIGTERM or SIGINT; a SIGINT after that ends the process at once. Called by
 * the process's only thread. Returns 0, or a negative errno with err filled when it could not
 * start. The configuration is of the file at path, which SIGHUP and management have read again.
 */
int vucd_daemon_run(const char *path, const struct vucd_config *config, struct vucd_log *log,
	struct vuc_error *err);

#endif /* VUCD_DAEMON_H */
