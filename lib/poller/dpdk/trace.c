/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <string.h>

#include <rte_per_lcore.h>

#include "trace_points.h"
#include "vfio_user.h"

#define NAME_MAX_TRACED (__RTE_TRACE_EMIT_STRING_LEN_MAX - 1u)

_Static_assert(TRACE_POINT_ON == __RTE_TRACE_FIELD_ENABLE_MASK, "of rte_trace");
_Static_assert(sizeof(rte_trace_point_t) == sizeof(_Atomic uint64_t), "of rte_trace");

const _Atomic uint64_t *const vuc_trace_submit_word = (const _Atomic uint64_t *)&__vuc_point_submit;
const _Atomic uint64_t *const vuc_trace_complete_word =
	(const _Atomic uint64_t *)&__vuc_point_complete;

void
vuc_trace_submit_on(uint32_t device, uint32_t queue, uint16_t id, uint16_t op, uint16_t region,
	uint64_t offset, uint32_t count)
{
	vuc_point_submit(device, queue, id, op, region, offset, count);
}

void
vuc_trace_complete_on(uint32_t device, uint32_t queue, uint16_t id, int32_t status)
{
	vuc_point_complete(device, queue, id, status);
}

bool
vuc_trace_messages(void)
{
	return rte_trace_point_is_enabled(&__vuc_point_send) ||
		rte_trace_point_is_enabled(&__vuc_point_receive);
}

void
vuc_trace_message(uint32_t device, const struct vuc_trace_message *message)
{
	struct vfio_user_header h;

	memcpy(&h, message->bytes, sizeof(h));
	if (message->sent)
		vuc_point_send(
			device, message->twin, h.msg_id, h.cmd, h.msg_size, h.flags, h.error_no);
	else
		vuc_point_receive(
			device, message->twin, h.msg_id, h.cmd, h.msg_size, h.flags, h.error_no);
}

void
vuc_trace_open(uint32_t device, const char *name)
{
	size_t len = strlen(name);

	vuc_point_open(device, name + (len > NAME_MAX_TRACED ? len - NAME_MAX_TRACED : 0));
}

void
vuc_trace_close(uint32_t device)
{
	vuc_point_close(device);
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
