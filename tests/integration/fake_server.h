/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAKE_SERVER_H
#define VUC_TESTS_FAKE_SERVER_H

/*
 * A server inside the test, for what the reference device would not do: it offers what a test puts
 * into its tables, sensible or not, and hands other commands to the test.
 */

#include <vuc/device.h>

#include "vfio_user.h"

#define FAKE_NR_REGIONS 9u
#define FAKE_NR_IRQS    5u
#define FAKE_MAX_AREAS  4u

struct fake_region {
	uint64_t size;
	uint64_t offset;
	uint32_t flags;
	uint32_t nr_areas;
	struct vfio_user_sparse_area areas[FAKE_MAX_AREAS];
	uint32_t nr_fds;
	int fds[FAKE_MAX_AREAS]; /* the test's; duplicates are sent */
	uint8_t *bytes;          /* size of them: what messages read and write; NULL: refused */
	unsigned int reads;      /* messages so far */
	unsigned int writes;
};

struct fake_irq {
	uint32_t flags;
	uint32_t count;
};

/* The reply to a command; bytes has room for a body of size. */
struct fake_reply {
	uint8_t *body;
	size_t size;
	size_t len;
	int *fds; /* room for VUC_LOOPBACK_MAX_FDS; the client's from then on */
	unsigned int nr_fds;
};

/* A command that the tables don't answer. Returns 0, or an errno to answer. */
typedef int (*fake_command_fn)(void *arg, const struct vuc_loopback_msg *request,
	const struct vfio_user_header *header, struct fake_reply *reply);

struct fake_server {
	uint32_t max_msg_fds;
	struct fake_region regions[FAKE_NR_REGIONS];
	struct fake_irq irqs[FAKE_NR_IRQS];
	fake_command_fn command;
	void *arg;
	struct vuc_loopback_server loopback;
};

/* Connect to it and assert that it works. */
struct vuc_device *fake_server_open(struct fake_server *s);

/* The body of a command that has len bytes of it at least; asserted. */
void fake_server_body(const struct vuc_loopback_msg *request, void *body, size_t len);

#endif /* VUC_TESTS_FAKE_SERVER_H */
