/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_TRACE_H
#define VUC_POLLER_TRACE_H

/*
 * Trace points of rte_trace: vuc.submit and vuc.complete for a request of a queue, vuc.send and
 * vuc.receive for a message of a device, vuc.open and vuc.close for a device. One that is off is a
 * load and a branch; those of messages are not even that, unless they were on when the device was
 * opened.
 */

#include <rte_trace.h>
#include <rte_trace_point.h>

#include <vuc/device.h>

struct poller_device;

/* clang-format off */

RTE_TRACE_POINT(vuc_trace_submit,
	RTE_TRACE_POINT_ARGS(uint32_t device, uint32_t queue, uint16_t id, uint16_t op,
		uint16_t region, uint64_t offset, uint32_t count),
	rte_trace_point_emit_u32(device);
	rte_trace_point_emit_u32(queue);
	rte_trace_point_emit_u16(id);
	rte_trace_point_emit_u16(op);
	rte_trace_point_emit_u16(region);
	rte_trace_point_emit_u64(offset);
	rte_trace_point_emit_u32(count);
)

RTE_TRACE_POINT(vuc_trace_complete,
	RTE_TRACE_POINT_ARGS(uint32_t device, uint32_t queue, uint16_t id, int32_t status),
	rte_trace_point_emit_u32(device);
	rte_trace_point_emit_u32(queue);
	rte_trace_point_emit_u16(id);
	rte_trace_point_emit_i32(status);
)

RTE_TRACE_POINT(vuc_trace_send,
	RTE_TRACE_POINT_ARGS(uint32_t device, uint8_t twin, uint16_t message, uint16_t command,
		uint32_t size, uint32_t flags, uint32_t error),
	rte_trace_point_emit_u32(device);
	rte_trace_point_emit_u8(twin);
	rte_trace_point_emit_u16(message);
	rte_trace_point_emit_u16(command);
	rte_trace_point_emit_u32(size);
	rte_trace_point_emit_u32(flags);
	rte_trace_point_emit_u32(error);
)

RTE_TRACE_POINT(vuc_trace_receive,
	RTE_TRACE_POINT_ARGS(uint32_t device, uint8_t twin, uint16_t message, uint16_t command,
		uint32_t size, uint32_t flags, uint32_t error),
	rte_trace_point_emit_u32(device);
	rte_trace_point_emit_u8(twin);
	rte_trace_point_emit_u16(message);
	rte_trace_point_emit_u16(command);
	rte_trace_point_emit_u32(size);
	rte_trace_point_emit_u32(flags);
	rte_trace_point_emit_u32(error);
)

RTE_TRACE_POINT(vuc_trace_open,
	RTE_TRACE_POINT_ARGS(uint32_t device, const char *name),
	rte_trace_point_emit_u32(device);
	rte_trace_point_emit_string(name);
)

RTE_TRACE_POINT(vuc_trace_close,
	RTE_TRACE_POINT_ARGS(uint32_t device),
	rte_trace_point_emit_u32(device);
)

/* clang-format on */

/* Let the messages of a device that is about to be opened be traced, where that is on. */
void vuc_trace_messages(struct poller_device *d, struct vuc_device_opts *opts);

/* A device was opened; a trace point has room for the end of its name only. */
void vuc_trace_opened(const struct poller_device *d);

/* Before the calling thread is no lcore any more: write down what it has traced. */
void vuc_trace_leave(void);

#endif /* VUC_POLLER_TRACE_H */
