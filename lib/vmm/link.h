/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_LINK_H
#define VUC_VMM_LINK_H

/* The socket to the daemon, and what comes by it. Nothing here waits. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include <vuc/error.h>
#include <vuc/shm.h>

struct vuc_vmm_device;

/* A packet of any type, with room for the longest one. */
union vmm_packet {
	struct vuc_shm_header header;
	struct vuc_shm_failure failure;
	struct vuc_shm_plain plain;
	struct vuc_shm_hello hello;
	struct vuc_shm_hello_reply hello_reply;
	struct vuc_shm_attach attach;
	struct vuc_shm_attach_reply attach_reply;
	struct vuc_shm_index index;
	struct vuc_shm_region_reply region_reply;
	struct vuc_shm_irq_reply irq_reply;
	struct vuc_shm_open_queue open_queue;
	struct vuc_shm_queue_reply queue_reply;
	struct vuc_shm_dma dma;
	struct vuc_shm_dma_reply dma_reply;
	struct vuc_shm_set_irqs set_irqs;
	struct vuc_shm_irqs_reply irqs_reply;
	struct vuc_shm_io_reply io_reply;
	struct vuc_shm_list list;
	struct vuc_shm_list_reply list_reply;
	uint8_t bytes[VUC_SHM_MAX_PACKET];
};

/* Descriptors that go with a packet: borrowed in a request, whoever takes them in a reply. */
struct vmm_fds {
	unsigned int nr;
	bool lost; /* some came that this process had no room for: none is here */
	int fd[VUC_SHM_MAX_FDS];
};

struct vmm_link {
	int fd; /* -1: there is none */
	struct sockaddr_un addr;
	uint32_t timeout_ms;
	uint32_t wait_ms;          /* time limit for the device to become available, */
	uint32_t reattach_wait_ms; /* the same from the first vuc_vmm_reattach() on */
	uint64_t wait_end;         /* end of that time; 0: do not wait */
	uint64_t retry_ms;         /* do not connect earlier */
	uint32_t pause_ms;         /* before the last retry; 0: there was none */
	bool given;        /* the descriptor came from the VMM: it cannot be connected again */
	uint32_t sequence; /* of the last request */
	bool connected;
	bool ended;              /* nothing more is sent or received */
	struct vuc_error reason; /* why it has ended */
};

/* A socket, to be connected. Returns 0; -ENAMETOOLONG; what socket(2) says. */
int vmm_link_open(struct vmm_link *link, const char *path, struct vuc_error *err);

/* A duplicate of a connected one. Returns 0; -EINVAL for something else. */
int vmm_link_open_fd(struct vmm_link *link, int fd, struct vuc_error *err);

/* Begin anew, with a new socket, or with a duplicate of a connected one unless fd is -1. Threads
 * that look at the descriptor meanwhile see the new one. Returns as the above; the link is as it
 * was after an error. */
int vmm_link_renew(struct vmm_link *link, int fd, struct vuc_error *err);

void vmm_link_close(struct vmm_link *link);

/* Returns 0; what connect(2) says; -EAGAIN while too many wait to be accepted: nothing tells when
 * to try again. */
int vmm_link_connect(struct vmm_link *link);

/*
 * End the connection for a reason, which is kept for later calls, and return rc: an answer that
 * came late would be taken for that to another question. The daemon sees it as a hang-up.
 */
int vmm_link_end(struct vmm_link *link, struct vuc_error *err, int rc, const char *fmt, ...)
	__attribute__((cold, format(printf, 4, 5)));

/* Whether the other end has gone, or this one was shut down. Any thread. */
bool vmm_link_is_gone(const struct vmm_link *link);

/* Close all of them; there are none then. */
void vmm_fds_close(struct vmm_fds *fds);

/*
 * Send a request, whose type, size and body are there. Returns 0; -EAGAIN when there is no room;
 * another negative errno, with err, when it cannot be sent: the connection has ended then, or is as
 * it was when this side is to blame, as with -EBADF.
 */
int vmm_request_send(struct vuc_vmm_device *dev, union vmm_packet *packet,
	const struct vmm_fds *fds, struct vuc_error *err);

/*
 * Receive the reply to a request of this type, with descriptors for the caller to close. Its header
 * is checked; the rest is up to vmm_reply_is() and the caller. Returns 0; VMM_NOT_YET when it has
 * not come; the negative errno that the daemon has answered; -EPROTO, -ECONNRESET and others, after
 * which there is no connection. There are no descriptors after a failure.
 */
#define VMM_NOT_YET 1
int vmm_reply_receive(struct vuc_vmm_device *dev, unsigned int type, union vmm_packet *reply,
	struct vmm_fds *fds, struct vuc_error *err);

/* Whether the reply is of this size and came with as many descriptors. Returns 0; -EPROTO; -EMFILE
 * when there were too many for this process, which does not end the connection. */
int vmm_reply_is(struct vuc_vmm_device *dev, const union vmm_packet *reply, size_t size,
	const struct vmm_fds *fds, unsigned int nr_fds, struct vuc_error *err);

/* A field of a reply that cannot be; ends the connection. Returns -EPROTO. */
int vmm_reply_wrong(struct vuc_vmm_device *dev, const union vmm_packet *reply,
	struct vuc_error *err, const char *field, uint64_t value);

/* Descriptors from the daemon are looked at before they are used. `what` names them in errors. */

/*
 * Map the first size bytes of a memfd, which must have them and keep them: a page behind its end
 * raises SIGBUS.
 * Returns 0; -EPROTO, with err saying what of `what` is wrong; -ENOMEM.
 */
int vmm_memory_map(
	void **memory, int fd, size_t size, int prot, const char *what, struct vuc_error *err);

/* Whether it can be an eventfd. Returns 0; -EPROTO for a file, a pipe, a socket. */
int vmm_eventfd_check(int fd, const char *what, struct vuc_error *err);

/* Writing to it does not block, even if it is full. Returns 0 or a negative errno, with err. */
int vmm_eventfd_unblock(int fd, const char *what, struct vuc_error *err);

#endif /* VUC_VMM_LINK_H */
