/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_PCI_H
#define VMM_PCI_H

/*
 * The guest's PCI bus, with one device on it: config space by ports 0xcf8 and 0xcfc (configuration
 * mechanism #1). The device answers for its config space by itself, with three exceptions, which
 * are the VMM's business as they are about the guest's addresses:
 *
 * - the BARs, which say where in the guest's address space the device is;
 * - the bits of the command register that switch them on, which reach the device as well;
 * - the enable and mask bits of MSI-X, likewise.
 *
 * Whatever the guest writes, it hurts nobody but itself. What it reads where nothing is has all
 * bits set, as on a real bus.
 */

#include <stdbool.h>
#include <stdint.h>

#define PCI_DEVICE_NUMBER 1u /* on bus 0, function 0 */
#define PCI_NR_BARS       6u

/* Bytes of config space that mechanism #1 reaches. */
#define PCI_CONFIG_BYTES 256u

struct device;

/* Called with what the guest writes. */
struct pci_ops {
	/* BARs have moved, or have been switched on or off. */
	void (*bars_changed)(void *arg);
	/* The guest has written MSI-X's control word: PCI_MSIX_FLAGS_ENABLE and _MASKALL. */
	void (*msix_control)(void *arg, uint16_t control);
};

/* A BAR's register. A BAR of 64 bits has the next one as its upper half. */
struct pci_bar {
	uint32_t value;
	uint32_t writable; /* bits of value that the guest can change */
	uint64_t size;     /* bytes; 0: there is no such BAR, or it is an upper half */
	bool is_64;
	bool is_io;
};

struct pci {
	struct device *device;
	const struct pci_ops *ops;
	void *arg;
	uint8_t initial[PCI_CONFIG_BYTES]; /* config space as it was at first */
	struct pci_bar bars[PCI_NR_BARS];
	uint32_t address;      /* the register behind port 0xcf8 */
	uint16_t command;      /* as the guest has written it */
	uint16_t msix_control; /* likewise */
	uint32_t msix;         /* where the MSI-X capability is; 0: there is none */
};

/* sizes: of the regions behind the BARs. Returns 0, or a negative errno, having said why. */
int pci_init(struct pci *pci, struct device *device, const uint64_t sizes[PCI_NR_BARS],
	const struct pci_ops *ops, void *arg);

/* An access to I/O ports by the guest; count is 1, 2 or 4. False: these ports are none of ours. */
bool pci_port_read(struct pci *pci, uint16_t port, void *data, uint32_t count);
bool pci_port_write(struct pci *pci, uint16_t port, const void *data, uint32_t count);

/* The device was reset without the guest's knowledge: restore the registers that are tracked
 * here. */
void pci_restore(const struct pci *pci);

/* Where a BAR is. False: it is nowhere, as there is no such BAR or it is switched off. */
bool pci_bar_address(const struct pci *pci, uint32_t bar, uint64_t *address);

/* The device's vendor and device id, as they are in the first register. */
uint32_t pci_ids(const struct pci *pci);

#endif /* VMM_PCI_H */
