/* SPDX-License-Identifier: BSD-3-Clause */

/* Connections to servers. */

#include <errno.h>
#include <stdlib.h>

#include "control.h"
#include "error.h"
#include "post.h"
#include "thread.h"
#include "watch.h"

/* On the poller's thread. */
static void
link_changed(void *arg, bool connected, uint64_t silent_ms)
{
	struct control_link *link = arg;

	atomic_store_explicit(&link->silent_ms, silent_ms, memory_order_relaxed);
	if (!connected) {
		vuc_error_set(&link->reason, 0, "%s", vuc_device_reason(link->dev));
		/* Pairs with take_lost_link(). */
		atomic_store_explicit(&link->ended, true, memory_order_release);
	}
	control_poke(link->device);
}

/* On the control thread, with what another one has done. */
static void
end_opening(void *arg)
{
	struct control_link *link = arg;
	int status = link->status;

	link->done(link, status, &link->err);
	if (status != 0)
		free(link);
}

static void *
open_link(void *arg)
{
	struct control_link *l = arg;
	struct control_device *d = l->device;

	l->status =
		vuc_poller_open_named(d->poller, d->account, &d->opts, &d->stop, &l->dev, &l->err);
	/* A server keeps the state of a device beyond the end of a connection (Client
	 * Disconnection). */
	if (l->status == 0 && d->reset != VUC_CONTROL_RESET_NEVER) {
		l->status = control_link_call(l, control_forget_state, NULL, &l->err);
		if (l->status != 0)
			vuc_poller_close_device(d->poller, l->dev);
	}
	if (l->status == 0)
		vuc_poller_watch_device(d->poller, l->dev, link_changed, l);
	vuc_mailbox_post(&d->control->mailbox, &l->post);
	return NULL;
}

int
control_link_open_start(struct control_device *d, struct control_link **link, vuc_done_fn done)
{
	struct control_link *l = calloc(1, sizeof(*l));
	pthread_t thread;
	int rc;

	*link = NULL;
	if (l == NULL)
		return -ENOMEM;
	l->device = d;
	l->done = done;
	l->post = (struct vuc_post){.fn = end_opening, .arg = l};
	rc = vuc_thread_create(&thread, THREAD_STACK, open_link, l);
	if (rc != 0) {
		free(l);
		return rc;
	}
	pthread_detach(thread);
	*link = l;
	return 0;
}

static void
end_closing(void *arg)
{
	struct control_link *link = arg;

	link->done(link, 0, &link->err);
	free(link);
}

/* On the poller's thread. */
static void
close_link(void *arg)
{
	struct control_link *link = arg;

	vuc_poller_close_device(link->device->poller, link->dev);
	link->post.fn = end_closing;
	vuc_mailbox_post(&link->device->control->mailbox, &link->post);
}

void
control_link_close_start(struct control_link *link, vuc_done_fn done)
{
	link->done = done;
	link->err.text[0] = '\0';
	link->post = (struct vuc_post){.fn = close_link, .arg = link};
	vuc_poller_post(link->device->poller, &link->post);
}

void
control_link_close(struct control_link *link)
{
	vuc_poller_close_device(link->device->poller, link->dev);
	free(link);
}
