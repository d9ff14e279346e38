/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_LIB_CONTROL_PACKET_H
#define VUC_LIB_CONTROL_PACKET_H

/* Packets of <vuc/shm.h> from and to a socket. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vuc/shm.h>

#include "closers.h"

/* A packet that came. Whoever looks at it borrows its descriptors. */
struct packet {
	size_t len;
	unsigned int nr_fds;
	int fds[VUC_SHM_MAX_FDS];
	union {
		struct vuc_shm_header header;
		struct vuc_shm_hello hello;
		struct vuc_shm_attach attach;
		struct vuc_shm_index index;
		struct vuc_shm_open_queue open_queue;
		struct vuc_shm_dma dma;
		struct vuc_shm_set_irqs set_irqs;
		struct vuc_shm_list list;
		uint8_t bytes[VUC_SHM_MAX_PACKET];
	};
};

/*
 * Take a packet without waiting; its descriptors are the caller's, whatever the result. Returns 0;
 * -EAGAIN when there is none; -ECONNRESET when the other end has hung up; -EMSGSIZE for too many
 * bytes, and -E2BIG for too many descriptors, which are left to the closer; -EMFILE when this
 * process has no room for them; what recvmsg(2) says.
 */
int packet_receive(int fd, struct packet *p, struct vuc_closer *closer);

/* Whether a descriptor is an eventfd; unknown where there is no /proc to tell. */
bool packet_is_eventfd(int fd, bool unknown);

/* Send without waiting: 0, or a negative errno, -EAGAIN when the other end does not read. */
int packet_send(int fd, const void *bytes, size_t len, const int *fds, unsigned int nr_fds);

#endif /* VUC_LIB_CONTROL_PACKET_H */
