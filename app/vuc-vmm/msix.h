/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_MSIX_H
#define VMM_MSIX_H

/*
 * MSI-X: the table of interrupts in a BAR, which the guest writes and the device never sees.
 *
 * Each vector has an eventfd. The device's server signals it, and while the vector is enabled and
 * unmasked KVM listens to it and interrupts the guest: the VMM is in neither. Masking a vector
 * takes the eventfd away from KVM, so a signal stays in it, which is just what a pending bit is;
 * unmasking gives it back, and KVM looks for what it has missed.
 */

#include <stdbool.h>
#include <stdint.h>

#define MSIX_MAX_VECTORS 2048u
#define MSIX_ENTRY_BYTES 16u

struct device;
struct vm;

/* A piece of a BAR. */
struct msix_place {
	uint32_t bar;
	uint32_t offset;
	uint32_t size;
};

struct msix {
	struct device *device;
	struct vm *vm;
	struct msix_place table;
	struct msix_place pending;
	uint32_t nr_vectors;
	uint16_t control; /* PCI_MSIX_FLAGS_ENABLE and PCI_MSIX_FLAGS_MASKALL */
	uint8_t *entries; /* the table as the guest sees it */
	int *eventfds;
	bool *connected; /* KVM listens to the eventfd */
};

/* capability: of the device's config space, PCI_CAP_MSIX_SIZEOF bytes. Returns 0, or a negative
 * errno, having said why. */
int msix_init(struct msix *msix, const uint8_t *capability, struct device *device, struct vm *vm);
void msix_destroy(struct msix *msix);

/* The guest has written the capability's control word. */
void msix_set_control(struct msix *msix, uint16_t control);

/* An access to a BAR. False: it is not to the table or the pending bits, but the device's. */
bool msix_read(struct msix *msix, uint32_t bar, uint64_t offset, void *data, uint32_t count);
bool msix_write(struct msix *msix, uint32_t bar, uint64_t offset, const void *data, uint32_t count);

#endif /* VMM_MSIX_H */
