/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCD_POLLERS_H
#define VUCD_POLLERS_H

/* The configuration's pollers, running. */

#include <vuc/control.h>
#include <vuc/poller.h>

#include "config.h"
#include "log.h"

struct vucd_poller {
	struct vuc_poller *poller;
	enum vuc_idle idle;
	char transport[16];
	unsigned int devices; /* as counted by vucd_pollers_choose() */
};

struct vucd_pollers {
	unsigned int nr;
	struct vucd_poller *all;
};

/* Start them; log outlives them. Returns 0, or a negative errno with err filled and none running.
 */
int vucd_pollers_start(struct vucd_pollers *pollers, const struct vucd_config *config,
	struct vucd_log *log, struct vuc_error *err);

/* Stop them. They have no devices any more. */
void vucd_pollers_stop(struct vucd_pollers *pollers);

/* The poller of this name, or, for "", the one with the fewest devices; NULL when there is none. */
struct vucd_poller *vucd_pollers_choose(
	struct vucd_pollers *pollers, const char *name, struct vuc_control *control);

#endif /* VUCD_POLLERS_H */
