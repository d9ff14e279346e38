/* SPDX-License-Identifier: BSD-3-Clause */

/* Turns the trace points into their descriptions; so nothing can be traced in here. */
#include <rte_trace_point_register.h>

#include "trace_points.h"

RTE_TRACE_POINT_REGISTER(vuc_point_submit, vuc.submit)
RTE_TRACE_POINT_REGISTER(vuc_point_complete, vuc.complete)
RTE_TRACE_POINT_REGISTER(vuc_point_send, vuc.send)
RTE_TRACE_POINT_REGISTER(vuc_point_receive, vuc.receive)
RTE_TRACE_POINT_REGISTER(vuc_point_open, vuc.open)
RTE_TRACE_POINT_REGISTER(vuc_point_close, vuc.close)
