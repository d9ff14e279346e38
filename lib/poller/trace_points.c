/* SPDX-License-Identifier: BSD-3-Clause */

/* Turns the trace points in trace.h into their descriptions; so nothing can be traced in here. */
#include <rte_trace_point_register.h>

#include "trace.h"

RTE_TRACE_POINT_REGISTER(vuc_trace_submit, vuc.submit)
RTE_TRACE_POINT_REGISTER(vuc_trace_complete, vuc.complete)
RTE_TRACE_POINT_REGISTER(vuc_trace_send, vuc.send)
RTE_TRACE_POINT_REGISTER(vuc_trace_receive, vuc.receive)
RTE_TRACE_POINT_REGISTER(vuc_trace_open, vuc.open)
RTE_TRACE_POINT_REGISTER(vuc_trace_close, vuc.close)
