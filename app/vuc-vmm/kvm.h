/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_KVM_H
#define VMM_KVM_H

/*
 * KVM: a virtual machine with one CPU. Everything about KVM is here, and nothing about devices.
 *
 * Functions return 0 or a negative errno, having said what went wrong unless noted otherwise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

/* Global system interrupts from here on are MSIs; those below are the interrupt controllers'. */
#define VM_FIRST_MSI 24u
#define VM_MAX_MSIS  2048u

struct vm {
	int kvm; /* /dev/kvm */
	int fd;
	struct kvm_irq_routing *routes; /* room for VM_MAX_MSIS */
};

/* -ENODEV, and nothing said, when this machine has no KVM that we may use: reason says why. */
int vm_create(struct vm *vm, const char **reason);
void vm_destroy(struct vm *vm);

/* Memory of the VMM as memory of the guest, in a slot that is free. Says nothing: -EEXIST is for
 * memory that is there already, and the guest may have put a BAR over it. */
int vm_add_memory(struct vm *vm, uint32_t slot, uint64_t guest_address, void *memory, uint64_t size,
	bool read_only);
void vm_remove_memory(struct vm *vm, uint32_t slot);

/* What an MSI does: the address that is written, and what. An error is the guest's, whose values
 * these are, and nothing is said. */
int vm_route_msi(struct vm *vm, uint32_t msi, uint64_t address, uint32_t data);

/* Raise an MSI whenever the eventfd is signalled; at once if it is signalled already. Says nothing,
 * as a guest can have this done for ever. */
int vm_connect_msi(struct vm *vm, uint32_t msi, int eventfd);
void vm_disconnect_msi(struct vm *vm, uint32_t msi, int eventfd);

/* Signal an eventfd, instead of an exit, when the guest writes there: its io->flags say whether
 * that is a port, and whether only a certain value counts. Says nothing. */
int vm_connect_io(struct vm *vm, const struct kvm_ioeventfd *io);
void vm_disconnect_io(struct vm *vm, const struct kvm_ioeventfd *io);

struct vcpu {
	int fd;
	struct kvm_run *run; /* how the last vcpu_run() ended, see KVM_RUN */
	size_t run_size;
	uint32_t tsc_khz; /* ticks of the guest's time stamp counter in a millisecond; 0: not known
			   */
};

/* A CPU that is about to run 32-bit code at entry: flat segments, no paging, interrupts off. */
int vcpu_create(struct vcpu *vcpu, struct vm *vm, uint32_t entry);
void vcpu_destroy(struct vcpu *vcpu);

/* Run the guest until it needs something. -EINTR when a signal came or run->immediate_exit is 1. */
int vcpu_run(struct vcpu *vcpu);

#endif /* VMM_KVM_H */
