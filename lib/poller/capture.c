/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture.h"

#include <errno.h>
#include <time.h>

#include "internal.h"
#include "registry.h"
#include "trace.h"

static uint64_t
time_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void
capture_message(const struct poller_capture *c, const struct vuc_trace_message *message)
{
	const uint32_t len = (uint32_t)message->len;
	struct vuc_capture_record record = {
		.time_ns = time_now_ns(),
		.len = len,
		.captured = len < c->snaplen ? len : c->snaplen,
		.connection = message->connection,
		.nr_fds = (uint8_t)message->nr_fds,
		.sent = message->sent,
		.twin = message->twin,
	};

	vuc_capture_ring_put(c->ring, &record, message->bytes);
}

/* ---- who sees the messages of a device ---- */

/* Set by any thread. It stays there until the poller's thread was asked not to look any more. */
static const struct poller_capture *
device_capture(const struct poller_device *d)
{
	/* Pairs with vuc_poller_capture_begin() and vuc_poller_capture_end(). */
	return atomic_load_explicit(&d->account->capture, memory_order_acquire);
}

/* A vuc_trace_fn. */
static void
trace_message(void *arg, const struct vuc_trace_message *message)
{
	const struct poller_device *d = arg;
	const struct poller_capture *c = device_capture(d);

	if (d->traced)
		vuc_trace_message(d->id, message);
	if (d->trace != NULL)
		d->trace(d->trace_arg, message);
	if (c != NULL)
		capture_message(c, message);
}

static vuc_trace_fn
device_trace(const struct poller_device *d)
{
	return d->traced || d->trace != NULL || device_capture(d) != NULL ? trace_message : NULL;
}

void
poller_trace_new_device(struct poller_device *d, struct vuc_device_opts *opts)
{
	d->traced = vuc_trace_messages();
	d->trace = opts->trace;
	d->trace_arg = opts->trace_arg;
	opts->trace = device_trace(d);
	opts->trace_arg = d;
}

/* ---- captures begin and end ---- */

static int
trace_devices(void *arg)
{
	struct vuc_poller *p = arg;
	struct poller_device *d;

	TAILQ_FOREACH (d, &p->devices, link)
		vuc_device_set_trace(d->dev, device_trace(d), d);
	return 0;
}

int
vuc_poller_capture_begin(struct poller_capture *c, struct vuc_poller *p,
	struct poller_account *account, struct vuc_capture_ring *ring, uint32_t snaplen)
{
	struct poller_capture *none = NULL;
	bool begun;

	*c = (struct poller_capture){
		.ring = ring, .snaplen = snaplen, .poller = p, .account = account};
	vuc_registry_lock();
	/* Pairs with device_capture(). */
	begun = atomic_compare_exchange_strong_explicit(
		&account->capture, &none, c, memory_order_release, memory_order_relaxed);
	vuc_registry_unlock();
	return begun ? 0 : -EBUSY;
}

void
vuc_poller_capture_apply(const struct poller_capture *c)
{
	vuc_poller_call(c->poller, trace_devices, c->poller);
}

void
vuc_poller_capture_end(struct poller_capture *c)
{
	vuc_registry_lock();
	if (c->account != NULL) /* Pairs with device_capture(). */
		atomic_store_explicit(&c->account->capture, NULL, memory_order_release);
	c->account = NULL;
	vuc_registry_unlock();
	/* Behind this, the poller's thread is done with it. */
	vuc_poller_call(c->poller, trace_devices, c->poller);
}

void
poller_capture_close_account(struct poller_account *a)
{
	struct poller_capture *c;

	vuc_registry_lock();
	c = atomic_load_explicit(&a->capture, memory_order_relaxed);
	if (c != NULL) {
		c->account = NULL;
		vuc_capture_ring_end(c->ring, VUC_CAPTURE_REMOVED);
	}
	vuc_registry_unlock();
}
