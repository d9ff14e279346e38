/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BENCH_WAY_H
#define BENCH_WAY_H

/* A way to access a register: the floor, or vuc. */

#include <stdint.h>

#include <vuc/error.h>

enum bench_access_op {
	BENCH_READ,
	BENCH_WRITE,
	BENCH_POSTED, /* a write that no answer is asked for */
};

/* The access that is made again and again; what writes write is zero. */
struct bench_access {
	enum bench_access_op op;
	uint32_t region;
	uint64_t offset;
	uint32_t size;     /* at most BENCH_ACCESS_MAX */
	uint32_t together; /* made in one go, which is a sample; more than 1 only of BENCH_POSTED */
	const char *server; /* named where its region is too small; NULL: it is known to be right */
};

/* Whether an access is within its region, of that size, which is 0 for one that there is not.
 * Returns 0 or -EINVAL. */
int bench_access_check(const struct bench_access *access, uint64_t size, struct vuc_error *err);

#define BENCH_ACCESS_MAX 8

/* A read that every PCI device answers and that changes nothing: the ids in config space. */
extern const struct bench_access bench_settle_access;

/* "read", "write" or "posted" */
const char *bench_access_op_name(enum bench_access_op op);

/* Parse --op and --size. Each returns 0 or -EINVAL. */
int bench_access_parse_op(struct bench_access *access, const char *text, struct vuc_error *err);
int bench_access_parse_size(struct bench_access *access, const char *text, struct vuc_error *err);

/* What waits for a server gives up after this. */
#define BENCH_TIMEOUT_MS 5000

/* An implementation's own struct begins with it. */
struct bench_way {
	const struct bench_way_ops *ops;
	uint64_t syscalls; /* made for accesses, up to the last burst */
	uint64_t futexes;  /* of these, where they are told apart */
};

/* Each but close returns 0 or a negative errno with a line in err. */
struct bench_way_ops {
	int (*open)(struct bench_way *way, struct vuc_error *err);
	void (*close)(struct bench_way *way);
	/* Take nr samples one after the other; ticks gets the time of each: from the first call
	 * until the access is answered or, when posted, all of them are with the kernel. */
	int (*burst)(
		struct bench_way *way, unsigned int nr, uint64_t *ticks, struct vuc_error *err);
	/* Let the server catch up: bench_settle_access, answered after everything before it. */
	int (*settle)(struct bench_way *way, struct vuc_error *err);
};

#endif /* BENCH_WAY_H */
