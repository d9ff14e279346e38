/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <string.h>

#include <rte_per_lcore.h>

#include "internal.h"
#include "vfio_user.h"

#define NAME_MAX_TRACED (__RTE_TRACE_EMIT_STRING_LEN_MAX - 1u)

static void
trace_message(void *arg, const struct vuc_trace_message *message)
{
	const struct poller_device *d = arg;
	struct vfio_user_header h;

	memcpy(&h, message->bytes, sizeof(h));
	if (message->sent)
		vuc_trace_send(
			d->id, message->twin, h.msg_id, h.cmd, h.msg_size, h.flags, h.error_no);
	else
		vuc_trace_receive(
			d->id, message->twin, h.msg_id, h.cmd, h.msg_size, h.flags, h.error_no);
	if (d->trace != NULL)
		d->trace(d->trace_arg, message);
}

void
vuc_trace_messages(struct poller_device *d, struct vuc_device_opts *opts)
{
	if (!rte_trace_point_is_enabled(&__vuc_trace_send) &&
		!rte_trace_point_is_enabled(&__vuc_trace_receive))
		return;
	d->trace = opts->trace;
	d->trace_arg = opts->trace_arg;
	opts->trace = trace_message;
	opts->trace_arg = d;
}

void
vuc_trace_opened(const struct poller_device *d)
{
	const char *name = d->account->name;
	size_t len = strlen(name);

	vuc_trace_open(d->id, name + (len > NAME_MAX_TRACED ? len - NAME_MAX_TRACED : 0));
}

void
vuc_trace_leave(void)
{
	if (!rte_trace_is_enabled())
		return;
	rte_trace_save();
	/*
	 * EAL frees what a thread has traced when that is unregistered, and then writes what others
	 * have traced into the same file. It does neither to a thread that has traced nothing; the
	 * memory goes with all of EAL's traces.
	 */
	RTE_PER_LCORE(trace_mem) = NULL;
}
