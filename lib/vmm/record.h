/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VUC_VMM_RECORD_H
#define VUC_VMM_RECORD_H

/*
 * What the VMM has asked for and the daemon has done: it is asked for once more of a new daemon. As
 * large as what was asked for. All is called with the device's lock held.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <vuc/error.h>

/* Interrupts of an index that are recorded. */
#define VMM_MAX_VECTORS 65536u

/* Events of an interrupt that an eventfd can signal: enum vuc_vmm_irq_action. */
#define VMM_IRQ_EVENTS 3u

/* The memory of mappings: a descriptor of each file, however many mappings it has. */
struct vmm_file {
	LIST_ENTRY(vmm_file) link;
	dev_t device;
	ino_t inode;
	int mode; /* of its opening: a file may be here for reading and for writing */
	int fd;
	unsigned int refs;
};

struct vmm_mapping {
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
	uint32_t flags;
	struct vmm_file *file;
};

/* Interrupts of an index, 0 … nr - 1. */
struct vmm_irqs {
	SLIST_ENTRY(vmm_irqs) link;
	uint32_t index;
	uint32_t nr;
	int *eventfds[VMM_IRQ_EVENTS]; /* by event and number; -1: none */
	bool *masked;
};

struct vmm_record {
	LIST_HEAD(, vmm_file) files;
	struct vmm_mapping *maps; /* by iova */
	size_t nr_maps;
	size_t room;
	size_t reserved; /* by operations that have not ended */
	SLIST_HEAD(, vmm_irqs) irqs;
};

void vmm_record_free(struct vmm_record *record);

/* A reference to the file of a descriptor of the caller's. Returns 0 or a negative errno. */
int vmm_file_get(struct vmm_record *record, int fd, struct vmm_file **file);
void vmm_file_put(struct vmm_file *file);

/* Room for so many mappings more, until it is given back. Returns 0 or -ENOMEM. */
int vmm_record_reserve_maps(struct vmm_record *record, size_t nr);

/* Add a mapping, for which there is room; the reference to its file goes with it. */
void vmm_record_map(struct vmm_record *record, const struct vmm_mapping *mapping);

/* Remove mappings that begin in [iova, iova + size - 1]. */
void vmm_record_unmap(struct vmm_record *record, uint64_t iova, uint64_t last);

/* Room for interrupts 0 … nr - 1 of an index. Returns 0 or -ENOMEM. */
int vmm_record_reserve_irqs(struct vmm_record *record, uint32_t index, uint32_t nr);

/* Take eventfds, which are the record's then; those before are closed. There is room for them. */
void vmm_record_assign(struct vmm_record *record, uint32_t index, uint32_t start,
	unsigned int event, const int *eventfds, uint32_t count);

/* which: a byte of each interrupt, 1 for those that it is about; NULL: all. */
void vmm_record_mask(struct vmm_record *record, uint32_t index, uint32_t start, uint32_t count,
	const uint8_t *which, bool masked);

/* Forget all of an index. */
void vmm_record_disable(struct vmm_record *record, uint32_t index);

/* Write each eventfd of INTx, MSI and MSI-X that is signalled when the interrupt is raised. */
void vmm_record_signal(const struct vmm_record *record);

#endif /* VUC_VMM_RECORD_H */
