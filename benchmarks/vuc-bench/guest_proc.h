/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_GUEST_PROC_H
#define BENCH_GUEST_PROC_H

/* vuc-vmm: a guest that tries a device out and times its accesses. */

#include <stdbool.h>
#include <stdint.h>

#include <vuc/error.h>

/* What is timed. */
enum bench_guest_access {
	BENCH_GUEST_EXIT,   /* of a register that the VMM has itself */
	BENCH_GUEST_READ,   /* by the queue */
	BENCH_GUEST_POST,   /* by the queue */
	BENCH_GUEST_MAPPED, /* of memory */
	BENCH_GUEST_ACCESSES
};

struct bench_guest_opts {
	const char *program; /* path of vuc-vmm */
	const char *socket;  /* of the daemon */
	const char *device;
	uint32_t accesses; /* of each kind */
};

struct bench_guest_report {
	uint64_t median[BENCH_GUEST_ACCESSES]; /* ticks of the guest's time stamp counter */
	uint64_t tsc_khz;                      /* 0: not known */
};

/*
 * Find the program and see whether it can run at all.
 *
 * @param program  set to its path, to be freed
 * @return 0; -ENODEV when there is no /dev/kvm, it may not be used, or there is no vuc-vmm; -ENOMEM
 */
int bench_guest_find(char **program, struct vuc_error *err);

/* Run it to its end. Returns 0; -ENODEV when it says that nothing could be tested; -EIO when
 * something has failed; what the system calls say. */
int bench_guest_run(const struct bench_guest_opts *opts, struct bench_guest_report *report,
	struct vuc_error *err);

#endif /* BENCH_GUEST_PROC_H */
