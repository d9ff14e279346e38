/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_SERVICE_H
#define VUCD_SERVICE_H

/* What the management methods ask of the daemon. All of it happens on the main thread. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/control.h>
#include <vuc/stats.h>

#include "config.h"

struct vucd_status {
	const char *version;
	int pid;
	uint64_t uptime_ms;
	const char *directory;
	const char *vmm_socket;
	enum vuc_log_level log_level;
	unsigned int connections; /* of VMMs, attached or not */
	bool starting;            /* servers of the configuration are still being connected to */
};

struct vucd_poller_view {
	const char *name;
	int cpu; /* or VUC_POLLER_CPU_NONE */
	enum vuc_idle idle;
	const char *transport;
	const char *placement; /* why it runs there */
	struct vuc_poller_stats stats;
};

/* The end of what takes time. why is valid during the call, and "" with 0. */
typedef void (*vucd_done_fn)(void *arg, int rc, const char *why);

/* What the configuration, read again, means for a device (by its name), a poller or a setting (as
 * the file has them, in brackets). */
enum vucd_reload_kind {
	VUCD_RELOAD_ADDED,
	VUCD_RELOAD_REMOVED,
	VUCD_RELOAD_CHANGED,
	VUCD_RELOAD_RESTART, /* it stays as it is until the daemon is started again */
	VUCD_RELOAD_FAILED,  /* why says so; else it is "" or explains */
};

typedef void (*vucd_reload_fn)(
	void *arg, enum vucd_reload_kind kind, const char *what, const char *why);

struct vucd_service_ops {
	void (*status)(void *service, struct vucd_status *status);
	void (*list_devices)(void *service, vuc_control_device_fn fn, void *arg);
	/* Returns 0 or -ENOENT. */
	int (*look_at_device)(void *service, const char *name, struct vuc_control_device *device);
	/* Poller number i. Returns 0 or -ENOENT. */
	int (*look_at_poller)(void *service, unsigned int i, struct vucd_poller_view *poller);
	/* These call done once, at once or later. who asks is for the log. */
	void (*add_device)(void *service, const char *who, const struct vucd_device_config *config,
		vucd_done_fn done, void *arg);
	void (*remove_device)(void *service, const char *who, const char *name, bool force,
		vucd_done_fn done, void *arg);
	void (*detach_vmm)(
		void *service, const char *who, const char *device, vucd_done_fn done, void *arg);
	/* Read the configuration again, and call fn for each difference before done. */
	void (*reload)(
		void *service, const char *who, vucd_reload_fn fn, vucd_done_fn done, void *arg);
	/* Returns the level before. */
	enum vuc_log_level (*set_log_level)(
		void *service, const char *who, enum vuc_log_level level);
};

struct vucd_service {
	const struct vucd_service_ops *ops;
	void *arg; /* goes to each of them as service */
};

#endif /* VUCD_SERVICE_H */
