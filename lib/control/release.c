/* SPDX-License-Identifier: BSD-3-Clause */

/* A device leaves its VMM, by the operator's wish: the VMM is asked for it first. */

#include "clock.h"
#include "control.h"
#include "vmm.h"

/* With the lock held: one that leaves, or has to, is not held up by its server. */
static void
device_hurry_vmm(struct control_device *d, uint32_t patience_ms)
{
	if (d->vmm != NULL && d->vmm->link != NULL)
		control_link_hurry(d->vmm->link, patience_ms);
}

void
control_hurry_removal(struct control_device *d)
{
	device_hurry_vmm(d, d->control->stop ? STUCK_MS : CUT_MS);
}

void
control_stop_device(struct control_device *d)
{
	d->removing = true;
	d->release_end_ms = 0;
	atomic_store_explicit(&d->stop, true, memory_order_release);
	if (control_has_vmm(d))
		control_take_away(d);
	if (d->vmm != NULL && d->vmm->link != d->link)
		vmm_leave_lost(d->vmm);
	control_hurry_removal(d);
	pthread_cond_broadcast(&d->control->changed);
	control_poke(d);
}

void
control_log_leaving(struct control_device *d)
{
	struct control_log *log = &d->control->log;

	if (control_has_vmm(d))
		control_log(log, VUC_LOG_NOTICE,
			"%s: waiting for VMM %s (pid %d) to detach, and for "
			"its outstanding requests",
			d->name, d->vmm->name, (int)d->vmm->user.pid);
	else if (d->link != NULL)
		control_log(log, VUC_LOG_NOTICE,
			"%s: closing the connection; the server has %u ms at most to take what was "
			"posted",
			d->name, d->opts.timeout_ms);
}

void
control_detach(struct control_device *d)
{
	control_take_away(d);
	/* Without a server there is nothing that it could end in order. */
	if (d->vmm->link != d->link)
		vmm_leave(d->vmm, vuc_clock_ms(), "the device was taken away");
	device_hurry_vmm(d, CUT_MS);
}

/* ---- the VMM is asked first ---- */

bool
control_start_release(struct control_device *d, bool removes)
{
	struct control_vmm *v = d->vmm;

	if (d->release_ms == 0 || !control_has_vmm(d) || v->leave_ms != 0)
		return false;
	d->release_removes |= removes;
	/* The time of whoever asks again is that of the first. */
	if (d->release_end_ms != 0)
		return true;
	d->release_end_ms = vuc_clock_ms() + d->release_ms;
	vmm_tell_release(v);
	control_log(&d->control->log, VUC_LOG_NOTICE,
		"%s: asking VMM %s (pid %d) to release the device; it is taken away in %u ms",
		d->name, v->name, (int)v->user.pid, d->release_ms);
	control_poke(d);
	return true;
}

void
control_look_at_release(struct control_device *d)
{
	pthread_mutex_lock(&d->control->lock);
	if (d->release_end_ms > vuc_clock_ms()) {
		if (d->due_ms == 0 || d->due_ms > d->release_end_ms)
			d->due_ms = d->release_end_ms;
	} else if (d->release_end_ms != 0) {
		d->release_end_ms = 0;
		control_log_leaving(d);
		if (d->release_removes)
			control_stop_device(d);
		else
			control_detach(d);
	}
	pthread_mutex_unlock(&d->control->lock);
}

void
control_end_release(struct control_device *d)
{
	if (d->release_end_ms != 0 && d->release_removes)
		control_stop_device(d);
	d->release_end_ms = 0;
}
