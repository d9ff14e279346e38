/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef REFDEV_FAULT_H
#define REFDEV_FAULT_H

/*
 * Faults on demand: what a broken server does to its replies. The device below never knows.
 * docs/refdev.md lists the kinds and how one is written, KIND[=VALUE][@COMMAND][#N].
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/error.h>
#include <vuc/loopback.h>

/* What to do with a reply. All zero: send it as it is. */
struct refdev_plan {
	uint64_t drop;      /* send nothing */
	uint64_t mute;      /* send nothing to this client any more */
	uint64_t hang_up;   /* close instead of sending */
	uint64_t limit;     /* 1 + the bytes to send before closing; 0: send all */
	uint64_t split;     /* send each byte separately */
	uint64_t repeats;   /* times to send it again */
	uint64_t extra_fds; /* descriptors to add */
	uint64_t delay_ms;
	uint64_t reorder_ms; /* let the next message overtake it, if one is sent in this time */
};

/* A SPEC that has been read. */
struct refdev_fault {
	const struct refdev_fault_kind *kind;
	uint64_t number;  /* its value; of a version, 1 for "minor" */
	char *text;       /* its value, where that is a text, else NULL */
	uint16_t command; /* 0: all that the kind is for */
	uint64_t nth;     /* of the matching replies, from 1; 0: all of them */
};

struct refdev_faults {
	struct refdev_fault *list;
	unsigned int nr;
};

/* The name of a kind by number, from 0 on. NULL: there is none. */
const char *refdev_fault_kind_name(size_t index);

/* Add the fault that a SPEC describes. Returns 0, -ENOMEM or -EINVAL. */
int refdev_faults_add(struct refdev_faults *faults, const char *spec, struct vuc_error *err);
void refdev_faults_free(struct refdev_faults *faults);

/* Apply what matches a reply, in the order given. seen counts the matches of each fault. */
void refdev_faults_apply(const struct refdev_faults *faults, uint64_t *seen,
	struct vuc_loopback_msg *reply, struct refdev_plan *plan);

/* Whether to disconnect a client that was just accepted. */
bool refdev_faults_refuse(const struct refdev_faults *faults, uint64_t *seen);

#endif /* REFDEV_FAULT_H */
