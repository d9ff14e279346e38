/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_DEVICES_H
#define VUCD_DEVICES_H

/* Adding, removing and detaching devices. Used on the main thread, where each of it ends, too. */

#include <stdbool.h>

#include <vuc/control.h>

#include "config.h"
#include "log.h"
#include "loop.h"
#include "mailbox.h"
#include "pollers.h"
#include "run_dir.h"

/* The end of what takes time. why is valid during the call, and "" with 0. */
typedef void (*vucd_done_fn)(void *arg, int rc, const char *why);

struct vucd_devices {
	struct vuc_control *control;
	struct vucd_pollers *pollers;
	struct vucd_log *log;        /* for failures */
	enum vuc_log_level severity; /* of these messages */
	const struct vucd_run_dir *dir;
	bool closed; /* the daemon is stopping: nothing new is begun */
	struct vucd_loop *loop;
	struct vuc_mailbox mailbox; /* for changes that have ended */
	struct vucd_watch watch;    /* of the mailbox */
	/* Devices, as they were added. They move with each change. */
	struct vucd_device_config *known;
	unsigned int nr_known;
};

/* pollers, log, dir and loop are set. Returns 0 or a negative errno. */
int vucd_devices_init(struct vucd_devices *devices);

/* Behind the end of the control plane, which has ended all changes. Does nothing when init has not
 * been called, with -1 as the mailbox's descriptor, or had no mailbox. */
void vucd_devices_fini(struct vucd_devices *devices);

/* done is called once, at once or later. */
void vucd_devices_add(struct vucd_devices *devices, const struct vucd_device_config *config,
	vucd_done_fn done, void *arg);
void vucd_devices_remove(
	struct vucd_devices *devices, const char *name, bool force, vucd_done_fn done, void *arg);
void vucd_devices_detach(
	struct vucd_devices *devices, const char *name, vucd_done_fn done, void *arg);

#endif /* VUCD_DEVICES_H */
