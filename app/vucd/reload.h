/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_RELOAD_H
#define VUCD_RELOAD_H

/*
 * Reading the configuration again while the daemon runs. Devices are added, removed and changed,
 * and so is log-level; other settings and pollers stay as they are until a restart. Devices that
 * management has added stay, unless the file has one of their name.
 *
 * Used on the main thread.
 */

#include <stdbool.h>
#include <sys/queue.h>

#include "config.h"
#include "devices.h"
#include "log.h"

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

struct vucd_reload_step;

struct vucd_reload {
	const char *path;                 /* of the file */
	const struct vucd_config *config; /* that the daemon has started with */
	struct vucd_devices *devices;
	struct vucd_log *log;
	uint32_t log_level; /* in the file, as it was read last */
	bool again;         /* once more, when the one under way is over */
	/* The one under way. */
	bool busy;
	bool failed; /* at something */
	struct vucd_config wanted;
	bool *changed; /* by the number of a device of wanted: it was taken away first */
	LIST_HEAD(, vucd_reload_step) steps; /* changes that have not ended */
	unsigned int pending;                /* number of them */
	vucd_reload_fn fn;
	vucd_done_fn done;
	void *arg;
};

/*
 * Begin; fn (or NULL) is called for each difference, before done. A file with errors changes
 * nothing: -EINVAL, with the first of them, and all in the log. -EBUSY while another one is under
 * way.
 */
void vucd_reload_start(struct vucd_reload *reload, vucd_reload_fn fn, vucd_done_fn done, void *arg);

/* The same, after the one that may be under way, for nobody who waits. */
void vucd_reload_request(struct vucd_reload *reload);

#endif /* VUCD_RELOAD_H */
