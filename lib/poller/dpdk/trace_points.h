/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_DPDK_TRACE_POINTS_H
#define VUC_POLLER_DPDK_TRACE_POINTS_H

/* The trace points of trace.h, as rte_trace wants them. */

#include <rte_trace.h>
#include <rte_trace_point.h>

/* clang-format off */

RTE_TRACE_POINT(vuc_point_submit,
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

RTE_TRACE_POINT(vuc_point_complete,
	RTE_TRACE_POINT_ARGS(uint32_t device, uint32_t queue, uint16_t id, int32_t status),
	rte_trace_point_emit_u32(device);
	rte_trace_point_emit_u32(queue);
	rte_trace_point_emit_u16(id);
	rte_trace_point_emit_i32(status);
)

RTE_TRACE_POINT(vuc_point_send,
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

RTE_TRACE_POINT(vuc_point_receive,
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

RTE_TRACE_POINT(vuc_point_open,
	RTE_TRACE_POINT_ARGS(uint32_t device, const char *name),
	rte_trace_point_emit_u32(device);
	rte_trace_point_emit_string(name);
)

RTE_TRACE_POINT(vuc_point_close,
	RTE_TRACE_POINT_ARGS(uint32_t device),
	rte_trace_point_emit_u32(device);
)

/* clang-format on */

#endif /* VUC_POLLER_DPDK_TRACE_POINTS_H */
