/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_TESTS_FAKE_SERVER_H
#define VUC_TESTS_FAKE_SERVER_H

/*
 * A server inside the test, for what the reference device would not do: it offers what a test puts
 * into its tables, sensible or not, and hands other commands to the test. It is called by the
 * loopback transport, or is a thread behind a socket.
 */

#include <pthread.h>

#include <vuc/device.h>

#include "vfio_user.h"

#define FAKE_NR_REGIONS 9u
#define FAKE_NR_IRQS    5u
#define FAKE_MAX_AREAS  4u

struct fake_region {
	uint64_t size;
	uint64_t offset;
	uint32_t flags;
	bool sparse; /* has the capability also without areas */
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

/*
 * Changes the reply to a request before it goes; one that asked for none has a len of 0. Returns 0,
 * or a negative errno to close the connection.
 */
typedef int (*fake_deviate_fn)(
	void *arg, const struct vuc_loopback_msg *request, struct vuc_loopback_msg *message);

struct fake_server {
	uint32_t max_msg_fds;
	const char *json;        /* version data; NULL: max_msg_fds alone */
	uint32_t flags;          /* of the device, beside VFIO_DEVICE_FLAGS_PCI */
	fake_deviate_fn deviate; /* NULL: nothing is changed */
	uint32_t unread; /* a bit for each command that is refused when its header has come, and
			    the rest taken for the next one; of a server behind a socket */
	pthread_t thread;
	int fd; /* the thread's end of the socket */
	struct fake_region regions[FAKE_NR_REGIONS];
	struct fake_irq irqs[FAKE_NR_IRQS];
	fake_command_fn command;
	void *arg;
	struct vuc_loopback_server loopback;
};

/* Options to connect to it within this process. */
void fake_server_opts(struct fake_server *s, struct vuc_device_opts *opts);

/* Connect to it and assert that it works. */
struct vuc_device *fake_server_open(struct fake_server *s);

/*
 * Serve one client behind a socket. Returns the client's end of it. Stopping closes the server's
 * end and waits for its thread; the client's end is closed by the test before.
 */
int fake_server_start(struct fake_server *s);
void fake_server_stop(struct fake_server *s);

/* The body of a command that has len bytes of it at least; asserted. */
void fake_server_body(const struct vuc_loopback_msg *request, void *body, size_t len);

#endif /* VUC_TESTS_FAKE_SERVER_H */
