/* SPDX-License-Identifier: BSD-3-Clause */
#include "kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fail.h"

/* Three pages that Intel's CPUs need for KVM's own purposes, below where firmware would be. */
#define TSS_ADDRESS 0xfffbd000ul

#define MAX_CPUID_ENTRIES 256u

static int
open_kvm(struct vm *vm, const char **reason)
{
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0) {
		*reason = strerror(errno);
		return -ENODEV;
	}
	if (ioctl(vm->kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		*reason = "its API is not version 12";
		return -ENODEV;
	}
	return 0;
}

static int
check_capabilities(struct vm *vm, const char **reason)
{
	static const int needed[] = {
		KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_IRQCHIP, KVM_CAP_IRQFD, KVM_CAP_IRQ_ROUTING};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, needed[i]) <= 0) {
			*reason = "it lacks an interrupt controller, irqfds or immediate exits";
			return -ENODEV;
		}
	}
	return 0;
}

static int
create_machine(struct vm *vm)
{
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return vmm_fail(-errno, "KVM_CREATE_VM: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0)
		return vmm_fail(-errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return vmm_fail(-errno, "KVM_CREATE_IRQCHIP: %s", strerror(errno));
	return 0;
}

int
vm_create(struct vm *vm, const char **reason)
{
	int rc;

	*vm = (struct vm){.kvm = -1, .fd = -1};
	vm->routes = calloc(1, sizeof(*vm->routes) + VM_MAX_MSIS * sizeof(vm->routes->entries[0]));
	if (vm->routes == NULL)
		return vmm_fail(-ENOMEM, "out of memory for %u interrupt routes", VM_MAX_MSIS);
	rc = open_kvm(vm, reason);
	if (rc == 0)
		rc = check_capabilities(vm, reason);
	if (rc == 0)
		rc = create_machine(vm);
	if (rc != 0)
		vm_destroy(vm);
	return rc;
}

void
vm_destroy(struct vm *vm)
{
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	free(vm->routes);
	*vm = (struct vm){.kvm = -1, .fd = -1};
}

int
vm_add_memory(struct vm *vm, uint32_t slot, uint64_t guest_address, void *memory, uint64_t size,
	bool read_only)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = read_only ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = guest_address,
		.memory_size = size,
		.userspace_addr = (uintptr_t)memory,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

void
vm_remove_memory(struct vm *vm, uint32_t slot)
{
	struct kvm_userspace_memory_region region = {.slot = slot};

	ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static struct kvm_irq_routing_entry *
find_route(struct vm *vm, uint32_t gsi)
{
	for (uint32_t i = 0; i < vm->routes->nr; i++) {
		if (vm->routes->entries[i].gsi == gsi)
			return &vm->routes->entries[i];
	}
	return &vm->routes->entries[vm->routes->nr++];
}

/* KVM has no way to change one route: it takes all of them anew. */
int
vm_route_msi(struct vm *vm, uint32_t msi, uint64_t address, uint32_t data)
{
	if (msi >= VM_MAX_MSIS)
		return -ENOSPC;
	*find_route(vm, VM_FIRST_MSI + msi) = (struct kvm_irq_routing_entry){
		.gsi = VM_FIRST_MSI + msi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi =
			{
				.address_lo = (uint32_t)address,
				.address_hi = (uint32_t)(address >> 32),
				.data = data,
			},
	};
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->routes) < 0 ? -errno : 0;
}

int
vm_connect_msi(struct vm *vm, uint32_t msi, int eventfd)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)eventfd, .gsi = VM_FIRST_MSI + msi};

	return ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

void
vm_disconnect_msi(struct vm *vm, uint32_t msi, int eventfd)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd,
		.gsi = VM_FIRST_MSI + msi,
		.flags = KVM_IRQFD_FLAG_DEASSIGN,
	};

	ioctl(vm->fd, KVM_IRQFD, &irqfd);
}

int
vm_connect_io(struct vm *vm, const struct kvm_ioeventfd *io)
{
	struct kvm_ioeventfd copy = *io;

	return ioctl(vm->fd, KVM_IOEVENTFD, &copy) < 0 ? -errno : 0;
}

void
vm_disconnect_io(struct vm *vm, const struct kvm_ioeventfd *io)
{
	struct kvm_ioeventfd copy = *io;

	copy.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	ioctl(vm->fd, KVM_IOEVENTFD, &copy);
}

static int
map_run(struct vcpu *vcpu, struct vm *vm)
{
	int size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	if (size < (int)sizeof(*vcpu->run))
		return vmm_fail(-EPROTO, "KVM_GET_VCPU_MMAP_SIZE: unexpected size %d", size);
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return vmm_fail(-errno, "cannot map the virtual CPU: %s", strerror(errno));
	vcpu->run = run;
	vcpu->run_size = (size_t)size;
	return 0;
}

/* The guest sees what CPU and KVM have to offer. */
static int
set_cpuid(struct vcpu *vcpu, struct vm *vm)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + MAX_CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	int rc = 0;

	if (cpuid == NULL)
		return vmm_fail(-ENOMEM, "out of memory for CPUID");
	cpuid->nent = MAX_CPUID_ENTRIES;
	if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
		ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		rc = vmm_fail(-errno, "KVM_SET_CPUID2: %s", strerror(errno));
	free(cpuid);
	return rc;
}

/* Selectors are those of the table that the guest brings along. */
static int
set_flat_segments(struct vcpu *vcpu)
{
	static const struct kvm_segment flat = {
		.limit = 0xffffffff, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_segment code = flat;
	struct kvm_segment data = flat;
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return vmm_fail(-errno, "KVM_GET_SREGS: %s", strerror(errno));
	code.type = 11; /* execute and read, accessed */
	code.selector = 8;
	data.type = 3; /* read and write, accessed */
	data.selector = 16;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 |= 1; /* protected mode */
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		return vmm_fail(-errno, "KVM_SET_SREGS: %s", strerror(errno));
	return 0;
}

static int
set_entry(struct vcpu *vcpu, uint32_t entry)
{
	struct kvm_regs regs = {.rip = entry, .rflags = 2}; /* 2: a bit that is always 1 */

	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return vmm_fail(-errno, "KVM_SET_REGS: %s", strerror(errno));
	return 0;
}

int
vcpu_create(struct vcpu *vcpu, struct vm *vm, uint32_t entry)
{
	int khz;
	int rc;

	*vcpu = (struct vcpu){.fd = ioctl(vm->fd, KVM_CREATE_VCPU, 0)};
	if (vcpu->fd < 0)
		return vmm_fail(-errno, "KVM_CREATE_VCPU: %s", strerror(errno));
	rc = map_run(vcpu, vm);
	if (rc == 0)
		rc = set_cpuid(vcpu, vm);
	if (rc == 0)
		rc = set_flat_segments(vcpu);
	if (rc == 0)
		rc = set_entry(vcpu, entry);
	if (rc != 0) {
		vcpu_destroy(vcpu);
		return rc;
	}
	khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	vcpu->tsc_khz = khz > 0 ? (uint32_t)khz : 0;
	return 0;
}

void
vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run != NULL)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
	*vcpu = (struct vcpu){.fd = -1};
}

int
vcpu_run(struct vcpu *vcpu)
{
	if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
		return 0;
	if (errno == EINTR)
		return -EINTR;
	return vmm_fail(-errno, "KVM_RUN: %s", strerror(errno));
}
