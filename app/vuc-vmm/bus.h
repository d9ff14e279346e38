/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_BUS_H
#define VMM_BUS_H

/*
 * Where the device's BARs are in the guest's address space: which accesses leave the guest and are
 * the BAR's, and which do not, as
 *
 * - parts that can be mapped are memory of the guest, in slots of KVM;
 * - writes that the server wants to have by eventfd are ioeventfds of KVM.
 *
 * The guest may place a BAR anywhere, over its memory and over other BARs too. What was there first
 * then stays: KVM takes no second slot for an address, and accesses of memory never get here.
 */

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "kvm.h"
#include "pci.h"

#define BUS_FIRST_SLOT 1u /* slot 0 is the guest's memory */

struct bus_bar {
	bool on;
	bool is_io;
	uint64_t address;
	uint64_t size;
	struct vuc_vmm_io_fds *io_fds; /* NULL: none */
	uint32_t nr_eventfds;          /* of these, those that KVM has */
};

struct bus {
	struct vm *vm;
	struct device *device;
	struct bus_bar bars[PCI_NR_BARS];
	bool *mapped; /* for each of the device's areas: it has a slot */
};

/* Returns 0, or a negative errno, having said why. */
int bus_init(struct bus *bus, struct vm *vm, struct device *device);
void bus_destroy(struct bus *bus);

/* BARs have moved, or have been switched on or off. */
void bus_update(struct bus *bus, const struct pci *pci);

/* The device has another server: request ioeventfds again. */
void bus_renew_io(struct bus *bus);

/* How many parts of BARs are memory of the guest, and how many writes go by eventfd. */
uint32_t bus_count_mapped(const struct bus *bus);
uint32_t bus_count_eventfds(const struct bus *bus);

/* Which BAR an access is to, and to what offset. False: to none, or beyond the end of one. */
bool bus_find(const struct bus *bus, bool is_io, uint64_t address, uint32_t count, uint32_t *bar,
	uint64_t *offset);

#endif /* VMM_BUS_H */
