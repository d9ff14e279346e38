/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_POLLER_DPDK_TRACE_H
#define VUC_POLLER_DPDK_TRACE_H

/*
 * Trace points of rte_trace: vuc.submit and vuc.complete for a request of a queue, vuc.send and
 * vuc.receive for a message of a device, vuc.open and vuc.close for a device.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <vuc/trace.h>

/* rte_trace sets this bit of a trace point's word while the point is on. */
#define TRACE_POINT_ON (UINT64_C(1) << 63)

extern const _Atomic uint64_t *const vuc_trace_submit_word;
extern const _Atomic uint64_t *const vuc_trace_complete_word;

void vuc_trace_submit_on(uint32_t device, uint32_t queue, uint16_t id, uint16_t op, uint16_t region,
	uint64_t offset, uint32_t count);
void vuc_trace_complete_on(uint32_t device, uint32_t queue, uint16_t id, int32_t status);

/* A request was taken. One whose trace point is off costs two loads and a branch. */
static inline void
vuc_trace_submit(uint32_t device, uint32_t queue, uint16_t id, uint16_t op, uint16_t region,
	uint64_t offset, uint32_t count)
{
	if (atomic_load_explicit(vuc_trace_submit_word, memory_order_relaxed) & TRACE_POINT_ON)
		vuc_trace_submit_on(device, queue, id, op, region, offset, count);
}

/* A request was answered. */
static inline void
vuc_trace_complete(uint32_t device, uint32_t queue, uint16_t id, int32_t status)
{
	if (atomic_load_explicit(vuc_trace_complete_word, memory_order_relaxed) & TRACE_POINT_ON)
		vuc_trace_complete_on(device, queue, id, status);
}

/* Whether the messages of a device that is opened now are to be traced. */
bool vuc_trace_messages(void);
void vuc_trace_message(uint32_t device, const struct vuc_trace_message *message);

/* A trace point has room for the end of a name only. */
void vuc_trace_open(uint32_t device, const char *name);
void vuc_trace_close(uint32_t device);

/* Before the calling thread is no lcore any more: write down what it has traced. */
void vuc_trace_leave(void);

#endif /* VUC_POLLER_DPDK_TRACE_H */
