/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUCCTL_PCAPNG_H
#define VUCCTL_PCAPNG_H

/*
 * Captures as files of pcapng (IETF draft-ietf-opsawg-pcapng), for Wireshark and the like; see
 * docs/captures.md. A file is good up to its last message at any time.
 */

#include <stdint.h>
#include <stdio.h>

#include <vuc/trace.h>

#include "capture_ring.h"

/* One that is all zeros is not open. */
struct vucctl_pcapng {
	FILE *out;
	uint64_t messages; /* that were written, */
	uint64_t dropped;  /* and not, as far as the messages tell */
};

/* Open a file; "-" is stdout. source: what is captured, for the file. Returns 0 or a negative
 * errno. */
int vucctl_pcapng_open(
	struct vucctl_pcapng *file, const char *path, const char *source, uint32_t snaplen);

/* Write a message. */
void vucctl_pcapng_put(
	struct vucctl_pcapng *file, const struct vuc_capture_record *record, const void *bytes);

/* What is written so far is in the file. Returns 0 or, as soon as a write has failed, a negative
 * errno. */
int vucctl_pcapng_flush(struct vucctl_pcapng *file);

/* Write how many messages were dropped in all, and close. Returns likewise, 0 for one that is not
 * open. */
int vucctl_pcapng_close(struct vucctl_pcapng *file);

/* A vuc_trace_fn, whose arg is the struct vucctl_pcapng. */
void vucctl_pcapng_trace(void *arg, const struct vuc_trace_message *message);

#endif /* VUCCTL_PCAPNG_H */
