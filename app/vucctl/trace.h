/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_TRACE_H
#define VUCCTL_TRACE_H

/* Messages as lines for people. Nothing in them is trusted: not the fields, not the length. */

#include <stdint.h>
#include <stdio.h>

#include <vuc/trace.h>

struct vucctl_trace {
	FILE *out;
	uint64_t start_ns;
};

/* Begin: times are counted from here on. */
void vucctl_trace_start(struct vucctl_trace *trace, FILE *out);

/* A vuc_trace_fn, whose arg is the struct vucctl_trace. */
void vucctl_trace_message(void *arg, const struct vuc_trace_message *message);

/* Print a message as one line without its time, newline included. */
void vucctl_trace_line_print(FILE *out, const struct vuc_trace_message *message);

#endif /* VUCCTL_TRACE_H */
