/* SPDX-License-Identifier: BSD-3-Clause */

/* Connections to servers. */

#include <errno.h>
#include <stdlib.h>

#include "control.h"
#include "error.h"
#include "watch.h"

/* On the poller's thread. */
static void
changed(void *arg, bool connected, uint64_t silent_ms)
{
	struct control_link *link = arg;

	atomic_store_explicit(&link->silent_ms, silent_ms, memory_order_relaxed);
	if (!connected) {
		vuc_error_set(&link->reason, 0, "%s", vuc_device_reason(link->dev));
		/* Pairs with the keeper's look. */
		atomic_store_explicit(&link->ended, true, memory_order_release);
	}
	control_wake(link->device->wake_fd);
}

int
control_link_open(struct control_device *d, struct control_link **link, struct vuc_error *err)
{
	struct control_link *l = calloc(1, sizeof(*l));
	int rc;

	if (l == NULL)
		return vuc_error_set(err, -ENOMEM, "no memory for a device");
	l->device = d;
	rc = vuc_poller_open_named(d->poller, d->account, &d->opts, &d->stop, &l->dev, err);
	if (rc != 0) {
		free(l);
		return rc;
	}
	/* A server keeps the state of a device beyond the end of a connection (Client
	 * Disconnection). */
	if (d->reset != VUC_CONTROL_RESET_NEVER)
		rc = control_link_call(l, control_forget_state, NULL, err);
	if (rc != 0) {
		control_link_close(l);
		return rc;
	}
	vuc_poller_watch_device(d->poller, l->dev, changed, l);
	*link = l;
	return 0;
}

void
control_link_close(struct control_link *link)
{
	vuc_poller_close_device(link->device->poller, link->dev);
	free(link);
}
