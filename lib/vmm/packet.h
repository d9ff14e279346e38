/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_PACKET_H
#define VUC_VMM_PACKET_H

#include <stdbool.h>

#include <vuc/shm.h>

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
	uint8_t bytes[VUC_SHM_MAX_PACKET];
};

/* Descriptors that go with a packet: borrowed in a request, whoever takes them in a reply. */
struct vmm_fds {
	unsigned int nr;
	bool lost; /* some came that this process had no room for: none is here */
	int fd[VUC_SHM_MAX_FDS];
};

#endif /* VUC_VMM_PACKET_H */
