/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

/* What is measured: accesses through vuc, synchronous calls from one thread. */

#include <vuc/device.h>

#include "ticks.h"
#include "way.h"

struct bench_subject {
	struct bench_way way;
	const struct bench_clock *clock;
	const struct bench_access *access;
	struct vuc_poll_group *group;
	struct vuc_device_opts opts;
	struct vuc_device *dev;
};

/*
 * Create the poll group; opts.path, fd or loopback are for the caller to set.
 *
 * @param transport  by name; NULL: vuc's choice
 * @return 0 or a negative errno; either way the subject may be given to bench_subject_fini()
 */
int bench_subject_init(struct bench_subject *subject, const struct bench_clock *clock,
	const struct bench_access *access, const char *transport, struct vuc_error *err);
void bench_subject_fini(struct bench_subject *subject);

#endif /* BENCH_SUBJECT_H */
